//! Network namespaces.

use super::Pids;

/// A network namespace, seen from ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetnsId {
    /// The netns this process runs in.
    #[default]
    Own,
    /// Another one, by the number that our netns has given it.
    Nsid(i32),
}

/// What is known about a netns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Netns {
    /// How children name it.
    pub id: NetnsId,
    /// Its inode; none if only its nsid is known.
    pub inode: Option<u64>,
    /// Its names: files it is bound to under /run/netns, /run/docker/netns and elsewhere.
    pub names: Vec<String>,
    /// These files, as absolute paths.
    pub files: Vec<String>,
    /// Processes that live in it.
    pub pids: Pids,
}
