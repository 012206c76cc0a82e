//! The kernel's state, read only: netlink dumps in, a [`Snapshot`] out; netlink events in, a
//! [`Wake`] out.
//!
//! Events carry no state: a wake says only which netns are worth reading anew. A snapshot is
//! complete or an error, and so is what is renewed of one. Nothing here writes, except that a netns
//! that may hold a child is given an nsid (`RTM_NEWNSID`), without which neither its events nor its
//! links could be seen.

mod address;
mod assemble;
mod attribute;
mod dump;
mod error;
mod link;
mod netns;
mod nsid;
mod number;
mod renew;
mod route;
mod rtnl;
pub mod snapshot;
mod stale;
mod wake;
mod walk;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

pub use error::DiscoverError;
pub use renew::{Changed, Renewed};
pub use snapshot::Snapshot;
pub use stale::{Part, Stale};
pub use wake::{Change, Wake};
pub use watch::Watch;

use self::{netns::Netnses, rtnl::Rtnl, snapshot::NetnsId};

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

/// Takes snapshots. Blocking; a snapshot takes milliseconds.
#[derive(Debug)]
pub struct Discover {
    rtnl: Rtnl,
    netnses: Netnses,
    child_kinds: &'static [&'static str],
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
            rtnl,
            netnses,
            child_kinds,
        })
    }

    /// Reads the kernel's state. `parents` narrows the children to those of these links of our own
    /// netns; `None` takes the children of all of them.
    pub fn snapshot(
        &mut self,
        scope: Scope,
        parents: Option<&BTreeSet<u32>>,
    ) -> Result<Snapshot, DiscoverError> {
        self.look(scope)?;
        let (snapshot, _) = self.assembly(parents).snapshot(None)?;
        Ok(snapshot)
    }

    fn look(&mut self, scope: Scope) -> Result<(), DiscoverError> {
        match scope {
            Scope::Everything => self.netnses.refresh(&mut self.rtnl),
            Scope::KnownNetns => self.netnses.recheck(&mut self.rtnl),
        }
    }

    /// What a wake makes stale.
    #[must_use]
    pub fn stale(&self, wake: &Wake) -> Stale {
        Stale::after(wake, self.netnses.own_nsid())
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
        match self.assembly(parents).renew(snapshot, parts)? {
            Some(renewed) => Ok(renewed),
            None => self.renew_all(snapshot, Scope::KnownNetns, parents),
        }
    }

    /// The same with all of it.
    pub fn renew_all(
        &mut self,
        snapshot: &mut Snapshot,
        scope: Scope,
        parents: Option<&BTreeSet<u32>>,
    ) -> Result<Renewed, DiscoverError> {
        self.look(scope)?;
        let (whole, stale) = self.assembly(parents).snapshot(Some(snapshot))?;
        *snapshot = whole;
        Ok(Renewed {
            changed: Changed::Anything,
            stale,
        })
    }

    fn assembly<'a>(&'a mut self, parents: Option<&'a BTreeSet<u32>>) -> assemble::Assembly<'a> {
        assemble::Assembly {
            rtnl: &mut self.rtnl,
            netnses: &self.netnses,
            child_kinds: self.child_kinds,
            parents,
        }
    }
}
