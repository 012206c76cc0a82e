//! The frames that the agent sends, byte for byte, in network order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A MAC address.
pub type Mac = [u8; 6];

/// Returns a MAC as the kernel and its tools write it.
#[must_use]
pub fn colons(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The broadcast MAC.
const BROADCAST: Mac = [0xff; 6];
/// `ETH_P_ARP`
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
/// `ETH_P_IPV6`
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
/// Ethernet, IPv4, their lengths, request (RFC 826).
const ARP_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
/// `ff02::1`
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// `ff02::2`
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// `IPPROTO_ICMPV6`
const ICMPV6: u8 = 58;
/// RFC 4861 §7.1: anything less was forwarded.
const HOP_LIMIT: u8 = 255;
/// RFC 4861 §4.3
const SOLICITATION: u8 = 135;
/// RFC 4861 §4.4
const ADVERTISEMENT: u8 = 136;
/// Flag R of an advertisement: the sender forwards.
const ROUTER: u8 = 0x80;
/// Flag O of an advertisement: replaces what the receiver knows.
const OVERRIDE: u8 = 0x20;
/// RFC 4861 §4.6.1, one unit of eight bytes long.
const TARGET_LINK_LAYER: [u8; 2] = [2, 1];
/// RFC 3971 §5.3.2, one unit of eight bytes long.
const NONCE: [u8; 2] = [14, 1];

/// Returns the announcement of `address` to all stations.
///
/// IPv4: a gratuitous ARP request (RFC 5227 §3), 42 bytes. IPv6: an unsolicited advertisement to all
/// nodes (RFC 4861 §7.2.6; `ndisc_send_unsol_na` of the kernel), 86 bytes, with R if the child
/// forwards (`router`), and with O unless the address is `optimistic` (RFC 4429 §3.3).
#[must_use]
pub fn announcement(mac: Mac, address: IpAddr, router: bool, optimistic: bool) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp_request(mac, address, address),
        IpAddr::V6(address) => {
            let over = if optimistic { 0 } else { OVERRIDE };
            advertisement(mac, address, ALL_NODES, router_flag(router) | over)
        }
    }
}

/// Returns the announcement of a new `address` to routers, so that they resolve it before packets for it wait (RFC
/// 9131 §6.1): an unsolicited advertisement to all routers, 86 bytes. It adds an entry and replaces none (no O).
#[must_use]
pub fn to_routers(mac: Mac, address: Ipv6Addr, router: bool) -> Vec<u8> {
    advertisement(mac, address, ALL_ROUTERS, router_flag(router))
}

/// Returns a probe for `address`, which does not claim it.
///
/// IPv4: an ARP probe (RFC 5227 §2.1.1), 42 bytes. IPv6: a solicitation from :: (RFC 4862 §5.4.2)
/// with a `nonce`, by which a station that receives it twice recognises it (RFC 7527 §4), 86
/// bytes.
#[must_use]
pub fn probe(mac: Mac, address: IpAddr, nonce: [u8; 6]) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp_request(mac, Ipv4Addr::UNSPECIFIED, address),
        IpAddr::V6(address) => neighbour_discovery(
            mac,
            Ipv6Addr::UNSPECIFIED,
            solicited_node(address),
            [SOLICITATION, 0],
            address,
            (NONCE, nonce),
        ),
    }
}

/// Returns the group in which the owner of `address` receives solicitations for it (RFC 4291 §2.7.1).
#[must_use]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (high & 0xff), low)
}

/// Returns the MAC that a multicast address is sent to (RFC 2464 §7).
#[must_use]
pub const fn multicast_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

fn arp_request(mac: Mac, spa: Ipv4Addr, tpa: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(BROADCAST, mac, ETHERTYPE_ARP);
    frame.extend(ARP_REQUEST);
    frame.extend(mac);
    frame.extend(spa.octets());
    frame.extend([0; 6]);
    frame.extend(tpa.octets());
    frame
}

const fn router_flag(router: bool) -> u8 {
    if router { ROUTER } else { 0 }
}

fn advertisement(mac: Mac, target: Ipv6Addr, to: Ipv6Addr, flags: u8) -> Vec<u8> {
    neighbour_discovery(
        mac,
        target,
        to,
        [ADVERTISEMENT, flags],
        target,
        (TARGET_LINK_LAYER, mac),
    )
}

/// A message of `kind` with code 0 and one option. Flags are the first byte behind the checksum.
fn neighbour_discovery(
    mac: Mac,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    [kind, flags]: [u8; 2],
    target: Ipv6Addr,
    (option, value): ([u8; 2], [u8; 6]),
) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.octets());
    message.extend(option);
    message.extend(value);
    // 32 bytes: a length that fits into one of the two.
    let length = [0, message.len().to_le_bytes()[0]];

    // RFC 8200 §8.1: the pseudo-header is in front of what is summed.
    let checksum = checksum(&[
        &source.octets(),
        &destination.octets(),
        &[0, 0],
        &length,
        &[0, 0, 0, ICMPV6],
        &message,
    ]);
    message[2..4].copy_from_slice(&checksum);

    let mut frame = ethernet(multicast_mac(destination), mac, ETHERTYPE_IPV6);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length);
    frame.extend([ICMPV6, HOP_LIMIT]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend(message);
    frame
}

fn ethernet(destination: Mac, source: Mac, ethertype: [u8; 2]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(86);
    frame.extend(destination);
    frame.extend(source);
    frame.extend(ethertype);
    frame
}

/// The internet checksum (RFC 1071) of parts of even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let sum: u32 = parts
        .iter()
        .flat_map(|part| part.chunks_exact(2))
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let [_, _, high, low] = (!folded).to_be_bytes();
    [high, low]
}

#[cfg(test)]
mod tests {
    use etherparse::{Icmpv6Slice, Icmpv6Type, LinkSlice, NetSlice, SlicedPacket, TransportSlice};

    use super::*;

    const MAC: Mac = [0x02, 0, 0, 0, 0, 0x07];
    const NONCE_VALUE: [u8; 6] = [1, 2, 3, 4, 5, 6];
    const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
    const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x1234, 0x5678);

    /// Destination and source of the Ethernet header.
    fn macs(packet: &SlicedPacket<'_>) -> (Mac, Mac) {
        match &packet.link {
            Some(LinkSlice::Ethernet2(link)) => (link.destination(), link.source()),
            link => panic!("{link:?}"),
        }
    }

    #[test]
    fn announcement_and_probe_of_ipv4_are_arp_requests_without_a_target_mac() {
        let rows = [
            (announcement(MAC, V4.into(), true, true), V4),
            (probe(MAC, V4.into(), NONCE_VALUE), Ipv4Addr::UNSPECIFIED),
        ];
        for (frame, spa) in rows {
            assert_eq!(frame.len(), 42);
            let packet = SlicedPacket::from_ethernet(&frame).unwrap();
            assert_eq!(macs(&packet), (BROADCAST, MAC));
            let Some(NetSlice::Arp(arp)) = &packet.net else {
                panic!("{packet:?}");
            };
            let arp = arp.to_packet().try_eth_ipv4().unwrap();
            assert_eq!(arp.operation.0, 1);
            assert_eq!((arp.sender_mac, arp.sender_ipv4), (MAC, spa.octets()));
            assert_eq!((arp.target_mac, arp.target_ipv4), ([0; 6], V4.octets()));
        }
    }

    struct Parsed {
        macs: (Mac, Mac),
        source: Ipv6Addr,
        destination: Ipv6Addr,
        kind: Icmpv6Type,
        payload: Vec<u8>,
    }

    /// Parses a message of neighbour discovery and checks what all have in common.
    fn parsed(frame: &[u8]) -> Parsed {
        assert_eq!(frame.len(), 86);
        let packet = SlicedPacket::from_ethernet(frame).unwrap();
        let Some(NetSlice::Ipv6(ip)) = &packet.net else {
            panic!("{packet:?}");
        };
        let header = ip.header();
        assert_eq!((header.traffic_class(), header.payload_length()), (0, 32));
        assert_eq!((header.next_header().0, header.hop_limit()), (58, 255));
        let Some(TransportSlice::Icmpv6(icmp)) = &packet.transport else {
            panic!("{packet:?}");
        };
        let icmp: &Icmpv6Slice<'_> = icmp;
        assert!(icmp.is_checksum_valid(header.source(), header.destination()));
        assert_eq!(icmp.code_u8(), 0);
        Parsed {
            macs: macs(&packet),
            source: header.source_addr(),
            destination: header.destination_addr(),
            kind: icmp.icmp_type(),
            payload: icmp.payload().to_vec(),
        }
    }

    #[test]
    fn advertisements_are_unsolicited_and_name_address_and_mac() {
        let nodes = (ALL_NODES, [0x33, 0x33, 0, 0, 0, 1]);
        let routers = (ALL_ROUTERS, [0x33, 0x33, 0, 0, 0, 2]);
        let all = |router, optimistic| announcement(MAC, V6.into(), router, optimistic);
        let rows = [
            // Frame, to, R, O.
            (all(false, false), nodes, false, true),
            (all(true, false), nodes, true, true),
            (all(false, true), nodes, false, false),
            (to_routers(MAC, V6, false), routers, false, false),
            (to_routers(MAC, V6, true), routers, true, false),
        ];
        for (index, (frame, (to, to_mac), router, over)) in rows.into_iter().enumerate() {
            let parsed = parsed(&frame);
            assert_eq!(parsed.macs, (to_mac, MAC), "row {index}");
            assert_eq!((parsed.source, parsed.destination), (V6, to), "row {index}");
            let Icmpv6Type::NeighborAdvertisement(header) = parsed.kind else {
                panic!("row {index}: {:?}", parsed.kind);
            };
            assert_eq!(
                (header.router, header.solicited, header.r#override),
                (router, false, over),
                "row {index}"
            );
            assert_eq!(parsed.payload[..16], V6.octets(), "row {index}");
            assert_eq!(
                parsed.payload[16..],
                [2, 1, 2, 0, 0, 0, 0, 7],
                "row {index}"
            );
        }
    }

    #[test]
    fn probe_of_ipv6_is_a_solicitation_from_the_unspecified_address_with_a_nonce_and_no_mac() {
        let parsed = parsed(&probe(MAC, V6.into(), NONCE_VALUE));
        assert_eq!(parsed.macs, ([0x33, 0x33, 0xff, 0x34, 0x56, 0x78], MAC));
        assert_eq!(parsed.source, Ipv6Addr::UNSPECIFIED);
        assert_eq!(parsed.destination, solicited_node(V6));
        assert!(matches!(parsed.kind, Icmpv6Type::NeighborSolicitation));
        assert_eq!(parsed.payload[..16], V6.octets());
        assert_eq!(parsed.payload[16..], [14, 1, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn group_has_the_low_24_bits_of_the_address() {
        for (address, group) in [
            ("2001:db8::1", "ff02::1:ff00:1"),
            ("2001:db8::abcd:ef01:2345", "ff02::1:ff01:2345"),
            ("fe80::ffff:ffff", "ff02::1:ffff:ffff"),
        ] {
            let address: Ipv6Addr = address.parse().unwrap();
            assert_eq!(solicited_node(address), group.parse::<Ipv6Addr>().unwrap());
        }
    }

    #[test]
    fn checksum_carries_twice() {
        // 0xffff + 0xffff + 0x0001 = 0x1ffff; folded 0x10000, and once more 0x0001.
        assert_eq!(
            checksum(&[&[0xff, 0xff, 0xff, 0xff, 0x00, 0x01]]),
            [0xff, 0xfe]
        );
    }
}
