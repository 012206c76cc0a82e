//! Files in the runtime directory that are left behind by agents that no longer run.

use std::ffi::OsStr;

use nix::sys::stat::SFlag;
use tracing::warn;

use super::{
    claim::{LockName, Ownership},
    query,
    socket::SocketName,
};
use crate::{
    directory::{Directory, DirectoryError},
    text::{escaped, escaped_path},
};

/// At most this many entries are named in the log. Other users choose their number.
const MOST_NAMED: usize = 32;

/// Returns the owner of a parent, if there is one: its process id, if that is known. Nothing is written.
pub fn owner(
    directory: &Directory,
    netns: u64,
    ifindex: u32,
) -> Result<Option<Option<u32>>, DirectoryError> {
    let name = LockName { netns, ifindex }.file();
    Ok(match Ownership::of(directory, &name)? {
        Ownership::Held(owner) => Some(owner),
        Ownership::None | Ownership::Stale(..) => None,
    })
}

/// Removes lock files and sockets of agents that do not run, and the directory if it is empty then. Returns
/// what could not be removed.
///
/// An entry is removed under its own name and never opened through a link. Entries that are neither a lock
/// file nor a socket stay, and are logged if their names end like those.
#[must_use]
pub fn remove_stale(directory: &Directory) -> Vec<DirectoryError> {
    let names = match directory.names() {
        Ok(names) => names,
        Err(error) => return vec![error],
    };
    let mut errors = Vec::new();
    let mut skipped = Vec::new();
    for name in &names {
        match remove(directory, name) {
            Ok(None) => {}
            Ok(Some(reason)) => skipped.push((name, reason)),
            Err(error) => errors.push(error),
        }
    }
    for (name, reason) in skipped.iter().take(MOST_NAMED) {
        warn!(
            file = %escaped_path(&directory.path().join(name)),
            reason = %escaped(reason.as_bytes()),
            "file skipped"
        );
    }
    if let Some(more @ 1..) = skipped.len().checked_sub(MOST_NAMED) {
        warn!("{more} more files skipped");
    }
    directory.remove_if_empty();
    errors
}

/// Removes an entry if it is stale. Returns why it was skipped, if that is worth a line.
fn remove(directory: &Directory, name: &OsStr) -> Result<Option<String>, DirectoryError> {
    if LockName::parse(name).is_some() {
        if let Ownership::Stale(entry, _) = Ownership::of(directory, name)? {
            directory.remove_if(name, &entry)?;
        }
        return Ok(None);
    }
    if SocketName::parse(name).is_some() {
        let (place, entry) = match directory.open_place(name) {
            Ok(opened) => opened,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        if directory.distrust(&entry, SFlag::S_IFSOCK).is_some()
            || query::is_refused(directory, &place)
        {
            directory.remove_if(name, &entry)?;
        }
        return Ok(None);
    }
    let looks_like_one = [".lock", ".sock"]
        .iter()
        .any(|end| name.as_encoded_bytes().ends_with(end.as_bytes()));
    Ok(looks_like_one.then(|| "its name is not one of an agent's file".to_owned()))
}
