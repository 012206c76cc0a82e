//! IP packets of both families: what the host sends to a child is hairpinned, what comes from the wire is passed to
//! the driver or redirected.

use ipvlan_common::Reason::{
    ChildDown, GatewayAddress, HostAddress, LeftToDriver, NotOurs, NotReady, OffLink, OtherMac,
    Redirected, Sibling, Stale,
};
use ipvlan_model::prelude::*;

fn from_host(name: &str, dst: impl Into<IpAddr>) -> Row {
    row(name, EGRESS, ip::from_host(dst).frame())
}

fn from_lan(name: &str, dst: impl Into<IpAddr>) -> Row {
    row(name, DEMUX, ip::from_lan(dst).frame())
}

/// A packet from the parent's MAC to itself.
fn sent(name: &str, src: impl Into<IpAddr>, dst: impl Into<IpAddr>) -> Row {
    row(name, EGRESS, ip::from_host(dst).with_src(src).frame())
}

#[test]
fn hairpins_the_hosts_packets_to_children_without_the_mark() {
    let modes = [
        L3,
        l2_filter(),
        l2_flood(),
        l3_private(),
        l2_filter() | ConfigFlags::ISOLATED | ConfigFlags::VEPA,
    ];
    let rows = both(|at| {
        [
            from_host("child", at.child).hairpinned(CHILD_SLOT),
            from_host("child in another subnet", at.sibling).hairpinned(SIBLING_SLOT),
            from_host("child in the parent's netns", at.local).hairpinned(LOCAL_SLOT),
        ]
    });
    let link_local = from_host("child, link-local", CHILD_LL).hairpinned(CHILD_SLOT);
    check(in_modes(&modes, rows.chain([link_local])));
}

#[test]
fn passes_what_is_not_for_a_child() {
    let changing = [Config::new(OTHER, L3), Config::new(PARENT, L3)];
    let rows = both(|at| {
        [
            from_host("unowned", at.foreign).passes(NotOurs),
            from_host("gateway", at.gateway).passes(NotOurs),
            from_host("host", at.host).passes(HostAddress),
            from_host("down child", at.down).refused(ChildDown, DOWN_SLOT),
            from_host("gateway's, held by a child", at.claimed_gateway)
                .refused(GatewayAddress, CLAIMED_GATEWAY_SLOT),
            from_host("no agent for too long", at.child)
                .deadline(1)
                .passes(Stale),
            from_host("not ready", at.child)
                .flags(ConfigFlags::L2)
                .passes(NotReady),
            from_host("config is changing", at.child)
                .config(changing)
                .passes(NotReady),
        ]
    });
    check(rows.chain([from_host("host, link-local", HOST_LL).passes(HostAddress)]));
}

#[test]
fn never_opens_a_way_between_siblings() {
    let rows = both(|at| {
        let from_child = |name, dst| sent(name, at.child, dst);
        [
            from_child("sibling", at.sibling)
                .flags(l3_private())
                .passes(Sibling),
            from_child("sibling, vepa", at.sibling)
                .flags(l3_vepa())
                .passes(Sibling),
            from_child("itself, vepa", at.child)
                .flags(l3_vepa())
                .passes(Sibling),
            from_child("host", at.host)
                .flags(l3_private())
                .passes(HostAddress),
            from_child("host, vepa", at.host)
                .flags(l3_vepa())
                .hairpinned(None),
            from_child("vepa without looking at the source", at.host)
                .flags(L3 | ConfigFlags::VEPA)
                .passes(HostAddress),
            from_child("unowned, vepa", at.foreign)
                .flags(l3_vepa())
                .passes(NotOurs),
            sent("a down child is a sibling too", at.down, at.sibling)
                .flags(l3_private())
                .passes(Sibling),
            sent("the host to itself, vepa", at.host, at.host)
                .flags(l3_vepa())
                .passes(HostAddress),
        ]
    });
    check(
        rows.chain([
            sent("sibling, by link-local, vepa", CHILD_LL, SIBLING_IP6)
                .flags(l3_vepa())
                .passes(Sibling),
            sent("the host's link-local to it, vepa", HOST_LL, HOST_IP6)
                .flags(l3_vepa())
                .passes(HostAddress),
        ]),
    );
}

#[test]
fn packets_for_other_macs_are_looked_up_only_by_the_routed_variant() {
    check([LAN, OTHER].into_iter().flat_map(|eth_dst| {
        both(move |at| {
            let sent =
                |name, programs, dst| row(name, programs, ip::from_host(dst).to(eth_dst).frame());
            let routed = ip::from_host(at.routed);
            [
                sent("child", NOT_ROUTED, at.child),
                sent("unowned", NOT_ROUTED, at.foreign),
                sent("allowed child", ROUTED, at.routed)
                    .hairpinned(ROUTED_SLOT)
                    .becomes(routed.frame()),
                sent("another child", ROUTED, at.sibling).refused(OffLink, SIBLING_SLOT),
                sent("child off the link", ROUTED, at.off_link).refused(OffLink, OFF_LINK_SLOT),
                sent("unowned", ROUTED, at.foreign).passes(NotOurs),
                sent("host", ROUTED, at.host).passes(HostAddress),
                sent("down child", ROUTED, at.down).refused(ChildDown, DOWN_SLOT),
                row("sibling", ROUTED, {
                    routed.with_src(at.child).to(eth_dst).frame()
                })
                .flags(l3_private())
                .passes(Sibling),
            ]
        })
    }));
}

#[test]
fn off_link_child_gets_nothing_by_the_parents_own_mac_either() {
    let l2 = l2_filter();
    let modes = [
        L3,
        l3_private(),
        l3_vepa(),
        l2,
        l2 | ConfigFlags::ISOLATED,
        l2 | ConfigFlags::ISOLATED | ConfigFlags::VEPA,
    ];
    let rows = both(|at| {
        [
            from_host("not allowed", at.off_link).refused(OffLink, OFF_LINK_SLOT),
            from_host("allowed", at.routed).hairpinned(ROUTED_SLOT),
        ]
    });
    check(in_modes(&modes, rows));
}

#[test]
fn multicast_and_broadcast_leave_the_host_uncounted() {
    let macs = [BROADCAST, MULTICAST, ALL_NODES_MAC];
    check(macs.into_iter().flat_map(|eth_dst| {
        both(move |at| {
            [at.child, at.group].map(|dst| {
                let packet = ip::from_host(dst).to(eth_dst);
                row(format!("{dst} at {eth_dst:02x?}"), EGRESS, packet.frame())
            })
        })
    }));
}

#[test]
fn demux_redirects_only_what_is_for_a_child_in_the_parents_netns() {
    check(both(|at| {
        let to_mac = |eth_dst| {
            let packet = ip::from_lan(at.local).to(eth_dst);
            row(format!("to {eth_dst:02x?}"), DEMUX, packet.frame()).passes(OtherMac)
        };
        let to_itself = ip::from_host(at.child).with_src(at.lan);
        [
            from_lan("child here", at.local).sent(Redirected, LOCAL_SLOT),
            from_lan("child in another netns", at.child).passes(LeftToDriver),
            from_lan("down child", at.down).refused(ChildDown, DOWN_SLOT),
            from_lan("gateway's, held by a child", at.claimed_gateway)
                .refused(GatewayAddress, CLAIMED_GATEWAY_SLOT),
            from_lan("host", at.host).passes(HostAddress),
            from_lan("gateway", at.gateway).passes(NotOurs),
            from_lan("unowned", at.foreign).passes(NotOurs),
            from_lan("not ready", at.local)
                .config([Config::default(); 2])
                .passes(NotReady),
            to_mac(BROADCAST),
            to_mac(at.group_mac),
            to_mac(OTHER),
            row("from the MAC it is for", DEMUX, to_itself.frame()).passes(LeftToDriver),
        ]
    }));
    check([
        from_lan("child's link-local", CHILD_LL).passes(LeftToDriver),
        // Neighbour discovery is looked at before the destination is.
        Message::ask(LOCAL_IP6.into())
            .unicast()
            .answered("solicitation for it", DEMUX, LOCAL_SLOT),
        row("advertisement to it", DEMUX, {
            ndp::solicitation(LAN_IP6)
                .answered(LAN, "S", Vec::new())
                .frame()
        })
        .passes(OtherMac),
    ]);
}

#[test]
fn without_demux_no_packet_from_the_wire_is_looked_at() {
    let rows = both(|at| {
        let destinations = [
            at.child,
            at.local,
            at.down,
            at.host,
            at.foreign,
            at.off_link,
        ];
        destinations.map(|dst| row(dst.to_string(), NOT_DEMUX, ip::from_lan(dst).frame()))
    });
    let echo = both(|at| [at.child, at.local, at.down, at.host, at.foreign])
        .filter(IpAddr::is_ipv6)
        .map(|dst| {
            let packet = IpPacket {
                protocol: number::ICMPV6,
                payload: vec![128; 8],
                ..ip::from_lan(dst)
            };
            row(format!("echo to {dst}"), NOT_DEMUX, packet.frame())
        });
    check(in_modes(&[L3, l2_filter()], rows.chain(echo)));
}

#[test]
fn other_ethertypes_are_not_looked_at() {
    let ethertypes: [u16; 12] = [
        0x0000, 0x002e, 0x05ff, 0x0600, 0x0801, 0x0805, 0x0807, 0x8035, 0x86dc, 0x86de, 0x88cc,
        0xffff,
    ];
    check(both(|at| {
        let packet = padded(ip::from_host(at.child).frame(), 80);
        ethertypes.map(|ethertype| {
            let frame = patched(packet.clone(), 12, &ethertype.to_be_bytes());
            row(format!("ethertype {ethertype:04x}"), Program::ALL, frame)
        })
    }));
    // A length (802.3) in place of the ethertype.
    let request = padded(REQUEST.frame(), 60);
    check([0_u16, 28, 46, 0x05dc].map(|len| {
        let frame = patched(request.clone(), 12, &len.to_be_bytes());
        row(format!("802.3 length {len}"), Program::ALL, frame)
    }));
}
