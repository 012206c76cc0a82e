//! Directories that no other user can open.

use nix::{sys::statfs::BPF_FS_MAGIC, unistd::Uid};

use super::{PRIVATE, PinError};
use crate::directory::Directory;

/// Refuses a directory of another user, unless this is root: root uses it with that user's rights.
pub(super) fn check_owner(directory: &Directory) -> Result<(), PinError> {
    let user = Uid::effective();
    if user.is_root() || directory.owner() == user {
        return Ok(());
    }
    Err(PinError::Foreign {
        path: directory.path().to_owned(),
        owner: directory.owner().as_raw(),
    })
}

/// Makes sure that no other user can open a directory.
pub(super) fn make_private(directory: &Directory) -> Result<(), PinError> {
    check_owner(directory)?;
    if directory.mode() != PRIVATE {
        directory.set_mode(PRIVATE)?;
    }
    Ok(())
}

/// Refuses a directory that is not on a BPF filesystem.
pub(super) fn on_bpffs(directory: &Directory) -> Result<(), PinError> {
    if directory.filesystem()? == BPF_FS_MAGIC {
        return Ok(());
    }
    Err(PinError::NoBpffs {
        path: directory.path().to_owned(),
    })
}
