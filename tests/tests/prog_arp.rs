//! ARP from the wire: who is answered, with which bytes, and who is not.

mod common;

use common::{
    datapath::{Program, WIRE},
    frames::{Arp, arp, patched},
    rows::{Row, check, row},
    world::{
        BROADCAST, CHILD_IP, CHILD_SLOT, CLAIMED_GATEWAY_IP, CLAIMED_GATEWAY_SLOT, DOWN_IP,
        DOWN_SLOT, FOREIGN_IP, GATEWAY_IP, HOST_IP, Ip, L3, LAN, LAN_IP, LOCAL_IP, LOCAL_SLOT,
        MULTICAST, Mac, ODD_SLOT, OTHER, PARENT, SIBLING_IP, SIBLING_SLOT, UNSPECIFIED, ZERO,
        child, config, l2_filter, l2_flood,
    },
};
use ipvlan_common::{AddressEntry, Config, ConfigFlags, Delivery, Owner, Reason};

const REQUEST: Arp = Arp::request(CHILD_IP);

/// The request is answered by the parent for the child in `slot`.
fn answers(name: &str, request: Arp, slot: u32) -> Row {
    row(name, WIRE, request.frame()).answered(request.answered_by(PARENT).frame(), Some(slot))
}

#[test]
fn answers_requests_and_probes_for_children() {
    let unicast = Arp {
        eth_dst: PARENT,
        ..REQUEST
    };
    let probe = Arp {
        spa: UNSPECIFIED,
        ..REQUEST
    };
    // RFC 826 says nothing about it, the kernel leaves what it was: zero, or junk, or the right MAC.
    let filled = Arp {
        tha: OTHER,
        ..REQUEST
    };
    // Proxies and bonds send from another MAC than they ask for: the answer goes to the asker.
    let relayed = Arp {
        eth_src: OTHER,
        ..REQUEST
    };
    check([
        answers("broadcast request", REQUEST, CHILD_SLOT),
        answers(
            "unicast request, as a neighbour entry ages",
            unicast,
            CHILD_SLOT,
        ),
        answers("probe", probe, CHILD_SLOT),
        answers("target hardware address not zero", filled, CHILD_SLOT),
        answers("sha other than eth.src", relayed, CHILD_SLOT),
        answers(
            "child in another subnet",
            Arp::request(SIBLING_IP),
            SIBLING_SLOT,
        ),
        answers(
            "child in the parent's netns",
            Arp::request(LOCAL_IP),
            LOCAL_SLOT,
        ),
        answers(
            "from the gateway's address",
            Arp {
                spa: GATEWAY_IP,
                ..REQUEST
            },
            CHILD_SLOT,
        ),
        answers("l2 filter: broadcast", REQUEST, CHILD_SLOT).flags(l2_filter()),
        answers("l2 filter: unicast", unicast, CHILD_SLOT).flags(l2_filter()),
        answers("l2 filter: probe", probe, CHILD_SLOT).flags(l2_filter()),
        answers("l2 without filter", REQUEST, CHILD_SLOT).flags(L3 | ConfigFlags::L2),
        answers("egress switches change nothing", REQUEST, CHILD_SLOT)
            .flags(L3 | ConfigFlags::CHECK_SOURCE | ConfigFlags::VEPA),
        row(
            "hardware type 6 (IEEE 802) gets type 1",
            WIRE,
            patched(REQUEST.frame(), arp::HTYPE, &[0, 6]),
        )
        .answered(REQUEST.answered_by(PARENT).frame(), Some(CHILD_SLOT)),
    ]);
}

#[test]
fn reply_is_byte_for_byte_the_kernels() {
    let request = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // everybody
        0x02, 0x00, 0x00, 0x00, 0x99, 0x0a, // the LAN host
        0x08, 0x06, // ARP
        0x00, 0x01, 0x08, 0x00, 0x06, 0x04, // Ethernet, IPv4
        0x00, 0x01, // request
        0x02, 0x00, 0x00, 0x00, 0x99, 0x0a, 192, 168, 7, 100, // sender
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 192, 168, 7, 10, // target
    ];
    let reply = [
        0x02, 0x00, 0x00, 0x00, 0x99, 0x0a, // the LAN host
        0x02, 0x00, 0x00, 0x00, 0x34, 0x01, // the parent
        0x08, 0x06, // ARP
        0x00, 0x01, 0x08, 0x00, 0x06, 0x04, // Ethernet, IPv4
        0x00, 0x02, // reply
        0x02, 0x00, 0x00, 0x00, 0x34, 0x01, 192, 168, 7, 10, // the child is at the parent's
        0x02, 0x00, 0x00, 0x00, 0x99, 0x0a, 192, 168, 7, 100, // the asker
    ];
    check([row("request", WIRE, request.to_vec()).answered(reply.to_vec(), Some(CHILD_SLOT))]);
}

/// The request is passed, as nothing of ours.
fn passes(name: impl Into<String>, request: Arp, reason: Reason) -> Row {
    row(name, WIRE, request.frame()).passes(reason)
}

#[test]
fn never_answers_a_sender_that_cannot_be() {
    let macs: [(Mac, Reason); 5] = [
        (PARENT, Reason::OwnSender),
        (ZERO, Reason::SenderMac),
        (BROADCAST, Reason::SenderMac),
        (MULTICAST, Reason::SenderMac),
        ([0x33, 0x33, 0xff, 0, 0, 1], Reason::SenderMac),
    ];
    let by_mac = macs.into_iter().flat_map(|(mac, reason)| {
        let source = Arp {
            eth_src: mac,
            ..REQUEST
        };
        let sender = Arp {
            sha: mac,
            ..REQUEST
        };
        [
            passes(format!("eth.src {mac:02x?}"), source, reason),
            passes(format!("sha {mac:02x?}"), sender, reason),
        ]
    });
    let addresses: [Ip; 6] = [
        [224, 0, 0, 1],
        [239, 255, 255, 255],
        [127, 0, 0, 1],
        [255, 255, 255, 255],
        [0, 0, 0, 5],
        [0, 255, 255, 255],
    ];
    let by_address = addresses.map(|spa| {
        passes(
            format!("spa {spa:?}"),
            Arp { spa, ..REQUEST },
            Reason::SenderAddress,
        )
    });
    check(by_mac.chain(by_address));
}

#[test]
fn an_announcement_and_a_conflict_stay_unanswered() {
    let claims = |spa| Arp { spa, ..REQUEST };
    check([
        passes(
            "announcement of a child's address",
            claims(CHILD_IP),
            Reason::Gratuitous,
        ),
        passes(
            "announcement of a foreign address",
            Arp {
                spa: FOREIGN_IP,
                ..Arp::request(FOREIGN_IP)
            },
            Reason::Gratuitous,
        ),
        passes(
            "announcement still floods to l2 children",
            Arp {
                spa: FOREIGN_IP,
                ..Arp::request(FOREIGN_IP)
            },
            Reason::Gratuitous,
        )
        .flags(l2_filter()),
        passes(
            "announcement of nothing",
            Arp {
                spa: UNSPECIFIED,
                ..Arp::request(UNSPECIFIED)
            },
            Reason::Gratuitous,
        ),
        row(
            "a stranger claims a sibling's address",
            WIRE,
            claims(SIBLING_IP).frame(),
        )
        .refused(Reason::SenderConflict, CHILD_SLOT),
        row(
            "a stranger claims a down child's address",
            WIRE,
            claims(DOWN_IP).frame(),
        )
        .refused(Reason::SenderConflict, CHILD_SLOT),
        row(
            "a stranger claims the host's address",
            WIRE,
            claims(HOST_IP).frame(),
        )
        .refused(Reason::SenderConflict, CHILD_SLOT),
        answers(
            "a probe is no claim, even if 0.0.0.0 is held",
            claims(UNSPECIFIED),
            CHILD_SLOT,
        )
        .entry(UNSPECIFIED, child(ODD_SLOT)),
    ]);
}

#[test]
fn never_answers_for_an_address_that_is_no_hosts() {
    let targets: [(Ip, Reason); 9] = [
        ([224, 0, 0, 0], Reason::TargetMulticast),
        ([239, 255, 255, 255], Reason::TargetMulticast),
        ([255, 255, 255, 255], Reason::TargetBroadcast),
        ([127, 0, 0, 1], Reason::TargetLoopback),
        ([127, 255, 255, 255], Reason::TargetLoopback),
        ([0, 0, 0, 1], Reason::TargetUnspecified),
        ([0, 255, 255, 255], Reason::TargetUnspecified),
        ([0, 0, 0, 0], Reason::TargetUnspecified),
        ([224, 1, 2, 3], Reason::TargetMulticast),
    ];
    // Even where a child holds it; in l2 too, where a foreign request would be dropped.
    check(targets.into_iter().flat_map(|(tpa, reason)| {
        let target = |flags| {
            passes(format!("target {tpa:?}"), Arp::request(tpa), reason)
                .entry(tpa, child(ODD_SLOT))
                .flags(flags)
        };
        [target(L3), target(l2_filter())]
    }));
    let neighbours: [Ip; 4] = [
        [223, 255, 255, 255],
        [126, 255, 255, 255],
        [128, 0, 0, 0],
        [255, 255, 255, 254],
    ];
    check(neighbours.into_iter().map(|tpa| {
        answers(&format!("{tpa:?} is a host's"), Arp::request(tpa), ODD_SLOT)
            .entry(tpa, child(ODD_SLOT))
    }));
}

#[test]
fn never_answers_for_the_host_the_gateway_or_a_refused_child() {
    let refusals = [
        Reason::HostAddress,
        Reason::GatewayAddress,
        Reason::ChildDown,
        Reason::TargetLinkLocal,
        Reason::PeerAddress,
        Reason::ParentDown,
    ];
    let odd: Ip = [169, 254, 1, 1];
    check(refusals.into_iter().map(|reason| {
        row(
            format!("child refused: {reason:?}"),
            WIRE,
            Arp::request(odd).frame(),
        )
        .entry(odd, child(ODD_SLOT).refused(reason))
        .refused(reason, ODD_SLOT)
    }));
    // The flags of an l2 parent make no difference: these are addresses somebody here holds.
    let rows = [L3, l2_filter()].into_iter().flat_map(|flags| {
        [
            passes("the host's", Arp::request(HOST_IP), Reason::HostAddress),
            row("a down child's", WIRE, Arp::request(DOWN_IP).frame())
                .refused(Reason::ChildDown, DOWN_SLOT),
            row(
                "the gateway's, held by a child",
                WIRE,
                Arp::request(CLAIMED_GATEWAY_IP).frame(),
            )
            .refused(Reason::GatewayAddress, CLAIMED_GATEWAY_SLOT),
            passes(
                "the gateway's, refused",
                Arp::request(GATEWAY_IP),
                Reason::GatewayAddress,
            )
            .entry(
                GATEWAY_IP,
                AddressEntry::held_by(Owner::Gateway).refused(Reason::GatewayAddress),
            ),
            passes(
                "refused before the sender is looked up",
                Arp {
                    spa: HOST_IP,
                    ..Arp::request(FOREIGN_IP)
                },
                Reason::ParentDown,
            )
            .entry(
                FOREIGN_IP,
                AddressEntry::held_by(Owner::Host).refused(Reason::ParentDown),
            ),
        ]
        .map(|row| row.flags(flags))
    });
    check(rows);
    check([
        passes("the gateway's", Arp::request(GATEWAY_IP), Reason::NotOurs),
        passes("nobody's here", Arp::request(FOREIGN_IP), Reason::NotOurs),
    ]);
}

#[test]
fn looks_only_at_frames_to_everybody_and_to_the_parent() {
    let macs: [Mac; 5] = [OTHER, LAN, MULTICAST, [0x33, 0x33, 0xff, 0, 0, 1], ZERO];
    check(macs.into_iter().flat_map(|eth_dst| {
        let request = Arp { eth_dst, ..REQUEST };
        [L3, l2_filter()].map(|flags| {
            passes(format!("to {eth_dst:02x?}"), request, Reason::OtherMac).flags(flags)
        })
    }));
}

#[test]
fn l2_broadcast_filter_drops_only_broadcast_requests_for_nobody() {
    let foreign = Arp::request(FOREIGN_IP);
    let probe = Arp {
        spa: UNSPECIFIED,
        ..foreign
    };
    let unicast = |request| Arp {
        eth_dst: PARENT,
        ..request
    };
    let dropped = |name: &str, request: Arp| {
        row(name, WIRE, request.frame())
            .flags(l2_filter())
            .dropped(Reason::ForeignDropped)
    };
    check([
        dropped("request for nobody", foreign),
        dropped("request for the gateway", Arp::request(GATEWAY_IP)),
        dropped(
            "the gateway asks for somebody else",
            Arp {
                spa: GATEWAY_IP,
                ..foreign
            },
        ),
        dropped(
            "a stranger with a child's address asks for nobody",
            Arp {
                spa: CHILD_IP,
                ..foreign
            },
        ),
        passes(
            "unicast request for nobody",
            unicast(foreign),
            Reason::NotOurs,
        )
        .flags(l2_filter()),
        passes("probe for nobody", probe, Reason::Probe).flags(l2_filter()),
        passes("unicast probe for nobody", unicast(probe), Reason::NotOurs).flags(l2_filter()),
        passes(
            "reply to everybody",
            Arp { oper: 2, ..foreign },
            Reason::NotRequest,
        )
        .flags(l2_filter()),
    ]);
}

#[test]
fn l2_broadcast_flood_leaves_requests_to_the_kernel() {
    let unicast = Arp {
        eth_dst: PARENT,
        ..REQUEST
    };
    check(
        [
            passes("for a child", REQUEST, Reason::LeftToKernel),
            passes("unicast for a child", unicast, Reason::LeftToKernel),
            passes("for nobody", Arp::request(FOREIGN_IP), Reason::LeftToKernel),
            passes("for the host", Arp::request(HOST_IP), Reason::LeftToKernel),
            passes(
                "for a down child",
                Arp::request(DOWN_IP),
                Reason::LeftToKernel,
            ),
            passes(
                "the guard still comes first",
                Arp {
                    sha: ZERO,
                    ..REQUEST
                },
                Reason::SenderMac,
            ),
        ]
        .map(|row| row.flags(l2_flood())),
    );
    check([
        answers("the switch is for l2 only", REQUEST, CHILD_SLOT).flags(L3 | ConfigFlags::L2_FLOOD)
    ]);
}

#[test]
fn answers_nothing_before_the_first_sync_and_during_a_change() {
    let not_ready = |name: &str, copies: [Config; 2]| {
        row(name, Program::ALL, REQUEST.frame())
            .config(copies)
            .passes(Reason::NotReady)
    };
    let [ready, _] = config(L3);
    check([
        not_ready("empty config", [Config::default(); 2]),
        not_ready("not ready", config(ConfigFlags::L2)),
        not_ready(
            "not ready, to be dropped",
            config(ConfigFlags::L2_DROP_FOREIGN),
        ),
        not_ready("new MAC in the first copy", [Config::new(OTHER, L3), ready]),
        not_ready(
            "new MAC in the second copy",
            [ready, Config::new(OTHER, L3)],
        ),
        not_ready(
            "new flags in one copy",
            [Config::new(PARENT, l2_filter()), ready],
        ),
        not_ready("ready in one copy", [ready, Config::default()]),
    ]);
}

#[test]
fn an_unknown_owner_is_nobody() {
    let unknown = AddressEntry::default();
    assert_eq!(
        (unknown.owner(), unknown.delivery()),
        (None, Delivery::Pass)
    );
    check([
        passes("target", Arp::request(FOREIGN_IP), Reason::NotOurs).entry(FOREIGN_IP, unknown),
        row("target, in l2", WIRE, Arp::request(FOREIGN_IP).frame())
            .entry(FOREIGN_IP, unknown)
            .flags(l2_filter())
            .dropped(Reason::ForeignDropped),
        answers("sender", REQUEST, CHILD_SLOT).entry(LAN_IP, unknown),
    ]);
}
