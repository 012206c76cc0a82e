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
        self.installed = written(&self.last);
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

/// The child that has the address, if one does.
#[derive(Clone, Copy, Debug)]
enum Holder {
    NoChild,
    Child,
    /// The child is there, without the address.
    Without,
    Down,
    /// A child with the same ifindex in another netns.
    Other,
}

impl Holder {
    fn children(self, text: &str) -> Vec<Child> {
        let mut child = child(7, &[text]);
        match self {
            Self::NoChild => return Vec::new(),
            Self::Child => {}
            Self::Without => child.addresses.clear(),
            Self::Down => child.up = false,
            Self::Other => child.netns = NetnsId::Nsid(99),
        }
        vec![child]
    }
}

/// What an agent follows.
#[derive(Clone, Copy, Debug)]
enum Step {
    Alone(Holder),
    /// There is a route through the address.
    Routed(Holder),
    /// There is, and the child's netns cannot be read yet.
    Unread,
    /// What the maps have is being probed.
    Probing,
    /// The agent ends, and another one adopts its maps.
    Restart,
}

impl Step {
    fn follow(self, served: &mut Served, text: &str) {
        let mut seen = match self {
            Self::Alone(holder) => snapshot(holder.children(text)),
            Self::Routed(holder) => routed(text, holder.children(text)),
            Self::Unread => routed(text, Vec::new()),
            Self::Probing => {
                let entries = served.installed.values_mut();
                return entries.for_each(|entry| *entry = entry.with_probed());
            }
            Self::Restart => return served.restart(),
        };
        if matches!(self, Self::Unread) {
            seen.unread.insert(key(7).netns);
        }
        served.follow(&seen, &Policy::default());
    }
}

#[test]
fn a_child_has_the_address_of_a_next_hop_only_if_it_held_it_before_the_route_and_since() {
    use Holder::{Child, Down, NoChild, Other, Without};
    use Step::{Alone, Probing, Restart, Routed, Unread};
    let rows: [(&[Step], Option<Reason>); 21] = [
        (&[Alone(Child), Routed(Child)], None),
        // The route is added while no agent runs.
        (&[Alone(Child), Restart, Routed(Child)], None),
        (&[Alone(Child), Routed(Child), Restart, Routed(Child)], None),
        (&[Routed(Child)], TAKEN),
        (&[Routed(NoChild), Routed(Child)], TAKEN),
        (&[Routed(NoChild), Restart, Routed(Child)], TAKEN),
        (
            &[Routed(NoChild), Routed(Child), Restart, Routed(Child)],
            TAKEN,
        ),
        // Down for a while it stays the child's.
        (&[Alone(Child), Routed(Down)], Some(Reason::ChildDown)),
        (&[Alone(Child), Routed(Down), Routed(Child)], None),
        // Another child, at any time, and one that gave it up meanwhile.
        (&[Alone(Child), Routed(Child), Routed(Other)], TAKEN),
        (&[Alone(Child), Routed(Other)], TAKEN),
        (&[Alone(Child), Routed(Without), Routed(Child)], TAKEN),
        // A route that is replaced does not leave its next hop to a child that took it.
        (&[Routed(Child), Alone(Child)], None),
        (&[Routed(Child), Alone(Child), Routed(Child)], TAKEN),
        (
            &[Routed(Child), Restart, Alone(Child), Routed(Child)],
            TAKEN,
        ),
        // What was never answered or is probed is not established.
        (&[Alone(Down), Routed(Child)], TAKEN),
        (&[Alone(Child), Probing, Routed(Child)], TAKEN),
        // A netns that is read only after the start keeps what was decided, and no other netns gets it.
        (
            &[
                Alone(Child),
                Routed(Child),
                Restart,
                Unread,
                Unread,
                Routed(Child),
            ],
            None,
        ),
        (
            &[Routed(Child), Restart, Unread, Unread, Routed(Child)],
            TAKEN,
        ),
        (
            &[Routed(NoChild), Restart, Unread, Unread, Routed(Child)],
            TAKEN,
        ),
        (
            &[Alone(Child), Routed(Child), Restart, Unread, Routed(Other)],
            TAKEN,
        ),
    ];
    for text in FAMILIES {
        let conflict = Conflict {
            address: cidr(text).local,
            child: key(7),
            rival: Rival::NextHop,
        };
        assert_eq!(conflict.kind(), ConflictKind::NextHop);
        for (steps, refusal) in rows {
            let mut served = Served::default();
            for step in steps {
                step.follow(&mut served, text);
            }
            assert_eq!(served.refusal(7), refusal, "{text} {steps:?}");
            if refusal.is_none() {
                let entry = served.last.addresses[&cidr(text).local].entry(|_| 0);
                assert!(entry.is_live_child(), "{text} {steps:?}");
                // It is named while there is the route.
                let is_routed = matches!(steps, [.., Routed(_)]);
                let named = is_routed.then_some(conflict).into_iter().collect();
                assert_eq!(served.last.conflicts, named, "{text} {steps:?}");
            }
        }
    }
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
