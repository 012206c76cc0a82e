//! The switches of a parent, and the notes about them.

use super::*;
use crate::facts::{AnycastAddress, Master, PortFlag};

#[test]
fn flags_follow_mode_flag_and_policy() {
    let ready = ConfigFlags::READY;
    let vepa = ConfigFlags::VEPA | ConfigFlags::ISOLATED;
    let l2 = ConfigFlags::L2 | ConfigFlags::DHCP;
    let drop = ConfigFlags::L2_DROP_FOREIGN | ConfigFlags::L2_DROP_FOREIGN_ND;
    let on_link = "172.16.91.101/24";
    let off_link = "10.0.1.10/24";
    let rows = [
        (
            Mode::L3,
            PortFlag::Bridge,
            L2Broadcast::Filter,
            on_link,
            ready,
        ),
        (
            Mode::L3s,
            PortFlag::Private,
            L2Broadcast::Filter,
            on_link,
            ready | ConfigFlags::ISOLATED,
        ),
        (
            Mode::L3,
            PortFlag::Private,
            L2Broadcast::Filter,
            on_link,
            ready | ConfigFlags::ISOLATED,
        ),
        (
            Mode::L2,
            PortFlag::Private,
            L2Broadcast::Filter,
            on_link,
            ready | l2 | drop | ConfigFlags::ISOLATED | ConfigFlags::CHILD_IIF,
        ),
        (
            Mode::L3,
            PortFlag::Vepa,
            L2Broadcast::Filter,
            on_link,
            ready | vepa,
        ),
        (
            Mode::L2,
            PortFlag::Bridge,
            L2Broadcast::Filter,
            on_link,
            ready | l2 | drop,
        ),
        (
            Mode::L2,
            PortFlag::Bridge,
            L2Broadcast::Flood,
            on_link,
            ready | l2 | ConfigFlags::L2_FLOOD,
        ),
        (
            Mode::L2,
            PortFlag::Bridge,
            L2Broadcast::Filter,
            off_link,
            ready | l2 | drop | ConfigFlags::ISOLATED,
        ),
        (
            Mode::L2,
            PortFlag::Vepa,
            L2Broadcast::Filter,
            on_link,
            ready | l2 | drop | vepa | ConfigFlags::CHILD_IIF,
        ),
    ];
    for (mode, flag, l2_broadcast, text, flags) in rows {
        let mut child = child(7, &[text]);
        child.kind = Kind::Ipvlan(Port { mode, flag });
        let policy = Policy {
            l2_broadcast,
            // Without it no off-link address attracts packets.
            allow: vec!["0.0.0.0/0".parse().unwrap()],
            ..Policy::default()
        };
        let desired = decide(&snapshot(vec![child]), &policy);
        assert_eq!(
            desired.config,
            Config::new(MAC, flags),
            "{mode:?} {flag:?} {l2_broadcast:?} {text}"
        );
    }
}

#[test]
fn dhcp_requests_of_l2_children_alone_are_changed_and_not_with_the_option_off() {
    for mode in [Mode::L2, Mode::L3, Mode::L3s] {
        for flag in [PortFlag::Bridge, PortFlag::Private, PortFlag::Vepa] {
            for dhcp in [Dhcp::Auto, Dhcp::Off] {
                // A child that asks has no address yet.
                let mut child = child(7, &[]);
                child.kind = Kind::Ipvlan(Port { mode, flag });
                let policy = Policy {
                    dhcp,
                    ..Policy::default()
                };
                let desired = decide(&snapshot(vec![child]), &policy);
                assert_eq!(
                    desired.config.has(ConfigFlags::DHCP),
                    mode == Mode::L2 && dhcp == Dhcp::Auto,
                    "{mode:?} {flag:?} {dhcp:?}"
                );
            }
        }
    }
    let desired = decide(&snapshot(Vec::new()), &Policy::default());
    assert!(!desired.config.has(ConfigFlags::DHCP));
}

#[test]
fn nothing_is_dropped_where_the_host_may_answer_for_others() {
    type Change = fn(&mut Host);
    // What changes, whether unknown targets are still dropped: of ARP, of solicitations.
    let rows: [(&str, Change, bool, bool); 5] = [
        ("", |_| {}, true, true),
        (
            "proxy ARP",
            |host| {
                let proxy_arp = ProxyArp {
                    proxy_arp: true,
                    pvlan: false,
                };
                host.proxy_arp.insert(PARENT, proxy_arp);
            },
            false,
            true,
        ),
        (
            "proxy neighbours",
            |host| host.proxy_neighbours = true,
            false,
            false,
        ),
        (
            "local prefixes",
            |host| host.local_prefixes.push((address("10.7.0.0"), 16)),
            false,
            true,
        ),
        (
            "local IPv6 prefixes",
            |host| host.local_prefixes.push((address("2001:db8:7::"), 64)),
            true,
            false,
        ),
    ];
    for (what, change, arp, nd) in rows {
        let mut child = child(7, &["172.16.91.101/24"]);
        child.kind = ipvlan(Mode::L2);
        let mut snapshot = snapshot(vec![child]);
        change(&mut snapshot.host);
        let desired = usual(&snapshot);
        let drops = |flag| desired.config.has(flag);
        assert_eq!(drops(ConfigFlags::L2_DROP_FOREIGN), arp, "{what}");
        assert_eq!(drops(ConfigFlags::L2_DROP_FOREIGN_ND), nd, "{what}");
        let notes = &desired.notes;
        assert_eq!(notes.len(), usize::from(!what.is_empty()), "{notes:?}");
        assert!(notes.iter().all(|note| note.contains(what)), "{notes:?}");
    }
}

/// A child's own kernel answers in l2, so a request for an address that the agent does not know yet must reach it.
#[test]
fn nothing_is_dropped_while_addresses_of_children_may_be_unknown() {
    const OTHER: NetnsId = NetnsId::Nsid(9);
    const PARENT_2: u32 = PARENT + 1;
    type Change = fn(&mut Snapshot);
    // What is not known, and whether requests for unknown addresses are still dropped.
    let rows: [(&str, Change, bool); 4] = [
        (
            "not read yet",
            |it| {
                it.unread.insert(OTHER);
            },
            false,
        ),
        (
            "not read again, with a child of this parent",
            |it| {
                it.outdated.insert(it.children[0].netns);
            },
            false,
        ),
        (
            "not read again, with a child of another parent",
            |it| {
                it.children.push(Child {
                    netns: OTHER,
                    parent_ifindex: PARENT_2,
                    ..child(8, &["10.9.0.1/24"])
                });
                it.outdated.insert(OTHER);
            },
            true,
        ),
        (
            "never read, and not waited for any more",
            |it| {
                it.unread.insert(OTHER);
                it.give_up_unread();
            },
            false,
        ),
    ];
    for (what, change, drops) in rows {
        let mut child = child(7, &["172.16.91.101/24"]);
        child.kind = ipvlan(Mode::L2);
        let mut snapshot = snapshot(vec![child]);
        change(&mut snapshot);
        let desired = usual(&snapshot);
        for flag in [
            ConfigFlags::L2_DROP_FOREIGN,
            ConfigFlags::L2_DROP_FOREIGN_ND,
        ] {
            assert_eq!(desired.config.has(flag), drops, "{what}");
        }
        assert_eq!(desired.notes.len(), usize::from(!drops), "{what}");
    }
}

#[test]
fn anycast_addresses_that_do_not_look_like_one_are_never_dropped_for() {
    let rows = [
        ("2001:db8:91::", PARENT, true),
        ("fe80::", PARENT, true),
        // Of a /120, and one that a program joined.
        ("2001:db8:91::1:0", PARENT, false),
        ("2001:db8:91::fdff:ffff:ffff:fffe", PARENT, false),
        ("2001:db8:91::1:0", PARENT + 1, true),
    ];
    for (text, ifindex, drops) in rows {
        let mut child = child(7, &["2001:db8:91::101/64"]);
        child.kind = ipvlan(Mode::L2);
        let mut snapshot = snapshot(vec![child]);
        snapshot.host.anycast.push(AnycastAddress {
            address: address(text),
            ifindex,
        });
        let desired = usual(&snapshot);
        let flag = ConfigFlags::L2_DROP_FOREIGN_ND;
        assert_eq!(desired.config.has(flag), drops, "{text}");
        assert!(desired.config.has(ConfigFlags::L2_DROP_FOREIGN), "{text}");
        assert_eq!(desired.notes.is_empty(), drops, "{:?}", desired.notes);
        // Other routers have it too.
        assert!(!desired.addresses.contains_key(&address(text)));
    }
}

#[test]
fn a_parent_in_a_vrf_does_not_know_what_it_received() {
    for (kind, flag) in [
        (Some("vrf"), ConfigFlags::VRF),
        (Some("bond"), ConfigFlags::default()),
        (None, ConfigFlags::default()),
    ] {
        let mut snapshot = snapshot(vec![child(7, &["172.16.91.101/24"])]);
        snapshot.links[0].master = kind.map(|kind| Master {
            ifindex: 90,
            kind: Some(kind.to_owned()),
        });
        let desired = usual(&snapshot);
        assert_eq!(
            desired.config,
            Config::new(MAC, ConfigFlags::READY | flag),
            "{kind:?}"
        );
    }
}
