//! Neighbour discovery messages, their options, and the offsets of their fields.

use bytes::BufMut as _;
use etherparse::{
    Icmpv6Type, IpNumber, Ipv6FlowLabel, Ipv6Header, checksum::Sum16BitWords,
    icmpv6::NeighborAdvertisementHeader,
};

use super::{
    super::world::{
        ALL_NODES, ALL_NODES_MAC, Ip6, LAN, LAN_IP6, Mac, PARENT, UNSPECIFIED6, group_mac, group_of,
    },
    ethernet, ipv6, patched,
};

/// Length of a message without options.
pub const LEN: usize = 78;

pub const TYPE: usize = 54;
pub const CODE: usize = 55;
pub const CHECKSUM: usize = 56;
pub const FLAGS: usize = 58;
pub const TARGET: usize = 62;
pub const OPTIONS: usize = 78;

pub const SOLICITATION: u8 = 135;
pub const ADVERTISEMENT: u8 = 136;

/// Option types (RFC 4861 §4.6, RFC 3971 §5.3.2).
pub const SOURCE_MAC: u8 = 1;
pub const TARGET_MAC: u8 = 2;
pub const NONCE: u8 = 14;

/// A solicitation or advertisement.
#[derive(Clone, Debug)]
pub struct Nd {
    pub eth_src: Mac,
    pub eth_dst: Mac,
    pub src: Ip6,
    pub dst: Ip6,
    pub hop_limit: u8,
    /// `None`: a solicitation.
    pub flags: Option<Flags>,
    pub target: Ip6,
    pub options: Vec<u8>,
}

/// Flags of an advertisement (RFC 4861 §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    pub router: bool,
    pub solicited: bool,
    pub overrides: bool,
}

impl Flags {
    /// By the letters that RFC 4861 calls them with.
    pub fn of(letters: &str) -> Self {
        assert!(letters.chars().all(|letter| "RSO".contains(letter)));
        Self {
            router: letters.contains('R'),
            solicited: letters.contains('S'),
            overrides: letters.contains('O'),
        }
    }
}

impl Nd {
    /// A LAN host asks the solicited-node group of `target`.
    pub fn solicitation(target: Ip6) -> Self {
        let group = group_of(target);
        Self {
            eth_src: LAN,
            eth_dst: group_mac(group),
            src: LAN_IP6,
            dst: group,
            hop_limit: 255,
            flags: None,
            target,
            options: option(SOURCE_MAC, &LAN),
        }
    }

    /// A LAN host asks `target` itself, as its neighbour entry ages.
    pub fn unicast(target: Ip6) -> Self {
        Self {
            eth_dst: PARENT,
            dst: target,
            ..Self::solicitation(target)
        }
    }

    /// A LAN host wants to take `target` (duplicate address detection).
    pub fn probe(target: Ip6) -> Self {
        Self {
            src: UNSPECIFIED6,
            options: option(NONCE, &[1, 2, 3, 4, 5, 6]),
            ..Self::solicitation(target)
        }
    }

    /// The host, or an l2 child, asks the solicited-node group of `target`.
    pub fn from_parent(src: Ip6, target: Ip6) -> Self {
        Self {
            eth_src: PARENT,
            src,
            options: option(SOURCE_MAC, &PARENT),
            ..Self::solicitation(target)
        }
    }

    /// A LAN host announces to all nodes that it has `target`.
    pub fn announcement(target: Ip6) -> Self {
        Self {
            eth_src: LAN,
            eth_dst: ALL_NODES_MAC,
            src: target,
            dst: ALL_NODES,
            hop_limit: 255,
            flags: Some(Flags::of("O")),
            target,
            options: option(TARGET_MAC, &LAN),
        }
    }

    /// The same with these options instead.
    pub fn with(self, options: Vec<u8>) -> Self {
        Self { options, ..self }
    }

    /// The answer of whoever has `mac` (RFC 4861 §7.2.4), with these flags and options.
    pub fn answered(&self, mac: Mac, flags: &str, options: Vec<u8>) -> Self {
        let probe = self.src == UNSPECIFIED6;
        let asker = match self.options.get(..8) {
            Some([SOURCE_MAC, 1, mac @ ..]) => mac.try_into().expect("six bytes"),
            _ => self.eth_src,
        };
        Self {
            eth_src: mac,
            eth_dst: if probe { ALL_NODES_MAC } else { asker },
            src: self.target,
            dst: if probe { ALL_NODES } else { self.src },
            hop_limit: 255,
            flags: Some(Flags::of(flags)),
            target: self.target,
            options,
        }
    }

    pub fn frame(&self) -> Vec<u8> {
        let message = match self.flags {
            None => Icmpv6Type::NeighborSolicitation,
            Some(Flags {
                router,
                solicited,
                overrides,
            }) => Icmpv6Type::NeighborAdvertisement(NeighborAdvertisementHeader {
                router,
                solicited,
                r#override: overrides,
            }),
        };
        let body = [&self.target[..], &self.options].concat();
        let message = message
            .to_header(self.src, self.dst, &body)
            .expect("a short message")
            .to_bytes();
        let header = Ipv6Header {
            traffic_class: 0,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: u16::try_from(message.len() + body.len()).expect("a short message"),
            next_header: IpNumber::IPV6_ICMP,
            hop_limit: self.hop_limit,
            source: self.src,
            destination: self.dst,
        };
        let mut frame = ethernet(self.eth_src, self.eth_dst, 0x86dd);
        frame.put_slice(&header.to_bytes());
        frame.put_slice(&message);
        frame.put_slice(&body);
        frame
    }
}

/// An option with this value, filled up with zeros to whole units of 8 bytes.
pub fn option(kind: u8, value: &[u8]) -> Vec<u8> {
    let units = (value.len() + 2).div_ceil(8);
    let mut option = vec![kind, u8::try_from(units).expect("a short option")];
    option.put_slice(value);
    option.resize(units * 8, 0);
    option
}

/// What is left of the checksum of an `ICMPv6` message over all of it (RFC 4443 §2.3): 0 if it is
/// right. `None` if the frame is shorter than its payload length says.
pub fn checksum(frame: &[u8]) -> Option<u16> {
    let field = [ipv6::PAYLOAD_LEN, ipv6::PAYLOAD_LEN + 1].map(|at| frame.get(at).copied());
    let len = [field[0]?, field[1]?];
    let message = frame.get(ipv6::LEN..ipv6::LEN + usize::from(u16::from_be_bytes(len)))?;
    let sum = Sum16BitWords::new()
        .add_slice(&frame[ipv6::SRC..ipv6::LEN])
        .add_2bytes(len)
        .add_2bytes([0, ipv6::next_header::ICMPV6])
        .add_slice(message);
    Some(sum.ones_complement())
}

/// The frame with a right checksum, if it has a place for one.
pub fn checksummed(frame: Vec<u8>) -> Vec<u8> {
    if frame.len() < CHECKSUM + 2 {
        return frame;
    }
    let old = [frame[CHECKSUM], frame[CHECKSUM + 1]];
    let frame = patched(frame, CHECKSUM, &[0, 0]);
    match checksum(&frame) {
        // The sum is kept in the order of memory, which is that of the wire.
        Some(sum) => patched(frame, CHECKSUM, &sum.to_ne_bytes()),
        None => patched(frame, CHECKSUM, &old),
    }
}
