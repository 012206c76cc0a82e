//! Parts of a snapshot, read anew.
//!
//! All that is asked for is read before anything is changed: a dump that fails changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    DiscoverError,
    assemble::{Assembly, Inside, by_link},
    dump,
    snapshot::{Child, ChildAddress, Host, Link, Netns, NetnsId, Snapshot},
    stale::Part,
};

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
    /// What kept changing while it was read, and is as it was: still to be read anew.
    pub stale: BTreeMap<NetnsId, Part>,
}

/// What was read of one netns.
enum Fresh {
    Addresses(BTreeMap<u32, Vec<ChildAddress>>),
    Children(Vec<Child>),
    /// There is no such netns any more.
    Gone,
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
        let mut stale = BTreeMap::new();
        for (&netns, &part) in parts {
            let read = match netns {
                NetnsId::Own => {
                    let (read, of_host) = self.read_own(snapshot, part)?;
                    own = Some(of_host);
                    read
                }
                NetnsId::Nsid(nsid) => match self.read_other(nsid, part) {
                    Err(error) if error.is_transient() => {
                        stale.insert(netns, part);
                        continue;
                    }
                    read => read?,
                },
            };
            if let Fresh::Children(children) = &read
                && !fit(snapshot, netns, children)
            {
                return Ok(None);
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
        Ok(Some(Renewed {
            changed: if is_host_changed {
                Changed::Anything
            } else {
                Changed::Children(changed)
            },
            stale,
        }))
    }

    fn read_own(&mut self, snapshot: &Snapshot, part: Part) -> Result<(Fresh, Own), DiscoverError> {
        let rows = match part {
            Part::Links => Some(dump::links(self.rtnl, None)?.unwrap_or_default()),
            Part::Addresses => None,
        };
        let addresses = dump::addresses(self.rtnl, None)?.unwrap_or_default();
        let (read, links) = match rows {
            Some(rows) => {
                let children = self.children_in(NetnsId::Own, &rows, &addresses);
                (Fresh::Children(children), Some(self.links(rows)))
            }
            None => (Fresh::Addresses(by_link(&addresses)), None),
        };
        let host = self.host(
            addresses,
            links.as_deref().unwrap_or(&snapshot.links),
            &snapshot.children,
        )?;
        Ok((read, Own { host, links }))
    }

    fn read_other(&mut self, nsid: i32, part: Part) -> Result<Fresh, DiscoverError> {
        Ok(match part {
            Part::Addresses => dump::addresses(self.rtnl, Some(nsid))?
                .map_or(Fresh::Gone, |rows| Fresh::Addresses(by_link(&rows))),
            Part::Links => match self.inside(nsid)? {
                Inside::Children(children) => Fresh::Children(children),
                Inside::Gone => Fresh::Gone,
            },
        })
    }
}

/// Whether these children of a netns go together with those of all others: mode and flag are the port's
/// and the same for all, and the settings of their parents are known.
fn fit(snapshot: &Snapshot, netns: NetnsId, children: &[Child]) -> bool {
    let ports: BTreeMap<u32, _> = children
        .iter()
        .map(|child| (child.parent_ifindex, (child.mode, child.flag)))
        .collect();
    let fits = |child: &Child| {
        ports
            .get(&child.parent_ifindex)
            .is_none_or(|&port| port == (child.mode, child.flag))
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
        Fresh::Addresses(mut addresses) => {
            let mut is_changed = false;
            for child in &mut snapshot.children[among] {
                let now = addresses.remove(&child.ifindex).unwrap_or_default();
                is_changed |= replace(&mut child.addresses, now);
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
    let before = &snapshot.children[among.clone()];
    let is_changed = before.len() != children.len()
        || before
            .iter()
            .zip(&children)
            .any(|(before, now)| !is_alike(before, now));
    snapshot.children.splice(among, children);
    is_changed
}

/// Whether they differ in nothing but their counters.
pub(super) fn is_alike(before: &Child, now: &Child) -> bool {
    let Child {
        ifindex,
        name,
        netns,
        parent_ifindex,
        mode,
        flag,
        up,
        forwarding,
        mac,
        addresses,
        stats: _,
    } = before;
    (*ifindex, *netns, *parent_ifindex, *mode, *flag)
        == (
            now.ifindex,
            now.netns,
            now.parent_ifindex,
            now.mode,
            now.flag,
        )
        && (*up, *forwarding, *mac) == (now.up, now.forwarding, now.mac)
        && (name, addresses) == (&now.name, &now.addresses)
}

fn replace<T: PartialEq>(place: &mut T, now: T) -> bool {
    let is_changed = *place != now;
    *place = now;
    is_changed
}
