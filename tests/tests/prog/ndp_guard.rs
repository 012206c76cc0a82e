//! The guard of neighbour discovery: who is never answered, what is never answered for, and who is
//! told to the agent.

use ipvlan_common::{AddressEntry, EventKind, Reason};
use ipvlan_model::{
    datapath::WIRE,
    frames::{
        Nd,
        ndp::{self, NONCE, SOURCE_MAC, option},
    },
    rows::{check, row},
    solicitations::{answers, multicast, passes},
    world::{
        ALL_NODES, ALL_NODES_MAC, BROADCAST, CHILD_IP6, CLAIMED_GATEWAY_IP6, CLAIMED_GATEWAY_SLOT,
        DOWN_IP6, DOWN_SLOT, FOREIGN_IP6, GATEWAY_IP6, HOST_IP6, HOST_LL, Ip6, L3, LAN, LOOPBACK6,
        MULTICAST, Mac, ODD_SLOT, PARENT, UNSPECIFIED6, V4_MAPPED, ZERO, child, group_mac,
        l2_filter, solicited_node,
    },
};

#[test]
fn never_answers_a_mac_that_cannot_be() {
    let macs: [(Mac, Reason); 5] = [
        (PARENT, Reason::OwnSender),
        (ZERO, Reason::SenderMac),
        (BROADCAST, Reason::SenderMac),
        (MULTICAST, Reason::SenderMac),
        (ALL_NODES_MAC, Reason::SenderMac),
    ];
    check(macs.into_iter().flat_map(|(mac, reason)| {
        let source = |message: Nd| Nd {
            eth_src: mac,
            ..message
        };
        let told = |message: Nd| message.with(option(SOURCE_MAC, &mac));
        [
            passes(format!("from {mac:02x?}"), &source(multicast()), reason),
            passes(format!("asks for {mac:02x?}"), &told(multicast()), reason),
            passes("probe", &source(ndp::probe(CHILD_IP6)), reason),
            passes("unicast", &told(ndp::unicast(CHILD_IP6)), reason),
            // Our own child's probe, come back from a switch (RFC 7527), and a spoofed one.
            passes("l2, for nobody", &source(ndp::probe(FOREIGN_IP6)), reason).flags(l2_filter()),
        ]
    }));
}

#[test]
fn never_answers_an_address_that_cannot_ask() {
    let addresses: [Ip6; 6] = [
        ALL_NODES,
        solicited_node(CHILD_IP6),
        LOOPBACK6,
        V4_MAPPED,
        [0xff; 16].into(),
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0].into(),
    ];
    check(addresses.into_iter().flat_map(|src| {
        [
            multicast(),
            ndp::unicast(CHILD_IP6),
            ndp::solicitation(FOREIGN_IP6),
        ]
        .map(|message| {
            let message = Nd { src, ..message };
            passes(format!("from {src:02x?}"), &message, Reason::SenderAddress).flags(l2_filter())
        })
    }));
}

/// RFC 4861 §7.1.1.
#[test]
fn a_probe_tells_no_mac_and_goes_to_a_solicited_node_group() {
    let probe = ndp::probe(CHILD_IP6);
    let to = |dst, eth_dst| Nd {
        eth_dst,
        dst,
        ..probe.clone()
    };
    let with_mac = [option(NONCE, &[1; 6]), option(SOURCE_MAC, &LAN)].concat();
    check([
        passes(
            "tells its MAC",
            &probe.clone().with(option(SOURCE_MAC, &LAN)),
            Reason::DadLinkLayer,
        ),
        passes(
            "tells its MAC at last",
            &probe.clone().with(with_mac),
            Reason::DadLinkLayer,
        ),
        passes(
            "to the target",
            &to(CHILD_IP6, PARENT),
            Reason::DadDestination,
        ),
        passes(
            "to all nodes",
            &to(ALL_NODES, ALL_NODES_MAC),
            Reason::DadDestination,
        ),
        passes(
            "to a group that is none",
            &to(
                [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xfe, 0, 0, 0x10].into(),
                PARENT,
            ),
            Reason::DadDestination,
        ),
        passes(
            "to the group of another",
            &to(
                solicited_node(FOREIGN_IP6),
                group_mac(solicited_node(FOREIGN_IP6)),
            ),
            Reason::OtherDestination,
        ),
    ]);
}

#[test]
fn never_answers_for_an_address_that_is_no_hosts() {
    let targets: [(Ip6, Reason); 7] = [
        (ALL_NODES, Reason::TargetMulticast),
        (solicited_node(CHILD_IP6), Reason::TargetMulticast),
        ([0xff; 16].into(), Reason::TargetMulticast),
        (UNSPECIFIED6, Reason::TargetUnspecified),
        (LOOPBACK6, Reason::TargetLoopback),
        (V4_MAPPED, Reason::TargetV4Mapped),
        (
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0].into(),
            Reason::TargetV4Mapped,
        ),
    ];
    // Even where a child holds it; in l2 too, where a foreign one would be dropped.
    check(targets.into_iter().flat_map(|(target, reason)| {
        [L3, l2_filter()].into_iter().flat_map(move |flags| {
            [
                ndp::solicitation(target),
                ndp::probe(target),
                Nd {
                    dst: CHILD_IP6,
                    ..ndp::unicast(target)
                },
            ]
            .map(|message| {
                passes(format!("target {target:02x?}"), &message, reason)
                    .entry(target, child(ODD_SLOT))
                    .flags(flags)
            })
        })
    }));
    let neighbours: [Ip6; 4] = [
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2].into(),
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0, 0].into(),
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0].into(),
        [0xfe; 16].into(),
    ];
    check(neighbours.map(|target| {
        answers(
            format!("{target:02x?} is a host's"),
            &ndp::solicitation(target),
            "SO",
            ODD_SLOT,
        )
        .entry(target, child(ODD_SLOT))
    }));
}

#[test]
fn never_answers_for_the_host_the_gateway_or_a_refused_child() {
    let refusals = [
        Reason::HostAddress,
        Reason::GatewayAddress,
        Reason::ChildDown,
        Reason::PeerAddress,
        Reason::ParentDown,
        Reason::NotAllowed,
        Reason::Denied,
        Reason::Tentative,
        Reason::DadFailed,
        Reason::Probing,
        Reason::Duplicate,
    ];
    let messages = |target| {
        [
            ndp::solicitation(target),
            ndp::unicast(target),
            ndp::probe(target),
        ]
    };
    check(refusals.into_iter().flat_map(|reason| {
        messages(FOREIGN_IP6).map(|message| {
            let row = row(format!("refused: {reason:?}"), WIRE, message.frame())
                .entry(FOREIGN_IP6, child(ODD_SLOT).refused(reason))
                .refused(reason, ODD_SLOT);
            // Whoever probes for it at the same time as the agent is in conflict with the child.
            let probed_for = matches!(reason, Reason::Probing | Reason::Duplicate);
            if probed_for && message.src == UNSPECIFIED6 {
                row.tells(EventKind::Probe, LAN, FOREIGN_IP6, Some(ODD_SLOT))
            } else {
                row
            }
        })
    }));
    let rows = [L3, l2_filter()].into_iter().flat_map(|flags| {
        let host = [HOST_IP6, HOST_LL].into_iter().flat_map(messages);
        let host = host.map(|message| passes("the host's", &message, Reason::HostAddress));
        let refused = [
            (DOWN_IP6, Reason::ChildDown, DOWN_SLOT),
            (
                CLAIMED_GATEWAY_IP6,
                Reason::GatewayAddress,
                CLAIMED_GATEWAY_SLOT,
            ),
        ];
        let refused = refused.into_iter().flat_map(move |(target, reason, slot)| {
            messages(target)
                .map(|message| row("held by a child", WIRE, message.frame()).refused(reason, slot))
        });
        host.chain(refused).map(move |row| row.flags(flags))
    });
    check(rows);
    check([GATEWAY_IP6, FOREIGN_IP6].into_iter().flat_map(|target| {
        messages(target).map(|message| passes("nobody here", &message, Reason::NotOurs))
    }));
    let unknown = AddressEntry::default();
    check([passes(
        "owner unknown",
        &ndp::solicitation(FOREIGN_IP6),
        Reason::NotOurs,
    )
    .entry(FOREIGN_IP6, unknown)]);
}
