//! Questions on a VLAN that nobody but the asker is in.

use std::time::Duration;

use anyhow::Result;
use ipvlan_packet::{ARP, IPV6};

use super::{
    scene::SILENCE,
    site::{LAN, MAC, STEADY, Site, VM01},
};
use crate::probe::{neighbour, packet::PacketSocket};

const VLAN: &str = "eth0.100";

/// Adds VLAN 100 to vm01.
pub(crate) fn add_vlan(site: &Site) -> Result<()> {
    site.vm01.ip(&format!(
        "link add link {LAN} name {VLAN} type vlan id 100\nlink set {VLAN} up\n"
    ))
}

/// Asks for a child on VLAN 100 in both families; returns the number of answers, tagged or not.
pub(crate) fn answered(site: &Site) -> Result<usize> {
    let vm01 = &site.vm01;
    let mac = vm01.hardware_address(LAN)?;
    vm01.run(|| {
        let mut answers = 0;
        // An answer that lost its tag comes back on the device itself.
        let untagged = [
            PacketSocket::open(LAN, ARP)?,
            PacketSocket::open(LAN, IPV6)?,
        ];
        for address in STEADY.both() {
            let question = neighbour::question(mac, VM01.like(address), address, None)?;
            answers += usize::from(neighbour::ask(VLAN, &*question, SILENCE)?.is_some());
        }
        for socket in untagged {
            let frames = socket.frames(Duration::from_millis(50))?;
            let by_parent = |frame: &[u8]| frame.starts_with(&[mac, MAC].concat());
            answers += frames.iter().filter(|(_, frame)| by_parent(frame)).count();
        }
        Ok(answers)
    })
}
