//! A tag that the device has taken off is not part of the frame that XDP sees.

use crate::{
    ethtool,
    rows::{prelude::*, tagged},
};

pub(super) const ROWS: &[Row] = &[Row::new(
    "S17",
    Station,
    "--xdp native and generic on a device with receive VLAN offload; requests on VLAN 100",
    "never answered as untagged: TC programs answer instead; untagged requests are answered",
    Run::Own(hidden),
)
.alone("no answer")];

fn hidden(play: &Play) -> Result<()> {
    // A native program on a veth reaches its peer only if that receives in NAPI mode, which a bridge's port
    // does not: the programs answer where TC does it instead.
    for (mode, offload) in [("native", true), ("generic", true), ("generic", false)] {
        let mut scene = play.scene(Mode::L3)?;
        for (netns, device) in [(&scene.host, PARENT), (&scene.lan, PORT)] {
            netns.run(|| ethtool::switch(device, &ethtool::VLAN_OFFLOAD, offload))?;
        }
        let shown = format!("{mode}, offload {}", if offload { "on" } else { "off" });
        scene.case(&shown);
        tagged::add_vlan(&scene.site)?;
        if let Err(error) = scene.start(&["--xdp", mode]) {
            let text = format!("{error:#}");
            scene.expect(text.to_lowercase().contains("vlan"), || text.clone());
            play.with_agent(format!("{shown}: refused with a hint"));
            continue;
        }
        let answers = tagged::answered(&scene.site)?;
        scene.expect_eq("answers on VLAN 100", answers, 0);
        scene.expect_others_answered()?;
        let hooks = scene.parent()?.hooks;
        let has_xdp = hooks.iter().any(|hook| hook.hook == "xdp");
        scene.expect(has_xdp != offload, || format!("attached is {hooks:?}"));
        let attached = ["TC programs instead", "XDP attached"][usize::from(has_xdp)];
        play.with_agent(format!("{shown}: {answers} answered, {attached}"));
        scene.clear()?;
    }
    Ok(())
}
