//! One agent per parent.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use nix::fcntl::{Flock, FlockArg};

/// The exclusive right to a parent, held until it is dropped or the process ends.
///
/// A lock file per (netns, ifindex): names can change, and the same name can be in many netns. The
/// lock is `flock(2)`, so the kernel releases it however the agent ends; the file only carries the
/// owner's process id for the one who comes second.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    _lock: Flock<File>,
}

/// The parent could not be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another agent serves it.
    #[error("`{parent}` is already served by another agent{}", pid(*owner))]
    Taken {
        /// Name of the parent.
        parent: String,
        /// Process id of the agent.
        owner: Option<u32>,
    },
    /// The lock file could not be had.
    #[error("lock file {}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn pid(owner: Option<u32>) -> String {
    owner.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}

impl ClaimError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Taken { .. } => "see `ipvlan status`; stop that agent first",
            Self::File { .. } => "run as root, or give a directory of your own with --runtime-dir",
        }
    }
}

impl Claim {
    /// Claims a parent, at once or not at all.
    pub fn new(dir: &Path, netns: u64, parent: &str, ifindex: u32) -> Result<Self, ClaimError> {
        let path = dir.join(format!("{netns}-{ifindex}.lock"));
        let failed = |source| ClaimError::File {
            path: path.clone(),
            source,
        };
        loop {
            fs::create_dir_all(dir).map_err(failed)?;
            let file = match OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .open(&path)
            {
                Ok(file) => file,
                // The last agent just removed the directory on its way out.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !dir.exists() => continue,
                Err(error) => return Err(failed(error)),
            };
            let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => lock,
                Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                    return Err(ClaimError::Taken {
                        parent: parent.to_owned(),
                        owner: wait_for_pid(&mut file),
                    });
                }
                Err((_, errno)) => return Err(failed(errno.into())),
            };
            // Its owner may have removed the file between our open and our lock.
            let locked = lock.metadata().map_err(failed)?;
            match fs::metadata(&path) {
                Ok(there) if there.ino() == locked.ino() => {}
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            }
            lock.set_len(0)
                .and_then(|()| lock.rewind())
                .and_then(|()| writeln!(lock, "{}", process::id()))
                .map_err(failed)?;
            return Ok(Self { path, _lock: lock });
        }
    }
}

/// Removes lock files that nobody holds.
pub(super) fn remove_stale(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        // Gone with its owner meanwhile, or not ours to open: then not ours to remove.
        let Ok(file) = File::open(&path) else {
            continue;
        };
        if let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            // While the lock is held, so that nobody else takes it to be theirs.
            fs::remove_file(&path)?;
            drop(lock);
        }
    }
    Ok(())
}

impl Drop for Claim {
    fn drop(&mut self) {
        // While the lock is held, so that it is ours. What cannot be removed is only a stale file.
        let _: io::Result<()> = fs::remove_file(&self.path);
        if let Some(dir) = self.path.parent() {
            super::remove_dir_if_empty(dir);
        }
    }
}

/// An owner that has only just come writes its process id at any moment.
fn wait_for_pid(file: &mut File) -> Option<u32> {
    const TRIES: u32 = 20;
    const PAUSE: Duration = Duration::from_millis(5);
    (0..TRIES).find_map(|_| {
        read_pid(file).or_else(|| {
            thread::sleep(PAUSE);
            None
        })
    })
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_claim_names_the_owner_and_a_dropped_one_leaves_nothing() {
        let dir = std::env::temp_dir().join(format!("ipvlan-claim-{}", process::id()));
        let claim = Claim::new(&dir, 1, "ens34", 7).unwrap();
        let other = Claim::new(&dir, 2, "ens34", 7).unwrap();
        match Claim::new(&dir, 1, "ens34", 7).unwrap_err() {
            ClaimError::Taken { parent, owner } => {
                assert_eq!((parent.as_str(), owner), ("ens34", Some(process::id())));
            }
            error @ ClaimError::File { .. } => panic!("{error}"),
        }
        drop(claim);
        drop(Claim::new(&dir, 1, "ens34", 7).unwrap());
        drop(other);
        assert!(!dir.exists());
    }
}
