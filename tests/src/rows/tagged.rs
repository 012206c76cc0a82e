//! Questions on a VLAN that nobody but the asker is in.

use std::time::Duration;

use anyhow::Result;
use ipvlan_packet::{ARP, Arp, IPV6, Nd};

use super::scene::SILENCE;
use crate::{
    faults::site::{LAN, MAC, STEADY, Site, VM01},
    probe::{neighbour, packet::PacketSocket},
};

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
    let request = Arp::request(mac, VM01.v4, STEADY.v4);
    let solicitation = Nd::multicast(mac, VM01.v6, STEADY.v6);
    vm01.run(|| {
        let mut answers = 0;
        // An answer that lost its tag comes back on the device itself.
        let untagged_arp = PacketSocket::open(LAN, ARP)?;
        let untagged_nd = PacketSocket::open(LAN, IPV6)?;
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
