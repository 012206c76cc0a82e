//! The agent's footprint on the machine: who owns a parent, and where to ask for its status.
//!
//! Everything is in one directory, `/run/ipvlan` by default, and gone when the last agent stops.

mod claim;
mod memory;
mod socket;

use std::{fs, io, path::Path};

pub use self::{
    claim::{Claim, ClaimError},
    memory::give_back,
    socket::{StatusSocket, answer, query_all},
};

/// Default of `--runtime-dir`.
pub const RUNTIME_DIR: &str = "/run/ipvlan";

/// Inode of the netns of this process.
pub fn own_netns() -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(fs::metadata("/proc/self/ns/net")?.ino())
}

/// Removes the directory if nobody uses it any more.
fn remove_dir_if_empty(dir: &Path) {
    // Others may still use it, or have put it there for us: then it stays.
    let _: io::Result<()> = fs::remove_dir(dir);
}
