//! ARP that leaves the parent: the host asks for a child, an l2 child for the host.

use std::net::Ipv4Addr;

use ipvlan_common::{ConfigFlags, Reason};
use ipvlan_model::{
    datapath::{Act, Datapath, EGRESS, Origin},
    frames::{Arp, arp, patched},
    rows::{MARK, Row, check, row},
    world::{
        BROADCAST, CHILD_IP, CHILD_SLOT, CLAIMED_GATEWAY_IP, CLAIMED_GATEWAY_SLOT, DOWN_IP,
        DOWN_SLOT, FOREIGN_IP, GATEWAY_IP, HOST_IP, Ip, L3, LAN, LAN_IP, MULTICAST, Mac, ODD_SLOT,
        OTHER, PARENT, SIBLING_IP, UNSPECIFIED, ZERO, child, config, entries, l2_filter, l2_flood,
    },
};

/// The host asks for a child.
const REQUEST: Arp = arp::from_parent(HOST_IP, CHILD_IP);
/// An l2 child asks for the host.
const CHILD_REQUEST: Arp = arp::from_parent(CHILD_IP, HOST_IP);
/// The host answers the unicast request of an l2 child, which the driver had handed to it.
const HOST_REPLY: Arp = Arp {
    eth_dst: PARENT,
    oper: 2,
    tha: PARENT,
    ..arp::from_parent(HOST_IP, CHILD_IP)
};

fn answers(name: &str, request: Arp, slot: Option<u32>) -> Row {
    row(name, EGRESS, request.frame()).answered(request.answered_by(PARENT).frame(), slot)
}

fn passes(name: impl Into<String>, request: Arp, reason: Reason) -> Row {
    row(name, EGRESS, request.frame()).passes(reason)
}

#[test]
fn answers_the_host_for_its_children_in_every_mode() {
    let unicast = Arp {
        eth_dst: PARENT,
        ..REQUEST
    };
    let rows = [L3, l2_filter(), l2_flood(), L3 | ConfigFlags::ISOLATED]
        .into_iter()
        .flat_map(|flags| {
            [
                answers("broadcast", REQUEST, Some(CHILD_SLOT)),
                answers(
                    "unicast, as a neighbour entry ages",
                    unicast,
                    Some(CHILD_SLOT),
                ),
                row(
                    "hardware type 6",
                    EGRESS,
                    patched(REQUEST.frame(), arp::HTYPE, &[0, 6]),
                )
                .answered(REQUEST.answered_by(PARENT).frame(), Some(CHILD_SLOT)),
            ]
            .map(|row| row.flags(flags))
        });
    check(rows);
    // An address that is not in the map proves nothing under isolation.
    let unknown = Arp {
        spa: LAN_IP,
        ..REQUEST
    };
    let name = "from another of the host's addresses, not in the map";
    let answered = [L3, l2_filter(), l2_flood()]
        .map(|flags| answers(name, unknown, Some(CHILD_SLOT)).flags(flags));
    let isolated = row(name, EGRESS, unknown.frame())
        .flags(L3 | ConfigFlags::ISOLATED)
        .refused(Reason::Isolated, CHILD_SLOT);
    check(answered.into_iter().chain([isolated]));
}

#[test]
fn reply_to_the_host_is_byte_for_byte_the_kernels() {
    let reply = [
        0x02, 0x00, 0x00, 0x00, 0x34, 0x01, // to the host
        0x02, 0x00, 0x00, 0x00, 0x34, 0x01, // from the same MAC
        0x08, 0x06, // ARP
        0x00, 0x01, 0x08, 0x00, 0x06, 0x04, // Ethernet, IPv4
        0x00, 0x02, // reply
        0x02, 0x00, 0x00, 0x00, 0x34, 0x01, 192, 168, 7, 10, // the child is at the parent's
        0x02, 0x00, 0x00, 0x00, 0x34, 0x01, 192, 168, 7, 2, // the host
    ];
    check([row("request", EGRESS, REQUEST.frame()).answered(reply.to_vec(), Some(CHILD_SLOT))]);
}

#[test]
fn answers_an_l2_child_for_the_host() {
    let down = Arp {
        spa: DOWN_IP,
        ..CHILD_REQUEST
    };
    check([
        answers("l2", CHILD_REQUEST, None).flags(l2_filter()),
        answers("l2 flood: nobody else could", CHILD_REQUEST, None).flags(l2_flood()),
        answers(
            "the child is refused, its packets come all the same",
            down,
            None,
        )
        .flags(l2_filter()),
        answers("l2 since a moment ago", CHILD_REQUEST, None).flags(L3),
        passes(
            "the host asks for itself",
            Arp {
                spa: LAN_IP,
                ..CHILD_REQUEST
            },
            Reason::HostAddress,
        )
        .flags(l2_filter()),
    ]);
}

#[test]
fn leaves_siblings_to_the_driver() {
    let request = arp::from_parent(SIBLING_IP, CHILD_IP);
    check(
        [L3, l2_filter(), l2_flood()]
            .map(|flags| passes("child asks for a sibling", request, Reason::Sibling).flags(flags)),
    );
    check([row(
        "down sibling",
        EGRESS,
        arp::from_parent(CHILD_IP, DOWN_IP).frame(),
    )
    .refused(Reason::ChildDown, DOWN_SLOT)]);
}

#[test]
fn turns_the_hosts_unicast_reply_around_to_an_l2_child() {
    let reply = |name: &str, message: Arp| row(name, EGRESS, message.frame()).flags(l2_filter());
    let to_child = |tpa| Arp { tpa, ..HOST_REPLY };
    check([
        reply("to a child", HOST_REPLY).hairpinned(Some(CHILD_SLOT)),
        reply("l2 flood", HOST_REPLY)
            .flags(l2_flood())
            .hairpinned(Some(CHILD_SLOT)),
        reply("to one in l2 since a moment ago", HOST_REPLY)
            .flags(L3)
            .hairpinned(Some(CHILD_SLOT)),
        reply("to a down child", to_child(DOWN_IP)).passes(Reason::NotRequest),
        reply("to itself", to_child(HOST_IP)).passes(Reason::NotRequest),
        reply("to nobody here", to_child(FOREIGN_IP)).passes(Reason::NotRequest),
        reply(
            "to the LAN",
            Arp {
                eth_dst: LAN,
                ..HOST_REPLY
            },
        )
        .passes(Reason::NotRequest),
        reply(
            "to everybody",
            Arp {
                eth_dst: BROADCAST,
                ..HOST_REPLY
            },
        )
        .passes(Reason::NotRequest),
    ]);
}

#[test]
fn never_answers_a_prober_or_an_announcement_of_our_own() {
    let own = |spa, tpa| arp::from_parent(spa, tpa);
    let rows = [L3, l2_filter(), l2_flood()].into_iter().flat_map(|flags| {
        [
            passes(
                "probe for a child's",
                own(UNSPECIFIED, CHILD_IP),
                Reason::Probe,
            ),
            passes(
                "probe for the host's",
                own(UNSPECIFIED, HOST_IP),
                Reason::Probe,
            ),
            passes(
                "probe for nobody's",
                own(UNSPECIFIED, FOREIGN_IP),
                Reason::Probe,
            ),
            passes(
                "announcement of a child",
                own(CHILD_IP, CHILD_IP),
                Reason::Gratuitous,
            ),
            passes(
                "announcement of the host",
                own(HOST_IP, HOST_IP),
                Reason::Gratuitous,
            ),
        ]
        .map(|row| row.flags(flags))
    });
    check(rows);
}

#[test]
fn never_answers_for_what_no_child_may_have() {
    let ask = |tpa| arp::from_parent(HOST_IP, tpa);
    let odd: [(Ip, Reason); 5] = [
        (Ipv4Addr::new(224, 0, 0, 1), Reason::TargetMulticast),
        (Ipv4Addr::BROADCAST, Reason::TargetBroadcast),
        (Ipv4Addr::new(127, 0, 0, 2), Reason::TargetLoopback),
        (Ipv4Addr::new(0, 0, 0, 7), Reason::TargetUnspecified),
        (Ipv4Addr::UNSPECIFIED, Reason::TargetUnspecified),
    ];
    let odd = odd.into_iter().map(|(tpa, reason)| {
        passes(format!("target {tpa:?}"), ask(tpa), reason).entry(tpa, child(ODD_SLOT))
    });
    check(
        odd.chain([
            passes("the gateway", ask(GATEWAY_IP), Reason::NotOurs),
            passes("nobody here", ask(FOREIGN_IP), Reason::NotOurs),
            row("a down child", EGRESS, ask(DOWN_IP).frame()).refused(Reason::ChildDown, DOWN_SLOT),
            row(
                "the gateway's address, held by a child",
                EGRESS,
                ask(CLAIMED_GATEWAY_IP).frame(),
            )
            .refused(Reason::GatewayAddress, CLAIMED_GATEWAY_SLOT),
        ]),
    );
}

#[test]
fn looks_only_at_what_the_parents_own_mac_says() {
    let foreign: [Mac; 4] = [OTHER, ZERO, BROADCAST, MULTICAST];
    let by_sender = foreign.into_iter().flat_map(|mac| {
        let source = Arp {
            eth_src: mac,
            ..REQUEST
        };
        let sender = Arp {
            sha: mac,
            ..REQUEST
        };
        [
            passes(format!("eth.src {mac:02x?}"), source, Reason::SenderMac),
            passes(format!("sha {mac:02x?}"), sender, Reason::SenderMac),
            passes(
                format!("reply with sha {mac:02x?}"),
                Arp {
                    sha: mac,
                    ..HOST_REPLY
                },
                Reason::SenderMac,
            )
            .flags(l2_filter()),
        ]
    });
    let by_destination = [LAN, MULTICAST, ZERO].into_iter().map(|eth_dst| {
        passes(
            format!("to {eth_dst:02x?}"),
            Arp { eth_dst, ..REQUEST },
            Reason::OtherMac,
        )
    });
    check(by_sender.chain(by_destination));
}

#[test]
fn never_drops_what_leaves_the_host() {
    let foreign = arp::from_parent(HOST_IP, FOREIGN_IP);
    let child = arp::from_parent(CHILD_IP, FOREIGN_IP);
    let rows = [l2_filter(), L3 | ConfigFlags::L2_DROP_FOREIGN]
        .into_iter()
        .flat_map(|flags| {
            [
                passes("the host asks for the LAN", foreign, Reason::NotOurs).flags(flags),
                passes("a child asks for the LAN", child, Reason::NotOurs).flags(flags),
            ]
        });
    check(rows);
}

#[test]
fn looks_at_nothing_that_the_parent_received_itself() {
    let mut datapath = Datapath::load();
    datapath.install(config(L3), &entries());
    let frames = [REQUEST.answered_by(PARENT).frame(), REQUEST.frame()];
    let before = datapath.counts();
    for program in EGRESS.iter().copied() {
        for frame in &frames {
            let outcome = datapath
                .run_from(program, frame, MARK, Origin::RECEIVED)
                .expect("run");
            assert_eq!(outcome.code, Act::Pass.code(program));
            assert_eq!(outcome.frame, *frame);
        }
    }
    assert_eq!(datapath.counts(), before);
}
