//! The kernel's state, read only: netlink dumps in, a [`Snapshot`] out; netlink events in, a
//! [`Wake`] out.
//!
//! Events carry no state: a wake says only which netns are worth reading anew. Of each netns a snapshot has
//! everything or what it had before. Only a failure of our own netns is an error: one of another netns
//! is reported beside the snapshot ([`Renewed::failures`]) and changes nothing for the others. Nothing here
//! writes, except that a netns that may hold a child is given an nsid (`RTM_NEWNSID`), without which
//! neither its events nor its links could be seen.

mod address;
mod allowance;
mod assemble;
mod dirty;
mod dump;
mod error;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fake;
mod full_scan;
mod link;
mod netns;
mod nexthop;
mod nsid;
mod nsid_row;
mod renew;
mod route;
pub mod view;
mod wake;
mod walk;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

pub use dirty::{Dirty, Part};
pub use error::DiscoverError;
pub use nsid::ProcessNsids;
pub use renew::{Changed, Failure, Renewed};
pub use wake::{Change, Wake};
pub use watch::Watch;

use crate::{
    facts::{Netns, NetnsId, Snapshot},
    netlink::Rtnl,
    quota::DEFAULT_ADDRESSES,
};

use self::{full_scan::FullScan, netns::Netnses};

/// How far a snapshot looks for netns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Walks /proc, /run and the mounts for netns without an nsid and for names.
    Everything,
    /// Takes the netns that have an nsid; a new one among them has no name yet.
    KnownNetns,
}

/// The kinds of link that share an ipvlan port.
const CHILD_KINDS: &[&str] = &["ipvlan", "ipvtap"];

/// Returns how many addresses of a netns are read.
pub(crate) struct QuotaOf(Box<dyn Fn(&Netns) -> u32 + Send>);

impl QuotaOf {
    fn of(&self, netns: &Netns) -> usize {
        usize::try_from((self.0)(netns)).unwrap_or(usize::MAX)
    }
}

impl std::fmt::Debug for QuotaOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QuotaOf")
    }
}

/// Takes snapshots. Blocking; a snapshot takes milliseconds.
#[derive(Debug)]
pub struct Discover {
    rtnl: Rtnl,
    netnses: Netnses,
    child_kinds: &'static [&'static str],
    quota_of: QuotaOf,
    /// The one that is under way.
    scan: Option<FullScan>,
}

impl Discover {
    /// Opens a socket in the netns of the calling thread, which becomes "our own".
    pub fn new() -> Result<Self, DiscoverError> {
        Self::with_child_kinds(CHILD_KINDS)
    }

    /// Takes links of these kinds for children. Only for tests on kernels without ipvlan, where
    /// macvlan looks the same but for mode and flag.
    #[doc(hidden)]
    pub fn with_child_kinds(child_kinds: &'static [&'static str]) -> Result<Self, DiscoverError> {
        let mut rtnl = Rtnl::new()?;
        let netnses = Netnses::new(&mut rtnl)?;
        Ok(Self {
            child_kinds,
            ..Self::over(rtnl, netnses)
        })
    }

    fn over(rtnl: Rtnl, netnses: Netnses) -> Self {
        Self {
            rtnl,
            netnses,
            child_kinds: CHILD_KINDS,
            quota_of: QuotaOf(Box::new(|_| DEFAULT_ADDRESSES)),
            scan: None,
        }
    }

    /// Reads at most as many children, and addresses of all of them, of each netns but our own, as
    /// `addresses_of` returns for it.
    pub fn set_quota(&mut self, addresses_of: impl Fn(&Netns) -> u32 + Send + 'static) {
        self.quota_of = QuotaOf(Box::new(addresses_of));
    }

    /// Reads the kernel's state. `parents` narrows the children to those of these links of our own
    /// netns; `None` takes the children of all of them.
    pub fn snapshot(
        &mut self,
        scope: Scope,
        parents: Option<&BTreeSet<u32>>,
    ) -> Result<Snapshot, DiscoverError> {
        let mut snapshot = Snapshot::default();
        let mut scan = self.scan(scope)?;
        scan.read_until(&mut self.assembly(parents), None)?;
        if let Some(error) = scan.failure.take() {
            return Err(error);
        }
        scan.finish(self.assembly(parents), &mut snapshot)?;
        Ok(snapshot)
    }

    /// Reads the kernel's state for the first time. A netns that cannot be read within `time` is in
    /// [`Snapshot::unread`], and without children.
    pub fn first(
        &mut self,
        scope: Scope,
        time: Duration,
    ) -> Result<(Snapshot, Renewed), DiscoverError> {
        let until = Instant::now() + time;
        let mut scan = self.scan(scope)?;
        scan.read_until(&mut self.assembly(None), None)?;
        while Instant::now() < until {
            scan.retry();
            if scan.is_read() {
                break;
            }
            scan.read_until(&mut self.assembly(None), Some(until))?;
        }
        let mut snapshot = Snapshot::default();
        scan.introduce(&mut snapshot);
        snapshot.unread = scan.give_up();
        let renewed = scan.finish(self.assembly(None), &mut snapshot)?;
        Ok((snapshot, renewed))
    }

    fn scan(&mut self, scope: Scope) -> Result<FullScan, DiscoverError> {
        self.list_netnses(scope)?;
        Ok(FullScan::new(self.netnses.known()))
    }

    fn list_netnses(&mut self, scope: Scope) -> Result<(), DiscoverError> {
        match scope {
            Scope::Everything => self.netnses.refresh(&mut self.rtnl),
            Scope::KnownNetns => self.netnses.recheck(&mut self.rtnl),
        }
    }

    /// Returns the parts of `snapshot` that a wake makes dirty.
    #[must_use]
    pub fn dirty(&mut self, snapshot: &Snapshot, wake: &Wake) -> Dirty {
        let holds_child = |id| !snapshot.children_of(id).is_empty();
        let dirty = Dirty::after(wake, self.netnses.own_nsid(), holds_child);
        if dirty.everything {
            self.netnses.expect_child();
        }
        dirty
    }

    /// Gives `watch` the routes of a snapshot: an event about a route that changes nothing does not wake.
    pub fn update_watch(&self, watch: &mut Watch, snapshot: &Snapshot) {
        let parents = snapshot.children.iter().map(|child| child.parent_ifindex);
        let parents: BTreeSet<u32> = parents.collect();
        let known = watch.known_routes();
        known.update(self.netnses.own_nsid(), &snapshot.host, &parents);
    }

    /// Reads parts of `snapshot` anew, so that it is what a whole one would be now, counters of links
    /// that nothing woke for and names of new netns aside. Returns what is different from before, and
    /// which netns kept changing while they were read: those are as they were, and still dirty. An
    /// error leaves all as it was.
    pub fn renew(
        &mut self,
        snapshot: &mut Snapshot,
        parts: &BTreeMap<NetnsId, Part>,
        parents: Option<&BTreeSet<u32>>,
    ) -> Result<Renewed, DiscoverError> {
        let Some(renewed) = self.assembly(parents).renew(snapshot, parts)? else {
            return self.renew_all(snapshot, Scope::KnownNetns, parents);
        };
        if let Some(scan) = &mut self.scan {
            let read = parts
                .iter()
                .filter(|(id, _)| !renewed.dirty.contains_key(id));
            for (&id, &part) in read {
                scan.supersede(id, part);
            }
        }
        Ok(renewed)
    }

    /// Reads all of `snapshot` anew at once, as [`Self::renew`] does for parts.
    pub fn renew_all(
        &mut self,
        snapshot: &mut Snapshot,
        scope: Scope,
        parents: Option<&BTreeSet<u32>>,
    ) -> Result<Renewed, DiscoverError> {
        let mut whole = self.scan(scope)?;
        whole.read_until(&mut self.assembly(parents), None)?;
        let renewed = whole.finish(self.assembly(parents), snapshot)?;
        if let Some(scan) = &mut self.scan {
            scan.supersede_all();
        }
        Ok(renewed)
    }

    /// Begins a full scan, which is read a chunk at a time; one that was begun before is given up. Returns
    /// the netns that are new to `snapshot`, which has them without children until they are read.
    pub fn begin(
        &mut self,
        snapshot: &mut Snapshot,
        scope: Scope,
    ) -> Result<BTreeMap<NetnsId, Part>, DiscoverError> {
        self.scan = None;
        let scan = self.scan(scope)?;
        let new = scan.introduce(snapshot);
        self.scan = Some(scan);
        Ok(new)
    }

    /// Reads the next chunk of the full scan, for as long as `chunk` and the netns that is read then; `None` until all
    /// is read. Other parts may be renewed in between. The last chunk changes `snapshot`; an error leaves it as it was,
    /// and ends the scan.
    pub fn read_chunk(
        &mut self,
        snapshot: &mut Snapshot,
        chunk: Duration,
        parents: Option<&BTreeSet<u32>>,
    ) -> Result<Option<Renewed>, DiscoverError> {
        let until = Instant::now() + chunk;
        let Some(mut scan) = self.scan.take() else {
            return Ok(Some(Renewed::default()));
        };
        // What a chunk begins with it does, however short it is, so that every scan comes to its end.
        let may_finish = scan.is_read() || {
            scan.read_until(&mut self.assembly(parents), Some(until))?;
            scan.is_read() && Instant::now() < until
        };
        if may_finish {
            return scan.finish(self.assembly(parents), snapshot).map(Some);
        }
        self.scan = Some(scan);
        Ok(None)
    }

    fn assembly<'a>(&'a mut self, parents: Option<&'a BTreeSet<u32>>) -> assemble::Assembly<'a> {
        assemble::Assembly {
            rtnl: &mut self.rtnl,
            netnses: &self.netnses,
            child_kinds: self.child_kinds,
            quota_of: &self.quota_of,
            parents,
        }
    }
}
