//! The guard: which senders are never answered, and which targets are never answered for, so that no child can spoof
//! the host, the gateway or half the LAN.

use ipvlan_model::prelude::*;

/// `::ffff:0:0`
const V4_MAPPED_UNSPECIFIED: Ip6 = Ip6::new(0, 0, 0, 0, 0, 0xffff, 0, 0);
const ALL_ONES: Ip6 = Ip6::from_bits(u128::MAX);

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// Every way to ask for `target`.
fn messages(target: IpAddr) -> [Message; 3] {
    let ask = Message::ask(target);
    [ask.clone(), ask.unicast(), Message::probe(target)]
}

#[test]
fn never_answers_a_mac_that_no_sender_can_have() {
    let macs: [(Mac, Reason); 6] = [
        (PARENT, Reason::OwnSender),
        (ZERO, Reason::SenderMac),
        (BROADCAST, Reason::SenderMac),
        (MULTICAST, Reason::SenderMac),
        (ALL_NODES_MAC, Reason::SenderMac),
        ([0x33, 0x33, 0xff, 0, 0, 1], Reason::SenderMac),
    ];
    check(macs.into_iter().flat_map(|(mac, reason)| {
        both(move |at| {
            let ask = Message::ask(at.child);
            let probe = |target| Message::probe(target).source(mac);
            [
                passes(format!("from {mac:02x?}"), ask.source(mac), reason),
                passes(format!("names {mac:02x?}"), ask.naming(mac), reason),
                passes("unicast", ask.unicast().naming(mac), reason),
                passes("probe", probe(at.child), reason),
                // Our own child's probe, come back from a switch (RFC 7527), and a spoofed one.
                passes("l2, unowned", probe(at.foreign), reason).flags(l2_filter()),
            ]
        })
    }));
}

#[test]
fn never_answers_an_address_that_no_sender_can_have() {
    let addresses: [IpAddr; 12] = [
        v4(224, 0, 0, 1),
        v4(239, 255, 255, 255),
        v4(127, 0, 0, 1),
        v4(255, 255, 255, 255),
        v4(0, 0, 0, 5),
        v4(0, 255, 255, 255),
        ALL_NODES.into(),
        solicited_node(CHILD_IP6).into(),
        LOOPBACK6.into(),
        V4_MAPPED.into(),
        ALL_ONES.into(),
        V4_MAPPED_UNSPECIFIED.into(),
    ];
    let rows = addresses.into_iter().flat_map(|src| {
        let at = Addresses::of(src);
        let child = Message::ask(at.child);
        [child.clone(), child.unicast(), Message::ask(at.foreign)].map(|message| {
            let message = message.sender(src);
            passes(format!("from {src}"), message, Reason::SenderAddress)
        })
    });
    check(in_modes(&[L3, l2_filter()], rows));
}

/// RFC 4861 §7.1.1.
#[test]
fn a_probe_names_no_mac_and_goes_to_a_solicited_node_group() {
    let probe = ndp::probe(CHILD_IP6);
    let to = |dst, eth_dst| Nd {
        eth_dst,
        dst,
        ..probe.clone()
    };
    let mac = option(SOURCE_MAC, &LAN);
    let mac_at_last = [option(NONCE, &[1; 6]), mac.clone()].concat();
    let odd_group = Ip6::new(0xff02, 0, 0, 0, 0, 1, 0xfe00, 0x10);
    let foreign_group = solicited_node(FOREIGN_IP6);
    let foreign = to(foreign_group, group_mac(foreign_group));
    let rows = [
        ("names its MAC", probe.clone().with(mac)),
        ("names its MAC at last", probe.clone().with(mac_at_last)),
    ]
    .map(|(name, message)| passes(name, message, Reason::DadLinkLayer));
    let destinations = [
        ("to the target", to(CHILD_IP6, PARENT)),
        ("to all nodes", to(ALL_NODES, ALL_NODES_MAC)),
        ("to another kind of group", to(odd_group, PARENT)),
    ]
    .map(|(name, message)| passes(name, message, Reason::DadDestination));
    check(rows.into_iter().chain(destinations));
    check([passes(
        "to another group",
        foreign,
        Reason::OtherDestination,
    )]);
}

#[test]
fn never_answers_for_an_address_that_no_host_can_have() {
    let targets: [(IpAddr, Reason); 16] = [
        (v4(224, 0, 0, 0), Reason::TargetMulticast),
        (v4(239, 255, 255, 255), Reason::TargetMulticast),
        (v4(224, 1, 2, 3), Reason::TargetMulticast),
        (v4(255, 255, 255, 255), Reason::TargetBroadcast),
        (v4(127, 0, 0, 1), Reason::TargetLoopback),
        (v4(127, 255, 255, 255), Reason::TargetLoopback),
        (v4(0, 0, 0, 1), Reason::TargetUnspecified),
        (v4(0, 255, 255, 255), Reason::TargetUnspecified),
        (v4(0, 0, 0, 0), Reason::TargetUnspecified),
        (ALL_NODES.into(), Reason::TargetMulticast),
        (solicited_node(CHILD_IP6).into(), Reason::TargetMulticast),
        (ALL_ONES.into(), Reason::TargetMulticast),
        (UNSPECIFIED6.into(), Reason::TargetUnspecified),
        (LOOPBACK6.into(), Reason::TargetLoopback),
        (V4_MAPPED.into(), Reason::TargetV4Mapped),
        (V4_MAPPED_UNSPECIFIED.into(), Reason::TargetV4Mapped),
    ];
    // Even where a child holds it; in l2 too, where a request for an unowned address would be dropped.
    let rows = targets.into_iter().flat_map(|(target, reason)| {
        let at = Addresses::of(target);
        let ask = Message::ask(target);
        let probe = Message::probe(target);
        // An ARP probe for 0.0.0.0 is an announcement.
        let probe = (target != v4(0, 0, 0, 0)).then_some(probe);
        let messages = [ask.clone(), ask.to_station(at.child)];
        messages.into_iter().chain(probe).map(move |message| {
            passes(format!("target {target}"), message, reason).entry(target, child(ODD_SLOT))
        })
    });
    check(in_modes(&[L3, l2_filter()], rows));
    let neighbours: [IpAddr; 8] = [
        v4(223, 255, 255, 255),
        v4(126, 255, 255, 255),
        v4(128, 0, 0, 0),
        v4(255, 255, 255, 254),
        Ip6::from_bits(2).into(),
        Ip6::new(0, 0, 0, 0, 0, 0xfffe, 0, 0).into(),
        Ip6::new(0, 0, 0, 0, 1, 0xffff, 0, 0).into(),
        Ip6::from_octets([0xfe; 16]).into(),
    ];
    check(neighbours.map(|target| {
        answers(target.to_string(), Message::ask(target), ODD_SLOT).entry(target, child(ODD_SLOT))
    }));
}

#[test]
fn never_answers_for_a_refused_child() {
    let refusals = [
        Reason::HostAddress,
        Reason::GatewayAddress,
        Reason::ChildDown,
        Reason::TargetLinkLocal,
        Reason::PeerAddress,
        Reason::ParentDown,
        Reason::NotAllowed,
        Reason::Denied,
        Reason::Tentative,
        Reason::DadFailed,
        Reason::Probing,
        Reason::Duplicate,
    ];
    check(refusals.into_iter().flat_map(|reason| {
        let targets = [v4(169, 254, 1, 1), FOREIGN_IP6.into()];
        targets.into_iter().flat_map(messages).map(move |message| {
            let target = message.target();
            let row = refused(format!("{reason:?}"), &message, reason, ODD_SLOT)
                .entry(target, child(ODD_SLOT).refused(reason));
            // A station that probes for it at the same time as the agent is in conflict with the child.
            if matches!(reason, Reason::Probing | Reason::Duplicate) && message.is_probe() {
                row.reports(EventKind::Probe, LAN, target, ODD_SLOT)
            } else {
                row
            }
        })
    }));
}

#[test]
fn never_answers_for_the_host_the_gateway_or_an_unowned_address() {
    // The flags of an l2 parent make no difference: these are addresses that are owned here.
    let host = both(|at| [at.host]).chain([HOST_LL.into()]);
    let host = host.flat_map(messages);
    let host = host.map(|message| passes("the host's", message, Reason::HostAddress));
    let owned = both(|at| {
        let gateway = AddressEntry::held_by(Owner::Gateway).refused(Reason::GatewayAddress);
        let host = AddressEntry::held_by(Owner::Host).refused(Reason::ParentDown);
        let down = messages(at.down)
            .map(|message| refused("a down child's", message, Reason::ChildDown, DOWN_SLOT));
        let claimed = messages(at.claimed_gateway).map(|message| {
            let (reason, slot) = (Reason::GatewayAddress, CLAIMED_GATEWAY_SLOT);
            refused("the gateway's, held by a child", message, reason, slot)
        });
        let gateway = messages(at.gateway).map(|message| {
            passes("the gateway's, refused", message, Reason::GatewayAddress)
                .entry(at.gateway, gateway)
        });
        let host = messages(at.foreign).map(|message| {
            passes("the host's, refused", message, Reason::ParentDown).entry(at.foreign, host)
        });
        [down, claimed, gateway, host].into_iter().flatten()
    });
    check(in_modes(&[L3, l2_filter()], host.chain(owned)));
    check(both(|at| {
        let unowned = [at.gateway, at.foreign].into_iter().flat_map(messages);
        unowned.map(|message| passes("unowned here", message, Reason::NotOurs))
    }));
}

#[test]
fn an_entry_with_an_unknown_owner_is_none() {
    let unknown = AddressEntry::default();
    assert_eq!(
        (unknown.owner(), unknown.delivery()),
        (None, Delivery::Pass)
    );
    check(both(|at| {
        let foreign = Message::ask(at.foreign);
        [
            passes("target", &foreign, Reason::NotOurs).entry(at.foreign, unknown),
            foreign
                .passed("target, in l2", WIRE, Reason::NotOurs)
                .entry(at.foreign, unknown)
                .flags(l2_filter())
                .dropped(Reason::ForeignDropped),
            answers("sender", Message::ask(at.child), CHILD_SLOT).entry(at.lan, unknown),
        ]
    }));
}
