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
fn request_is_of_the_station_and_the_reply_to_it_names_a_mac() {
    const OTHER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
    let parsed = parsed(&request(MAC, OTHER.into(), V6.into()).unwrap());
    assert_eq!(parsed.macs, ([0x33, 0x33, 0xff, 0x34, 0x56, 0x78], MAC));
    assert_eq!(
        (parsed.source, parsed.destination),
        (OTHER, solicited_node(V6))
    );
    assert_eq!(parsed.payload[16..], [1, 1, 2, 0, 0, 0, 0, 7]);
    assert_eq!(request(MAC, OTHER.into(), V4.into()), None);
    assert_eq!(packet([MAC, MAC], [V4.into(), OTHER.into()]), None);

    let arp = request(MAC, Ipv4Addr::new(192, 0, 2, 9).into(), V4.into()).unwrap();
    let mut reply = arp.clone();
    reply[21] = 2;
    assert_eq!([&arp, &reply].map(|it| replied_mac(it)), [None, Some(MAC)]);
    let advertisement = announcement(MAC, V6.into(), false, false);
    assert_eq!(replied_mac(&advertisement), Some(MAC));
    assert_eq!(replied_mac(&advertisement[..85]), None);
    assert_eq!(replied_mac(&[]), None);
}

#[test]
fn packet_is_an_empty_datagram() {
    let other = [2, 0, 0, 0, 0, 8];
    for [source, destination] in [
        [IpAddr::from(V4), Ipv4Addr::new(192, 0, 2, 9).into()],
        [V6.into(), Ipv6Addr::LOCALHOST.into()],
    ] {
        let frame = packet([MAC, other], [source, destination]).unwrap();
        let packet = SlicedPacket::from_ethernet(&frame).unwrap();
        assert_eq!(macs(&packet), (other, MAC));
        let addresses: [IpAddr; 2] = match &packet.net {
            Some(NetSlice::Ipv4(ip)) => {
                let header = ip.header();
                assert_eq!(
                    header.header_checksum(),
                    header.to_header().calc_header_checksum()
                );
                [
                    header.source_addr().into(),
                    header.destination_addr().into(),
                ]
            }
            Some(NetSlice::Ipv6(ip)) => {
                let header = ip.header();
                [
                    header.source_addr().into(),
                    header.destination_addr().into(),
                ]
            }
            net => panic!("{net:?}"),
        };
        assert_eq!(addresses, [source, destination]);
        assert!(
            matches!(packet.transport, Some(TransportSlice::Udp(udp)) if udp.destination_port() == 9)
        );
    }
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
