//! One process at a time changes who owns the files of a directory.

use std::{
    ffi::OsStr,
    fs::File,
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::stat::SFlag,
};

use super::{Directory, DirectoryError, Entry, holders};

/// Name of the file that is locked. It never was readable for other users.
const NAME: &str = ".guard";
const PAUSE: Duration = Duration::from_millis(10);

/// The right to create, replace and remove lock files of a directory, until it is dropped.
#[derive(Debug)]
pub struct Guard {
    directory: Directory,
    lock: Flock<File>,
}

impl Guard {
    /// Waits for the guard of this directory until `deadline`.
    pub fn new(directory: &Directory, deadline: Instant) -> Result<Self, DirectoryError> {
        let name = OsStr::new(NAME);
        loop {
            let held = match attempt(directory, name)? {
                Ok(lock) => {
                    return Ok(Self {
                        directory: directory.clone(),
                        lock,
                    });
                }
                Err(held) => held,
            };
            if Instant::now() >= deadline {
                return Err(DirectoryError::Locked {
                    path: directory.path().to_owned(),
                    holder: held.and_then(|entry| holders(entry.inode()).first().map(|of| of.pid)),
                });
            }
            thread::sleep(PAUSE);
        }
    }
}

/// One attempt; otherwise the file that another process holds, if that is the reason.
fn attempt(
    directory: &Directory,
    name: &OsStr,
) -> Result<Result<Flock<File>, Option<Entry>>, DirectoryError> {
    let file = match directory.examine(name)? {
        None => match directory.create_file(name) {
            Ok(file) => file,
            Err(error) if error.os_error() == Some(libc::EEXIST) => return Ok(Err(None)),
            Err(error) => return Err(error),
        },
        Some(entry) => {
            let is_safe = directory.distrust(&entry, SFlag::S_IFREG).is_none();
            if !is_safe || !entry.is_private() {
                directory.remove_if(name, &entry)?;
                return Ok(Err(None));
            }
            match directory.open_file(name, &entry) {
                Ok(file) => file,
                // Removed or replaced meanwhile.
                Err(error) if matches!(error.os_error(), Some(libc::ENOENT | libc::ESTALE)) => {
                    return Ok(Err(None));
                }
                // One that root made before the directory had another owner.
                Err(error) if error.os_error() == Some(libc::EACCES) => {
                    if holders(entry.inode()).is_empty() {
                        directory.remove_if(name, &entry)?;
                    }
                    return Ok(Err(Some(entry)));
                }
                Err(error) => return Err(error),
            }
        }
    };
    let failed = |errno| directory.failed("lock", name, errno);
    let entry = Entry::of(&file)
        .map_err(|error| failed(Errno::from_raw(error.raw_os_error().unwrap_or_default())))?;
    let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((_, Errno::EWOULDBLOCK)) => return Ok(Err(Some(entry))),
        Err((_, errno)) => return Err(failed(errno)),
    };
    // The process that held it may have removed it between the two calls.
    let is_in_place = directory
        .examine(name)?
        .is_some_and(|now| now.inode() == entry.inode());
    Ok(if is_in_place { Ok(lock) } else { Err(None) })
}

impl Drop for Guard {
    fn drop(&mut self) {
        // While it is locked: no other process has this file for its guard.
        if let Ok(entry) = Entry::of(&self.lock) {
            let _: Result<bool, _> = self.directory.remove_if(OsStr::new(NAME), &entry);
        }
    }
}
