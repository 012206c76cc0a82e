//! Why an address of a child is not answered for.

use super::*;

#[test]
fn addresses_are_refused_for_what_is_wrong_with_them() {
    let rows = [
        ("172.16.91.101/24", None),
        ("10.0.1.10/24", None),
        ("10.0.1.255/32", None),
        ("10.0.1.1/31", None),
        ("172.16.91.14/24", Some(Reason::HostAddress)),
        ("172.16.91.2/24", Some(Reason::GatewayAddress)),
        ("172.16.91.255/32", Some(Reason::TargetBroadcast)),
        ("10.0.1.255/24", Some(Reason::TargetBroadcast)),
        ("255.255.255.255/32", Some(Reason::TargetBroadcast)),
        ("224.0.0.5/32", Some(Reason::TargetMulticast)),
        ("127.0.0.1/8", Some(Reason::TargetLoopback)),
        ("127.9.9.9/32", Some(Reason::TargetLoopback)),
        ("0.0.0.0/32", Some(Reason::TargetUnspecified)),
        ("0.1.2.3/32", Some(Reason::TargetUnspecified)),
        ("169.254.3.4/16", Some(Reason::TargetLinkLocal)),
        ("2001:db8:91::101/64", None),
        ("2001:db8:7::10/64", None),
        ("fd00::10/64", None),
        ("fe80::10/64", None),
        // No broadcast in IPv6.
        ("2001:db8:91::ffff:ffff:ffff:ffff/64", None),
        ("2001:db8:91::14/64", Some(Reason::HostAddress)),
        ("fe80::14/64", Some(Reason::HostAddress)),
        ("fe80::2/64", Some(Reason::GatewayAddress)),
        ("ff02::1/128", Some(Reason::TargetMulticast)),
        ("ff05::2:3/64", Some(Reason::TargetMulticast)),
        ("::1/128", Some(Reason::TargetLoopback)),
        ("::/128", Some(Reason::TargetUnspecified)),
        ("::ffff:10.0.0.1/128", Some(Reason::TargetV4Mapped)),
    ];
    for (text, reason) in rows {
        let desired = usual(&snapshot(vec![child(7, &[text])]));
        assert_eq!(refusal(&desired), reason, "{text}");
        match (desired.addresses[&cidr(text).local], reason) {
            (DesiredEntry::Host { .. }, Some(Reason::HostAddress)) => {}
            (DesiredEntry::Child { refusal, .. }, _) => assert_eq!(refusal, reason, "{text}"),
            (wanted, _) => panic!("{text}: {wanted:?}"),
        }
    }
}

#[test]
fn directed_broadcasts_of_the_parents_lan_alone_are_refused() {
    const OTHER: u32 = 9;
    // A tunnel; a macvlan on the parent; a VLAN of it, which is a LAN of its own.
    let rows = [
        ("wireguard", None),
        ("macvlan", Some(Reason::TargetBroadcast)),
        ("vlan", None),
    ];
    for (kind, expected) in rows {
        let mut snapshot = snapshot(vec![child(7, &["172.16.91.103/24"])]);
        let mut link = upper(OTHER, kind);
        if kind == "wireguard" {
            link.lower = None;
        }
        snapshot.links.push(link);
        let overlapping = host_address("172.16.91.101/30", OTHER);
        snapshot.host.addresses.push(overlapping);
        assert_eq!(refusal(&usual(&snapshot)), expected, "{kind}");
    }
}

#[test]
fn children_are_refused_while_they_or_the_parent_are_down() {
    let mut down = child_in(Mode::L3);
    down.up = false;
    let live = child(8, &["172.16.91.102/24", "2001:db8:91::102/64"]);
    let mut snapshot = snapshot(vec![down, live]);
    let refusals = |snapshot: &Snapshot| {
        let children = usual(snapshot).children.into_iter();
        let views = children.flat_map(|child| child.addresses);
        views.map(|view| view.refusal).collect::<Vec<_>>()
    };
    let (child, parent) = (Some(Reason::ChildDown), Some(Reason::ParentDown));
    assert_eq!(refusals(&snapshot), [child, child, None, None]);
    snapshot.links[0].up = false;
    assert_eq!(refusals(&snapshot), [child, child, parent, parent]);
}

#[test]
fn child_that_is_silent_by_its_settings_is_not_answered_for() {
    for mode in [Mode::L2, Mode::L3, Mode::L3s] {
        for (arp, expected) in [
            (Arp::All, [None, None, None]),
            (Arp::NotOfHostScope, [None, Some(Reason::Silent), None]),
            (
                Arp::OnlyIpv6,
                [Some(Reason::Silent), Some(Reason::Silent), None],
            ),
            (Arp::None, [Some(Reason::Silent); 3]),
        ] {
            let addresses = ["172.16.91.99/24", "172.16.91.98/32", "2001:db8:91::99/64"];
            let mut child = child(7, &addresses);
            (child.kind, child.arp) = (ipvlan(mode), arp);
            child.addresses[1].scope = libc::RT_SCOPE_HOST;
            let desired = usual(&snapshot(vec![child]));
            let views = &desired.children[0].addresses;
            let found: Vec<_> = views.iter().map(|view| view.refusal).collect();
            assert_eq!(found, expected, "{mode:?} {arp:?}");
            let entry = entry(&desired, "172.16.91.98");
            // Another station that uses the address is no conflict.
            assert_eq!(entry.is_watched(), arp == Arp::All);
        }
    }
}

#[test]
fn addresses_are_refused_until_the_child_itself_may_use_them() {
    const TENTATIVE: u32 = libc::IFA_F_TENTATIVE;
    const FAILED: u32 = TENTATIVE | libc::IFA_F_DADFAILED;
    use Reason::{ChildDown, DadFailed, Tentative};
    let rows = [
        (0, true, None, false),
        (TENTATIVE, true, Some(Tentative), false),
        (TENTATIVE | libc::IFA_F_OPTIMISTIC, true, None, true),
        (libc::IFA_F_OPTIMISTIC, true, None, true),
        (FAILED, true, Some(DadFailed), false),
        (
            FAILED | libc::IFA_F_OPTIMISTIC,
            true,
            Some(DadFailed),
            false,
        ),
        // What `keep_addr_on_down` keeps is tentative.
        (TENTATIVE, false, Some(ChildDown), false),
        (FAILED, false, Some(DadFailed), false),
    ];
    for (flags, up, reason, optimistic) in rows {
        let mut child = child(7, &[CHILD_V6]);
        child.addresses[0].flags = flags;
        child.up = up;
        let desired = usual(&snapshot(vec![child]));
        assert_eq!(refusal(&desired), reason, "{flags:#x} {up}");
        let entry = entry(&desired, "2001:db8:91::101");
        assert_eq!(entry.optimistic(), optimistic, "{flags:#x} {up}");
    }
}

#[test]
fn what_the_lan_says_comes_last() {
    for reason in [Reason::Probing, Reason::Duplicate] {
        for text in [CHILD, CHILD_V6] {
            let withheld = BTreeMap::from([(cidr(text).local, reason)]);
            let live = snapshot(vec![child(7, &[text]), child(8, &["172.16.91.102/24"])]);
            let mut down = live.clone();
            down.children[0].up = false;
            let denied = Policy {
                deny: vec![text.split_once('/').unwrap().0.parse().unwrap()],
                ..Policy::default()
            };
            for (snapshot, policy, expected) in [
                (&live, &Policy::default(), reason),
                (&down, &Policy::default(), Reason::ChildDown),
                (&live, &denied, Reason::Denied),
            ] {
                let desired = desired(snapshot, &snapshot.links[0], policy, &withheld);
                assert_eq!(refusal(&desired), Some(expected), "{text}");
                assert_eq!(desired.children[1].addresses[0].refusal, None);
            }
        }
    }
}

#[test]
fn the_user_narrows_what_is_answered_and_never_widens_it() {
    let policy = Policy {
        allow: vec!["172.16.91.0/24".parse().unwrap()],
        deny: vec!["172.16.91.128/25".parse().unwrap()],
        ..Policy::default()
    };
    let rows = [
        ("172.16.91.101/24", None),
        ("172.16.91.201/24", Some(Reason::Denied)),
        ("10.0.1.10/24", Some(Reason::NotAllowed)),
        ("fe80::10/64", None),
        ("2001:db8:91::101/64", Some(Reason::NotAllowed)),
        ("172.16.91.14/24", Some(Reason::HostAddress)),
        ("fe80::2/64", Some(Reason::GatewayAddress)),
    ];
    for (text, reason) in rows {
        let desired = decide(&snapshot(vec![child(7, &[text])]), &policy);
        assert_eq!(refusal(&desired), reason, "{text}");
        let is_noted = desired.notes.iter().any(|note| note.contains("::/0"));
        assert!(is_noted, "{:?}", desired.notes);
    }
}

#[test]
fn peer_address_is_refused_in_ipv4_where_the_driver_delivers_the_peers() {
    for (local, peer, reason) in [
        ("10.9.9.1/32", "10.9.9.2", Some(Reason::PeerAddress)),
        ("2001:db8:9::1/128", "2001:db8:9::2", None),
    ] {
        let mut child = child(7, &[local]);
        child.addresses[0].peer = Some(address(peer));
        let desired = usual(&snapshot(vec![child]));
        assert_eq!(refusal(&desired), reason);
        let is_in_map = desired.addresses.contains_key(&cidr(local).local);
        assert_eq!(is_in_map, reason.is_none(), "{local}");
        assert!(!desired.addresses.contains_key(&address(peer)), "{peer}");
    }
}

#[test]
fn link_local_ipv4_address_is_answered_when_asked_for() {
    let policy = Policy {
        answer_link_local: true,
        ..Policy::default()
    };
    let desired = decide(&snapshot(vec![child(7, &["169.254.3.4/16"])]), &policy);
    assert_eq!(refusal(&desired), None);
}
