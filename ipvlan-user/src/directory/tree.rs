//! Removing a directory with everything in it.

use std::ffi::OsStr;

use nix::{
    errno::Errno,
    sys::stat::SFlag,
    unistd::{UnlinkatFlags, unlinkat},
};

use super::{Directory, DirectoryError};

/// Deepest nesting: pins have two levels.
const DEEPEST: usize = 16;

/// Removes `name` in `above`. Returns how many files were in it.
pub(super) fn remove(
    above: &Directory,
    name: &OsStr,
    depth: usize,
) -> Result<usize, DirectoryError> {
    let Some(entry) = above.examine(name)? else {
        return Ok(0);
    };
    if entry.kind() != SFlag::S_IFDIR {
        return above.remove(name).map(|()| 1);
    }
    let Some(directory) = above.find_in(name)? else {
        return Ok(0);
    };
    if directory.stat.st_dev != above.stat.st_dev {
        // Another file system is mounted there.
        return Err(above.failed("remove", name, Errno::EXDEV));
    }
    if depth == DEEPEST {
        return Err(above.failed("remove", name, Errno::ELOOP));
    }
    let mut files = 0;
    for entry in directory.names()? {
        files += remove(&directory, &entry, depth + 1)?;
    }
    let _acting = above.act();
    match unlinkat(&above.fd, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(files),
        Err(errno) => Err(above.failed("remove", name, errno)),
    }
}
