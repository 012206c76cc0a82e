//! The same decision again, for some children only.
//!
//! Where nothing but the children of some netns changed, what is decided about all others stays. Of
//! the children looked at, only the addresses that differ from before are decided anew, so that one
//! more address costs the same however many there are. The result is what [`super::desired`] would
//! give, which a test holds against it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Range,
};

use ipvlan_common::Reason;

use super::{
    AddressView, ChildKey, ChildView, Conflict, Desired, DesiredEntry, History, Policy, Rival,
    child::Rules,
    conflict::{self, claimed},
    owners::{Owners, own_children},
};
use crate::facts::{Link, NetnsId, Snapshot};

/// What a revision changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// Addresses that were decided anew; all that changed are among them.
    pub addresses: BTreeSet<IpAddr>,
    /// Children came, went, or changed.
    pub children: bool,
    /// Conflicts came or went.
    pub conflicts: bool,
}

/// How many of the children that were looked at anew have an address.
#[derive(Default)]
struct Claims {
    before: usize,
    now: usize,
    wanted: Option<DesiredEntry>,
}

impl Revision {
    /// Adds what a later revision changed.
    pub fn extend(&mut self, later: Self) {
        self.addresses.extend(later.addresses);
        self.children |= later.children;
        self.conflicts |= later.conflicts;
    }
}

struct Revise<'a> {
    desired: &'a mut Desired,
    rules: &'a Rules<'a>,
    claims: BTreeMap<IpAddr, Claims>,
    revision: Revision,
}

impl Desired {
    /// Makes it what is desired now, where `snapshot` differs from the one it was decided by in the
    /// children of these netns only, our own not among them. Of other netns the same addresses are withheld
    /// as before.
    pub fn revise(
        &mut self,
        history: &History,
        snapshot: &Snapshot,
        parent: &Link,
        policy: &Policy,
        netnses: &BTreeSet<NetnsId>,
        withheld: &BTreeMap<IpAddr, Reason>,
    ) -> Revision {
        let owners = Owners::new(snapshot, parent, &own_children(snapshot, parent));
        let rules = Rules {
            snapshot,
            owners: &owners,
            parent,
            policy,
            withheld,
            history,
        };
        let mut revise = Revise {
            desired: self,
            rules: &rules,
            claims: BTreeMap::new(),
            revision: Revision::default(),
        };
        for &netns in netnses {
            revise.look_at(snapshot, netns);
        }
        let mut revision = revise.decide();
        if self.has_neighbours(snapshot, parent) {
            let all =
                conflict::conflicts(snapshot, parent, &owners, &self.children, &self.addresses);
            revision.conflicts |= all != self.conflicts;
            self.conflicts = all;
        }
        self.apply_programs(snapshot, parent, policy);
        revision
    }

    /// Whether other parents have children, or had when conflicts were last looked for.
    fn has_neighbours(&self, snapshot: &Snapshot, parent: &Link) -> bool {
        let mut children = snapshot.children.iter();
        let mut conflicts = self.conflicts.iter();
        children.any(|child| child.parent_ifindex != parent.ifindex)
            || conflicts.any(|conflict| matches!(conflict.rival, Rival::OtherParent { .. }))
    }
}

impl Revise<'_> {
    /// Takes the children of a netns as they are now. What only they say changes at once; who has an
    /// address of theirs is decided when all were looked at.
    fn look_at(&mut self, snapshot: &Snapshot, netns: NetnsId) {
        let now = self.children(snapshot, netns);
        let views = &mut self.desired.children;
        let start = views.partition_point(|view| view.key.netns < netns);
        let end = views.partition_point(|view| view.key.netns <= netns);
        let looked_at = start..start + now.len();
        let before = if now.len() == end - start {
            let mut before = now;
            views[start..end].swap_with_slice(&mut before);
            before
        } else {
            views.splice(start..end, now).collect()
        };
        let mut before = before.iter().peekable();
        for index in looked_at {
            let key = self.desired.children[index].key;
            while let Some(gone) = before.next_if(|before| before.key < key) {
                self.compare(Some(gone), None);
            }
            let same = before.next_if(|before| before.key == key);
            self.compare(same, Some(index));
        }
        for gone in before {
            self.compare(Some(gone), None);
        }
    }

    fn children(&self, snapshot: &Snapshot, netns: NetnsId) -> Vec<ChildView> {
        let rules = self.rules;
        let mut views: Vec<ChildView> = snapshot
            .children_of(netns)
            .iter()
            .filter(|child| child.parent_ifindex == rules.parent.ifindex)
            .map(|child| rules.child(child))
            .collect();
        rules.history.limit(snapshot, rules.policy, &mut views);
        views
    }

    /// Notes what is different of a child, as it was and as the view with this index is.
    fn compare(&mut self, before: Option<&ChildView>, now: Option<usize>) {
        let Desired {
            children,
            conflicts,
            answered,
            ..
        } = &mut *self.desired;
        let now = now.map(|index| &children[index]);
        let is_same = before.zip(now).is_some_and(|(a, b)| a.is_alike(b));
        self.revision.children |= !is_same;
        let addresses =
            |view: Option<&ChildView>| view.map_or(0..0, |view| 0..view.addresses.len());
        let (mut of_before, mut of_now) = (addresses(before), addresses(now));
        if let (Some(before), Some(now), true) = (before, now, is_same) {
            (of_before, of_now) = differing(&before.addresses, &now.addresses);
        }
        for (view, it) in before
            .into_iter()
            .flat_map(|view| of(view, of_before.clone()))
        {
            *answered -= usize::from(it.refusal.is_none());
            for conflict in conflicts_of(conflicts, it.address, view.key) {
                conflicts.remove(&conflict);
                self.revision.conflicts = true;
            }
            let claims = self.claims.entry(it.address).or_default();
            claims.before += usize::from(it.is_claim());
        }
        for (view, it) in now.into_iter().flat_map(|view| of(view, of_now.clone())) {
            *answered += usize::from(it.refusal.is_none());
            if let Some(rival) = claimed(it, self.rules.owners) {
                conflicts.insert(Conflict {
                    address: it.address,
                    child: view.key,
                    rival,
                });
                self.revision.conflicts = true;
            }
            let claims = self.claims.entry(it.address).or_default();
            if it.is_claim() {
                claims.now += 1;
                claims.wanted = Some(view.desired_entry(it));
            }
        }
    }

    /// Decides who has the addresses that differ.
    fn decide(mut self) -> Revision {
        let mut contested = BTreeSet::new();
        for (&address, claims) in &self.claims {
            let owner = self.rules.owners.desired_entry(address);
            if matches!(owner, Some(DesiredEntry::Host { .. })) {
                continue;
            }
            let before = self.desired.addresses.get(&address);
            let before = usize::from(matches!(before, Some(DesiredEntry::Child { .. })));
            let untouched = before.saturating_sub(claims.before);
            if self.desired.contested.contains(&address) || untouched + claims.now > 1 {
                contested.insert(address);
            } else if untouched == 0 {
                self.desired.set(address, claims.wanted.or(owner));
            }
        }
        if !contested.is_empty() {
            self.resolve(&contested);
        }
        self.revision.addresses.extend(self.claims.into_keys());
        self.revision
    }

    /// Decides the owners of these addresses among all children.
    fn resolve(&mut self, contested: &BTreeSet<IpAddr>) {
        let mut claims = BTreeMap::<IpAddr, Vec<(ChildKey, AddressView, DesiredEntry)>>::new();
        for view in &self.desired.children {
            for it in view.addresses.iter().filter(|it| it.is_claim()) {
                if contested.contains(&it.address) {
                    let claim = (view.key, it.clone(), view.desired_entry(it));
                    claims.entry(it.address).or_default().push(claim);
                }
            }
        }
        for &address in contested {
            let claims = claims.remove(&address).unwrap_or_default();
            let mut owner = self.rules.owners.desired_entry(address);
            for &(_, _, wanted) in &claims {
                if owner.is_none_or(|owner| wanted.outranks(owner)) {
                    owner = Some(wanted);
                }
            }
            self.desired.set(address, owner);
            if claims.len() > 1 {
                self.desired.contested.insert(address);
            } else {
                self.desired.contested.remove(&address);
            }
            let conflicts = &mut self.desired.conflicts;
            for &(child, _, _) in &claims {
                for conflict in conflicts_of(conflicts, address, child) {
                    if matches!(conflict.rival, Rival::Sibling(_)) {
                        conflicts.remove(&conflict);
                    }
                }
            }
            for (key, view, _) in &claims {
                if let Some(rival) = conflict::sibling(view, *key, &self.desired.addresses) {
                    conflicts.insert(Conflict {
                        address,
                        child: *key,
                        rival,
                    });
                }
            }
            self.revision.conflicts = true;
        }
    }
}

/// Those of a view's addresses, with the view.
fn of(
    view: &ChildView,
    addresses: Range<usize>,
) -> impl Iterator<Item = (&ChildView, &AddressView)> {
    view.addresses[addresses].iter().map(move |it| (view, it))
}

/// The conflicts that a child is in for an address.
fn conflicts_of(conflicts: &BTreeSet<Conflict>, address: IpAddr, child: ChildKey) -> Vec<Conflict> {
    let first = Conflict {
        address,
        child,
        rival: Rival::Host { ifindex: 0 },
    };
    conflicts
        .range(first..)
        .take_while(|it| it.address == address && it.child == child)
        .copied()
        .collect()
}

/// Where two lists differ: all between what they begin and what they end with alike. An address that is
/// there and elsewhere in the list as well makes all of it differ.
fn differing(before: &[AddressView], now: &[AddressView]) -> (Range<usize>, Range<usize>) {
    let alike = |(a, b): &(&AddressView, &AddressView)| a == b;
    let head = before.iter().zip(now).take_while(alike).count();
    let (left, right) = (before[head..].iter().rev(), now[head..].iter().rev());
    let tail = left.zip(right).take_while(alike).count();
    let (before_end, now_end) = (before.len() - tail, now.len() - tail);
    let differing: BTreeSet<IpAddr> = before[head..before_end]
        .iter()
        .chain(&now[head..now_end])
        .map(|it| it.address)
        .collect();
    let mut alike = before[..head].iter().chain(&before[before_end..]);
    if differing.is_empty() || !alike.any(|it| differing.contains(&it.address)) {
        (head..before_end, head..now_end)
    } else {
        (0..before.len(), 0..now.len())
    }
}
