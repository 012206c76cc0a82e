//! What goes wrong with pins, and what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{directory::DirectoryError, text::escaped_path};

/// Something cannot be pinned, or what is pinned cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// There is no BPF filesystem.
    #[error("{} is not on a BPF filesystem", escaped_path(path))]
    NoBpffs {
        /// Where it should be.
        path: PathBuf,
    },
    /// Others could get at the maps.
    #[error("{} belongs to uid {owner}, not to us", escaped_path(path))]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Another agent holds the directory of the parent.
    #[error("{} is held by another agent", escaped_path(path))]
    Taken {
        /// The directory.
        path: PathBuf,
        /// The process id of that agent, if the kernel shows it.
        owner: Option<u32>,
    },
    /// The directory, or something in it, cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A pinned link or map could not be opened, pinned or removed.
    #[error("pinned object {}", path.display())]
    Object {
        /// Where it is pinned.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The filesystem refused.
    #[error("{action} {}", escaped_path(path))]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl PinError {
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the agent can do without pins: there is no filesystem for them, or none to write to.
    #[must_use]
    pub fn is_for_want_of_a_filesystem(&self) -> bool {
        match self {
            Self::NoBpffs { .. } => true,
            Self::File { .. } | Self::Directory(_) => matches!(
                self.os_error(),
                Some(libc::EROFS | libc::ENOENT | libc::ENOTDIR | libc::ENOSPC)
            ),
            Self::Foreign { .. } | Self::Taken { .. } | Self::Object { .. } => false,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        let hint = match self {
            Self::NoBpffs { .. } => {
                "mount one with `mount -t bpf bpf /sys/fs/bpf`, or use --pin-dir with a directory on one"
            }
            Self::Foreign { .. } => {
                "run as that user, or use --pin-dir with a directory of your own"
            }
            Self::Taken { .. } => "see `ipvlan status`; stop that agent first",
            Self::Directory(error) if error.hint().is_some() => return error.hint(),
            Self::File { .. } | Self::Directory(_) => {
                "run as root, or use --pin-dir with a directory of your own"
            }
            Self::Object { .. } => return None,
        };
        Some(hint)
    }

    /// The error number behind it.
    #[must_use]
    pub fn os_error(&self) -> Option<i32> {
        match self {
            Self::File { source, .. } | Self::Object { source, .. } => source.raw_os_error(),
            Self::Directory(error) => error.os_error(),
            Self::Foreign { .. } => Some(libc::EACCES),
            Self::NoBpffs { .. } | Self::Taken { .. } => None,
        }
    }
}
