//! The kernel's state, read only: netlink dumps in, a [`Snapshot`] out; netlink events in, a
//! [`Wake`] out.
//!
//! Events carry no state: a wake says only that a new snapshot is worth taking. A snapshot is
//! complete or an error. Nothing here writes, except that a netns that may hold a child is given
//! an nsid (`RTM_NEWNSID`), without which neither its events nor its links could be seen.

mod address;
mod assemble;
mod attribute;
mod dump;
mod error;
mod link;
mod netns;
mod nsid;
mod route;
mod rtnl;
pub mod snapshot;
mod walk;
mod watch;

use std::collections::BTreeSet;

pub use error::DiscoverError;
pub use snapshot::Snapshot;
pub use watch::{Wake, Watch};

use self::{netns::Netnses, rtnl::Rtnl};

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
        match scope {
            Scope::Everything => self.netnses.refresh(&mut self.rtnl)?,
            Scope::KnownNetns => self.netnses.recheck(&mut self.rtnl)?,
        }
        self.assembly(parents).snapshot()
    }

    /// `last` with the addresses, routes and settings of now: enough when nothing else woke, and a
    /// fraction of the work, since links are what is dear to dump. Children in a netns that is gone
    /// are left out.
    pub fn readdress(
        &mut self,
        last: &Snapshot,
        parents: Option<&BTreeSet<u32>>,
    ) -> Result<Snapshot, DiscoverError> {
        self.assembly(parents).readdress(last)
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
