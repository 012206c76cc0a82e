//! The switches of a parent, and the notes about them.

use super::*;
use crate::facts::{AnycastAddress, Master, PortFlag};

/// What is decided about one child with this port.
fn decided(mode: Mode, flag: PortFlag, addresses: &[&str], policy: &Policy) -> Desired {
    let mut child = child(7, addresses);
    child.kind = Kind::Ipvlan(Port { mode, flag });
    decide(&snapshot(vec![child]), policy)
}

#[test]
fn flags_follow_mode_flag_and_policy() {
    use Mode::{L2, L3, L3s};
    use PortFlag::{Bridge, Private, Vepa};
    const OFF_LINK: &str = "10.0.1.10/24";
    let none = ConfigFlags::default();
    let (isolated, container) = (ConfigFlags::ISOLATED, ConfigFlags::CHILD_IIF);
    let vepa = ConfigFlags::VEPA | isolated;
    let filter = ConfigFlags::L2
        | ConfigFlags::DHCP
        | ConfigFlags::L2_DROP_FOREIGN
        | ConfigFlags::L2_DROP_FOREIGN_ND;
    let flood = ConfigFlags::L2 | ConfigFlags::DHCP | ConfigFlags::L2_FLOOD;
    let rows = [
        (L3, Bridge, L2Broadcast::Filter, CHILD, none),
        (L3s, Private, L2Broadcast::Filter, CHILD, isolated),
        (L3, Private, L2Broadcast::Filter, CHILD, isolated),
        (L3, Vepa, L2Broadcast::Filter, CHILD, vepa),
        (L2, Bridge, L2Broadcast::Filter, CHILD, filter),
        (L2, Bridge, L2Broadcast::Flood, CHILD, flood),
        (
            L2,
            Private,
            L2Broadcast::Filter,
            CHILD,
            filter | isolated | container,
        ),
        (
            L2,
            Vepa,
            L2Broadcast::Filter,
            CHILD,
            filter | vepa | container,
        ),
        (L2, Bridge, L2Broadcast::Filter, OFF_LINK, filter | isolated),
    ];
    for row in rows {
        let (mode, flag, l2_broadcast, text, flags) = row;
        let policy = Policy {
            l2_broadcast,
            // Without it no off-link address attracts packets.
            ..allowing(&["0.0.0.0/0"])
        };
        let config = Config::new(MAC, ConfigFlags::READY | flags);
        assert_eq!(
            decided(mode, flag, &[text], &policy).config,
            config,
            "{row:?}"
        );
    }
}

#[test]
fn dhcp_requests_of_l2_children_alone_are_changed_and_not_with_the_option_off() {
    for mode in [Mode::L2, Mode::L3, Mode::L3s] {
        for flag in [PortFlag::Bridge, PortFlag::Private, PortFlag::Vepa] {
            for dhcp in [Dhcp::Auto, Dhcp::Off] {
                let policy = Policy {
                    dhcp,
                    ..Policy::default()
                };
                // A child that asks has no address yet.
                let found = decided(mode, flag, &[], &policy)
                    .config
                    .has(ConfigFlags::DHCP);
                let expected = mode == Mode::L2 && dhcp == Dhcp::Auto;
                assert_eq!(found, expected, "{mode:?} {flag:?} {dhcp:?}");
            }
        }
    }
    let desired = decide(&snapshot(Vec::new()), &Policy::default());
    assert!(!desired.config.has(ConfigFlags::DHCP));
}

/// Returns whether requests, and solicitations, for unknown addresses are dropped.
fn drops(desired: &Desired) -> [bool; 2] {
    [
        ConfigFlags::L2_DROP_FOREIGN,
        ConfigFlags::L2_DROP_FOREIGN_ND,
    ]
    .map(|it| desired.config.has(it))
}

/// A child's own kernel answers in l2, so a request for an address that the agent does not know yet must reach it.
#[test]
fn nothing_is_dropped_where_the_host_may_answer_for_others_or_addresses_of_children_may_be_unknown()
{
    const OTHER: NetnsId = NetnsId::Nsid(9);
    type Change = fn(&mut Snapshot);
    // What changes, whether requests and solicitations are still dropped, and what is noted.
    let rows: [(Change, [bool; 2], &str); 9] = [
        (|_| {}, [true, true], ""),
        (
            |it| {
                let proxy_arp = ProxyArp {
                    proxy_arp: true,
                    pvlan: false,
                };
                it.host.proxy_arp.insert(PARENT, proxy_arp);
            },
            [false, true],
            "proxy ARP",
        ),
        (
            |it| it.host.proxy_neighbours = true,
            [false, false],
            "proxy neighbours",
        ),
        (
            |it| it.host.local_prefixes.push((address("10.7.0.0"), 16)),
            [false, true],
            "local prefixes",
        ),
        (
            |it| it.host.local_prefixes.push((address("2001:db8:7::"), 64)),
            [true, false],
            "local IPv6 prefixes",
        ),
        (
            |it| it.unread = [OTHER].into(),
            [false, false],
            "a netns cannot be read",
        ),
        // It has a child of this parent.
        (
            |it| it.outdated = [it.children[0].netns].into(),
            [false, false],
            "a netns cannot be read",
        ),
        (
            |it| {
                it.children.push(Child {
                    netns: OTHER,
                    parent_ifindex: PARENT + 1,
                    ..child(8, &["10.9.0.1/24"])
                });
                it.outdated.insert(OTHER);
            },
            [true, true],
            "",
        ),
        (
            |it| {
                it.unread.insert(OTHER);
                it.give_up_unread();
            },
            [false, false],
            "a netns cannot be read",
        ),
    ];
    for (index, (change, dropped, noted)) in rows.into_iter().enumerate() {
        let mut snapshot = snapshot(vec![child_in(Mode::L2)]);
        change(&mut snapshot);
        let desired = usual(&snapshot);
        assert_eq!(drops(&desired), dropped, "row {index}");
        let notes = &desired.notes;
        assert_eq!(notes.len(), usize::from(!noted.is_empty()), "{notes:?}");
        assert!(notes.iter().all(|note| note.contains(noted)), "{notes:?}");
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
    for (text, ifindex, dropped) in rows {
        let mut snapshot = snapshot(vec![child_in(Mode::L2)]);
        snapshot.host.anycast.push(AnycastAddress {
            address: address(text),
            ifindex,
        });
        let desired = usual(&snapshot);
        assert_eq!(drops(&desired), [true, dropped], "{text}");
        assert_eq!(desired.notes.is_empty(), dropped, "{:?}", desired.notes);
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
        let mut snapshot = snapshot(vec![child(7, &[CHILD])]);
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
