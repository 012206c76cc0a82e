//! The kernel's state, read only: netlink dumps in, a [`Snapshot`] out; netlink events in, a
//! [`Wake`] out.
//!
//! Events carry no state: a wake says only that a new snapshot is worth taking. Nothing here
//! writes, except that a netns that may hold a child is given an nsid (`RTM_NEWNSID`), without
//! which neither its events nor its links could be seen.

mod error;
pub mod snapshot;
mod watch;

use std::collections::BTreeSet;

pub use error::DiscoverError;
pub use snapshot::Snapshot;
pub use watch::{Wake, Watch};

/// How far a snapshot looks for netns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Walks /proc and /run for netns not seen before, then dumps all.
    Everything,
    /// Dumps the netns found by the last [`Scope::Everything`].
    KnownNetns,
}

/// Takes snapshots. Blocking; a snapshot takes milliseconds.
#[derive(Debug)]
pub struct Discover {}

impl Discover {
    /// Opens the sockets, in the netns of the calling thread.
    pub fn new() -> Result<Self, DiscoverError> {
        todo!()
    }

    /// Reads the kernel's state. `parents` narrows the children to those of these links;
    /// `None` takes the children of every link.
    pub fn snapshot(
        &mut self,
        scope: Scope,
        parents: Option<&BTreeSet<u32>>,
    ) -> Result<Snapshot, DiscoverError> {
        todo!("{scope:?} {parents:?}")
    }
}
