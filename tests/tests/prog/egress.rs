//! Requests and solicitations that leave the parent: the host asks for a child, an l2 child for the host.

use ipvlan_model::prelude::*;

/// The host answers the unicast request of an l2 child, which the driver had passed to it.
const HOST_REPLY: Arp = Arp {
    eth_dst: PARENT,
    oper: 2,
    tha: PARENT,
    ..arp::from_parent(HOST_IP, CHILD_IP)
};

fn modes() -> [ConfigFlags; 3] {
    [L3, l2_filter(), l2_flood()]
}

/// The host asks for this child.
fn asks(child: impl Into<IpAddr>) -> Message {
    let child = child.into();
    Message::from_parent(Addresses::of(child).host, child)
}

fn answers(name: &str, message: impl Into<Message>, slot: impl Into<Option<u32>>) -> Row {
    let message = message.into();
    assert_eq!(message.reply()[..12], [PARENT, PARENT].concat());
    message.answered(name, EGRESS, slot)
}

fn passes(name: impl Into<String>, message: impl Into<Message>, reason: Reason) -> Row {
    message.into().passed(name, EGRESS, reason)
}

#[test]
fn answers_the_host_for_its_children_in_every_mode() {
    let rows = both(|at| {
        let question = asks(at.child);
        let long = padded(question.frame(), 1514);
        [
            answers("child", &question, CHILD_SLOT),
            answers("parent's netns", asks(at.local), LOCAL_SLOT),
            answers("l2 child here", asks(at.by_kernel), BY_KERNEL_SLOT),
            answers("unicast, as an entry ages", question.unicast(), CHILD_SLOT),
            row("padded", EGRESS, long).replied(&question, CHILD_SLOT),
        ]
    });
    let (arp, nd) = (asks(CHILD_IP), ndp::from_parent(HOST_IP6, CHILD_IP6));
    let link_local = ndp::from_parent(HOST_LL, CHILD_LL);
    let ieee_802 = patched(arp.frame(), arp::HTYPE, &[0, 6]);
    let single = [
        row("hardware type 6", EGRESS, ieee_802).replied(&arp, CHILD_SLOT),
        answers("link-local", link_local, CHILD_SLOT),
        answers("without options", nd.with(Vec::new()), CHILD_SLOT),
    ];
    let flags = [
        (ROUTER_IP6, "RSO", ROUTER_SLOT),
        (OPTIMISTIC_IP6, "S", OPTIMISTIC_SLOT),
    ]
    .map(|(target, letters, slot)| {
        let asked = ndp::from_parent(HOST_IP6, target);
        row(letters, EGRESS, asked.frame()).advertised(advertisement(&asked, letters), slot)
    });
    let modes = [L3, l2_filter(), l2_flood(), l3_private()];
    check(in_modes(&modes, rows.chain(single).chain(flags)));
}

#[test]
fn an_answer_to_the_host_has_its_own_length_without_junk() {
    let lens = [arp::LEN, 43, 60, 64, 86, 590, 1514, ONE_BUFFER, 3500];
    check(lens.into_iter().flat_map(|len| {
        let asked = both(|at| [asks(at.child)]).filter(move |asked| asked.frame().len() <= len);
        asked.map(move |asked| {
            let frame = padded(asked.frame(), len);
            row(format!("{len} bytes"), EGRESS, frame).replied(&asked, CHILD_SLOT)
        })
    }));
}

/// An address that is not in the map proves nothing under isolation.
#[test]
fn answers_another_address_of_the_host_unless_it_is_isolated() {
    let unknown = both(|at| [Message::from_parent(at.lan, at.child)]);
    let unknown: Vec<Message> = unknown.collect();
    let answered = unknown
        .iter()
        .map(|it| answers("not in the map", it, CHILD_SLOT));
    check(in_modes(&modes(), answered));
    check(unknown.iter().map(|it| {
        passes("isolated", it, Reason::Isolated)
            .flags(l3_private())
            .refused(Reason::Isolated, CHILD_SLOT)
    }));
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
    check([row("request", EGRESS, asks(CHILD_IP).frame()).answered(reply.to_vec(), CHILD_SLOT)]);
}

#[test]
fn answers_an_l2_child_for_the_host() {
    let rows = both(|at| {
        let asks = |src| Message::from_parent(src, at.host);
        let child = |name: &str| answers(name, asks(at.child), None);
        let down = "the child is refused, its packets come all the same";
        let itself = passes("host to itself", asks(at.lan), Reason::HostAddress);
        [
            child("l2").flags(l2_filter()),
            child("l2 flood: nothing else could").flags(l2_flood()),
            child("l2 since a moment ago").flags(L3),
            answers(down, asks(at.down), None).flags(l2_filter()),
            itself.flags(l2_filter()),
        ]
    });
    let asks = ndp::from_parent(CHILD_IP6, HOST_IP6);
    let router = AddressEntry::held_by(Owner::Host).with_router();
    let link_local = ndp::from_parent(CHILD_LL, HOST_LL);
    check(
        rows.chain([
            answers("link-local", link_local, None).flags(l2_filter()),
            row("the host forwards", EGRESS, asks.frame())
                .advertised(advertisement(&asks, "RSO"), None)
                .entry(HOST_IP6, router)
                .flags(l2_filter()),
        ]),
    );
}

#[test]
fn passes_questions_of_siblings_to_the_driver() {
    let rows = both(|at| {
        let asks = Message::from_parent(at.sibling, at.child);
        let name = "a child asks for a sibling";
        [asks.clone(), asks.unicast()].map(|asked| passes(name, asked, Reason::Sibling))
    });
    check(in_modes(&modes(), rows));
    check(both(|at| {
        let asks = Message::from_parent(at.child, at.down);
        [passes("down sibling", asks, Reason::ChildDown).refused(Reason::ChildDown, DOWN_SLOT)]
    }));
}

#[test]
fn hairpins_the_hosts_unicast_arp_reply_to_an_l2_child() {
    let reply = |name: &str, message: Arp| row(name, EGRESS, message.frame()).flags(l2_filter());
    let hairpinned = [
        ("to a child", l2_filter()),
        ("l2 flood", l2_flood()),
        ("to one in l2 since a moment ago", L3),
    ]
    .map(|(name, flags)| reply(name, HOST_REPLY).flags(flags).hairpinned(CHILD_SLOT));
    let passed = [
        ("to a down child", DOWN_IP, PARENT),
        ("to itself", HOST_IP, PARENT),
        ("to an unowned address", FOREIGN_IP, PARENT),
        ("to the LAN", CHILD_IP, LAN),
        ("to broadcast", CHILD_IP, BROADCAST),
    ]
    .map(|(name, tpa, mac)| {
        let message = Arp { tpa, ..HOST_REPLY };
        reply(name, message.to(mac)).passes(Reason::NotRequest)
    });
    check(hairpinned.into_iter().chain(passed));
}

/// An answer would make the prober give its own address up (openwrt/openwrt#14309).
#[test]
fn never_answers_a_probe_or_an_announcement_of_our_own() {
    let probes = both(|at| {
        let targets = [at.child, at.host, at.down, at.foreign];
        targets.map(|target| Message::from_parent(at.unspecified, target))
    });
    let v6 = [CHILD_LL, OPTIMISTIC_IP6].map(|target| asks(target).sender(UNSPECIFIED6.into()));
    let probes = probes.chain(v6).flat_map(|probe| match probe {
        Message::Arp(_) => vec![probe],
        Message::Nd(probe) => [vec![], option(NONCE, &[1, 2, 3, 4, 5, 6])]
            .map(|options| probe.clone().with(options).into())
            .to_vec(),
    });
    let probes = probes.map(|it| passes(format!("probe {}", it.target()), it, Reason::Probe));
    let announcements = [CHILD_IP, HOST_IP].map(|address| {
        let announcement = arp::from_parent(address, address);
        passes(format!("of {address}"), announcement, Reason::Gratuitous)
    });
    check(in_modes(&modes(), probes.chain(announcements)));
    let probe = asks(CHILD_IP6).sender(UNSPECIFIED6.into());
    let unicast = Nd {
        src: UNSPECIFIED6,
        eth_dst: PARENT,
        dst: CHILD_IP6,
        ..ndp::from_parent(HOST_IP6, CHILD_IP6).with(Vec::new())
    };
    check([
        passes("names its MAC", probe, Reason::DadLinkLayer),
        passes("to the target", unicast, Reason::DadDestination),
    ]);
}

#[test]
fn never_answers_for_what_no_child_may_have() {
    let odd: [(IpAddr, Reason); 9] = [
        (Ipv4Addr::new(224, 0, 0, 1).into(), Reason::TargetMulticast),
        (Ipv4Addr::BROADCAST.into(), Reason::TargetBroadcast),
        (Ipv4Addr::new(127, 0, 0, 2).into(), Reason::TargetLoopback),
        (Ipv4Addr::new(0, 0, 0, 7).into(), Reason::TargetUnspecified),
        (Ipv4Addr::UNSPECIFIED.into(), Reason::TargetUnspecified),
        (ALL_NODES.into(), Reason::TargetMulticast),
        (UNSPECIFIED6.into(), Reason::TargetUnspecified),
        (LOOPBACK6.into(), Reason::TargetLoopback),
        (V4_MAPPED.into(), Reason::TargetV4Mapped),
    ];
    check(odd.map(|(target, reason)| {
        let name = format!("target {target}");
        passes(name, asks(target), reason).entry(target, child(ODD_SLOT))
    }));
    check(both(|at| {
        let refused = |name: &str, target, reason, slot| {
            passes(name, asks(target), reason).refused(reason, slot)
        };
        let (gateway, slot) = (Reason::GatewayAddress, CLAIMED_GATEWAY_SLOT);
        [
            passes("the gateway", asks(at.gateway), Reason::NotOurs),
            passes("unowned", asks(at.foreign), Reason::NotOurs),
            passes("owner unknown", asks(at.foreign), Reason::NotOurs)
                .entry(at.foreign, AddressEntry::default()),
            refused("down child", at.down, Reason::ChildDown, DOWN_SLOT),
            refused("claimed gateway", at.claimed_gateway, gateway, slot),
        ]
    }));
}

#[test]
fn looks_only_at_what_the_parents_own_mac_says() {
    let foreign: [Mac; 5] = [OTHER, LAN, ZERO, BROADCAST, MULTICAST];
    let sender = |mac, message: Message| {
        let name = format!("sender {mac:02x?}");
        passes(name, message, Reason::SenderMac)
    };
    check(foreign.into_iter().flat_map(|mac| {
        let bare = ndp::from_parent(HOST_IP6, CHILD_IP6).with(Vec::new());
        let reply = Message::from(HOST_REPLY).naming(mac);
        let single = [
            sender(mac, Message::from(bare).source(mac)),
            sender(mac, reply).flags(l2_filter()),
        ];
        let both = both(move |at| {
            let ask = asks(at.child);
            [ask.source(mac), ask.naming(mac)]
        });
        both.map(move |message| sender(mac, message)).chain(single)
    }));
    let macs = [LAN, MULTICAST, ZERO, ALL_NODES_MAC];
    check(macs.into_iter().flat_map(|mac| {
        both(move |at| {
            let ask = asks(at.child).to(mac);
            [passes(format!("to {mac:02x?}"), ask, Reason::OtherMac)]
        })
    }));
    check([ALL_NODES, LOOPBACK6, V4_MAPPED].map(|src| {
        let ask = asks(CHILD_IP6).sender(src.into());
        passes(format!("from {src}"), ask, Reason::SenderAddress)
    }));
    let elsewhere = Nd {
        dst: ALL_NODES,
        eth_dst: ALL_NODES_MAC,
        ..ndp::from_parent(HOST_IP6, CHILD_IP6)
    };
    check([passes("to all nodes", elsewhere, Reason::OtherDestination)]);
}

/// A host and its children claim nothing of each other, and what leaves is never dropped.
#[test]
fn drops_and_reports_nothing() {
    let modes = [
        l2_filter(),
        L3 | ConfigFlags::L2_DROP_FOREIGN,
        L3 | ConfigFlags::L2_DROP_FOREIGN_ND,
    ];
    let rows = both(|at| {
        [
            (at.host, at.foreign),
            (at.child, at.foreign),
            (at.foreign, at.gateway),
        ]
        .map(|(src, target)| {
            let asks = Message::from_parent(src, target);
            passes(format!("{src} asks for the LAN"), asks, Reason::NotOurs)
        })
    });
    check(in_modes(&modes, rows));
}

#[test]
fn advertisements_are_packets_like_any_other() {
    // The host answers an l2 child that asked by unicast: the driver had passed the solicitation to it.
    let Message::Nd(asked) = Message::from_parent(CHILD_IP6.into(), HOST_IP6.into()).unicast()
    else {
        unreachable!("IPv6")
    };
    let solicited = asked.answered(PARENT, "S", Vec::new());
    let announcement = Nd {
        eth_src: PARENT,
        ..ndp::announcement(HOST_IP6)
    };
    let to_lan = Nd {
        eth_dst: LAN,
        dst: LAN_IP6,
        ..solicited.clone()
    };
    let to_child = row("to a child", EGRESS, solicited.frame()).hairpinned(CHILD_SLOT);
    check(in_modes(&[L3, l2_filter()], [to_child]));
    let nonce = announcement.clone().with(option(NONCE, &[1; 6]));
    check([
        row("to all nodes", EGRESS, announcement.frame()),
        row("to the LAN", &[Program::Egress], to_lan.frame()),
        row("a nonce changes nothing", EGRESS, nonce.frame()),
    ]);
}

#[test]
fn looks_at_nothing_that_the_parent_received_itself() {
    let mut datapath = Datapath::load();
    datapath.install(config(L3), &entries());
    let request = asks(CHILD_IP);
    let frames = [request.reply(), request.frame()];
    let before = datapath.counts();
    for &program in EGRESS {
        for frame in &frames {
            let outcome = datapath.run_from(program, frame, MARK, Origin::RECEIVED);
            let outcome = outcome.expect("run");
            assert_eq!(outcome.code, Act::Pass.code(program));
            assert_eq!(outcome.frame, *frame);
        }
    }
    assert_eq!(datapath.counts(), before);
}
