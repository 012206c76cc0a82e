//! The agent as a process on a machine: who owns a parent, where to ask for its status, what it may do,
//! what its service manager is told.
//!
//! Every file is in one directory, `/run/ipvlan` by default, and gone when the last agent stops.

mod claim;
pub mod log;
mod memory;
pub mod privilege;
mod service;
mod socket;
pub mod stderr;

use std::{fs, io, path::Path};

pub use self::{
    claim::{Claim, ClaimError},
    memory::give_back,
    service::Service,
    socket::{StatusSocket, answer, query_all},
};

/// Default of `--runtime-dir`.
pub const RUNTIME_DIR: &str = "/run/ipvlan";

/// Inode of the netns of this process.
pub fn own_netns() -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(fs::metadata("/proc/self/ns/net")?.ino())
}

/// Removes lock files and sockets of agents that were killed, and the directory if nobody uses it.
pub fn remove_stale(dir: &Path) -> io::Result<()> {
    claim::remove_stale(dir)?;
    query_all(dir)?;
    remove_dir_if_empty(dir);
    Ok(())
}

/// Removes the directory if nobody uses it any more.
fn remove_dir_if_empty(dir: &Path) {
    // Others may still use it, or have put it there for us: then it stays.
    let _: io::Result<()> = fs::remove_dir(dir);
}
