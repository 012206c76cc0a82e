//! Random packets and messages, valid or not.

use ipvlan_packet::{ETH_LEN, IpPacket, checksum, nd};

use super::{choices::Random, frames::cookie_of};

/// A protocol for experiments (RFC 3692).
const EXPERIMENT: u8 = 253;

/// Returns an IPv4 packet, valid or not.
pub(super) fn ipv4(random: &mut Random, number: u32) -> Vec<u8> {
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
        packet[10..12].copy_from_slice(&sum);
    }
    packet.extend(payload);
    packet
}

/// Returns an IPv6 packet, valid or not, with extension headers or without.
pub(super) fn ipv6(random: &mut Random, number: u32) -> Vec<u8> {
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
        payload[2..4].copy_from_slice(&sum);
    }
    payload
}

/// Returns an ARP message of any operation, valid or not.
pub(super) fn arp(random: &mut Random, number: u32) -> Vec<u8> {
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
pub(super) fn discovery(random: &mut Random, number: u32) -> Vec<u8> {
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
    let mut frame = IpPacket::icmpv6([[0; 6]; 2], source, destination, message).frame();
    frame[21] = limit;
    if random.one_of(10) {
        frame[56] ^= 1;
    }
    frame.split_off(ETH_LEN)
}

fn nibbles(high: usize, low: usize) -> u8 {
    u8::try_from((high & 15) << 4 | low & 15).unwrap_or_default()
}
