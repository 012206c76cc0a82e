//! IPv4: what the host sends to a child is turned around, what comes from the wire is left to the
//! driver or redirected.

use ipvlan_common::{Config, ConfigFlags, Reason};
use ipvlan_model::{
    datapath::{EGRESS, Program},
    frames::{IpPacket, ip, padded, patched, tagged},
    rows::{Row, check, row},
    world::{
        BROADCAST, CHILD_IP, CHILD_SLOT, CLAIMED_GATEWAY_IP, CLAIMED_GATEWAY_SLOT, DOWN_IP,
        DOWN_SLOT, FOREIGN_IP, GATEWAY_IP, HOST_IP, Ip, L3, LAN, LAN_IP, LOCAL_IP, LOCAL_SLOT,
        MULTICAST, OFF_LINK_IP, OFF_LINK_SLOT, OTHER, PARENT, ROUTED_IP, ROUTED_SLOT, SIBLING_IP,
        SIBLING_SLOT, config, l2_filter, l2_flood,
    },
};

const DEMUX: &[Program] = &[Program::IngressDemux];
const NOT_DEMUX: &[Program] = &[Program::Ingress, Program::Xdp];
const PLAIN: &[Program] = &[Program::Egress, Program::EgressIsolated];
const ROUTED: &[Program] = &[Program::EgressRouted, Program::EgressRoutedIsolated];

/// What the host sends to the LAN: the lookup by MAC is over before it began.
fn to_lan(dst: Ip) -> IpPacket {
    IpPacket {
        eth_dst: LAN,
        ..ip::from_host(dst)
    }
}

#[test]
fn turns_the_hosts_packets_around_to_children_without_the_mark() {
    let rows = [
        L3,
        l2_filter(),
        l2_flood(),
        L3 | ConfigFlags::ISOLATED,
        l2_filter() | ConfigFlags::ISOLATED | ConfigFlags::VEPA,
    ]
    .into_iter()
    .flat_map(|flags| {
        let hairpins = |name: &str, dst, slot| {
            row(name, EGRESS, ip::from_host(dst).frame())
                .flags(flags)
                .hairpinned(Some(slot))
        };
        [
            hairpins("child", CHILD_IP, CHILD_SLOT),
            hairpins("child in another subnet", SIBLING_IP, SIBLING_SLOT),
            hairpins("child in the parent's netns", LOCAL_IP, LOCAL_SLOT),
        ]
    });
    check(rows);
}

#[test]
fn leaves_what_is_not_for_a_child_alone() {
    let from_host = |name: &str, dst| row(name, EGRESS, ip::from_host(dst).frame());
    check([
        from_host("nobody", FOREIGN_IP).passes(Reason::NotOurs),
        from_host("gateway", GATEWAY_IP).passes(Reason::NotOurs),
        from_host("host", HOST_IP).passes(Reason::HostAddress),
        from_host("down child", DOWN_IP).refused(Reason::ChildDown, DOWN_SLOT),
        from_host("gateway's, held by a child", CLAIMED_GATEWAY_IP)
            .refused(Reason::GatewayAddress, CLAIMED_GATEWAY_SLOT),
        from_host("no agent for too long", CHILD_IP)
            .deadline(1)
            .passes(Reason::Stale),
        from_host("not ready", CHILD_IP)
            .flags(ConfigFlags::L2)
            .passes(Reason::NotReady),
        from_host("config is changing", CHILD_IP)
            .config([Config::new(OTHER, L3), Config::new(PARENT, L3)])
            .passes(Reason::NotReady),
    ]);
}

#[test]
fn never_opens_a_way_between_siblings() {
    let isolated = L3 | ConfigFlags::ISOLATED;
    let vepa = isolated | ConfigFlags::VEPA;
    let from_child = |name: &str, dst: Ip| {
        row(
            name,
            EGRESS,
            IpPacket {
                src: CHILD_IP.into(),
                ..ip::from_host(dst)
            }
            .frame(),
        )
    };
    check([
        from_child("sibling", SIBLING_IP)
            .flags(isolated)
            .passes(Reason::Sibling),
        from_child("sibling, vepa", SIBLING_IP)
            .flags(vepa)
            .passes(Reason::Sibling),
        from_child("itself, vepa", CHILD_IP)
            .flags(vepa)
            .passes(Reason::Sibling),
        from_child("host", HOST_IP)
            .flags(isolated)
            .passes(Reason::HostAddress),
        from_child("host, vepa", HOST_IP)
            .flags(vepa)
            .hairpinned(None),
        from_child("vepa without looking at the source", HOST_IP)
            .flags(L3 | ConfigFlags::VEPA)
            .passes(Reason::HostAddress),
        from_child("nobody, vepa", FOREIGN_IP)
            .flags(vepa)
            .passes(Reason::NotOurs),
        row(
            "a down child is a sibling too",
            EGRESS,
            IpPacket {
                src: DOWN_IP.into(),
                ..ip::from_host(SIBLING_IP)
            }
            .frame(),
        )
        .flags(isolated)
        .passes(Reason::Sibling),
        row(
            "the host to itself, vepa",
            EGRESS,
            ip::from_host(HOST_IP).frame(),
        )
        .flags(vepa)
        .passes(Reason::HostAddress),
    ]);
}

#[test]
fn packets_for_other_macs_are_looked_up_only_by_the_routed_variant() {
    let readdressed = |dst| ip::from_host(dst).frame();
    let macs = [LAN, OTHER];
    check(macs.into_iter().flat_map(|eth_dst| {
        let packet = |dst| {
            IpPacket {
                eth_dst,
                ..to_lan(dst)
            }
            .frame()
        };
        [
            row("child", PLAIN, packet(CHILD_IP)),
            row("nobody", PLAIN, packet(FOREIGN_IP)),
            row("allowed child", ROUTED, packet(ROUTED_IP))
                .hairpinned(Some(ROUTED_SLOT))
                .becomes(readdressed(ROUTED_IP)),
            row("another child", ROUTED, packet(SIBLING_IP)).refused(Reason::OffLink, SIBLING_SLOT),
            row("nobody", ROUTED, packet(FOREIGN_IP)).passes(Reason::NotOurs),
            row("host", ROUTED, packet(HOST_IP)).passes(Reason::HostAddress),
            row("down child", ROUTED, packet(DOWN_IP)).refused(Reason::ChildDown, DOWN_SLOT),
            row("sibling", ROUTED, {
                let mut sibling = to_lan(ROUTED_IP);
                sibling.src = CHILD_IP.into();
                sibling.frame()
            })
            .flags(L3 | ConfigFlags::ISOLATED)
            .passes(Reason::Sibling),
        ]
    }));
}

#[test]
fn off_link_child_gets_nothing_by_the_parents_own_mac_either() {
    let flags = [
        L3,
        l2_filter(),
        l2_filter() | ConfigFlags::ISOLATED,
        l2_filter() | ConfigFlags::ISOLATED | ConfigFlags::VEPA,
    ];
    check(flags.into_iter().flat_map(|flags| {
        let from_host =
            |name: &str, dst| row(name, EGRESS, ip::from_host(dst).frame()).flags(flags);
        [
            from_host("not allowed", OFF_LINK_IP).refused(Reason::OffLink, OFF_LINK_SLOT),
            from_host("allowed", ROUTED_IP).hairpinned(Some(ROUTED_SLOT)),
        ]
    }));
    check([
        row("from the LAN", NOT_DEMUX, ip::from_lan(OFF_LINK_IP).frame()),
        row("through a gateway", ROUTED, to_lan(OFF_LINK_IP).frame())
            .refused(Reason::OffLink, OFF_LINK_SLOT),
    ]);
}

#[test]
fn multicast_and_broadcast_leave_the_host_uncounted() {
    check([BROADCAST, MULTICAST].into_iter().map(|eth_dst| {
        let packet = IpPacket {
            eth_dst,
            ..to_lan(CHILD_IP)
        };
        row(format!("to {eth_dst:02x?}"), EGRESS, packet.frame())
    }));
}

#[test]
fn fragments_and_options_follow_the_destination_like_any_packet() {
    // DF is 0x4000, MF is 0x2000.
    let fragments = [0x4000, 0x2000, 0x6000, 0x20b9, 370, 0x1fff];
    let fragments = fragments.map(|fragment| IpPacket {
        fragment,
        ..ip::from_host(LOCAL_IP)
    });
    let options = (1..=10).map(|option_words| IpPacket {
        option_words,
        ..ip::from_host(LOCAL_IP)
    });
    check(fragments.into_iter().chain(options).flat_map(|packet| {
        let name = format!("{packet:?}");
        let frame = packet.frame();
        [
            row(name.clone(), EGRESS, frame.clone()).hairpinned(Some(LOCAL_SLOT)),
            row(name, DEMUX, frame).sent(Reason::Redirected, Some(LOCAL_SLOT)),
        ]
    }));
}

#[test]
fn padding_and_large_packets_make_no_difference() {
    let large = |len: u16| {
        let frame = padded(ip::from_host(LOCAL_IP).frame(), usize::from(len) + 14);
        patched(frame, 16, &len.to_be_bytes())
    };
    // A test run takes less than a page as an skb.
    let frames = [
        padded(ip::from_host(LOCAL_IP).frame(), 60),
        large(1500),
        large(3000),
    ];
    check(frames.into_iter().flat_map(|frame| {
        let name = format!("{} bytes", frame.len());
        [
            row(name.clone(), EGRESS, frame.clone()).hairpinned(Some(LOCAL_SLOT)),
            row(name, DEMUX, frame).sent(Reason::Redirected, Some(LOCAL_SLOT)),
        ]
    }));
}

#[test]
fn demux_redirects_only_what_is_for_a_child_in_the_parents_netns() {
    let from_lan = |name: &str, dst: Ip| row(name, DEMUX, ip::from_lan(dst).frame());
    let other_mac = |eth_dst| -> Row {
        let packet = IpPacket {
            eth_dst,
            ..ip::from_lan(LOCAL_IP)
        };
        row(format!("to {eth_dst:02x?}"), DEMUX, packet.frame()).passes(Reason::OtherMac)
    };
    check([
        from_lan("child here", LOCAL_IP).sent(Reason::Redirected, Some(LOCAL_SLOT)),
        from_lan("child in another netns", CHILD_IP).passes(Reason::LeftToDriver),
        from_lan("down child", DOWN_IP).refused(Reason::ChildDown, DOWN_SLOT),
        from_lan("gateway's, held by a child", CLAIMED_GATEWAY_IP)
            .refused(Reason::GatewayAddress, CLAIMED_GATEWAY_SLOT),
        from_lan("host", HOST_IP).passes(Reason::HostAddress),
        from_lan("gateway", GATEWAY_IP).passes(Reason::NotOurs),
        from_lan("nobody", FOREIGN_IP).passes(Reason::NotOurs),
        from_lan("not ready", LOCAL_IP)
            .config(config(l2_filter()).map(|_| Config::default()))
            .passes(Reason::NotReady),
        other_mac(BROADCAST),
        other_mac(MULTICAST),
        other_mac(OTHER),
        row(
            "for a child in another netns, from itself",
            DEMUX,
            IpPacket {
                src: LAN_IP.into(),
                ..ip::from_host(CHILD_IP)
            }
            .frame(),
        )
        .passes(Reason::LeftToDriver),
    ]);
}

#[test]
fn without_demux_no_packet_from_the_wire_is_looked_at() {
    let destinations = [CHILD_IP, LOCAL_IP, DOWN_IP, HOST_IP, FOREIGN_IP];
    check(
        destinations
            .into_iter()
            .map(|dst| row(format!("{dst:?}"), NOT_DEMUX, ip::from_lan(dst).frame())),
    );
}

#[test]
fn other_ethertypes_are_not_looked_at() {
    let packet = ip::from_host(CHILD_IP).frame();
    let ethertypes: [u16; 12] = [
        0x0000, 0x002e, 0x05ff, 0x0600, 0x0801, 0x0805, 0x0807, 0x8035, 0x86dc, 0x86de, 0x88cc,
        0xffff,
    ];
    let other = ethertypes.into_iter().map(|ethertype| {
        let frame = padded(packet.clone(), 80);
        row(
            format!("ethertype {ethertype:04x}"),
            Program::ALL,
            patched(frame, 12, &ethertype.to_be_bytes()),
        )
    });
    check(other.chain([row(
        "802.1Q in the frame",
        Program::ALL,
        tagged(&packet, &[(0x8100, 5)]),
    )]));
}
