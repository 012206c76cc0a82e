//! A tag that the device has taken off is not part of the frame that XDP sees.

use anyhow::Result;

use super::newcomer::others_answered;
use crate::{
    demo::mode::Mode,
    ethtool,
    faults::{
        site::{PARENT, PORT},
        stage::Plan,
    },
    rows::{
        row::{Kind::Station, Row, Verdict},
        scene::Scene,
        tagged,
    },
};

pub(super) const ROWS: &[Row] = &[Row::new(
    "S17",
    Station,
    "--xdp native and generic on a device with receive VLAN offload; requests on VLAN 100",
    "never answered as untagged: TC programs answer instead; untagged requests are answered",
    hidden,
)];

fn hidden(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    verdict.alone("no answer");
    // A native program on a veth reaches its peer only if that receives in NAPI mode, which a bridge's port
    // does not: the programs answer where TC does it instead.
    for (mode, offload) in [("native", true), ("generic", true), ("generic", false)] {
        let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
        for (netns, device) in [(&scene.site.host, PARENT), (&scene.site.lan, PORT)] {
            netns.run(|| ethtool::switch(device, &ethtool::VLAN_OFFLOAD, offload))?;
        }
        let shown = format!("{mode}, offload {}", if offload { "on" } else { "off" });
        tagged::add_vlan(&scene.site)?;
        let started = scene.start(&["--xdp", mode]);
        if let Err(error) = started {
            let text = format!("{error:#}");
            let hinted = text.to_lowercase().contains("vlan");
            verdict.expect(hinted, || format!("{shown}: {text}"));
            verdict.agent(format!("{shown}: refused with a hint"));
            continue;
        }
        let answers = tagged::answered(&scene.site)?;
        verdict.expect(answers == 0, || {
            format!("{shown}: {answers} requests on VLAN 100 are answered")
        });
        others_answered(&scene, &mut verdict, &shown)?;
        let hooks = scene.parent()?["hooks"].to_string();
        let has_xdp = hooks.contains("\"xdp\"");
        verdict.expect(has_xdp != offload, || {
            format!("{shown}: attached is {hooks}")
        });
        verdict.agent(format!(
            "{shown}: {answers} answered, {}",
            if has_xdp {
                "XDP attached"
            } else {
                "TC programs instead"
            }
        ));
        scene.clear()?;
    }
    Ok(verdict)
}
