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
mod wake;
mod walk;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

pub use dirty::{Part, Stale};
pub use error::DiscoverError;
pub use renew::{Changed, Failure, Renewed};
pub use wake::{Change, Wake};
pub use watch::Watch;

use crate::{
    facts::{Netns, NetnsId, Snapshot},
    netlink::Rtnl,
    quota::DEFAULT_ADDRESSES,
};

use self::{full_scan::Sweep, netns::Netnses};

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
    sweep: Option<Sweep>,
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
            sweep: None,
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
        let mut sweep = self.sweep(scope)?;
        sweep.read_on(&mut self.assembly(parents), None)?;
        if let Some(error) = sweep.failure.take() {
            return Err(error);
        }
        sweep.finish(self.assembly(parents), &mut snapshot)?;
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
        let mut sweep = self.sweep(scope)?;
        sweep.read_on(&mut self.assembly(None), None)?;
        while Instant::now() < until {
            sweep.retry();
            if sweep.is_read() {
                break;
            }
            sweep.read_on(&mut self.assembly(None), Some(until))?;
        }
        let mut snapshot = Snapshot::default();
        sweep.introduce(&mut snapshot);
        snapshot.unread = sweep.give_up();
        let renewed = sweep.finish(self.assembly(None), &mut snapshot)?;
        Ok((snapshot, renewed))
    }

    fn sweep(&mut self, scope: Scope) -> Result<Sweep, DiscoverError> {
        self.look(scope)?;
        Ok(Sweep::new(self.netnses.known()))
    }

    fn look(&mut self, scope: Scope) -> Result<(), DiscoverError> {
        match scope {
            Scope::Everything => self.netnses.refresh(&mut self.rtnl),
            Scope::KnownNetns => self.netnses.recheck(&mut self.rtnl),
        }
    }

    /// What of `snapshot` a wake makes stale.
    #[must_use]
    pub fn stale(&mut self, snapshot: &Snapshot, wake: &Wake) -> Stale {
        let holds_child = |id| !snapshot.children_of(id).is_empty();
        let stale = Stale::after(wake, self.netnses.own_nsid(), holds_child);
        if stale.everything {
            self.netnses.expect_child();
        }
        stale
    }

    /// Lets `watch` know the routes of a snapshot: an event about a route that says nothing new does not wake.
    pub fn update_watch(&self, watch: &mut Watch, snapshot: &Snapshot) {
        let parents = snapshot.children.iter().map(|child| child.parent_ifindex);
        let parents: BTreeSet<u32> = parents.collect();
        let known = watch.known_routes();
        known.update(self.netnses.own_nsid(), &snapshot.host, &parents);
    }

    /// Reads parts of `snapshot` anew, so that it is what a whole one would be now, counters of links
    /// that nothing woke for and names of new netns aside. Says what is different from before, and
    /// which netns kept changing while they were read: those are as they were, and still stale. An
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
        if let Some(sweep) = &mut self.sweep {
            let read = parts
                .iter()
                .filter(|(id, _)| !renewed.stale.contains_key(id));
            for (&id, &part) in read {
                sweep.supersede(id, part);
            }
        }
        Ok(renewed)
    }

    /// The same with all of it, at once.
    pub fn renew_all(
        &mut self,
        snapshot: &mut Snapshot,
        scope: Scope,
        parents: Option<&BTreeSet<u32>>,
    ) -> Result<Renewed, DiscoverError> {
        let mut whole = self.sweep(scope)?;
        whole.read_on(&mut self.assembly(parents), None)?;
        let renewed = whole.finish(self.assembly(parents), snapshot)?;
        if let Some(sweep) = &mut self.sweep {
            sweep.supersede_all();
        }
        Ok(renewed)
    }

    /// Begins to read all of it anew, a slice at a time; one that was begun before is given up. Gives
    /// netns that are new to `snapshot`, which has them without children until they are read.
    pub fn begin(
        &mut self,
        snapshot: &mut Snapshot,
        scope: Scope,
    ) -> Result<BTreeMap<NetnsId, Part>, DiscoverError> {
        self.sweep = None;
        let sweep = self.sweep(scope)?;
        let new = sweep.introduce(snapshot);
        self.sweep = Some(sweep);
        Ok(new)
    }

    /// Goes on with it, for as long as `slice` and the netns that is read then; `None` until all is read.
    /// Other parts may be renewed in between. The last slice changes `snapshot`; an error leaves it as it
    /// was, and ends what was begun.
    pub fn go_on(
        &mut self,
        snapshot: &mut Snapshot,
        slice: Duration,
        parents: Option<&BTreeSet<u32>>,
    ) -> Result<Option<Renewed>, DiscoverError> {
        let until = Instant::now() + slice;
        let Some(mut sweep) = self.sweep.take() else {
            return Ok(Some(Renewed::default()));
        };
        // What a slice begins with it does, however short it is, so that every sweep comes to its end.
        let may_finish = sweep.is_read() || {
            sweep.read_on(&mut self.assembly(parents), Some(until))?;
            sweep.is_read() && Instant::now() < until
        };
        if may_finish {
            return sweep.finish(self.assembly(parents), snapshot).map(Some);
        }
        self.sweep = Some(sweep);
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
