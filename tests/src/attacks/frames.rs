//! Random frames of an attacker inside a container: each is made from its seed and its number alone.
//!
//! Every frame that has room for it carries a cookie with its number, behind the headers and at its
//! end, so a frame that arrives somewhere names the frame that was sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipvlan_packet::{
    ARP, ETH_LEN, IPV4, IPV6, Mac, arp, array, ether_type,
    ip::{v4, v6},
};

use super::{
    choices::Random,
    messages::{self, discovery, ipv4, ipv6},
};
use crate::rows::site::{HOST, Pair};

/// The bytes before the number in a cookie.
const COOKIE: [u8; 4] = [0xc0, 0x0c, 0x1e, 0x57];
const COOKIE_LEN: usize = 8;
const VLAN: u16 = 0x8100;
/// An address that the host routes through its gateway; an attacker takes it.
pub(super) const OFF_LINK: Pair = Pair {
    v4: Ipv4Addr::new(8, 8, 8, 8),
    v6: Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888),
};

/// A frame that was made, and its senders, which distinguish it from the reflections that it causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The bytes, from the Ethernet header on.
    pub(super) bytes: Vec<u8>,
    /// The `EtherType` that its sender names beside it: a packet socket takes any.
    pub(super) protocol: u16,
    /// The source in the network header, if there is one.
    source: Option<Source>,
    /// The same, read as an `EtherType` of `protocol`.
    protocol_source: Option<Source>,
}

/// An `EtherType`, and the address of the sender that a frame of this type has.
type Source = (u16, IpAddr);

impl Frame {
    /// Returns a frame whose sender names the `EtherType` that is in it.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self::with_protocol(ether_type_of(&bytes), bytes)
    }

    /// Returns a frame whose sender names the `EtherType` `protocol`.
    pub(super) fn with_protocol(protocol: u16, bytes: Vec<u8>) -> Self {
        Self {
            protocol,
            source: source(ether_type_of(&bytes), &bytes),
            protocol_source: source(protocol, &bytes),
            bytes,
        }
    }

    /// Returns whether `seen`, a frame or an IPv4 packet without its Ethernet header, is this frame itself
    /// rather than an answer to it or an error about it.
    pub(super) fn is(&self, seen: &[u8]) -> bool {
        match source(ether_type_of(seen), seen) {
            None => seen.get(ETH_LEN..) == self.bytes.get(ETH_LEN..),
            source => source == self.source,
        }
    }

    /// Returns whether its source is an address of the host, whichever `EtherType` counts.
    pub(super) fn is_from_host(&self) -> bool {
        let mut sources = [self.source, self.protocol_source].into_iter().flatten();
        sources.any(|(_, source)| HOST.both().contains(&source))
    }
}

fn source(ether_type: u16, frame: &[u8]) -> Option<Source> {
    let source = match ether_type {
        IPV4 => IpAddr::from(array::<4>(frame, v4::SRC)?),
        ARP => IpAddr::from(array::<4>(frame, arp::SPA)?),
        IPV6 => IpAddr::from(array::<16>(frame, v6::SRC)?),
        _ => return None,
    };
    Some((ether_type, source))
}

/// Returns the number in the first cookie of `bytes`.
pub(super) fn cookie(bytes: &[u8]) -> Option<u32> {
    let place = bytes
        .windows(COOKIE_LEN)
        .position(|window| window.starts_with(&COOKIE))?;
    let number = bytes.get(place + COOKIE.len()..place + COOKIE_LEN)?;
    Some(u32::from_be_bytes(number.try_into().ok()?))
}

/// Makes frame `number` of `seed`.
pub(super) fn frame(seed: u32, number: u32) -> Frame {
    let mut random = Random::new(u64::from(seed) << 32 | u64::from(number));
    let (dst, src) = (random.destination_mac(), random.source_mac());
    let (ether_type, message) = match random.below(17) {
        0..=5 => (IPV4, ipv4(&mut random, number)),
        6..=9 => (IPV6, ipv6(&mut random, number)),
        10..=12 => (ARP, messages::arp(&mut random, number)),
        13..=14 => (IPV6, discovery(&mut random, number)),
        15 => return disguised(&mut random, number, [dst, src]),
        _ => (
            random.of(&[0x88b5, 0x8847, 0x8863, 0x05ff, 0]),
            random.junk(46),
        ),
    };
    let mut bytes = [&dst[..], &src].concat();
    // Tagged, once or twice.
    match random.below(24) {
        0 => bytes.extend([0x81, 0, 0, random.byte()]),
        1 => bytes.extend([0x88, 0xa8, 0, 100, 0x81, 0, 0, 100]),
        _ => {}
    }
    bytes.extend(ether_type.to_be_bytes());
    bytes.extend(message);
    if random.one_of(12) {
        // Cut short, at any byte that a socket takes.
        bytes.truncate(ETH_LEN.max(random.below(bytes.len())));
    } else {
        bytes.extend(cookie_of(number));
    }
    // Most senders name what is in the frame.
    let protocol = random.rarely(12, ether_type_of(&bytes), |random| {
        random.of(&[IPV4, IPV6, ARP, VLAN, 0x88b5])
    });
    Frame::with_protocol(protocol, bytes)
}

/// Returns a frame that reads as two things, by the `EtherType` that its sender names and by that in the frame.
fn disguised(random: &mut Random, number: u32, macs: [Mac; 2]) -> Frame {
    let mut bytes = macs.concat();
    let protocol = if random.one_of(2) {
        // An ARP message for a sibling, which as IPv4 is for another address. Its sender's MAC is in the
        // IPv4 header.
        bytes.extend(ARP.to_be_bytes());
        bytes.extend(ipv4(random, number));
        bytes.resize(bytes.len().max(ETH_LEN + 28), 0);
        // The number of a cookie right behind the IPv4 header would be overwritten: there is none then.
        bytes[34..38].fill(0);
        bytes[38..42].copy_from_slice(&random.target().v4.octets());
        IPV4
    } else {
        // An ARP message in VLAN 0, which as IPv6 is from an address of the attacker's and for any.
        bytes.extend([0x81, 0, 0x60, 0]);
        bytes.extend(ARP.to_be_bytes());
        bytes.extend([0, 1, 8, 0, 6, 4, 0, random.of(&[1, 2])]);
        bytes.extend(random.source_mac());
        bytes.extend(random.source().v4.octets());
        bytes.extend([0; 2]);
        bytes.extend(random.target().v6.octets());
        IPV6
    };
    bytes.extend(cookie_of(number));
    Frame::with_protocol(protocol, bytes)
}

fn ether_type_of(frame: &[u8]) -> u16 {
    ether_type(frame).unwrap_or_default()
}

/// Returns the cookie of frame `number`.
pub(super) fn cookie_of(number: u32) -> Vec<u8> {
    [COOKIE, number.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_made_from_seed_and_number_alone() {
        for number in 0..2000 {
            assert_eq!(frame(7, number), frame(7, number));
        }
        assert_ne!(frame(7, 1), frame(8, 1));
    }

    #[test]
    fn most_frames_name_their_number() {
        let cookies = (0..10_000).map(|number| (number, cookie(&frame(1, number).bytes)));
        let named: Vec<_> = cookies.filter(|(_, cookie)| cookie.is_some()).collect();
        assert!(
            named
                .iter()
                .all(|(number, cookie)| *cookie == Some(*number))
        );
        assert!(named.len() > 9_000, "{}", named.len());
    }

    #[test]
    fn a_frame_is_distinguished_from_a_reflection() {
        let mut frames = (0..).map(|number| frame(1, number));
        let is_ipv4 = |frame: &Frame| ether_type(&frame.bytes) == Some(IPV4);
        let sent = frames.find(|frame| is_ipv4(frame) && frame.bytes.len() > 60);
        let sent = sent.unwrap();
        assert!(sent.is(&sent.bytes));
        let mut other = sent.bytes.clone();
        other[26] ^= 1;
        assert!(!sent.is(&other));
    }

    #[test]
    fn every_kind_of_frame_is_made() {
        let mut kinds = std::collections::BTreeSet::new();
        let mut disguises = std::collections::BTreeSet::new();
        for number in 0..20_000 {
            let made = frame(3, number);
            assert!(made.bytes.len() >= ETH_LEN);
            let ether_type = ether_type_of(&made.bytes);
            disguises.insert((made.protocol, ether_type));
            kinds.insert(ether_type);
        }
        for disguise in [(IPV4, ARP), (IPV6, VLAN), (IPV4, IPV6), (0x88b5, IPV6)] {
            assert!(disguises.contains(&disguise), "{disguise:04x?}");
        }
        for kind in [IPV4, ARP, IPV6, VLAN, 0x88a8] {
            assert!(kinds.contains(&kind), "{kind:04x}");
        }
    }
}
