//! Requests and solicitations from the wire that are not answered: dropped or passed on.

use ipvlan_model::prelude::*;

fn dropped(name: &str, message: impl Into<Message>) -> Row {
    passes(name, message, Reason::NotOurs).dropped(Reason::ForeignDropped)
}

#[test]
fn l2_filter_drops_only_questions_to_a_group_for_an_unowned_address() {
    let rows = both(|at| {
        let foreign = Message::ask(at.foreign);
        let of_gateway = foreign.sender(at.gateway);
        [
            dropped("unowned", &foreign),
            dropped("for the gateway", Message::ask(at.gateway)),
            dropped("the gateway asks", of_gateway),
            passes("unicast", foreign.unicast(), Reason::NotOurs),
            passes("probe", Message::probe(at.foreign), Reason::Probe),
            passes("for the host", Message::ask(at.host), Reason::HostAddress),
            refused("down", Message::ask(at.down), Reason::ChildDown, DOWN_SLOT),
        ]
    });
    let arp = arp::request(FOREIGN_IP);
    let other_subnet = Arp {
        spa: Ipv4Addr::new(10, 9, 9, 9),
        ..arp
    };
    let unicast_probe = Message::probe(FOREIGN_IP.into()).unicast();
    let reply = Arp { oper: 2, ..arp };
    let nd = ndp::solicitation(FOREIGN_IP6);
    let to_parent = Message::from(&nd).to(PARENT);
    let for_another = Nd {
        target: GATEWAY_IP6,
        ..nd.clone()
    };
    let forwarded = Nd {
        hop_limit: 64,
        ..nd.clone()
    };
    let (anycast, host) = (ANYCAST_IP6.into(), HOST_LL.into());
    let single = [
        dropped("a host of another subnet asks", other_subnet),
        passes("unicast ARP probe", unicast_probe, Reason::NotOurs),
        passes("broadcast reply", reply, Reason::NotRequest),
        dropped("without options", nd.clone().with(Vec::new())),
        // One clone less, the same answer.
        dropped("solicitation to the parent's MAC alone", to_parent),
        passes("anycast of routers", Message::ask(anycast), Reason::NotOurs),
        passes("probe for that", Message::probe(anycast), Reason::Probe),
        passes("host's link-local", Message::ask(host), Reason::HostAddress),
        passes("to another group", for_another, Reason::OtherDestination),
        passes("forwarded", forwarded, Reason::HopLimit),
    ];
    let filter = [l2_filter()];
    check(in_modes(&filter, rows.chain(single)));
    let of_arp_alone = L3 | ConfigFlags::L2 | ConfigFlags::L2_DROP_FOREIGN;
    let unfiltered = passes("not filtered", nd, Reason::NotOurs);
    check(in_modes(
        &[of_arp_alone, L3 | ConfigFlags::L2, L3],
        [unfiltered],
    ));
}

#[test]
fn what_the_kernel_answers_is_passed_to_it() {
    let kernel = |name: &str, message: Message| passes(name, message, Reason::LeftToKernel);
    let rows = both(|at| {
        let child = Message::ask(at.child);
        let guarded = child.source(ZERO);
        [
            kernel("for a child", child.clone()),
            kernel("unicast", child.unicast()),
            kernel("probe", Message::probe(at.child)),
            kernel("unowned", Message::ask(at.foreign)),
            kernel("for the host", Message::ask(at.host)),
            kernel("for a down child", Message::ask(at.down)),
            passes("the guard still comes first", guarded, Reason::SenderMac),
            passes("names no MAC", child.naming(ZERO), Reason::SenderMac),
        ]
    });
    check(in_modes(&[l2_flood()], rows));
    // An l2 child in the host's netns.
    let rows = both(|at| {
        let child = Message::ask(at.by_kernel);
        [
            kernel("multicast", child.clone()),
            kernel("unicast", child.unicast()),
            kernel("probe", Message::probe(at.by_kernel)),
        ]
    });
    check(in_modes(&[l2_filter()], rows));
}

#[test]
fn answers_nothing_before_the_first_sync_and_during_a_change() {
    let [ready, _] = config(L3);
    let configs = [
        ("empty config", [Config::default(); 2]),
        ("not ready", config(ConfigFlags::L2)),
        ("to be dropped", config(ConfigFlags::L2_DROP_FOREIGN)),
        ("ND to be dropped", config(ConfigFlags::L2_DROP_FOREIGN_ND)),
        ("new MAC, first copy", [Config::new(OTHER, L3), ready]),
        ("new MAC, second copy", [ready, Config::new(OTHER, L3)]),
        ("new flags", [Config::new(PARENT, l2_filter()), ready]),
        ("ready in one copy", [ready, Config::default()]),
    ];
    let forwarded = Nd {
        hop_limit: 1,
        ..solicitation()
    };
    let messages = both(|at| [Message::ask(at.child), Message::probe(at.child)]);
    check(messages.chain([forwarded.into()]).flat_map(|message| {
        configs.map(|(name, copies)| {
            message
                .passed(name, Program::ALL, Reason::NotReady)
                .config(copies)
        })
    }));
    check(both(|at| {
        let announcement = Message::announcement(at.child);
        [passes("announcement", announcement, Reason::NotReady).config([Config::default(); 2])]
    }));
}

#[test]
fn answers_nothing_after_the_deadline() {
    check(both(|at| {
        let ask = Message::ask(at.child).frame();
        let ask = |name: &str| row(name, Program::ALL, ask.clone()).deadline(1);
        [
            ask("to be answered").passes(Reason::Stale),
            ask("to be dropped")
                .flags(l2_filter())
                .passes(Reason::Stale),
            // Not ready takes precedence over late.
            ask("not ready and late")
                .config([Config::default(); 2])
                .deadline(0)
                .passes(Reason::NotReady),
        ]
    }));
}
