//! The least of a router: answers router solicitations (RFC 4861 §6.2.6).

use std::{net::Ipv6Addr, sync::atomic::AtomicBool};

use anyhow::{Context, Result};
use ipvlan_packet::{
    IPV6, IpPacket,
    nd::{self, ALL_NODES, ALL_NODES_MAC, SOURCE_MAC, option},
};
use nix::ifaddrs::getifaddrs;

use super::responder::respond;

const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;

/// Answers every router solicitation on `device` of the current netns until `done`.
///
/// The lifetime is zero and there is no prefix: nobody is to change its routes for it. The source is
/// the link-local address with the last bytes of `own`.
pub fn advertise(device: &str, own: Ipv6Addr, done: &AtomicBool) -> Result<()> {
    let mac = getifaddrs()
        .context("cannot list addresses")?
        .filter(|interface| interface.interface_name == device)
        .find_map(|interface| interface.address?.as_link_addr()?.addr())
        .with_context(|| format!("{device} has no Ethernet address"))?;
    let answer = advertisement(mac, own);
    respond(device, IPV6, done, |frame| {
        (frame.get(nd::TYPE) == Some(&SOLICITATION)).then(|| answer.clone())
    })
    .map(drop)
}

fn advertisement(mac: [u8; 6], own: Ipv6Addr) -> Vec<u8> {
    let [.., last] = own.segments();
    let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last);
    let mut message = vec![ADVERTISEMENT, 0, 0, 0];
    // Hop limit, flags, lifetime and timers: nothing to say about any.
    message.extend([0; 12]);
    message.extend(option(SOURCE_MAC, &mac));
    let macs = [ALL_NODES_MAC, mac];
    IpPacket::icmpv6(macs, source, ALL_NODES, message).frame()
}

#[cfg(test)]
mod tests {
    use ipvlan_packet::checksum;

    use super::*;

    #[test]
    fn an_advertisement_is_whole() {
        let own = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
        let frame = advertisement([2, 0, 0, 0, 0, 1], own);
        assert_eq!(frame.len(), 14 + 40 + 16 + 8);
        let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
        assert_eq!(frame[22..38], source.octets());
        assert_eq!(
            checksum::icmpv6(source, ALL_NODES, &frame[54..]),
            checksum::RIGHT
        );
    }
}
