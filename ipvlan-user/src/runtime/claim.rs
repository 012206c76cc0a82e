//! One agent per parent.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::stat::SFlag,
};
use tracing::warn;

use crate::{
    directory::{Directory, DirectoryError, Entry, Guard, holders},
    text::{escaped, escaped_path},
};

/// Mode of the directory, if it is created.
const MODE: u32 = 0o755;
/// How long another process may change lock files: it takes milliseconds.
const GUARD_WITHIN: Duration = Duration::from_secs(2);
/// How often the directory, or a file in it, may be replaced meanwhile.
const TRIES: u32 = 100;

/// The exclusive right to a parent, held until it is dropped or the process ends.
///
/// A lock file per (netns, ifindex): names can change, and the same name can be in many netns. The
/// lock is `flock(2)`, so the kernel releases it however the agent ends; the file carries the owner's
/// process id for agents of other pid namespaces. Its mode is 0600: a lock needs no write permission, so
/// every user who can open the file can hold it.
#[derive(Debug)]
pub struct Claim {
    directory: Directory,
    name: OsString,
    entry: Entry,
    _lock: Flock<File>,
}

/// The parent could not be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another agent serves it.
    #[error("`{}` is already served by another agent{}", escaped(parent.as_bytes()), pid(*owner))]
    Taken {
        /// Name of the parent.
        parent: String,
        /// Process id of the agent.
        owner: Option<u32>,
    },
    /// The lock file could not be created.
    #[error("lock file {}", escaped_path(path))]
    File {
        /// Its path.
        path: PathBuf,
        /// The error.
        source: DirectoryError,
    },
}

fn pid(owner: Option<u32>) -> String {
    owner.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}

impl ClaimError {
    /// Returns what the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Taken { .. } => "see `ipvlan status`; stop that agent first",
            Self::File { source, .. } => source
                .hint()
                .unwrap_or("run as root, or give a directory of your own with --runtime-dir"),
        }
    }

    /// Returns the error number behind it.
    #[must_use]
    pub fn os_error(&self) -> Option<i32> {
        match self {
            Self::Taken { .. } => None,
            Self::File { source, .. } => source.os_error(),
        }
    }
}

impl Claim {
    /// Claims a parent, at once or not at all. A lock file without a running owner is replaced.
    pub fn new(dir: &Path, netns: u64, parent: &str, ifindex: u32) -> Result<Self, ClaimError> {
        let name = LockName { netns, ifindex }.file();
        let failed = |source| ClaimError::File {
            path: dir.join(&name),
            source,
        };
        for _ in 1..TRIES {
            let directory = Directory::create(dir, MODE).map_err(failed)?;
            match claim(&directory, &name) {
                Ok(Ok(claim)) => return Ok(claim),
                Ok(Err(owner)) => {
                    return Err(ClaimError::Taken {
                        parent: parent.to_owned(),
                        owner,
                    });
                }
                // The last agent just removed the directory on its way out.
                Err(error) if error.is_not_found() && !directory.is_in_place() => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(busy(&dir.join(&name))))
    }
}

fn busy(path: &Path) -> DirectoryError {
    DirectoryError::Io {
        action: "create",
        path: path.to_owned(),
        source: io::ErrorKind::ResourceBusy.into(),
    }
}

/// Claims, or returns the process id of the owner as far as it is known.
fn claim(
    directory: &Directory,
    name: &OsStr,
) -> Result<Result<Claim, Option<u32>>, DirectoryError> {
    let _guard = Guard::new(directory, Instant::now() + GUARD_WITHIN)?;
    for _ in 1..TRIES {
        match Ownership::of(directory, name)? {
            Ownership::Held(owner) => return Ok(Err(owner)),
            Ownership::None => {}
            Ownership::Stale(entry, reason) => {
                if let Some(reason) = reason {
                    let path = directory.path().join(name);
                    warn!(
                        file = %escaped_path(&path),
                        reason = %escaped(reason.as_bytes()),
                        "lock file without a running agent replaced"
                    );
                }
                directory.remove_if(name, &entry)?;
            }
        }
        let mut file = match directory.create_file(name) {
            Ok(file) => file,
            Err(error) if error.os_error() == Some(libc::EEXIST) => continue,
            Err(error) => return Err(error),
        };
        let path = || directory.path().join(name);
        let failed = |action| {
            move |source| DirectoryError::Io {
                action,
                path: path(),
                source,
            }
        };
        writeln!(file, "{}", process::id()).map_err(failed("write"))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, errno)| failed("lock")(errno.into()))?;
        return Ok(Ok(Claim {
            directory: directory.clone(),
            name: name.to_owned(),
            entry: Entry::of(&lock).map_err(failed("examine"))?,
            _lock: lock,
        }));
    }
    Err(busy(&directory.path().join(name)))
}

impl Drop for Claim {
    fn drop(&mut self) {
        // What cannot be removed is only a stale file.
        let _: Result<bool, _> = self.directory.remove_if(&self.name, &self.entry);
        self.directory.remove_if_empty();
    }
}

/// Owner of a parent by its lock file.
#[derive(Debug)]
pub(super) enum Ownership {
    /// There is no lock file.
    None,
    /// An agent runs; its process id, if it is known.
    Held(Option<u32>),
    /// There is an entry without a running agent; the reason, if an agent did not leave it.
    Stale(Entry, Option<String>),
}

impl Ownership {
    /// Examines a lock file. Nothing is written, and a lock is taken for the moment of the examination only.
    ///
    /// A lock counts if a user that may have agents in this directory started the process that holds it. A
    /// process of another pid namespace is not seen; then the lock counts if no other user could have
    /// opened the file.
    pub(super) fn of(directory: &Directory, name: &OsStr) -> Result<Self, DirectoryError> {
        for _ in 1..TRIES {
            let Some(entry) = directory.examine(name)? else {
                return Ok(Self::None);
            };
            if let Some(reason) = directory.distrust(&entry, SFlag::S_IFREG) {
                return Ok(Self::Stale(entry, Some(reason)));
            }
            let holders = holders(entry.inode());
            if let Some(agent) = holders.iter().find(|of| of.is_trusted_in(directory)) {
                return Ok(Self::Held(Some(agent.pid)));
            }
            let file = match directory.open_file(name, &entry) {
                Ok(file) => file,
                Err(error) => match error.os_error() {
                    // Removed or replaced meanwhile.
                    Some(libc::ENOENT | libc::ESTALE) => continue,
                    // One that root made before the directory had another owner.
                    Some(libc::EACCES) => return Ok(Self::Stale(entry, None)),
                    _ => return Err(error),
                },
            };
            return Ok(match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(_) => Self::Stale(entry, None),
                Err((mut file, Errno::EWOULDBLOCK)) => match holders.first() {
                    None if entry.is_private() => Self::Held(read_pid(&mut file)),
                    None => Self::Stale(entry, Some("its lock is held by no agent".to_owned())),
                    Some(other) => {
                        let pid = other.pid;
                        let user = other
                            .user
                            .map_or_else(String::new, |of| format!(" of uid {of}"));
                        let reason =
                            format!("its lock is held by pid {pid}{user}, which is no agent");
                        Self::Stale(entry, Some(reason))
                    }
                },
                Err((_, errno)) => {
                    return Err(DirectoryError::Io {
                        action: "lock",
                        path: directory.path().join(name),
                        source: errno.into(),
                    });
                }
            });
        }
        Err(busy(&directory.path().join(name)))
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    /// More than any process id has digits.
    const LONGEST: u64 = 16;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Name of a lock file: `<netns>-<ifindex>.lock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LockName {
    pub(super) netns: u64,
    pub(super) ifindex: u32,
}

impl LockName {
    pub(super) fn file(self) -> OsString {
        format!("{}-{}.lock", self.netns, self.ifindex).into()
    }

    /// Parses a file name; none if it is not one that [`Self::file`] gives.
    pub(super) fn parse(file: &OsStr) -> Option<Self> {
        let (netns, ifindex) = file.to_str()?.strip_suffix(".lock")?.split_once('-')?;
        let name = Self {
            netns: netns.parse().ok()?,
            ifindex: ifindex.parse().ok()?,
        };
        (name.file() == file).then_some(name)
    }
}

#[cfg(test)]
mod tests;
