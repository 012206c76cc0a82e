//! Parts of a snapshot, read anew.
//!
//! All that is asked for is read before anything is changed. A dump of our own netns that fails changes
//! nothing; one of another netns that fails leaves that netns as it was and the others in step.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    DiscoverError,
    assemble::{Assembly, Held, Inside, by_link},
    dirty::Part,
    dump,
};
use crate::facts::{Child, Host, Link, Netns, NetnsId, Snapshot};

/// What is different from the snapshot before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Children of these netns, or their addresses, and nothing else.
    Children(BTreeSet<NetnsId>),
    /// Anything.
    Anything,
}

impl Default for Changed {
    /// Nothing.
    fn default() -> Self {
        Self::Children(BTreeSet::new())
    }
}

/// What came of reading anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// What is different.
    pub changed: Changed,
    /// What could not be read, and is as it was: still to be read anew.
    pub dirty: BTreeMap<NetnsId, Part>,
    /// Why each of them could not be read.
    pub failures: BTreeMap<NetnsId, Failure>,
    /// How long it took to read each netns but our own.
    pub took: BTreeMap<NetnsId, Duration>,
    /// Those of them that hold more than their quota of addresses.
    pub over_quota: BTreeSet<NetnsId>,
}

impl Renewed {
    /// Records which netns are [`Snapshot::outdated`]. Those in `except` are left as they are.
    pub(super) fn record_outdated(&self, snapshot: &mut Snapshot, except: &BTreeSet<NetnsId>) {
        for id in self.took.keys().filter(|id| !except.contains(id)) {
            match self.failures.get(id) {
                None => {
                    snapshot.outdated.remove(id);
                }
                Some(failure) => {
                    if !failure.is_transient && !snapshot.children_of(*id).is_empty() {
                        snapshot.outdated.insert(*id);
                    }
                }
            }
        }
        let Snapshot {
            outdated, netnses, ..
        } = snapshot;
        outdated.retain(|id| netnses.iter().any(|netns| netns.id == *id));
    }
}

/// Why a netns could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The error and its causes.
    pub text: String,
    /// It kept changing while it was read: another try may well succeed.
    pub is_transient: bool,
}

impl From<&DiscoverError> for Failure {
    fn from(error: &DiscoverError) -> Self {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Self {
            text,
            is_transient: error.is_transient(),
        }
    }
}

/// What was read of one netns.
enum Fresh {
    Addresses(Held),
    Children(Vec<Child>),
    /// There is no such netns any more.
    Gone,
}

impl Fresh {
    fn is_over_quota(&self) -> bool {
        match self {
            Self::Addresses(held) => held.over_quota,
            Self::Children(children) => children.iter().any(|child| child.over_quota),
            Self::Gone => false,
        }
    }
}

/// What was read of our own netns, beside its children.
struct Own {
    host: Host,
    links: Option<Vec<Link>>,
}

impl Assembly<'_> {
    /// Reads these parts of `snapshot` anew. `None`, and an unchanged snapshot, if what they show does
    /// not go together with the rest: then everything has to be read.
    pub(super) fn renew(
        &mut self,
        snapshot: &mut Snapshot,
        parts: &BTreeMap<NetnsId, Part>,
    ) -> Result<Option<Renewed>, DiscoverError> {
        let mut fresh = Vec::with_capacity(parts.len());
        let mut own = None;
        let mut renewed = Renewed::default();
        for (&netns, &part) in parts {
            let started = Instant::now();
            let read = match netns {
                NetnsId::Own => {
                    let (read, of_host) = self.read_own(snapshot, part)?;
                    own = Some(of_host);
                    read
                }
                NetnsId::Nsid(nsid) => {
                    let read = self.read_other(snapshot, nsid, part);
                    renewed.took.insert(netns, started.elapsed());
                    if let Err(error) = &read
                        && !error.is_own()
                    {
                        renewed.dirty.insert(netns, Part::Links);
                        renewed.failures.insert(netns, Failure::from(error));
                        continue;
                    }
                    read?
                }
            };
            if let Fresh::Children(children) = &read
                && !fit(snapshot, netns, children)
            {
                return Ok(None);
            }
            if read.is_over_quota() {
                renewed.over_quota.insert(netns);
            }
            fresh.push((netns, read));
        }
        let mut is_host_changed = false;
        if let Some(Own { host, links }) = own {
            is_host_changed = replace(&mut snapshot.host, host);
            if let Some(links) = links {
                is_host_changed |= replace(&mut snapshot.links, links);
            }
        }
        let mut changed = BTreeSet::new();
        for (netns, read) in fresh {
            if apply(snapshot, netns, read) {
                changed.insert(netns);
            }
        }
        renewed.changed = if is_host_changed {
            Changed::Anything
        } else {
            Changed::Children(changed)
        };
        // After a failure links are read: addresses alone show no new child.
        let in_part = parts.iter().filter_map(|(&id, &part)| {
            let is_read = part == Part::Addresses && !renewed.failures.contains_key(&id);
            is_read.then_some(id)
        });
        renewed.record_outdated(snapshot, &in_part.collect());
        Ok(Some(renewed))
    }

    fn read_own(&mut self, snapshot: &Snapshot, part: Part) -> Result<(Fresh, Own), DiscoverError> {
        let rows = match part {
            Part::Links => Some(dump::own_links(self.rtnl)?),
            Part::Addresses => None,
        };
        let addresses = dump::own_addresses(self.rtnl)?;
        let (read, links) = if let Some(rows) = rows {
            let children = self.own_children(&rows, &addresses);
            (Fresh::Children(children), Some(self.links(rows)))
        } else {
            let held = Held {
                addresses: by_link(&addresses),
                over_quota: false,
            };
            (Fresh::Addresses(held), None)
        };
        let host = self.host(
            addresses,
            links.as_deref().unwrap_or(&snapshot.links),
            &snapshot.children,
        )?;
        Ok((read, Own { host, links }))
    }

    fn read_other(
        &mut self,
        snapshot: &Snapshot,
        nsid: i32,
        part: Part,
    ) -> Result<Fresh, DiscoverError> {
        Ok(match part {
            Part::Addresses => {
                let children = snapshot.children_of(NetnsId::Nsid(nsid)).iter();
                self.held(nsid, &children.map(|child| child.ifindex).collect())?
                    .map_or(Fresh::Gone, Fresh::Addresses)
            }
            Part::Links => match self.inside(nsid)? {
                Inside::Children(children) => Fresh::Children(children),
                Inside::Gone => Fresh::Gone,
            },
        })
    }
}

/// Whether these children of a netns go together with those of all others: the settings of a port are
/// the same for all, and the settings of their parents are known.
fn fit(snapshot: &Snapshot, netns: NetnsId, children: &[Child]) -> bool {
    let ports: BTreeMap<u32, _> = children
        .iter()
        .filter_map(|child| Some((child.parent_ifindex, child.kind.port()?)))
        .collect();
    let fits = |child: &Child| {
        ports
            .get(&child.parent_ifindex)
            .is_none_or(|&port| child.kind.port().is_none_or(|of| of == port))
    };
    let mut others = snapshot
        .children
        .iter()
        .filter(|child| child.netns != netns);
    let mut parents = ports.keys();
    parents.all(|parent| snapshot.host.proxy_arp.contains_key(parent))
        && children.iter().all(fits)
        && others.all(fits)
}

/// Returns whether anything is different, counters of links aside.
fn apply(snapshot: &mut Snapshot, netns: NetnsId, fresh: Fresh) -> bool {
    let among = snapshot.place_of(netns);
    let place = snapshot
        .netnses
        .binary_search_by_key(&netns, |netns| netns.id);
    let children = match fresh {
        Fresh::Addresses(mut held) => {
            let mut is_changed = false;
            for child in &mut snapshot.children[among] {
                let now = held.addresses.remove(&child.ifindex).unwrap_or_default();
                is_changed |= replace(&mut child.addresses, now);
                is_changed |= replace(&mut child.over_quota, held.over_quota);
            }
            return is_changed;
        }
        Fresh::Children(children) => {
            if let Err(place) = place {
                let id = netns;
                let netns = Netns {
                    id,
                    ..Netns::default()
                };
                snapshot.netnses.insert(place, netns);
            }
            children
        }
        Fresh::Gone => {
            if let Ok(place) = place {
                snapshot.netnses.remove(place);
            }
            Vec::new()
        }
    };
    snapshot.unread.remove(&netns);
    let before = &snapshot.children[among.clone()];
    let is_changed = before.len() != children.len()
        || before
            .iter()
            .zip(&children)
            .any(|(before, now)| !is_alike(before, now));
    snapshot.children.splice(among, children);
    is_changed
}

/// Whether they differ in nothing but their counters and aliases, which decide nothing.
pub(super) fn is_alike(before: &Child, now: &Child) -> bool {
    let Child {
        ifindex,
        name,
        netns,
        parent_ifindex,
        kind,
        up,
        arp,
        forwarding_v4,
        forwarding,
        mac,
        addresses,
        stats: _,
        over_quota,
        alias: _,
    } = before;
    (*ifindex, *netns, *parent_ifindex, *kind)
        == (now.ifindex, now.netns, now.parent_ifindex, now.kind)
        && (*up, *forwarding, *mac, *over_quota)
            == (now.up, now.forwarding, now.mac, now.over_quota)
        && (*arp, *forwarding_v4) == (now.arp, now.forwarding_v4)
        && (name, addresses) == (&now.name, &now.addresses)
}

fn replace<T: PartialEq>(place: &mut T, now: T) -> bool {
    let is_changed = *place != now;
    *place = now;
    is_changed
}
