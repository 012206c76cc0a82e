//! IPv6: what the host sends to a child is turned around, what comes from the wire is left to the
//! driver or redirected.

use ipvlan_common::{Config, ConfigFlags, Reason};
use ipvlan_model::{
    datapath::{EGRESS, Program},
    frames::{
        IpPacket,
        ip::{self, number, v6},
        ndp, padded, patched, tagged,
    },
    rows::{Row, check, row},
    world::{
        ALL_NODES, ALL_NODES_MAC, BROADCAST, CHILD_IP6, CHILD_LL, CHILD_SLOT, CLAIMED_GATEWAY_IP6,
        CLAIMED_GATEWAY_SLOT, DOWN_IP6, DOWN_SLOT, FOREIGN_IP6, GATEWAY_IP6, HOST_IP6, HOST_LL,
        Ip6, L3, LAN, LAN_IP6, LOCAL_IP6, LOCAL_SLOT, OFF_LINK_IP6, OFF_LINK_SLOT, OTHER, PARENT,
        ROUTED_IP6, ROUTED_SLOT, SIBLING_IP6, SIBLING_SLOT, l2_filter, l2_flood,
    },
};

const DEMUX: &[Program] = &[Program::IngressDemux];
const NOT_DEMUX: &[Program] = &[Program::Ingress, Program::Xdp];
const PLAIN: &[Program] = &[Program::Egress, Program::EgressIsolated];
const ROUTED: &[Program] = &[Program::EgressRouted, Program::EgressRoutedIsolated];

#[test]
fn turns_the_hosts_packets_around_to_children_without_the_mark() {
    let modes = [
        L3,
        l2_filter(),
        l2_flood(),
        L3 | ConfigFlags::ISOLATED,
        l2_filter() | ConfigFlags::ISOLATED | ConfigFlags::VEPA,
    ];
    check(modes.into_iter().flat_map(|flags| {
        [
            (CHILD_IP6, CHILD_SLOT),
            (CHILD_LL, CHILD_SLOT),
            (SIBLING_IP6, SIBLING_SLOT),
            (LOCAL_IP6, LOCAL_SLOT),
        ]
        .map(|(dst, slot)| {
            row(format!("to {dst:02x?}"), EGRESS, ip::from_host(dst).frame())
                .flags(flags)
                .hairpinned(Some(slot))
        })
    }));
}

#[test]
fn leaves_what_is_not_for_a_child_alone() {
    let from_host = |name: &str, dst| row(name, EGRESS, ip::from_host(dst).frame());
    check([
        from_host("nobody", FOREIGN_IP6).passes(Reason::NotOurs),
        from_host("gateway", GATEWAY_IP6).passes(Reason::NotOurs),
        from_host("host", HOST_IP6).passes(Reason::HostAddress),
        from_host("host, link-local", HOST_LL).passes(Reason::HostAddress),
        from_host("down child", DOWN_IP6).refused(Reason::ChildDown, DOWN_SLOT),
        from_host("gateway's, held by a child", CLAIMED_GATEWAY_IP6)
            .refused(Reason::GatewayAddress, CLAIMED_GATEWAY_SLOT),
        from_host("not ready", CHILD_IP6)
            .flags(ConfigFlags::L2)
            .passes(Reason::NotReady),
        from_host("config is changing", CHILD_IP6)
            .config([Config::new(OTHER, L3), Config::new(PARENT, L3)])
            .passes(Reason::NotReady),
    ]);
}

#[test]
fn never_opens_a_way_between_siblings() {
    let isolated = L3 | ConfigFlags::ISOLATED;
    let vepa = isolated | ConfigFlags::VEPA;
    let from = |name: &str, src: Ip6, dst: Ip6| {
        let packet = IpPacket {
            src: src.into(),
            ..ip::from_host(dst)
        };
        row(name, EGRESS, packet.frame())
    };
    let from_child = |name: &str, dst| from(name, CHILD_IP6, dst);
    check([
        from_child("sibling", SIBLING_IP6)
            .flags(isolated)
            .passes(Reason::Sibling),
        from_child("sibling, vepa", SIBLING_IP6)
            .flags(vepa)
            .passes(Reason::Sibling),
        from("sibling, by link-local", CHILD_LL, SIBLING_IP6)
            .flags(vepa)
            .passes(Reason::Sibling),
        from("a down child is a sibling too", DOWN_IP6, SIBLING_IP6)
            .flags(isolated)
            .passes(Reason::Sibling),
        from_child("host", HOST_IP6)
            .flags(isolated)
            .passes(Reason::HostAddress),
        from_child("host, vepa", HOST_IP6)
            .flags(vepa)
            .hairpinned(None),
        from_child("host, vepa without looking at the source", HOST_IP6)
            .flags(L3 | ConfigFlags::VEPA)
            .passes(Reason::HostAddress),
        from_child("nobody, vepa", FOREIGN_IP6)
            .flags(vepa)
            .passes(Reason::NotOurs),
        from("the host to itself, vepa", HOST_LL, HOST_IP6)
            .flags(vepa)
            .passes(Reason::HostAddress),
    ]);
}

#[test]
fn packets_for_other_macs_are_looked_up_only_by_the_routed_variant() {
    check([LAN, OTHER].into_iter().flat_map(|eth_dst| {
        let packet = |dst| IpPacket {
            eth_dst,
            ..ip::from_host(dst)
        };
        let sibling = IpPacket {
            src: CHILD_IP6.into(),
            ..packet(ROUTED_IP6)
        };
        [
            row("child", PLAIN, packet(CHILD_IP6).frame()),
            row("nobody", PLAIN, packet(FOREIGN_IP6).frame()),
            row("allowed child", ROUTED, packet(ROUTED_IP6).frame())
                .hairpinned(Some(ROUTED_SLOT))
                .becomes(ip::from_host(ROUTED_IP6).frame()),
            row("another child", ROUTED, packet(SIBLING_IP6).frame())
                .refused(Reason::OffLink, SIBLING_SLOT),
            row("nobody", ROUTED, packet(FOREIGN_IP6).frame()).passes(Reason::NotOurs),
            row("host", ROUTED, packet(HOST_IP6).frame()).passes(Reason::HostAddress),
            row("down child", ROUTED, packet(DOWN_IP6).frame())
                .refused(Reason::ChildDown, DOWN_SLOT),
            row("sibling", ROUTED, sibling.frame())
                .flags(L3 | ConfigFlags::ISOLATED)
                .passes(Reason::Sibling),
        ]
    }));
}

#[test]
fn off_link_child_gets_nothing_by_the_parents_own_mac_either() {
    let flags = [
        L3,
        L3 | ConfigFlags::ISOLATED,
        L3 | ConfigFlags::ISOLATED | ConfigFlags::VEPA,
    ];
    check(flags.into_iter().flat_map(|flags| {
        let from_host =
            |name: &str, dst| row(name, EGRESS, ip::from_host(dst).frame()).flags(flags);
        [
            from_host("not allowed", OFF_LINK_IP6).refused(Reason::OffLink, OFF_LINK_SLOT),
            from_host("allowed", ROUTED_IP6).hairpinned(Some(ROUTED_SLOT)),
        ]
    }));
}

#[test]
fn multicast_leaves_the_host_uncounted() {
    check([ALL_NODES_MAC, BROADCAST].into_iter().flat_map(|eth_dst| {
        [CHILD_IP6, ALL_NODES].map(|dst| {
            let packet = IpPacket {
                eth_dst,
                ..ip::from_host(dst)
            };
            row(format!("to {eth_dst:02x?}"), EGRESS, packet.frame())
        })
    }));
}

/// By destination alone: what is behind the header is the child's business, at whatever length.
fn turned_around_and_redirected(name: &str, frame: Vec<u8>) -> [Row; 2] {
    [
        row(name, EGRESS, frame.clone()).hairpinned(Some(LOCAL_SLOT)),
        row(name, DEMUX, frame).sent(Reason::Redirected, Some(LOCAL_SLOT)),
    ]
}

#[test]
fn extension_headers_and_fragments_follow_the_destination_like_any_packet() {
    const EXTENSIONS: [u8; 5] = [
        number::HOP_BY_HOP,
        number::ROUTING,
        number::FRAGMENT,
        number::DESTINATION,
        number::AUTHENTICATION,
    ];
    let packet = ip::from_host(LOCAL_IP6).frame();
    let single = EXTENSIONS.map(|number| ip::extended(&packet, number));
    let chain = (0..8).fold(packet.clone(), |frame, _| {
        ip::extended(&frame, number::DESTINATION)
    });
    // A header that says that it is followed by itself.
    let loops = patched(single[0].clone(), v6::LEN, &[number::HOP_BY_HOP]);
    let offsets = [[0x00, 0x00], [0x05, 0xa8], [0x05, 0xa9], [0xff, 0xf8]];
    let fragments = offsets.map(|offset| patched(single[2].clone(), v6::LEN + 2, &offset));
    let frames = single.into_iter().chain(fragments).chain([chain, loops]);
    check(frames.flat_map(|frame| turned_around_and_redirected("extended", frame)));
    let headers = (0..=255_u8).filter(|number| *number != number::ICMPV6);
    check(headers.flat_map(|number| {
        let frame = patched(packet.clone(), v6::NEXT_HEADER, &[number]);
        turned_around_and_redirected("next header", frame)
    }));
}

#[test]
fn other_icmpv6_follows_the_destination_like_any_packet() {
    check(
        [1, 2, 128, 129, 133, 134, 137, 143]
            .into_iter()
            .flat_map(|kind| {
                let packet = IpPacket {
                    protocol: number::ICMPV6,
                    payload: [&[kind][..], &[0; 31]].concat(),
                    ..ip::from_host(LOCAL_IP6)
                };
                turned_around_and_redirected("ICMPv6", packet.frame())
            }),
    );
}

#[test]
fn padding_and_large_packets_make_no_difference() {
    let with = |len: usize| IpPacket {
        payload: vec![0x5a; len],
        ..ip::from_host(LOCAL_IP6)
    };
    // A test run takes less than a page as an skb. A payload length of 0 is that of a jumbogram, or of
    // a segment that is longer than the field can say.
    let jumbo = patched(with(1_400).frame(), v6::PAYLOAD_LEN, &[0, 0]);
    let frames = [
        ("no payload", with(0).frame()),
        ("padded", padded(with(1).frame(), 60)),
        ("whole frame", with(1_446).frame()),
        ("more than a frame", with(3_000).frame()),
        ("jumbogram", jumbo),
    ];
    check(
        frames
            .into_iter()
            .flat_map(|(name, frame)| turned_around_and_redirected(name, frame)),
    );
}

#[test]
fn what_the_driver_would_not_deliver_is_malformed() {
    let packet = ip::from_host(LOCAL_IP6).frame();
    let versions = (0..16_u8)
        .filter(|version| *version != 6)
        .map(|version| (v6::VERSION, vec![version << 4]));
    let lengths = [25_u16, 26, 1_500, 65_535]
        .into_iter()
        .map(|len| (v6::PAYLOAD_LEN, len.to_be_bytes().to_vec()));
    check(versions.chain(lengths).flat_map(|(at, bytes)| {
        let frame = patched(packet.clone(), at, &bytes);
        [DEMUX, EGRESS].map(|programs| {
            row(format!("{bytes:02x?} at {at}"), programs, frame.clone()).passes(Reason::Malformed)
        })
    }));
    check([0_u16, 1, 23, 24].into_iter().flat_map(|len| {
        let frame = patched(packet.clone(), v6::PAYLOAD_LEN, &len.to_be_bytes());
        turned_around_and_redirected("shorter than its frame", frame)
    }));
}

#[test]
fn demux_redirects_only_what_is_for_a_child_in_the_parents_netns() {
    let from_lan = |name: &str, dst: Ip6| row(name, DEMUX, ip::from_lan(dst).frame());
    let to_mac = |eth_dst| {
        let packet = IpPacket {
            eth_dst,
            ..ip::from_lan(LOCAL_IP6)
        };
        row(format!("to {eth_dst:02x?}"), DEMUX, packet.frame()).passes(Reason::OtherMac)
    };
    check([
        from_lan("child here", LOCAL_IP6).sent(Reason::Redirected, Some(LOCAL_SLOT)),
        from_lan("child in another netns", CHILD_IP6).passes(Reason::LeftToDriver),
        from_lan("its link-local", CHILD_LL).passes(Reason::LeftToDriver),
        from_lan("down child", DOWN_IP6).refused(Reason::ChildDown, DOWN_SLOT),
        from_lan("gateway's, held by a child", CLAIMED_GATEWAY_IP6)
            .refused(Reason::GatewayAddress, CLAIMED_GATEWAY_SLOT),
        from_lan("host", HOST_IP6).passes(Reason::HostAddress),
        from_lan("gateway", GATEWAY_IP6).passes(Reason::NotOurs),
        from_lan("nobody", FOREIGN_IP6).passes(Reason::NotOurs),
        from_lan("not ready", LOCAL_IP6)
            .config([Config::default(); 2])
            .passes(Reason::NotReady),
        to_mac(BROADCAST),
        to_mac(ALL_NODES_MAC),
        to_mac(OTHER),
        // Neighbour discovery is looked at before the destination is.
        row("solicitation for it", DEMUX, {
            ndp::unicast(LOCAL_IP6).frame()
        })
        .advertised(
            ndp::unicast(LOCAL_IP6)
                .answered(PARENT, "S", Vec::new())
                .frame(),
            Some(LOCAL_SLOT),
        ),
        row(
            "advertisement to it",
            DEMUX,
            ndp::solicitation(LAN_IP6)
                .answered(LAN, "S", Vec::new())
                .frame(),
        )
        .passes(Reason::OtherMac),
    ]);
}

#[test]
fn without_demux_no_packet_from_the_wire_is_looked_at() {
    let destinations = [CHILD_IP6, LOCAL_IP6, DOWN_IP6, HOST_IP6, FOREIGN_IP6];
    let packets = destinations.map(ip::from_lan);
    check(packets.into_iter().flat_map(|packet| {
        let icmp = IpPacket {
            protocol: number::ICMPV6,
            payload: vec![128; 8],
            ..packet.clone()
        };
        [packet, icmp].map(|packet| {
            row(format!("{:02x?}", packet.dst), NOT_DEMUX, packet.frame()).flags(l2_filter())
        })
    }));
}

#[test]
fn a_tag_in_the_frame_hides_it() {
    let packet = ip::from_host(CHILD_IP6).frame();
    let tags: [&[(u16, u16)]; 3] = [&[(0x8100, 5)], &[(0x8100, 0)], &[(0x88a8, 5), (0x8100, 7)]];
    check(tags.map(|tags| row(format!("{tags:04x?}"), Program::ALL, tagged(&packet, tags))));
}
