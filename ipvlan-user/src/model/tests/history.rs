//! The order of events decides who has the address of a next hop, and what a netns keeps within its quota.

use super::{super::conflict::Conflict, *};
use crate::protocol::ConflictKind;

/// A parent that is decided about again and again, and the maps that hold what was decided.
#[derive(Default)]
struct Served {
    history: History,
    last: Desired,
    installed: BTreeMap<IpAddr, AddressEntry>,
}

impl Served {
    fn with_quota(quota: usize) -> Self {
        let mut served = Self::default();
        served.history.set_quota(quota);
        served
    }

    fn follow(&mut self, snapshot: &Snapshot, policy: &Policy) {
        let link = &snapshot.links[0];
        self.history
            .update(snapshot, link, policy, &self.last, &self.installed);
        self.last = desired_after(&self.history, snapshot, link, policy, &BTreeMap::new());
        let written = self.last.addresses.iter();
        self.installed = written
            .map(|(&address, wanted)| (address, wanted.entry(|_| 0)))
            .collect();
    }

    /// The agent ends, and another one adopts its maps.
    fn restart(&mut self) {
        self.history = History::default();
        self.last = Desired::default();
    }

    fn refusal(&self, ifindex: u32) -> Option<Reason> {
        let views = self.last.children.iter();
        let mut views = views.filter(|view| view.key.ifindex == ifindex);
        views.next().unwrap().addresses[0].refusal
    }
}

const FAMILIES: [&str; 3] = ["172.16.91.50/24", "2001:db8:91::50/64", "fe80::50/64"];

/// A host with a route through this address, and these children.
fn routed(text: &str, children: Vec<Child>) -> Snapshot {
    let mut snapshot = snapshot(children);
    snapshot.host.gateways.insert(Gateway {
        address: cidr(text).local,
        oif: Some(PARENT),
    });
    snapshot
}

const TAKEN: Option<Reason> = Some(Reason::GatewayAddress);

#[test]
fn child_that_had_the_address_before_the_route_keeps_it_and_is_named() {
    for text in FAMILIES {
        for restarts in [false, true] {
            let mut served = Served::default();
            let children = || vec![child(7, &[text])];
            served.follow(&snapshot(children()), &Policy::default());
            if restarts {
                // The route is added while no agent runs.
                served.restart();
            }
            for _ in 0..2 {
                served.follow(&routed(text, children()), &Policy::default());
                assert_eq!(served.refusal(7), None, "{text} {restarts}");
                let wanted = served.last.addresses[&cidr(text).local];
                assert!(wanted.entry(|_| 0).is_live_child());
                let conflict = Conflict {
                    address: cidr(text).local,
                    child: key(7),
                    rival: Rival::NextHop,
                };
                assert_eq!(conflict.kind(), ConflictKind::NextHop);
                assert_eq!(served.last.conflicts, [conflict].into());
                // And over another restart.
                served.restart();
            }
        }
    }
}

#[test]
fn child_that_takes_the_address_after_the_route_is_refused() {
    for text in FAMILIES {
        for restarts in [false, true] {
            let mut served = Served::default();
            served.follow(&routed(text, Vec::new()), &Policy::default());
            if restarts {
                served.restart();
            }
            for _ in 0..2 {
                served.follow(&routed(text, vec![child(7, &[text])]), &Policy::default());
                assert_eq!(served.refusal(7), TAKEN, "{text}");
                served.restart();
            }
        }
    }
}

#[test]
fn a_netns_that_is_read_only_after_the_start_keeps_what_was_decided() {
    let policy = Policy::default();
    for text in FAMILIES {
        let children = || vec![child(7, &[text])];
        for (before, refusal) in [
            (snapshot(children()), None),
            (routed(text, children()), TAKEN),
            (snapshot(Vec::new()), TAKEN),
        ] {
            let mut served = Served::default();
            served.follow(&before, &policy);
            served.follow(&routed(text, before.children.clone()), &policy);
            served.restart();
            let netns = child(7, &[text]).netns;
            let mut unread = routed(text, Vec::new());
            unread.unread.insert(netns);
            for _ in 0..2 {
                served.follow(&unread, &policy);
                assert!(served.last.children.is_empty());
            }
            served.follow(&routed(text, children()), &policy);
            assert_eq!(served.refusal(7), refusal, "{text} {before:?}");
            // Only there: not in another netns that was read at the start.
            if refusal.is_none() {
                served.restart();
                let mut other = child(7, &[text]);
                other.netns = NetnsId::Nsid(99);
                unread.children.clear();
                served.follow(&unread, &policy);
                served.follow(&routed(text, vec![other]), &policy);
                assert_eq!(served.refusal(7), TAKEN, "{text}");
            }
        }
    }
}

#[test]
fn address_that_changes_children_is_the_gateways() {
    for text in FAMILIES {
        let mut served = Served::default();
        let policy = Policy::default();
        served.follow(&snapshot(vec![child(7, &[text])]), &policy);
        served.follow(&routed(text, vec![child(7, &[text])]), &policy);
        assert_eq!(served.refusal(7), None);
        // Another child, also one with the same ifindex in its own netns.
        let mut other = child(7, &[text]);
        other.netns = NetnsId::Nsid(99);
        served.follow(&routed(text, vec![other.clone()]), &policy);
        assert_eq!(served.refusal(7), TAKEN);
        // Or the same child, which gave it up meanwhile.
        let mut served = Served::default();
        served.follow(&snapshot(vec![child(7, &[text])]), &policy);
        served.follow(&routed(text, vec![child(7, &[])]), &policy);
        served.follow(&routed(text, vec![child(7, &[text])]), &policy);
        assert_eq!(served.refusal(7), TAKEN);
        // Within one sync, with the route.
        let mut served = Served::default();
        served.follow(&snapshot(vec![child(7, &[text])]), &policy);
        served.follow(&routed(text, vec![other]), &policy);
        assert_eq!(served.refusal(7), TAKEN);
    }
}

#[test]
fn route_that_is_replaced_does_not_leave_its_next_hop_to_a_child_that_took_it() {
    for text in FAMILIES {
        for restarts in [false, true] {
            let mut served = Served::default();
            let policy = Policy::default();
            let children = || vec![child(7, &[text])];
            served.follow(&routed(text, children()), &policy);
            assert_eq!(served.refusal(7), TAKEN);
            if restarts {
                served.restart();
            }
            served.follow(&snapshot(children()), &policy);
            assert_eq!(served.refusal(7), None, "no route says anything of it");
            served.follow(&routed(text, children()), &policy);
            assert_eq!(served.refusal(7), TAKEN, "{text} {restarts}");
        }
    }
}

#[test]
fn next_hop_that_is_down_for_a_while_stays_the_childs() {
    let text = FAMILIES[0];
    let mut served = Served::default();
    let policy = Policy::default();
    served.follow(&snapshot(vec![child(7, &[text])]), &policy);
    let mut down = child(7, &[text]);
    down.up = false;
    served.follow(&routed(text, vec![down]), &policy);
    assert_eq!(served.refusal(7), Some(Reason::ChildDown));
    served.follow(&routed(text, vec![child(7, &[text])]), &policy);
    assert_eq!(served.refusal(7), None);
}

#[test]
fn address_that_was_never_answered_or_is_probed_is_not_established() {
    let text = FAMILIES[0];
    let policy = Policy::default();
    let mut down = child(7, &[text]);
    down.up = false;
    let mut served = Served::default();
    served.follow(&snapshot(vec![down]), &policy);
    served.follow(&routed(text, vec![child(7, &[text])]), &policy);
    assert_eq!(served.refusal(7), TAKEN);

    let mut served = Served::default();
    served.follow(&snapshot(vec![child(7, &[text])]), &policy);
    for entry in served.installed.values_mut() {
        *entry = entry.with_probed();
    }
    served.follow(&routed(text, vec![child(7, &[text])]), &policy);
    assert_eq!(served.refusal(7), TAKEN);
}

#[test]
fn rule_of_the_operator_makes_a_child_a_next_hop_whatever_came_first() {
    for text in FAMILIES {
        let policy = Policy {
            rules: vec![Rule {
                next_hop: true,
                ..Rule::default()
            }],
            ..Policy::default()
        };
        let mut served = Served::default();
        served.follow(&routed(text, vec![child(7, &[text])]), &policy);
        assert_eq!(served.refusal(7), None, "{text}");
        // The host's own addresses are the host's all the same.
        let mut served = Served::default();
        let held = "172.16.91.14/24";
        served.follow(&routed(held, vec![child(7, &[held])]), &policy);
        assert_eq!(served.refusal(7), Some(Reason::HostAddress));
    }
}

fn kept(served: &Served) -> BTreeSet<IpAddr> {
    let addresses = served.last.children.iter().flat_map(|it| &it.addresses);
    let kept = addresses.filter(|it| it.refusal != Some(Reason::OverQuota));
    kept.map(|it| it.address).collect()
}

fn set(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| cidr(text).local).collect()
}

#[test]
fn netns_over_its_quota_keeps_what_it_had_and_takes_no_room_for_the_rest() {
    const A: &str = "172.16.91.101/24";
    const B: &str = "172.16.91.102/24";
    const C: &str = "172.16.91.103/24";
    const D: &str = "2001:db8:91::104/64";
    let policy = Policy::default();
    let mut served = Served::with_quota(2);
    served.follow(&snapshot(vec![child(7, &[B, C])]), &policy);
    assert_eq!(kept(&served), set(&[B, C]));
    assert!(served.last.exceeded().is_empty());
    // What is new comes first in the dump.
    for restarts in [false, true] {
        if restarts {
            served.restart();
            served.history.set_quota(2);
        }
        served.follow(&snapshot(vec![child(7, &[D, A, B, C])]), &policy);
        assert_eq!(kept(&served), set(&[B, C]), "{restarts}");
        assert!(!served.last.addresses.contains_key(&cidr(A).local));
        let exceeded = [((key(7).netns, QuotaKind::Addresses), 2)];
        assert_eq!(served.last.exceeded(), exceeded.into());
    }
    // One that goes makes room for the first in the dump.
    served.follow(&snapshot(vec![child(7, &[D, A, B])]), &policy);
    assert_eq!(kept(&served), set(&[B, D]));
    // Another netns has a quota of its own, and the host's netns has none.
    let all = vec![
        own_child(6, &[C, "172.16.91.110/24", "172.16.91.111/24"]),
        child(8, &[A]),
    ];
    served.follow(&snapshot(all), &policy);
    assert!(served.last.exceeded().is_empty());
}
