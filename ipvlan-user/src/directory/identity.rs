//! Root works in the directories of another user with that user's rights to files.
//!
//! The file-system uid and gid (`setfsuid(2)`, `setfsgid(2)`) decide what a thread may open, create and
//! remove, and the owner of what it creates. Capabilities for the network and for BPF stay; those that
//! override file permissions (`CAP_DAC_OVERRIDE`, `CAP_FOWNER` and the like) are not effective meanwhile
//! (`cap_task_fix_setuid`). No user can send signals to, or trace, a process because of its file-system uid.

use std::path::Path;

use caps::{CapSet, Capability};
use nix::{
    errno::Errno,
    sys::prctl,
    unistd::{Gid, Uid, getresgid, getresuid, setfsgid, setfsuid, setresgid, setresuid},
};

use super::{Directory, DirectoryError};

/// The identity could not be kept for later.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A process without `CAP_SETUID` can have the identity of one other user.
    #[error(
        "another directory belongs to uid {0}: an agent of root can serve directories of one other user"
    )]
    Two(Uid),
    /// The kernel refused.
    #[error("keep its identity")]
    Refused(#[source] Errno),
}

/// The calling thread has the file-system identity of a directory's owner until this is dropped.
///
/// Nothing changes if the owner is this user or root, or if this process is not root's. If the identity
/// cannot be taken (without `CAP_SETUID`, see [`keep_identity`]), the thread keeps its own, which the
/// kernel then refuses unless it has `CAP_DAC_OVERRIDE`.
#[derive(Debug)]
#[must_use = "the identity is given back when this is dropped"]
pub struct Acting {
    before: Option<(Uid, Gid)>,
}

impl Acting {
    pub(super) fn as_owner(user: Uid, group: Gid) -> Self {
        if !Uid::effective().is_root() {
            return Self { before: None };
        }
        let group = if user.is_root() {
            Gid::effective()
        } else {
            group
        };
        let before = (fs_uid(), fs_gid());
        if before == (user, group) {
            return Self { before: None };
        }
        switch(user, group);
        Self {
            before: Some(before),
        }
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        if let Some((user, group)) = self.before {
            switch(user, group);
        }
    }
}

/// Returns whether root can work in a directory of this owner, while it acts as the owner: it has the identity,
/// or a capability that overrides permissions of files.
pub(super) fn is_accessible(owner: Uid, _acting: &Acting) -> bool {
    let overrides = || caps::has_cap(None, CapSet::Effective, Capability::CAP_DAC_OVERRIDE);
    !Uid::effective().is_root() || fs_uid() == owner || overrides().unwrap_or(true)
}

/// A change of the identity makes a process undumpable, and its files in `/proc` root's. They are root's
/// already, and another change makes it dumpable again.
fn switch(user: Uid, group: Gid) {
    let dumpable = prctl::get_dumpable();
    setfsgid(group);
    setfsuid(user);
    if let Ok(dumpable) = dumpable {
        // Only what a debugger may do depends on it.
        let _: nix::Result<()> = prctl::set_dumpable(dumpable);
    }
}

/// The calls return what was set before, whether they succeed or not, and an identity of -1 always fails.
fn fs_uid() -> Uid {
    setfsuid(Uid::from_raw(u32::MAX))
}

fn fs_gid() -> Gid {
    setfsgid(Gid::from_raw(u32::MAX))
}

/// Keeps the identity of these directories' owner for [`Acting`] after `CAP_SETUID` and `CAP_SETGID` are
/// dropped, as the saved uid and gid of this process. Only for root, of directories that exist and are not
/// root's. Must be called before there are other threads.
///
/// The owner can send signals to this process from then on (`kill(2)`): it can also remove what the process
/// keeps in its directories.
pub fn keep_identity(paths: &[&Path]) -> Result<(), DirectoryError> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let mut kept: Option<Uid> = None;
    for path in paths {
        let directory = match Directory::find(path) {
            Ok(Some(directory)) => directory,
            // Another error is reported where the directory is used.
            Ok(None) | Err(DirectoryError::Io { .. }) => continue,
            Err(error) => return Err(error),
        };
        let owner = directory.owner();
        if owner.is_root() || kept == Some(owner) {
            continue;
        }
        let failed = |source| DirectoryError::Identity {
            path: directory.path().to_owned(),
            owner,
            source,
        };
        if let Some(other) = kept {
            return Err(failed(IdentityError::Two(other)));
        }
        let group = Gid::from_raw(directory.stat.st_gid);
        keep(owner, group).map_err(|errno| failed(IdentityError::Refused(errno)))?;
        kept = Some(owner);
    }
    Ok(())
}

fn keep(user: Uid, group: Gid) -> nix::Result<()> {
    let dumpable = prctl::get_dumpable()?;
    let groups = getresgid()?;
    setresgid(groups.real, groups.effective, group)?;
    let users = getresuid()?;
    setresuid(users.real, users.effective, user)?;
    prctl::set_dumpable(dumpable)
}
