//! Solicitations that leave the parent: the host asks for a child, an l2 child for the host.

use ipvlan_common::{AddressEntry, ConfigFlags, Owner, Reason};
use ipvlan_model::{
    datapath::EGRESS,
    frames::{
        Nd,
        ndp::{self, NONCE, SOURCE_MAC, option},
        padded,
    },
    rows::{Row, check, row},
    solicitations::own_mac,
    world::{
        ALL_NODES, ALL_NODES_MAC, BROADCAST, BY_KERNEL_IP6, BY_KERNEL_SLOT, CHILD_IP6, CHILD_LL,
        CHILD_SLOT, CLAIMED_GATEWAY_IP6, CLAIMED_GATEWAY_SLOT, DOWN_IP6, DOWN_SLOT, FOREIGN_IP6,
        GATEWAY_IP6, HOST_IP6, HOST_LL, Ip6, L3, LAN, LAN_IP6, LOCAL_IP6, LOCAL_SLOT, LOOPBACK6,
        MULTICAST, Mac, ODD_SLOT, OPTIMISTIC_IP6, OPTIMISTIC_SLOT, OTHER, PARENT, ROUTER_IP6,
        ROUTER_SLOT, SIBLING_IP6, UNSPECIFIED6, V4_MAPPED, ZERO, child, l2_filter, l2_flood,
    },
};

/// The host asks for a child.
fn request() -> Nd {
    ndp::from_parent(HOST_IP6, CHILD_IP6)
}

/// The same, to the target itself.
fn unicast(asked: Nd) -> Nd {
    Nd {
        eth_dst: PARENT,
        dst: asked.target,
        ..asked
    }
}

fn answers(name: &str, asked: &Nd, flags: &str, slot: Option<u32>) -> Row {
    let advertisement = asked.answered(PARENT, flags, own_mac()).frame();
    assert_eq!(advertisement[..12], [PARENT, PARENT].concat());
    row(name, EGRESS, asked.frame()).advertised(advertisement, slot)
}

fn passes(name: impl Into<String>, asked: &Nd, reason: Reason) -> Row {
    row(name, EGRESS, asked.frame()).passes(reason)
}

#[test]
fn answers_the_host_for_its_children_in_every_mode() {
    let modes = [L3, l2_filter(), l2_flood(), L3 | ConfigFlags::ISOLATED];
    check(modes.into_iter().flat_map(|flags| {
        let asks = |target| ndp::from_parent(HOST_IP6, target);
        let confirmed = unicast(request());
        let confirmation = confirmed.answered(PARENT, "S", Vec::new()).frame();
        [
            answers("child", &request(), "SO", Some(CHILD_SLOT)),
            answers(
                "link-local",
                &ndp::from_parent(HOST_LL, CHILD_LL),
                "SO",
                Some(CHILD_SLOT),
            ),
            answers("forwards", &asks(ROUTER_IP6), "RSO", Some(ROUTER_SLOT)),
            answers(
                "optimistic",
                &asks(OPTIMISTIC_IP6),
                "S",
                Some(OPTIMISTIC_SLOT),
            ),
            answers("parent's netns", &asks(LOCAL_IP6), "SO", Some(LOCAL_SLOT)),
            answers(
                "on the wire the kernel answers",
                &asks(BY_KERNEL_IP6),
                "SO",
                Some(BY_KERNEL_SLOT),
            ),
            answers(
                "without options",
                &request().with(Vec::new()),
                "SO",
                Some(CHILD_SLOT),
            ),
            row(
                "unicast, as a neighbour entry ages",
                EGRESS,
                confirmed.frame(),
            )
            .advertised(confirmation, Some(CHILD_SLOT)),
            row("padded", EGRESS, padded(request().frame(), 1514)).advertised(
                request().answered(PARENT, "SO", own_mac()).frame(),
                Some(CHILD_SLOT),
            ),
        ]
        .map(|row| row.flags(flags))
    }));
    // An address that is not in the map proves nothing under isolation.
    let unknown = ndp::from_parent(LAN_IP6, CHILD_IP6);
    let name = "from another of the host's addresses, not in the map";
    let answered = [L3, l2_filter(), l2_flood()]
        .map(|flags| answers(name, &unknown, "SO", Some(CHILD_SLOT)).flags(flags));
    let isolated = row(name, EGRESS, unknown.frame())
        .flags(L3 | ConfigFlags::ISOLATED)
        .refused(Reason::Isolated, CHILD_SLOT);
    check(answered.into_iter().chain([isolated]));
}

#[test]
fn answers_an_l2_child_for_the_host() {
    let asks = ndp::from_parent(CHILD_IP6, HOST_IP6);
    let link_local = ndp::from_parent(CHILD_LL, HOST_LL);
    let down = ndp::from_parent(DOWN_IP6, HOST_IP6);
    let itself = ndp::from_parent(LAN_IP6, HOST_IP6);
    check([
        answers("l2", &asks, "SO", None).flags(l2_filter()),
        answers("link-local", &link_local, "SO", None).flags(l2_filter()),
        answers("l2 flood: nobody else could", &asks, "SO", None).flags(l2_flood()),
        answers(
            "the child is refused, its packets come all the same",
            &down,
            "SO",
            None,
        )
        .flags(l2_filter()),
        answers("the host forwards", &asks, "RSO", None)
            .entry(HOST_IP6, AddressEntry::held_by(Owner::Host).with_router())
            .flags(l2_filter()),
        answers("l2 since a moment ago", &asks, "SO", None).flags(L3),
        passes("the host asks for itself", &itself, Reason::HostAddress).flags(l2_filter()),
    ]);
}

#[test]
fn leaves_siblings_to_the_driver() {
    let asks = ndp::from_parent(SIBLING_IP6, CHILD_IP6);
    let rows = [L3, l2_filter(), l2_flood()].into_iter().flat_map(|flags| {
        [asks.clone(), unicast(asks.clone())]
            .map(|asked| passes("child asks for a sibling", &asked, Reason::Sibling).flags(flags))
    });
    check(rows);
    check([row(
        "down sibling",
        EGRESS,
        ndp::from_parent(CHILD_IP6, DOWN_IP6).frame(),
    )
    .refused(Reason::ChildDown, DOWN_SLOT)]);
}

/// An answer would make whoever probes give its own address up (openwrt/openwrt#14309).
#[test]
fn never_answers_a_probe_of_our_own() {
    let targets = [
        CHILD_IP6,
        CHILD_LL,
        HOST_IP6,
        OPTIMISTIC_IP6,
        DOWN_IP6,
        FOREIGN_IP6,
    ];
    check(targets.into_iter().flat_map(|target| {
        let probe = Nd {
            eth_src: PARENT,
            ..ndp::probe(target)
        };
        let bare = probe.clone().with(Vec::new());
        [L3, l2_filter(), l2_flood()]
            .into_iter()
            .flat_map(move |flags| {
                [&probe, &bare].map(|probe| {
                    passes(format!("for {target:02x?}"), probe, Reason::Probe).flags(flags)
                })
            })
    }));
    let told = request().with(option(SOURCE_MAC, &PARENT));
    let unspecified = |asked: Nd| Nd {
        src: UNSPECIFIED6,
        ..asked
    };
    check([
        passes(
            "tells its MAC",
            &unspecified(told.clone()),
            Reason::DadLinkLayer,
        ),
        passes(
            "to the target",
            &unspecified(unicast(told)).with(Vec::new()),
            Reason::DadDestination,
        ),
    ]);
}

#[test]
fn never_answers_for_what_no_child_may_have() {
    let odd: [(Ip6, Reason); 4] = [
        (ALL_NODES, Reason::TargetMulticast),
        (UNSPECIFIED6, Reason::TargetUnspecified),
        (LOOPBACK6, Reason::TargetLoopback),
        (V4_MAPPED, Reason::TargetV4Mapped),
    ];
    let odd = odd.into_iter().map(|(target, reason)| {
        passes(
            format!("target {target:02x?}"),
            &ndp::from_parent(HOST_IP6, target),
            reason,
        )
        .entry(target, child(ODD_SLOT))
    });
    let asks = |target| ndp::from_parent(HOST_IP6, target);
    check(
        odd.chain([
            passes("the gateway", &asks(GATEWAY_IP6), Reason::NotOurs),
            passes("nobody here", &asks(FOREIGN_IP6), Reason::NotOurs),
            passes("owner unknown", &asks(FOREIGN_IP6), Reason::NotOurs)
                .entry(FOREIGN_IP6, AddressEntry::default()),
            row("a down child", EGRESS, asks(DOWN_IP6).frame())
                .refused(Reason::ChildDown, DOWN_SLOT),
            row(
                "the gateway's address, held by a child",
                EGRESS,
                asks(CLAIMED_GATEWAY_IP6).frame(),
            )
            .refused(Reason::GatewayAddress, CLAIMED_GATEWAY_SLOT),
        ]),
    );
}

#[test]
fn looks_only_at_what_the_parents_own_mac_says() {
    let foreign: [Mac; 5] = [OTHER, LAN, ZERO, BROADCAST, MULTICAST];
    let by_sender = foreign.into_iter().flat_map(|mac| {
        let source = Nd {
            eth_src: mac,
            ..request()
        };
        let bare = source.clone().with(Vec::new());
        let told = request().with(option(SOURCE_MAC, &mac));
        [source, bare, told]
            .map(|asked| passes(format!("sender {mac:02x?}"), &asked, Reason::SenderMac))
    });
    let by_destination = [LAN, MULTICAST, ZERO, ALL_NODES_MAC]
        .into_iter()
        .map(|eth_dst| {
            let asked = Nd {
                eth_dst,
                ..request()
            };
            passes(format!("to {eth_dst:02x?}"), &asked, Reason::OtherMac)
        });
    let by_address = [ALL_NODES, LOOPBACK6, V4_MAPPED].into_iter().map(|src| {
        let asked = Nd { src, ..request() };
        passes(format!("from {src:02x?}"), &asked, Reason::SenderAddress)
    });
    let elsewhere = Nd {
        dst: ALL_NODES,
        eth_dst: ALL_NODES_MAC,
        ..request()
    };
    let elsewhere = [passes("to all nodes", &elsewhere, Reason::OtherDestination)];
    check(
        by_sender
            .chain(by_destination)
            .chain(by_address)
            .chain(elsewhere),
    );
}

/// A host and its children claim nothing of each other, and what leaves is never dropped.
#[test]
fn drops_and_tells_nothing() {
    let asks = [
        ndp::from_parent(HOST_IP6, FOREIGN_IP6),
        ndp::from_parent(CHILD_IP6, FOREIGN_IP6),
        ndp::from_parent(FOREIGN_IP6, GATEWAY_IP6),
    ];
    let modes = [l2_filter(), L3 | ConfigFlags::L2_DROP_FOREIGN_ND];
    check(modes.into_iter().flat_map(|flags| {
        asks.clone()
            .map(|asked| passes("asks for the LAN", &asked, Reason::NotOurs).flags(flags))
    }));
}

#[test]
fn advertisements_are_packets_like_any_other() {
    // The host answers an l2 child that asked by unicast: the driver had handed the question to it.
    let solicited =
        unicast(ndp::from_parent(CHILD_IP6, HOST_IP6)).answered(PARENT, "S", Vec::new());
    let announcement = Nd {
        eth_src: PARENT,
        ..ndp::announcement(HOST_IP6)
    };
    let to_lan = Nd {
        eth_dst: LAN,
        dst: LAN_IP6,
        ..solicited.clone()
    };
    check([L3, l2_filter()].map(|flags| {
        row("to a child", EGRESS, solicited.frame())
            .flags(flags)
            .hairpinned(Some(CHILD_SLOT))
    }));
    check([
        row("to all nodes", EGRESS, announcement.frame()),
        row("to the LAN", &[ipvlan_model::datapath::Program::Egress], {
            to_lan.frame()
        }),
        row(
            "a nonce changes nothing",
            EGRESS,
            announcement.with(option(NONCE, &[1; 6])).frame(),
        ),
    ]);
}
