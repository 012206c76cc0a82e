//! Random packets and messages, valid or not.

use ipvlan_packet::{ETH_LEN, IpPacket, checksum, nd, patched};

use super::{choices::Random, frames::cookie_of};

/// A protocol for experiments (RFC 3692).
const EXPERIMENT: u8 = 253;

/// Returns an IPv4 packet, valid or not.
pub(super) fn ipv4(random: &mut Random, number: u32) -> Vec<u8> {
    let (source, destination) = (random.source().v4, random.target().v4);
    let protocol = random.of(&[17, 17, 17, 6, 1, EXPERIMENT, 2, 41, 4]);
    let payload = payload(random, protocol, number);
    let words = random.rarely(6, 5, |random| random.below(16));
    let header_len = words.max(5) * 4;
    let length = u16::try_from(header_len + payload.len()).unwrap_or(u16::MAX);
    let total = match random.below(8) {
        0 => random.of(&[0, 1, 19, 20, 65_535, length - 1, length + 1]),
        1 => random.word(),
        _ => length,
    };
    let version = random.rarely(24, 4, |random| random.below(16));
    // Flags and offset: whole, don't fragment, first, middle, last, a tiny offset.
    let offsets = [0x4000, 0x2000, 0x2001, 0x00b9, 0x1fff, 0x8000_u16];
    let fragment = random.rarely(4, 0, |random| random.of(&offsets));
    let [_, _, high, low] = number.to_be_bytes();
    let ttl = random.of(&[64, 64, 64, 1, 0, 255]);
    let header = [
        &[nibbles(version, words), random.of(&[0, 0, 0xff])][..],
        &total.to_be_bytes(),
        &[high, low],
        &fragment.to_be_bytes(),
        &[ttl, protocol, 0, 0],
        &source.octets(),
        &destination.octets(),
    ];
    let mut header = header.concat();
    header.resize(header_len, 1);
    let sum = checksum::internet(&header);
    let sum = random.rarely(10, sum, |_| [0; 2]);
    [patched(header, 10, &sum), payload].concat()
}

/// Returns an IPv6 packet, valid or not, with extension headers or without.
pub(super) fn ipv6(random: &mut Random, number: u32) -> Vec<u8> {
    let (source, destination) = (random.source().v6, random.target().v6);
    let protocol = random.of(&[17, 17, 6, EXPERIMENT, 59]);
    let mut rest = Vec::new();
    let mut next = protocol;
    for _ in 0..random.rarely(3, 0, |random| 1 + random.below(4)) {
        let kind = random.of(&[0, 43, 44, 60, 51]);
        // Hop-by-hop and destination options: PadN; routing: type 0, 2 or 4; a fragment: any of it.
        let options = match kind {
            44 => [0, random.of(&[0, 1, 8, 9]), 0, 0, 0, 7],
            43 => [random.of(&[0, 2, 4]), random.of(&[0, 1]), 0, 0, 0, 0],
            _ => [1, 4, 0, 0, 0, 0],
        };
        rest.splice(0..0, [&[next, 0][..], &options].concat());
        next = kind;
    }
    rest.extend(payload(random, protocol, number));
    let length = u16::try_from(rest.len()).unwrap_or(u16::MAX);
    let length = match random.below(8) {
        0 => random.of(&[0, 1, 65_535, length - 1, length + 1]),
        _ => length,
    };
    let version = random.rarely(24, 6, |random| random.below(16));
    [
        &[nibbles(version, 0), 0, 0, 0][..],
        &length.to_be_bytes(),
        &[next, random.of(&[64, 64, 255, 1, 0])],
        &source.octets(),
        &destination.octets(),
        &rest,
    ]
    .concat()
}

/// Returns the header of `protocol`, if it has one here, and the cookie.
fn payload(random: &mut Random, protocol: u8, number: u32) -> Vec<u8> {
    let header = match protocol {
        17 => vec![0x11, 0x5c, 0x14, 0xe9, 0, 16, 0, 0],
        6 => {
            let flags = random.of(&[0x02, 0x12, 0x10, 0x04, 0]);
            let numbers = random.junk(8);
            let rest = [0x50, flags, 0xff, 0xff, 0, 0, 0, 0];
            [&[0x11, 0x5c, 0, 80], &numbers[..], &rest].concat()
        }
        1 => vec![random.of(&[8, 0, 3, 5, 11, 13, 17]), 0, 0, 0, 0, 1, 0, 1],
        _ => Vec::new(),
    };
    let more = random.below(40);
    let payload = [&header[..], &cookie_of(number), &random.junk(more)].concat();
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    match protocol {
        17 => patched(payload, 4, &length.to_be_bytes()),
        1 => {
            let sum = checksum::internet(&payload);
            patched(payload, 2, &sum)
        }
        _ => payload,
    }
}

/// Returns an ARP message of any operation, valid or not.
pub(super) fn arp(random: &mut Random, number: u32) -> Vec<u8> {
    let head = random.rarely(8, [0, 1, 8, 0, 6, 4], |random| {
        [
            0,
            random.of(&[0, 1, 6, 32]),
            random.of(&[8, 0x86]),
            random.of(&[0, 0xdd]),
            random.of(&[0, 5, 6, 7, 255]),
            random.of(&[0, 3, 4, 16]),
        ]
    });
    let operation = random.of(&[1, 1, 2, 2, 2, 3, 4, 8, 9, 0, 65_535_u16]);
    [
        &head[..],
        &operation.to_be_bytes(),
        &random.source_mac(),
        &random.source().v4.octets(),
        &random.destination_mac(),
        &random.target().v4.octets(),
        &cookie_of(number),
    ]
    .concat()
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
    let code = random.rarely(12, 0, Random::byte);
    let flags = [[0; 4], [0xe0, 0, 0, 0], [0x60, 0, 0, 0], [0x40, 0, 7, 8]];
    let mut message = vec![kind, code, 0, 0];
    message.extend(random.of(&flags));
    message.extend(random.source().v6.octets());
    if kind == 137 {
        message.extend(target.v6.octets());
    }
    for _ in 0..random.below(3) {
        let kind = random.of(&[1, 2, 3, 5, 25]);
        message.extend([kind, random.of(&[1, 1, 1, 0, 2, 255])]);
        message.extend(random.source_mac());
    }
    // A nonce (RFC 3971), which holds the cookie.
    message.extend([14, 2, 0, 0, 0, 0, 0, 0]);
    message.extend(cookie_of(number));
    let limit = random.of(&[255, 255, 255, 255, 64, 254, 1]);
    let mut packet = IpPacket::icmpv6([[0; 6]; 2], source, destination, message);
    packet.hop_limit = limit;
    packet.payload[2] ^= random.rarely(10, 0, |_| 1);
    packet.frame().split_off(ETH_LEN)
}

fn nibbles(high: usize, low: usize) -> u8 {
    u8::try_from((high & 15) << 4 | low & 15).unwrap_or_default()
}
