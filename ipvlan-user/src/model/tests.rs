use std::net::IpAddr;

use super::*;
use crate::discover::snapshot::{ChildAddress, Host, HostAddress, OnLinkRoute, ProxyArp};

const PARENT: u32 = 2;
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const HOST: &str = "172.16.91.14";
const GATEWAY: &str = "172.16.91.2";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn cidr(text: &str) -> ChildAddress {
    let (local, prefix_len) = text.split_once('/').unwrap();
    ChildAddress {
        local: address(local),
        peer: None,
        prefix_len: prefix_len.parse().unwrap(),
        flags: 0,
    }
}

fn child(ifindex: u32, addresses: &[&str]) -> Child {
    Child {
        ifindex,
        name: format!("ipvlan{ifindex}"),
        netns: NetnsId::Nsid(i32::try_from(ifindex).unwrap()),
        parent_ifindex: PARENT,
        up: true,
        addresses: addresses.iter().map(|text| cidr(text)).collect(),
        ..Child::default()
    }
}

/// The host of the seeds: ens34 172.16.91.14/24, default via 172.16.91.2.
fn snapshot(children: Vec<Child>) -> Snapshot {
    let host_address = |text: &str, prefix_len, ifindex| HostAddress {
        address: address(text),
        prefix_len,
        ifindex,
        flags: 0,
    };
    Snapshot {
        host: Host {
            addresses: vec![
                host_address("127.0.0.1", 8, 1),
                host_address(HOST, 24, PARENT),
            ],
            gateways: [address(GATEWAY)].into(),
            routes_on_link: vec![OnLinkRoute {
                prefix: address("172.16.91.0"),
                prefix_len: 24,
                oif: PARENT,
                table: 254,
            }],
            ..Host::default()
        },
        links: vec![Link {
            ifindex: PARENT,
            name: "ens34".to_owned(),
            hardware: 1,
            mac: Some(MAC),
            up: true,
            carrier: true,
            ..Link::default()
        }],
        children,
        netnses: Vec::new(),
    }
}

fn decide(snapshot: &Snapshot, policy: Policy) -> Desired {
    desired(snapshot, &snapshot.links[0], policy)
}

#[test]
fn host_and_gateway_are_held_even_without_children() {
    let desired = decide(&snapshot(Vec::new()), Policy::default());
    assert_eq!(
        desired.addresses,
        [
            (v4(GATEWAY), Wanted::Held(Owner::Gateway)),
            (v4(HOST), Wanted::Held(Owner::Host)),
        ]
        .into()
    );
    assert_eq!(desired.config, Config::new(MAC, ConfigFlags::READY));
    assert_eq!(desired.port, None);
}

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
        ("2001:db8::10/64", Some(Reason::NotReady)),
    ];
    for (text, refusal) in rows {
        let desired = decide(&snapshot(vec![child(7, &[text])]), Policy::default());
        let view = &desired.children[0].addresses[0];
        assert_eq!(view.refusal, refusal, "{text}");
        let IpAddr::V4(address) = view.address else {
            continue;
        };
        match (desired.addresses[&address], refusal) {
            (Wanted::Held(Owner::Host), Some(Reason::HostAddress)) => {}
            (
                Wanted::Child {
                    refusal: wanted, ..
                },
                _,
            ) => assert_eq!(wanted, refusal, "{text}"),
            (wanted, _) => panic!("{text}: {wanted:?}"),
        }
    }
}

#[test]
fn children_are_refused_while_they_or_the_parent_are_down() {
    let mut down = child(7, &["172.16.91.101/24"]);
    down.up = false;
    let mut snapshot = snapshot(vec![down, child(8, &["172.16.91.102/24"])]);
    let refusals = |snapshot: &Snapshot| {
        decide(snapshot, Policy::default())
            .children
            .iter()
            .map(|child| child.addresses[0].refusal)
            .collect::<Vec<_>>()
    };
    assert_eq!(refusals(&snapshot), [Some(Reason::ChildDown), None]);
    snapshot.links[0].up = false;
    assert_eq!(
        refusals(&snapshot),
        [Some(Reason::ChildDown), Some(Reason::ParentDown)]
    );
}

#[test]
fn peer_address_is_shown_as_refused_and_kept_out_of_the_map() {
    let mut child = child(7, &["10.9.9.1/32"]);
    child.addresses[0].peer = Some(address("10.9.9.2"));
    let desired = decide(&snapshot(vec![child]), Policy::default());
    assert_eq!(
        desired.children[0].addresses[0].refusal,
        Some(Reason::PeerAddress)
    );
    assert_eq!(desired.addresses.len(), 2, "host and gateway only");
}

#[test]
fn link_local_address_is_answered_when_asked_for() {
    let policy = Policy {
        answer_link_local: true,
        ..Policy::default()
    };
    let desired = decide(&snapshot(vec![child(7, &["169.254.3.4/16"])]), policy);
    assert_eq!(desired.children[0].addresses[0].refusal, None);
}

#[test]
fn children_of_other_parents_are_not_ours() {
    let mut other = child(7, &["172.16.91.101/24"]);
    other.parent_ifindex = PARENT + 1;
    let desired = decide(&snapshot(vec![other]), Policy::default());
    assert!(desired.children.is_empty());
    assert!(!desired.addresses.contains_key(&v4("172.16.91.101")));
}

#[test]
fn child_in_the_hosts_netns_holds_its_address_as_a_child() {
    let mut own = child(7, &["192.168.1.1/24"]);
    own.netns = NetnsId::Own;
    let mut snapshot = snapshot(vec![own]);
    snapshot.host.addresses.push(HostAddress {
        address: address("192.168.1.1"),
        prefix_len: 24,
        ifindex: 7,
        flags: 0,
    });
    let desired = decide(&snapshot, Policy::default());
    assert_eq!(desired.children[0].addresses[0].refusal, None);
    assert_eq!(
        desired.egress,
        EgressProgram::OwnMac,
        "the host reaches it locally"
    );
}

#[test]
fn live_child_wins_over_one_that_is_refused() {
    let mut down = child(7, &["172.16.91.101/24"]);
    down.up = false;
    let live = child(8, &["172.16.91.101/24"]);
    for children in [vec![down.clone(), live.clone()], vec![live, down]] {
        let desired = decide(&snapshot(children), Policy::default());
        assert!(matches!(
            desired.addresses[&v4("172.16.91.101")],
            Wanted::Child {
                child: ChildKey { ifindex: 8, .. },
                refusal: None,
                ..
            }
        ));
    }
}

#[test]
fn egress_looks_packets_up_only_for_children_the_host_routes_elsewhere() {
    let rows: [(&[&str], EgressProgram); 4] = [
        (&[], EgressProgram::OwnMac),
        (&["172.16.91.101/24"], EgressProgram::OwnMac),
        (&["10.0.1.10/24"], EgressProgram::Routed),
        // Refused, so there is nothing to turn around.
        (&["169.254.3.4/16"], EgressProgram::OwnMac),
    ];
    for (addresses, program) in rows {
        let desired = decide(&snapshot(vec![child(7, addresses)]), Policy::default());
        assert_eq!(desired.egress, program, "{addresses:?}");
    }
}

#[test]
fn only_children_in_the_hosts_netns_outside_l3s_are_redirected() {
    use IngressProgram::{Demux, Neighbour};
    let rows = [
        (Deliver::Auto, NetnsId::Own, Mode::L3, Neighbour),
        (Deliver::Pass, NetnsId::Own, Mode::L3, Neighbour),
        (Deliver::Redirect, NetnsId::Own, Mode::L2, Demux),
        (Deliver::Redirect, NetnsId::Own, Mode::L3, Demux),
        (Deliver::Redirect, NetnsId::Own, Mode::L3s, Neighbour),
        (Deliver::Redirect, NetnsId::Nsid(1), Mode::L3, Neighbour),
    ];
    for (deliver, netns, mode, program) in rows {
        let mut child = child(7, &["172.16.91.101/24"]);
        child.netns = netns;
        child.mode = mode;
        let policy = Policy {
            deliver,
            ..Policy::default()
        };
        let desired = decide(&snapshot(vec![child]), policy);
        assert_eq!(desired.ingress, program, "{deliver:?} {netns:?} {mode:?}");
    }
}

#[test]
fn requests_for_l2_children_in_the_hosts_netns_are_left_to_the_kernel() {
    let rows = [
        (NetnsId::Own, Mode::L2, true),
        (NetnsId::Own, Mode::L3, false),
        (NetnsId::Nsid(1), Mode::L2, false),
    ];
    for (netns, mode, by_kernel) in rows {
        let mut child = child(7, &["172.16.91.101/24"]);
        child.netns = netns;
        child.mode = mode;
        let desired = decide(&snapshot(vec![child]), Policy::default());
        let entry = desired.addresses[&v4("172.16.91.101")].entry(|_| 0);
        assert_eq!(entry.by_kernel(), by_kernel, "{netns:?} {mode:?}");
        assert_eq!(entry.refusal(), None);
    }
}

#[test]
fn flags_follow_mode_flag_and_policy() {
    let ready = ConfigFlags::READY;
    let vepa = ConfigFlags::VEPA | ConfigFlags::CHECK_SOURCE;
    let l2 = ConfigFlags::L2;
    let drop = ConfigFlags::L2_DROP_FOREIGN;
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
            ready,
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
            ready | l2 | drop | ConfigFlags::CHECK_SOURCE,
        ),
        (
            Mode::L2,
            PortFlag::Vepa,
            L2Broadcast::Filter,
            on_link,
            ready | l2 | drop | vepa,
        ),
    ];
    for (mode, flag, l2_broadcast, text, flags) in rows {
        let mut child = child(7, &[text]);
        child.mode = mode;
        child.flag = flag;
        let policy = Policy {
            l2_broadcast,
            ..Policy::default()
        };
        let desired = decide(&snapshot(vec![child]), policy);
        assert_eq!(
            desired.config,
            Config::new(MAC, flags),
            "{mode:?} {flag:?} {l2_broadcast:?} {text}"
        );
    }
}

#[test]
fn nothing_is_dropped_where_the_host_may_answer_for_others() {
    type Change = fn(&mut Host);
    let rows: [(&str, Change); 3] = [
        ("proxy ARP", |host| {
            host.proxy_arp.insert(
                PARENT,
                ProxyArp {
                    proxy_arp: true,
                    pvlan: false,
                },
            );
        }),
        ("proxy neighbours", |host| host.proxy_neighbours = true),
        ("local prefixes", |host| {
            host.local_prefixes.push((address("10.7.0.0"), 16));
        }),
    ];
    for (what, change) in rows {
        let mut child = child(7, &["172.16.91.101/24"]);
        child.mode = Mode::L2;
        let mut snapshot = snapshot(vec![child]);
        change(&mut snapshot.host);
        let desired = decide(&snapshot, Policy::default());
        assert!(!desired.config.has(ConfigFlags::L2_DROP_FOREIGN), "{what}");
        assert!(
            desired.notes.iter().any(|note| note.contains(what)),
            "{what}"
        );
    }
}
