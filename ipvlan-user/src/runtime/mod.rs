//! The agent as a process on a machine: the claim to a parent, the status socket, privileges, the service manager, the
//! log.
//!
//! Every file is in one directory, `/run/ipvlan` by default, and gone when the last agent stops.

mod bounded;
mod claim;
mod client;
mod feed;
pub mod log;
mod memory;
pub mod privilege;
mod query;
mod server;
mod service;
mod socket;
mod stale;
pub mod stderr;

use std::{fs, io};

pub(crate) use self::socket::listen;
pub use self::{
    claim::{Claim, ClaimError},
    client::{AskError, Client},
    feed::{Feed, Subscription, feed},
    memory::trim_heap,
    query::{Answers, PATIENCE, ask_all, connect_all},
    server::{Request, State, serve},
    service::Service,
    socket::StatusSocket,
    stale::{owner, remove_stale},
};

/// Default of `--runtime-dir`.
pub const RUNTIME_DIR: &str = "/run/ipvlan";

/// Returns the inode of the netns of this process.
pub fn own_netns() -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(fs::metadata("/proc/self/ns/net")?.ino())
}
