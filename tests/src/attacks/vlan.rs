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
    faults::{
        site::{LAN, MAC, STEADY, VM01},
        stage::Plan,
    },
    probe::{arp, nd, neighbour, packet::PacketSocket},
};

pub(super) const ROWS: &[Row] = &[Row::new(
    "S17",
    Station,
    "--xdp native and generic on a device with receive VLAN offload; requests on VLAN 100",
    "refused with a hint, or never answered as untagged; untagged requests are answered",
    tagged,
)];

const VLAN: &str = "eth0.100";

fn tagged(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    verdict.alone("no answer");
    for mode in ["native", "generic"] {
        let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
        scene.site.vm01.ip(&format!(
            "link add link {LAN} name {VLAN} type vlan id 100\nlink set {VLAN} up\n"
        ))?;
        let started = scene.start(&["--xdp", mode]);
        if let Err(error) = started {
            let text = format!("{error:#}");
            let hinted = text.to_lowercase().contains("vlan");
            verdict.expect(hinted, || format!("{mode}: {text}"));
            verdict.agent(format!("{mode}: refused with a hint"));
            continue;
        }
        let answers = answered_tagged(&scene)?;
        verdict.expect(answers == 0, || {
            format!("{mode}: {answers} requests on VLAN 100 are answered")
        });
        others_answered(&scene, &mut verdict, mode)?;
        let hooks = scene.parent()?["hooks"].to_string();
        let falls_back = !hooks.contains("xdp");
        verdict.agent(format!(
            "{mode}: {answers} answered, {}",
            if falls_back {
                "TC programs instead"
            } else {
                "XDP attached"
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
