//! Random frames of an attacker inside a container: each is made from its seed and its number alone.
//!
//! Every frame that has room for it carries a cookie with its number, behind the headers and at its
//! end, so a frame that arrives somewhere names the frame that was sent.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{
    faults::site::{
        DOWN, GATEWAY, HOST, MAC, NEIGHBOUR, NOBODY, Pair, STEADY, THIRD, UNNAMED, VM01,
    },
    probe::{checksum, nd, stream::Stream},
};

type Mac = [u8; 6];

/// The bytes before the number in a cookie.
const COOKIE: [u8; 4] = [0xc0, 0x0c, 0x1e, 0x57];
const COOKIE_LEN: usize = 8;
const ETHERNET_LEN: usize = 14;
const BROADCAST: Mac = [0xff; 6];
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
/// A protocol for experiments (RFC 3692).
const EXPERIMENT: u8 = 253;
/// An address that the host routes through its gateway; an attacker takes it.
pub(super) const OFF_LINK: Pair = Pair {
    v4: Ipv4Addr::new(8, 8, 8, 8),
    v6: Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888),
};

/// A frame that was made, and what tells it from the reflections that it causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The bytes, from the Ethernet header on.
    pub(super) bytes: Vec<u8>,
    /// The source in the network header, if there is one.
    source: Option<Source>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    Arp(Ipv4Addr),
}

impl Frame {
    /// Returns whether `seen`, a frame or an IPv4 packet without its Ethernet header, is this frame itself
    /// rather than an answer to it or an error about it.
    pub(super) fn is(&self, seen: &[u8]) -> bool {
        match Source::of(seen) {
            Some(source) => Some(source) == self.source,
            None => seen.get(ETHERNET_LEN..) == self.bytes.get(ETHERNET_LEN..),
        }
    }

    /// Returns whether its source is an address of the host.
    pub(super) fn is_from_host(&self) -> bool {
        match self.source {
            Some(Source::V4(source) | Source::Arp(source)) => source == HOST.v4,
            Some(Source::V6(source)) => source == HOST.v6,
            None => false,
        }
    }
}

impl Source {
    fn of(frame: &[u8]) -> Option<Self> {
        let ether_type = u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?);
        let v4 = |at: usize| -> Option<Ipv4Addr> {
            let octets: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
            Some(octets.into())
        };
        match ether_type {
            IPV4 => v4(26).map(Self::V4),
            ARP => v4(28).map(Self::Arp),
            IPV6 => {
                let octets: [u8; 16] = frame.get(22..38)?.try_into().ok()?;
                Some(Self::V6(octets.into()))
            }
            _ => None,
        }
    }
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
    let (ether_type, message) = match random.below(16) {
        0..=5 => (IPV4, ipv4(&mut random, number)),
        6..=9 => (IPV6, ipv6(&mut random, number)),
        10..=12 => (ARP, arp(&mut random, number)),
        13..=14 => (IPV6, discovery(&mut random, number)),
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
        bytes.truncate(ETHERNET_LEN.max(random.below(bytes.len())));
    } else {
        bytes.extend(cookie_of(number));
    }
    Frame {
        source: Source::of(&bytes),
        bytes,
    }
}

fn cookie_of(number: u32) -> [u8; COOKIE_LEN] {
    let mut bytes = [0; COOKIE_LEN];
    bytes[..4].copy_from_slice(&COOKIE);
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// Returns an IPv4 packet, valid or not.
fn ipv4(random: &mut Random, number: u32) -> Vec<u8> {
    let (source, destination) = (random.source().v4, random.target().v4);
    let protocol = random.of(&[17, 17, 17, 6, 1, EXPERIMENT, 2, 41, 4]);
    let payload = payload(random, protocol, number);
    let words = if random.one_of(6) {
        random.below(16)
    } else {
        5
    };
    let options = vec![1; (words.max(5) - 5) * 4];
    let length = u16::try_from(20 + options.len() + payload.len()).unwrap_or(u16::MAX);
    let total = match random.below(8) {
        0 => random.of(&[0, 1, 19, 20, 65_535, length - 1, length + 1]),
        1 => random.word(),
        _ => length,
    };
    let version = if random.one_of(24) {
        random.below(16)
    } else {
        4
    };
    // Flags and offset: whole, don't fragment, first, middle, last, a tiny offset.
    let fragment = if random.one_of(4) {
        random.of(&[0x4000, 0x2000, 0x2001, 0x00b9, 0x1fff, 0x8000])
    } else {
        0
    };
    let ttl = random.of(&[64, 64, 64, 1, 0, 255]);
    let mut packet = vec![nibbles(version, words), random.of(&[0, 0, 0xff])];
    packet.extend(total.to_be_bytes());
    packet.extend(
        u16::try_from(number & 0xffff)
            .unwrap_or_default()
            .to_be_bytes(),
    );
    packet.extend(u16::to_be_bytes(fragment));
    packet.extend([ttl, protocol, 0, 0]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(options);
    if !random.one_of(10) {
        let header = (words.max(5) * 4).min(packet.len());
        let sum = checksum::internet(&packet[..header]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    packet.extend(payload);
    packet
}

/// Returns an IPv6 packet, valid or not, with extension headers or without.
fn ipv6(random: &mut Random, number: u32) -> Vec<u8> {
    let (source, destination) = (random.source().v6, random.target().v6);
    let protocol = random.of(&[17, 17, 6, EXPERIMENT, 59]);
    let mut rest = Vec::new();
    let mut next = protocol;
    let headers = if random.one_of(3) {
        1 + random.below(4)
    } else {
        0
    };
    for _ in 0..headers {
        let kind = random.of(&[0, 43, 44, 60, 51]);
        let mut header = vec![next, 0];
        // Hop-by-hop and destination options: PadN; routing: type 0, 2 or 4; a fragment: any of it.
        header.extend(match kind {
            44 => [0, random.of(&[0, 1, 8, 9]), 0, 0, 0, 7],
            43 => [random.of(&[0, 2, 4]), random.of(&[0, 1]), 0, 0, 0, 0],
            _ => [1, 4, 0, 0, 0, 0],
        });
        rest.splice(0..0, header);
        next = kind;
    }
    rest.extend(payload(random, protocol, number));
    let length = u16::try_from(rest.len()).unwrap_or(u16::MAX);
    let length = match random.below(8) {
        0 => random.of(&[0, 1, 65_535, length - 1, length + 1]),
        _ => length,
    };
    let version = if random.one_of(24) {
        random.below(16)
    } else {
        6
    };
    let mut packet = vec![nibbles(version, 0), 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([next, random.of(&[64, 64, 255, 1, 0])]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(rest);
    packet
}

/// Returns the header of `protocol`, if it has one here, and the cookie.
fn payload(random: &mut Random, protocol: u8, number: u32) -> Vec<u8> {
    let mut payload = match protocol {
        17 => vec![0x11, 0x5c, 0x14, 0xe9, 0, 16, 0, 0],
        6 => {
            let flags = random.of(&[0x02, 0x12, 0x10, 0x04, 0]);
            let mut header = vec![0x11, 0x5c, 0, 80];
            header.extend(random.junk(8));
            header.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
            header
        }
        1 => vec![random.of(&[8, 0, 3, 5, 11, 13, 17]), 0, 0, 0, 0, 1, 0, 1],
        _ => Vec::new(),
    };
    payload.extend(cookie_of(number));
    let more = random.below(40);
    payload.extend(random.junk(more));
    if protocol == 17 {
        let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
        payload[4..6].copy_from_slice(&length.to_be_bytes());
    }
    if protocol == 1 {
        let sum = checksum::internet(&payload);
        payload[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    payload
}

/// Returns an ARP message of any operation, valid or not.
fn arp(random: &mut Random, number: u32) -> Vec<u8> {
    let odd = random.one_of(8);
    let mut message = if odd {
        vec![
            0,
            random.of(&[0, 1, 6, 32]),
            random.of(&[8, 0x86]),
            random.of(&[0, 0xdd]),
            random.of(&[0, 5, 6, 7, 255]),
            random.of(&[0, 3, 4, 16]),
        ]
    } else {
        vec![0, 1, 8, 0, 6, 4]
    };
    let operation = random.of(&[1, 1, 2, 2, 2, 3, 4, 8, 9, 0, 65_535]);
    message.extend(u16::to_be_bytes(operation));
    message.extend(random.source_mac());
    message.extend(random.source().v4.octets());
    message.extend(random.destination_mac());
    message.extend(random.target().v4.octets());
    message.extend(cookie_of(number));
    message
}

/// Returns a packet of neighbour discovery, or another `ICMPv6` message, valid or not.
fn discovery(random: &mut Random, number: u32) -> Vec<u8> {
    let kind = random.of(&[
        133, 134, 135, 135, 136, 136, 137, 128, 129, 130, 131, 143, 1, 2, 3, 4,
    ]);
    let target = random.target();
    let source = random.source().v6;
    let destination = match random.below(5) {
        0 => nd::solicited_node(target.v6),
        1 => nd::ALL_NODES,
        _ => target.v6,
    };
    let code = if random.one_of(12) { random.byte() } else { 0 };
    let mut message = vec![kind, code, 0, 0];
    message.extend(random.of(&[
        [0, 0, 0, 0],
        [0xe0, 0, 0, 0],
        [0x60, 0, 0, 0],
        [0x40, 0, 7, 8],
    ]));
    message.extend(random.source().v6.octets());
    if kind == 137 {
        message.extend(target.v6.octets());
    }
    let options = random.below(3);
    for _ in 0..options {
        message.extend([
            random.of(&[1, 2, 3, 5, 25]),
            random.of(&[1, 1, 1, 0, 2, 255]),
        ]);
        message.extend(random.source_mac());
    }
    // A nonce (RFC 3971), which holds the cookie.
    message.extend([14, 2, 0, 0, 0, 0, 0, 0]);
    message.extend(cookie_of(number));
    let limit = random.of(&[255, 255, 255, 255, 64, 254, 1]);
    let mut frame = nd::frame([0; 6], [0; 6], source, destination, message);
    frame[21] = limit;
    if random.one_of(10) {
        frame[56] ^= 1;
    }
    frame.split_off(ETHERNET_LEN)
}

fn nibbles(high: usize, low: usize) -> u8 {
    u8::try_from((high & 15) << 4 | low & 15).unwrap_or_default()
}

/// The choices of one frame.
struct Random(Stream);

impl Random {
    fn new(seed: u64) -> Self {
        Self(Stream::new(seed.wrapping_add(1)))
    }

    fn next(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(1);
        usize::try_from((self.next() >> 16) % limit).unwrap_or_default()
    }

    fn one_of(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or_default()
    }

    fn word(&mut self) -> u16 {
        u16::try_from(self.below(65_536)).unwrap_or_default()
    }

    fn junk(&mut self, length: usize) -> Vec<u8> {
        let mut junk = vec![0; length.next_multiple_of(8)];
        self.0.fill(&mut junk);
        junk.truncate(length);
        junk
    }

    /// The destination in an Ethernet header.
    fn destination_mac(&mut self) -> Mac {
        match self.below(12) {
            0..=5 => MAC,
            6..=7 => BROADCAST,
            8 => self.of(&[[1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]]),
            9 => nd::group_address(nd::solicited_node(STEADY.v6)),
            10 => [2, 0xde, 0xad, self.byte(), 0, 1],
            _ => [0; 6],
        }
    }

    /// The source in an Ethernet header, or in ARP.
    fn source_mac(&mut self) -> Mac {
        match self.below(6) {
            0..=3 => MAC,
            4 => [2, 0xde, 0xad, 0, 0, self.byte()],
            _ => self.of(&[BROADCAST, [0; 6], [1, 0, 0x5e, 0, 0, 1]]),
        }
    }

    /// An address that a packet claims to be from.
    fn source(&mut self) -> Pair {
        match self.below(16) {
            0..=3 => THIRD,
            4..=5 => HOST,
            6 => GATEWAY,
            7..=8 => UNNAMED,
            9 => STEADY,
            10 => VM01,
            11..=12 => NOBODY,
            13 => OFF_LINK,
            14 => NEIGHBOUR,
            _ => self.of(&SPECIAL),
        }
    }

    /// An address that a packet is for: mostly a sibling's.
    fn target(&mut self) -> Pair {
        match self.below(16) {
            0..=8 => STEADY,
            9..=11 => UNNAMED,
            12 => self.of(&SPECIAL),
            13 => self.of(&[HOST, GATEWAY, VM01, DOWN]),
            14 => OFF_LINK,
            _ => THIRD,
        }
    }
}

/// Unspecified, loopback, broadcast and groups.
const SPECIAL: [Pair; 4] = [
    Pair {
        v4: Ipv4Addr::UNSPECIFIED,
        v6: Ipv6Addr::UNSPECIFIED,
    },
    Pair {
        v4: Ipv4Addr::LOCALHOST,
        v6: Ipv6Addr::LOCALHOST,
    },
    Pair {
        v4: Ipv4Addr::BROADCAST,
        v6: nd::ALL_NODES,
    },
    Pair {
        v4: Ipv4Addr::new(172, 16, 91, 255),
        v6: Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 2),
    },
];

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
        let named = (0..10_000)
            .filter(|&number| {
                let Frame { bytes, .. } = frame(1, number);
                match cookie(&bytes) {
                    Some(found) => {
                        assert_eq!(found, number);
                        true
                    }
                    None => false,
                }
            })
            .count();
        assert!(named > 9_000, "{named}");
    }

    #[test]
    fn a_frame_is_told_from_a_reflection() {
        let sent = (0..).map(|number| frame(1, number));
        let sent = sent
            .filter(|frame| frame.bytes.get(12..14) == Some(&[8, 0]))
            .find(|frame| frame.bytes.len() > 60)
            .unwrap();
        assert!(sent.is(&sent.bytes));
        let mut other = sent.bytes.clone();
        other[26] ^= 1;
        assert!(!sent.is(&other));
    }

    #[test]
    fn every_kind_of_frame_is_made() {
        let mut kinds = std::collections::BTreeSet::new();
        for number in 0..20_000 {
            let Frame { bytes, .. } = frame(3, number);
            assert!(bytes.len() >= ETHERNET_LEN);
            kinds.insert(bytes.get(12..14).map(<[u8]>::to_vec));
        }
        for kind in [[8, 0], [8, 6], [0x86, 0xdd], [0x81, 0], [0x88, 0xa8]] {
            assert!(kinds.contains(&Some(kind.to_vec())), "{kind:?}");
        }
    }
}
