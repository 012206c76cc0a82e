//! Who holds an address.

use super::*;

#[test]
fn host_and_gateway_are_held_even_without_children() {
    let desired = usual(&snapshot(Vec::new()));
    assert_eq!(
        desired.addresses,
        [
            (address(GATEWAY), DesiredEntry::Gateway),
            (address(GATEWAY_V6), DesiredEntry::Gateway),
            (address(HOST), host()),
            (address(HOST_V6), host()),
            (address(HOST_LINK_LOCAL), host()),
        ]
        .into()
    );
    assert_eq!(desired.config, Config::new(MAC, ConfigFlags::READY));
    assert_eq!(desired.port, None);
}

#[test]
fn host_is_advertised_as_its_own_kernel_would() {
    const TENTATIVE: u32 = libc::IFA_F_TENTATIVE;
    // Flags of the address, whether the parent forwards; whether it is optimistic, and why it is refused.
    let rows = [
        (0, false, false, None),
        (0, true, false, None),
        (libc::IFA_F_OPTIMISTIC | TENTATIVE, false, true, None),
        (TENTATIVE, true, false, Some(Reason::Tentative)),
        (
            libc::IFA_F_DADFAILED | TENTATIVE,
            false,
            false,
            Some(Reason::DadFailed),
        ),
    ];
    for (flags, router, optimistic, refusal) in rows {
        let mut snapshot = snapshot(Vec::new());
        snapshot.links[0].forwarding = router;
        for it in &mut snapshot.host.addresses {
            it.flags = flags;
        }
        let wanted = DesiredEntry::Host {
            router,
            optimistic,
            refusal,
            answered_to: AnsweredTo::All,
            watched: true,
        };
        let desired = usual(&snapshot);
        assert_eq!(desired.addresses[&address(HOST_V6)], wanted, "{flags:#x}");
        let entry = entry(&desired, HOST_V6);
        assert_eq!(entry.owner(), Some(ipvlan_common::Owner::Host));
        assert_eq!(
            (entry.router(), entry.optimistic(), entry.refusal()),
            (router, optimistic, refusal)
        );
    }
}

#[test]
fn link_local_addresses_are_of_the_links_on_this_lan_only() {
    const OTHER: u32 = 9;
    // Which link has it, and whether it counts.
    let rows = [
        (Link::default(), Some(PARENT), true),
        (upper(OTHER, "macvlan"), Some(OTHER), true),
        (upper(OTHER, "vlan"), Some(OTHER), false),
        (
            Link {
                ifindex: OTHER,
                ..Link::default()
            },
            Some(OTHER),
            false,
        ),
        (Link::default(), None, true),
    ];
    for (link, ifindex, counts) in rows {
        let what = format!("{link:?} {ifindex:?}");
        let mut with_gateway = snapshot(vec![child(7, &["fe80::99/64"])]);
        with_gateway.links.push(link);
        let mut with_host = with_gateway.clone();
        with_gateway.host.gateways.insert(Gateway {
            address: address("fe80::99"),
            oif: ifindex,
        });
        let expected = counts.then_some(Reason::GatewayAddress);
        assert_eq!(refusal(&usual(&with_gateway)), expected, "{what}");
        let Some(ifindex) = ifindex else { continue };
        let held = host_address("fe80::99/64", ifindex);
        with_host.host.addresses.push(held);
        let expected = counts.then_some(Reason::HostAddress);
        assert_eq!(refusal(&usual(&with_host)), expected, "{what}");
    }
}

#[test]
fn host_that_is_its_own_gateway_answers() {
    let mut snapshot = snapshot(Vec::new());
    for text in [HOST, HOST_V6] {
        snapshot.host.gateways.insert(gateway(text, PARENT));
    }
    let desired = usual(&snapshot);
    for text in [HOST, HOST_V6] {
        assert_eq!(desired.addresses[&address(text)], host());
    }
}

#[test]
fn of_an_address_on_two_links_the_one_on_the_parent_says_what_is_advertised() {
    let on = |ifindex, flags| HostAddress {
        flags,
        ..host_address("2001:db8:91::77/64", ifindex)
    };
    let tentative = libc::IFA_F_TENTATIVE;
    let rows = [
        ([on(PARENT, 0), on(9, tentative)], None),
        ([on(9, tentative), on(PARENT, 0)], None),
        ([on(9, 0), on(PARENT, tentative)], Some(Reason::Tentative)),
    ];
    for (held, refusal) in rows {
        let mut snapshot = snapshot(Vec::new());
        snapshot.host.addresses.extend(held);
        let entry = entry(&usual(&snapshot), "2001:db8:91::77");
        assert_eq!(entry.refusal(), refusal);
    }
}

#[test]
fn global_addresses_are_the_hosts_on_whatever_link() {
    for text in ["2001:db8:7::1/64", "10.7.0.1/24"] {
        let mut snapshot = snapshot(vec![child(7, &[text])]);
        snapshot.host.addresses.push(host_address(text, 9));
        assert_eq!(refusal(&usual(&snapshot)), Some(Reason::HostAddress));
    }
}

#[test]
fn child_in_the_hosts_netns_holds_its_address_as_a_child() {
    for text in ["192.168.1.1/24", "2001:db8:1::1/64", "fe80::7/64"] {
        let mut snapshot = snapshot(vec![own_child(7, &[text])]);
        snapshot.links.push(upper(7, "ipvlan"));
        snapshot.host.addresses.push(host_address(text, 7));
        let desired = usual(&snapshot);
        assert_eq!(refusal(&desired), None, "{text}");
        assert_eq!(
            desired.egress,
            EgressProgram::OwnMac,
            "the host reaches it locally"
        );
    }
}

#[test]
fn live_child_wins_over_one_that_is_refused_and_the_first_of_two_live_ones() {
    for text in [CHILD, CHILD_V6, "fe80::101/64"] {
        let (live, later) = (child(8, &[text]), child(9, &[text]));
        let mut down = child(7, &[text]);
        down.up = false;
        for children in [
            vec![down.clone(), live.clone(), later.clone()],
            vec![live, later, down],
        ] {
            let desired = usual(&snapshot(children));
            let wanted = desired.addresses[&cidr(text).local];
            assert_eq!(wanted.child(), Some(key(8)), "{text}");
            assert!(matches!(wanted, DesiredEntry::Child { refusal: None, .. }));
        }
    }
}

#[test]
fn children_of_other_parents_are_not_ours() {
    let mut other = child(7, &[CHILD]);
    other.parent_ifindex = PARENT + 1;
    let desired = usual(&snapshot(vec![other]));
    assert!(desired.children.is_empty());
    assert!(!desired.addresses.contains_key(&address("172.16.91.101")));
}
