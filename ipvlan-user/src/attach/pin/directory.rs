//! Directories that are nobody's but ours.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use nix::{
    sys::statfs::{BPF_FS_MAGIC, statfs},
    unistd::Uid,
};

use super::PinError;

const PRIVATE: u32 = 0o700;

/// Removes a directory and all that is in it; one that is not there is a success. Returns how many files
/// were in it. Symbolic links are never followed: root does this in directories of others.
pub(super) fn remove_tree(path: &Path) -> Result<usize, PinError> {
    let files = count_files(path)?;
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PinError::file("remove", path)(error))
        }
        _ => Ok(files),
    }
}

fn count_files(path: &Path) -> Result<usize, PinError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(PinError::file("list", path)(error)),
    };
    let mut files = 0;
    for entry in entries {
        let entry = entry.map_err(PinError::file("list", path))?;
        files += if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            count_files(&entry.path())?
        } else {
            1
        };
    }
    Ok(files)
}

/// Makes a directory that is nobody's but ours; one that is there is made so.
pub(super) fn make_private(path: &Path) -> Result<(), PinError> {
    match DirBuilder::new().mode(PRIVATE).create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(PinError::file("make", path)(error)),
    }
    let metadata = fs::symlink_metadata(path).map_err(PinError::file("look at", path))?;
    if !metadata.is_dir() {
        let error = io::ErrorKind::NotADirectory.into();
        return Err(PinError::file("use", path)(error));
    }
    if metadata.uid() != Uid::effective().as_raw() {
        return Err(PinError::Foreign {
            path: path.to_owned(),
            owner: metadata.uid(),
        });
    }
    if metadata.mode() & 0o7777 != PRIVATE {
        fs::set_permissions(path, fs::Permissions::from_mode(PRIVATE))
            .map_err(PinError::file("close to others", path))?;
    }
    Ok(())
}

/// An error if that is not on a BPF filesystem.
pub(super) fn on_bpffs(path: &Path) -> Result<(), PinError> {
    let filesystem = statfs(path)
        .map_err(io::Error::from)
        .map_err(PinError::file("look at", path))?;
    if filesystem.filesystem_type() == BPF_FS_MAGIC {
        Ok(())
    } else {
        Err(PinError::NoBpffs {
            path: path.to_owned(),
        })
    }
}
