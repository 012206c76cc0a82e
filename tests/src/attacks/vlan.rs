//! A tag that the device has taken off is not part of the frame that XDP sees.

use std::time::Duration;

use anyhow::Result;

use super::{
    newcomer::others_answered,
    row::{Attacker::Station, Row, Verdict},
    scene::{SILENCE, Scene},
};
use crate::{
    demo::mode::Mode,
    ethtool,
    faults::{
        site::{LAN, MAC, PARENT, PORT, STEADY, VM01},
        stage::Plan,
    },
    probe::{arp, nd, neighbour, packet::PacketSocket},
};

pub(super) const ROWS: &[Row] = &[Row::new(
    "S17",
    Station,
    "--xdp native and generic on a device with receive VLAN offload; requests on VLAN 100",
    "never answered as untagged: TC programs answer instead; untagged requests are answered",
    tagged,
)];

const VLAN: &str = "eth0.100";

fn tagged(plan: &Plan) -> Result<Verdict> {
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
        scene.site.vm01.ip(&format!(
            "link add link {LAN} name {VLAN} type vlan id 100\nlink set {VLAN} up\n"
        ))?;
        let started = scene.start(&["--xdp", mode]);
        if let Err(error) = started {
            let text = format!("{error:#}");
            let hinted = text.to_lowercase().contains("vlan");
            verdict.expect(hinted, || format!("{shown}: {text}"));
            verdict.agent(format!("{shown}: refused with a hint"));
            continue;
        }
        let answers = answered_tagged(&scene)?;
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

/// Asks for a child on VLAN 100; counts the answers, tagged or not.
fn answered_tagged(scene: &Scene) -> Result<usize> {
    let vm01 = &scene.site.vm01;
    let mac = vm01.hardware_address(LAN)?;
    let request = arp::Request {
        to: arp::BROADCAST,
        sha: mac,
        spa: VM01.v4,
        tpa: STEADY.v4,
    };
    let solicitation = nd::Solicitation::multicast(mac, VM01.v6, STEADY.v6);
    vm01.run(|| {
        let mut answers = 0;
        // An answer that lost its tag comes back on the device itself.
        let untagged_arp = PacketSocket::open(LAN, arp::ETHER_TYPE)?;
        let untagged_nd = PacketSocket::open(LAN, nd::ETHER_TYPE)?;
        answers += usize::from(neighbour::ask(VLAN, &request, SILENCE)?.is_some());
        answers += usize::from(neighbour::ask(VLAN, &solicitation, SILENCE)?.is_some());
        let mut buffer = [0; 256];
        for socket in [untagged_arp, untagged_nd] {
            while let Some(length) = socket.receive(&mut buffer, Duration::from_millis(50))? {
                let frame = &buffer[..length.min(buffer.len())];
                let by_parent = frame.get(6..12) == Some(&MAC) && frame.get(..6) == Some(&mac);
                answers += usize::from(by_parent);
            }
        }
        Ok(answers)
    })
}
