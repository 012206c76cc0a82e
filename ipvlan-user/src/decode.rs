//! Ethernet frames, decoded as far as one line of text and a filter by address take.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use etherparse::{
    ArpOperation, ArpPacketSlice, IpNumber, LaxNetSlice, LaxSlicedPacket, TransportSlice,
};

/// `ICMPv6` types of neighbour discovery (RFC 4861 §4).
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Where the target is in a solicitation and in an advertisement, in bytes.
const TARGET: usize = 8;

/// A decoded frame.
struct Decoded<'a> {
    packet: LaxSlicedPacket<'a>,
}

impl<'a> Decoded<'a> {
    /// Decodes the headers that are whole; none if the Ethernet header is not.
    fn new(frame: &'a [u8]) -> Option<Self> {
        let packet = LaxSlicedPacket::from_ethernet(frame).ok()?;
        Some(Self { packet })
    }

    /// Returns source and destination of an IP packet, and its payload with its protocol.
    fn ip(&self) -> Option<(IpAddr, IpAddr, IpNumber, &[u8])> {
        let payload = self.packet.ip_payload()?;
        let (from, to) = match self.packet.net.as_ref()? {
            LaxNetSlice::Ipv4(of) => (
                of.header().source_addr().into(),
                of.header().destination_addr().into(),
            ),
            LaxNetSlice::Ipv6(of) => (
                of.header().source_addr().into(),
                of.header().destination_addr().into(),
            ),
            LaxNetSlice::Arp(_) => return None,
        };
        Some((from, to, payload.ip_number, payload.payload))
    }

    /// Returns an ARP message for IPv4 over Ethernet.
    fn arp(&self) -> Option<Arp> {
        match self.packet.net.as_ref()? {
            LaxNetSlice::Arp(of) => Arp::new(of),
            _ => None,
        }
    }

    /// Returns the target of a solicitation or advertisement, and its type.
    fn neighbour(&self) -> Option<(u8, Ipv6Addr)> {
        let (_, _, protocol, payload) = self.ip()?;
        let &kind = payload.first()?;
        if protocol != IpNumber::IPV6_ICMP || ![SOLICITATION, ADVERTISEMENT].contains(&kind) {
            return None;
        }
        let target: &[u8; 16] = payload.get(TARGET..)?.first_chunk()?;
        Some((kind, (*target).into()))
    }
}

/// The fields of an ARP message that are shown.
struct Arp {
    operation: ArpOperation,
    sender: (Ipv4Addr, [u8; 6]),
    target: Ipv4Addr,
}

impl Arp {
    fn new(of: &ArpPacketSlice<'_>) -> Option<Self> {
        let address = |bytes: &[u8]| <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from);
        Some(Self {
            operation: of.operation(),
            sender: (
                address(of.sender_protocol_addr())?,
                of.sender_hw_addr().try_into().ok()?,
            ),
            target: address(of.target_protocol_addr())?,
        })
    }
}

/// A protocol that finds the MAC of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// ARP for IPv4 over Ethernet.
    Arp,
    /// Solicitations and advertisements of neighbour discovery.
    NeighbourDiscovery,
}

/// Returns whether a frame is one of such a protocol.
#[must_use]
pub fn protocol(frame: &[u8]) -> Option<Protocol> {
    let decoded = Decoded::new(frame)?;
    let discovery = decoded.neighbour().map(|_| Protocol::NeighbourDiscovery);
    decoded.arp().map(|_| Protocol::Arp).or(discovery)
}

/// Returns whether a frame is from, to or about an address: its sender or target for ARP, its source, destination or
/// target for IP.
#[must_use]
pub fn concerns(frame: &[u8], address: IpAddr) -> bool {
    let Some(decoded) = Decoded::new(frame) else {
        return false;
    };
    if let Some(arp) = decoded.arp() {
        return IpAddr::V4(arp.sender.0) == address || IpAddr::V4(arp.target) == address;
    }
    let ends = decoded
        .ip()
        .is_some_and(|(from, to, ..)| from == address || to == address);
    ends || decoded
        .neighbour()
        .is_some_and(|(_, target)| IpAddr::V6(target) == address)
}

/// Returns one line about a frame of `length` bytes, of which these are the first, in the words of tcpdump.
#[must_use]
pub fn describe(frame: &[u8], length: u32) -> String {
    let Some(decoded) = Decoded::new(frame) else {
        return format!("truncated, length {length}");
    };
    let mut line = String::new();
    for id in decoded.packet.vlan_ids() {
        // Writing to a string does not fail.
        let _ = write!(line, "vlan {}, ", id.value());
    }
    line.push_str(&headers(&decoded, frame));
    let _ = write!(line, ", length {length}");
    line
}

fn headers(decoded: &Decoded<'_>, frame: &[u8]) -> String {
    if let Some(Arp {
        operation,
        sender: (sender, mac),
        target,
    }) = decoded.arp()
    {
        return match operation {
            ArpOperation::REQUEST => format!("ARP, Request who-has {target} tell {sender}"),
            ArpOperation::REPLY => format!("ARP, Reply {sender} is-at {}", mac_text(mac)),
            ArpOperation(other) => format!("ARP, operation {other}, {sender} to {target}"),
        };
    }
    let Some((from, to, protocol, _)) = decoded.ip() else {
        let ethertype = frame
            .get(12..14)
            .map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        return format!("ethertype 0x{ethertype:04x}");
    };
    let family = if from.is_ipv4() { "IP" } else { "IP6" };
    let between = |source: u16, destination: u16, name: &str| {
        format!("{family} {from}.{source} > {to}.{destination}: {name}")
    };
    match (decoded.neighbour(), &decoded.packet.transport) {
        (Some((SOLICITATION, target)), _) => {
            format!("{family} {from} > {to}: neighbor solicitation, who has {target}")
        }
        (Some((_, target)), _) => {
            format!("{family} {from} > {to}: neighbor advertisement, tgt is {target}")
        }
        (None, Some(TransportSlice::Udp(udp))) => {
            between(udp.source_port(), udp.destination_port(), "UDP")
        }
        (None, Some(TransportSlice::Tcp(tcp))) => {
            between(tcp.source_port(), tcp.destination_port(), "TCP")
        }
        _ => {
            let name = protocol
                .keyword_str()
                .map_or_else(|| format!("protocol {}", protocol.0), str::to_owned);
            format!("{family} {from} > {to}: {name}")
        }
    }
}

fn mac_text(mac: [u8; 6]) -> String {
    let bytes = mac.map(|byte| format!("{byte:02x}"));
    bytes.join(":")
}

#[cfg(test)]
mod tests {
    use etherparse::{EtherType, Icmpv6Type, PacketBuilder};

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn arp_is_described_and_found_by_sender_and_target() {
        let packet = etherparse::ArpPacket::new(
            etherparse::ArpHardwareId::ETHERNET,
            EtherType::IPV4,
            ArpOperation::REQUEST,
            &[2, 0, 0, 0, 0, 1],
            &[10, 0, 0, 1],
            &[0; 6],
            &[10, 0, 0, 5],
        )
        .unwrap();
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [0xff; 6])
            .arp(packet)
            .write(&mut frame)
            .unwrap();
        assert_eq!(
            describe(&frame, 60),
            "ARP, Request who-has 10.0.0.5 tell 10.0.0.1, length 60"
        );
        assert!(concerns(&frame, address("10.0.0.5")) && concerns(&frame, address("10.0.0.1")));
        assert!(!concerns(&frame, address("10.0.0.6")));
        // Cut off anywhere, it is described without a panic.
        for end in 0..frame.len() {
            let line = describe(&frame[..end], 60);
            assert!(line.ends_with("length 60"), "{line}");
        }
    }

    #[test]
    fn packets_are_found_by_source_destination_and_target() {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .udp(53, 4000)
            .write(&mut frame, b"payload")
            .unwrap();
        assert_eq!(
            describe(&frame, 49),
            "IP 10.0.0.1.53 > 10.0.0.2.4000: UDP, length 49"
        );
        assert!(concerns(&frame, address("10.0.0.1")) && concerns(&frame, address("10.0.0.2")));

        let (from, group): (Ipv6Addr, Ipv6Addr) = (
            "fe80::1".parse().unwrap(),
            "ff02::1:ff00:5".parse().unwrap(),
        );
        let target: Ipv6Addr = "2001:db8::5".parse().unwrap();
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv6(from.octets(), group.octets(), 255)
            .icmpv6(Icmpv6Type::NeighborSolicitation)
            .write(&mut frame, &target.octets())
            .unwrap();
        assert_eq!(
            describe(&frame, 86),
            "IP6 fe80::1 > ff02::1:ff00:5: neighbor solicitation, who has 2001:db8::5, length 86"
        );
        assert!(concerns(&frame, target.into()) && concerns(&frame, from.into()));
        assert!(!concerns(&frame[..60], target.into()));
    }
}
