//! Messages of neighbour discovery.

use std::net::Ipv6Addr;

use etherparse::{
    EtherType, Ethernet2Header, IpNumber, Ipv6FlowLabel, Ipv6Header, checksum::Sum16BitWords,
};

use super::{ALL_NODES, Asker, Mac};
use crate::oracle::world::PARENT_MAC;

/// What the checksum of a solicitation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// Right.
    Right,
    /// Off by one.
    Wrong,
    /// Not computed.
    Zero,
}

/// A message of neighbour discovery, valid or not: solicitation or advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nd {
    /// Destination of the frame.
    pub eth_dst: Mac,
    /// Source of the frame.
    pub eth_src: Mac,
    /// IP version.
    pub version: u8,
    /// What is added to the right payload length.
    pub length_error: i16,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// Extension headers: the next header of the IPv6 header, and bytes up to the message.
    pub extension: Option<(u8, Vec<u8>)>,
    /// `ICMPv6` type: 135 or 136.
    pub kind: u8,
    /// `ICMPv6` code.
    pub code: u8,
    /// `ICMPv6` checksum.
    pub checksum: Checksum,
    /// The four bytes behind the checksum: reserved, or flags of an advertisement.
    pub flags: [u8; 4],
    /// Target address.
    pub target: Ipv6Addr,
    /// Options, as they are on the wire.
    pub options: Vec<u8>,
}

/// `ICMPv6` type of a solicitation.
pub(crate) const SOLICITATION: u8 = 135;
/// `ICMPv6` type of an advertisement.
pub(crate) const ADVERTISEMENT: u8 = 136;
/// Option: source link-layer address.
pub(crate) const SOURCE_MAC: u8 = 1;
/// Option: target link-layer address.
pub(crate) const TARGET_MAC: u8 = 2;
/// Flag of an advertisement: from a router.
pub(crate) const ROUTER: u8 = 0x80;
/// Flag of an advertisement: answer to a solicitation.
pub(crate) const SOLICITED: u8 = 0x40;
/// Flag of an advertisement: replaces what is known.
pub(crate) const OVERRIDE: u8 = 0x20;

impl Nd {
    /// `asker` asks the solicited-node group of `target`.
    #[must_use]
    pub(crate) fn multicast(asker: &Asker, target: Ipv6Addr) -> Self {
        let dst = solicited_node(target);
        Self {
            eth_dst: group_mac(dst),
            eth_src: asker.mac,
            version: 6,
            length_error: 0,
            hop_limit: 255,
            src: asker.v6,
            dst,
            extension: None,
            kind: SOLICITATION,
            code: 0,
            checksum: Checksum::Right,
            flags: [0; 4],
            target,
            options: mac_option(SOURCE_MAC, asker.mac),
        }
    }

    /// `asker`, who knows `target` already, asks whether it is still there.
    #[must_use]
    pub(crate) fn unicast(asker: &Asker, target: Ipv6Addr) -> Self {
        Self {
            eth_dst: PARENT_MAC,
            dst: target,
            ..Self::multicast(asker, target)
        }
    }

    /// `asker` would like to use `target` itself (RFC 4862 §5.4.2).
    #[must_use]
    pub(crate) fn probe(asker: &Asker, target: Ipv6Addr) -> Self {
        Self {
            src: Ipv6Addr::UNSPECIFIED,
            options: Vec::new(),
            ..Self::multicast(asker, target)
        }
    }

    /// `asker` says that `target` is at its MAC.
    #[must_use]
    pub(crate) fn claim(asker: &Asker, target: Ipv6Addr) -> Self {
        Self {
            eth_dst: group_mac(ALL_NODES),
            dst: ALL_NODES,
            kind: ADVERTISEMENT,
            flags: [OVERRIDE, 0, 0, 0],
            options: mac_option(TARGET_MAC, asker.mac),
            ..Self::multicast(asker, target)
        }
    }

    /// Its options: type and all bytes of each. `None` if they are not well-formed.
    #[must_use]
    pub(crate) fn option_list(&self) -> Option<Vec<(u8, &[u8])>> {
        let mut list = Vec::new();
        let mut rest = &self.options[..];
        while !rest.is_empty() {
            let units = usize::from(*rest.get(1)?);
            let (option, behind) = rest.split_at_checked(units * 8)?;
            list.push((*option.first()?, option));
            rest = behind;
        }
        Some(list)
    }

    /// The first source link-layer address among its options, if they are well-formed.
    #[must_use]
    pub(crate) fn source_mac(&self) -> Option<Mac> {
        let list = self.option_list()?;
        let (_, option) = list.iter().find(|(kind, _)| *kind == SOURCE_MAC)?;
        option.get(2..8)?.try_into().ok()
    }

    /// The frame.
    #[must_use]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (next_header, before) = match &self.extension {
            Some((next_header, before)) => (*next_header, &before[..]),
            None => (IpNumber::IPV6_ICMP.0, &[][..]),
        };
        let message = self.message();
        let length = i32::try_from(before.len() + message.len()).unwrap_or(i32::MAX);
        let length = length.saturating_add(self.length_error.into());
        let mut packet = Ipv6Header {
            traffic_class: 0,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: u16::try_from(length).unwrap_or(0),
            next_header: IpNumber(next_header),
            hop_limit: self.hop_limit,
            source: self.src.octets(),
            destination: self.dst.octets(),
        }
        .to_bytes();
        packet[0] = self.version << 4;
        let header = Ethernet2Header {
            source: self.eth_src,
            destination: self.eth_dst,
            ether_type: EtherType::IPV6,
        };
        [&header.to_bytes()[..], &packet, before, &message].concat()
    }

    /// The `ICMPv6` message.
    fn message(&self) -> Vec<u8> {
        let head = [self.kind, self.code, 0, 0];
        let mut message = [&head[..], &self.flags, &self.target.octets(), &self.options].concat();
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let right = Sum16BitWords::new()
            .add_16bytes(self.src.octets())
            .add_16bytes(self.dst.octets())
            .add_4bytes(length.to_be_bytes())
            .add_4bytes([0, 0, 0, IpNumber::IPV6_ICMP.0])
            .add_slice(&message)
            .ones_complement();
        // In network byte order already, as bytes were added.
        let checksum = match self.checksum {
            Checksum::Right => right,
            Checksum::Wrong => right.wrapping_add(1),
            Checksum::Zero => 0,
        };
        message[2..4].copy_from_slice(&checksum.to_ne_bytes());
        message
    }
}

/// An option with an Ethernet address.
#[must_use]
pub(crate) fn mac_option(kind: u8, mac: Mac) -> Vec<u8> {
    [&[kind, 1][..], &mac].concat()
}

/// The solicited-node group of `address` (RFC 4291 §2.7.1).
#[must_use]
pub(crate) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        0xff00 | u16::from(a),
        u16::from_be_bytes([b, c]),
    )
}

/// The Ethernet address of an IPv6 group (RFC 2464 §7).
#[must_use]
pub(crate) fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}
