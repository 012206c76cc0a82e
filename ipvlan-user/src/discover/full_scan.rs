//! Full scan: a whole snapshot, read a chunk at a time, so that nothing waits until all of it is read.
//!
//! It shows when it is complete, and not before. What was read anew meanwhile, for a wake, is newer: of
//! these netns the snapshot stays as it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    Changed, DiscoverError, Renewed,
    assemble::{Assembly, Inside},
    dirty::Part,
    dump,
    renew::{Failure, is_alike},
};
use crate::facts::{Child, Netns, NetnsId, Port, Snapshot};

/// A snapshot that is not complete yet.
#[derive(Debug)]
pub(super) struct FullScan {
    /// The netns there were when it began.
    netnses: BTreeMap<NetnsId, Netns>,
    /// Those that are still to be read; the next is the last.
    left: Vec<i32>,
    /// The children of the others; none of a netns that is gone.
    read: BTreeMap<NetnsId, Option<Vec<Child>>>,
    /// Those that were read anew since.
    newer: BTreeSet<NetnsId>,
    /// What is still to be read when the scan is over.
    dirty: BTreeMap<NetnsId, Part>,
    /// Why some netns could not be read.
    pub(super) failures: BTreeMap<NetnsId, Failure>,
    /// The last of these reasons.
    pub(super) failure: Option<DiscoverError>,
    /// How long it took to read each netns.
    took: BTreeMap<NetnsId, Duration>,
}

impl FullScan {
    /// Begins a scan of these netns.
    pub(super) fn new<'a>(netnses: impl Iterator<Item = &'a Netns>) -> Self {
        let netnses: BTreeMap<NetnsId, Netns> =
            netnses.map(|netns| (netns.id, netns.clone())).collect();
        let left = netnses.keys().rev().filter_map(|id| match id {
            NetnsId::Own => None,
            NetnsId::Nsid(nsid) => Some(*nsid),
        });
        Self {
            left: left.collect(),
            netnses,
            read: BTreeMap::new(),
            newer: BTreeSet::new(),
            dirty: BTreeMap::new(),
            failures: BTreeMap::new(),
            failure: None,
            took: BTreeMap::new(),
        }
    }

    /// Gives `snapshot` the netns that it does not know, without children, and their names to all.
    /// Returns the new ones: they are worth reading at once.
    pub(super) fn introduce(&self, snapshot: &mut Snapshot) -> BTreeMap<NetnsId, Part> {
        let mut new = BTreeMap::new();
        for (&id, netns) in &self.netnses {
            match snapshot.netnses.binary_search_by_key(&id, |netns| netns.id) {
                Ok(place) => snapshot.netnses[place].clone_from(netns),
                Err(place) => {
                    snapshot.netnses.insert(place, netns.clone());
                    new.insert(id, Part::Links);
                }
            }
        }
        new
    }

    /// Notes that this part of a netns was read anew.
    pub(super) fn supersede(&mut self, id: NetnsId, part: Part) {
        if matches!(id, NetnsId::Nsid(nsid) if self.left.contains(&nsid)) {
            return;
        }
        self.newer.insert(id);
        // Its links may be as old as when the scan began.
        if self.read.remove(&id).is_some() && part < Part::Links {
            self.dirty.insert(id, Part::Links);
        }
    }

    /// Notes that all of them were.
    pub(super) fn supersede_all(&mut self) {
        self.left.clear();
        self.read.clear();
        self.newer.extend(self.netnses.keys());
    }

    /// Whether all netns but our own are read.
    pub(super) const fn is_read(&self) -> bool {
        self.left.is_empty()
    }

    /// Puts the netns that kept changing back among those that are still to be read.
    pub(super) fn retry(&mut self) {
        for (id, _) in self
            .failures
            .extract_if(.., |_, failure| failure.is_transient)
        {
            self.dirty.remove(&id);
            if let NetnsId::Nsid(nsid) = id {
                self.left.push(nsid);
            }
        }
    }

    /// Reads nothing more. Returns the netns that are not read.
    pub(super) fn give_up(&mut self) -> BTreeSet<NetnsId> {
        let left = std::mem::take(&mut self.left).into_iter();
        self.dirty
            .extend(left.map(|nsid| (NetnsId::Nsid(nsid), Part::Links)));
        self.dirty.keys().copied().collect()
    }

    /// Reads netns until `until`, one at the least; without it all. A netns that cannot be read is left for
    /// later, whatever the reason is.
    pub(super) fn read_until(
        &mut self,
        assembly: &mut Assembly<'_>,
        until: Option<Instant>,
    ) -> Result<(), DiscoverError> {
        while let Some(nsid) = self.left.pop() {
            let id = NetnsId::Nsid(nsid);
            let started = Instant::now();
            let inside = assembly.inside(nsid);
            self.took.insert(id, started.elapsed());
            match inside {
                Ok(Inside::Children(children)) => {
                    self.read.insert(id, Some(children));
                }
                Ok(Inside::Gone) => {
                    self.read.insert(id, None);
                }
                Err(error) if error.is_own() => return Err(error),
                Err(error) => {
                    self.dirty.insert(id, Part::Links);
                    self.failures.insert(id, Failure::from(&error));
                    self.failure = Some(error);
                }
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                break;
            }
        }
        Ok(())
    }

    /// Reads our own netns, and makes `snapshot` what was read.
    pub(super) fn finish(
        mut self,
        mut assembly: Assembly<'_>,
        snapshot: &mut Snapshot,
    ) -> Result<Renewed, DiscoverError> {
        let own_links = dump::own_links(assembly.rtnl)?;
        let own_addresses = dump::own_addresses(assembly.rtnl)?;
        let mut children = assembly.own_children(&own_links, &own_addresses);
        let mut netnses = Vec::new();
        let mut unread = snapshot.unread.clone();
        let mut over_quota = BTreeSet::new();
        let ids: BTreeSet<NetnsId> = self.netnses.keys().chain(&self.newer).copied().collect();
        for id in ids {
            let known = self.netnses.remove(&id);
            if id == NetnsId::Own {
                netnses.extend(known);
                continue;
            }
            match self.read.remove(&id) {
                Some(Some(inside)) => {
                    unread.remove(&id);
                    if inside.iter().any(|child| child.over_quota) {
                        over_quota.insert(id);
                    }
                    children.extend(inside);
                }
                Some(None) => continue,
                None if self.newer.contains(&id) && snapshot.netns(id).is_none() => continue,
                None => children.extend_from_slice(snapshot.children_of(id)),
            }
            netnses.extend(known.or_else(|| snapshot.netns(id).cloned()));
        }
        let links = assembly.links(own_links);
        unread.retain(|id| netnses.iter().any(|netns: &Netns| netns.id == *id));
        let whole = Snapshot {
            unread,
            outdated: snapshot.outdated.clone(),
            host: assembly.host(own_addresses, &links, &children)?,
            links,
            children,
            netnses,
        };
        let renewed = Renewed {
            changed: changed(snapshot, &whole),
            dirty: self.dirty,
            failures: self.failures,
            took: self.took,
            over_quota,
        };
        *snapshot = whole;
        renewed.record_outdated(snapshot, &self.newer);
        Ok(renewed)
    }
}

/// What is different, counters of links and names of netns aside.
fn changed(before: &Snapshot, now: &Snapshot) -> Changed {
    if before.host != now.host || before.links != now.links || ports(before) != ports(now) {
        return Changed::Anything;
    }
    let mut changed = BTreeSet::new();
    let mut of_before = before.children.iter().peekable();
    for child in &now.children {
        let key = |child: &Child| (child.netns, child.ifindex);
        while let Some(gone) = of_before.next_if(|before| key(before) < key(child)) {
            changed.insert(gone.netns);
        }
        let same = of_before.next_if(|before| key(before) == key(child));
        if !same.is_some_and(|before| is_alike(before, child)) {
            changed.insert(child.netns);
        }
    }
    changed.extend(of_before.map(|gone| gone.netns));
    if changed.contains(&NetnsId::Own) {
        Changed::Anything
    } else {
        Changed::Children(changed)
    }
}

/// Settings of the ports, by parent: what they are is decided for all of its children.
fn ports(snapshot: &Snapshot) -> BTreeMap<u32, Vec<Port>> {
    let mut ports = BTreeMap::<_, Vec<_>>::new();
    for child in &snapshot.children {
        let of_parent = ports.entry(child.parent_ifindex).or_default();
        let new = |port: &Port| !of_parent.contains(port);
        of_parent.extend(child.kind.port().filter(new));
    }
    ports
}
