//! What can be wrong with a directory and its entries.

use std::{
    io,
    path::{Path, PathBuf},
};

use nix::{errno::Errno, unistd::Uid};

use super::IdentityError;
use crate::text::escaped_path;

/// A directory, or an entry of one, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The kernel refused.
    #[error("{action} {}", escaped_path(path))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Other users can put files there.
    #[error(
        "{} is writable by its group or by others (mode {mode:04o})",
        escaped_path(path)
    )]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A symbolic link of another user is on the way, or the directory itself is a symbolic link.
    #[error("{} is a symbolic link of uid {owner}", escaped_path(path))]
    Link {
        /// The symbolic link.
        path: PathBuf,
        /// Its owner.
        owner: Uid,
    },
    /// The directory belongs to another user, whose file-system identity cannot be taken.
    #[error("{} belongs to uid {owner}", escaped_path(path))]
    Identity {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: Uid,
        /// Why.
        source: IdentityError,
    },
    /// The directory is locked by another process for longer than an agent would.
    #[error("{} is locked{}", escaped_path(path), by(*holder))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Process id of the one that locks it, if it is known.
        holder: Option<u32>,
    },
}

fn by(holder: Option<u32>) -> String {
    holder.map_or_else(String::new, |pid| format!(" by the process with pid {pid}"))
}

impl DirectoryError {
    pub(super) fn io(action: &'static str, path: &Path, errno: Errno) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source: errno.into(),
        }
    }

    /// Returns whether the directory or the entry does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.os_error() == Some(libc::ENOENT)
    }

    /// Returns the error number behind it.
    #[must_use]
    pub fn os_error(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } => source.raw_os_error(),
            Self::Writable { .. } | Self::Locked { .. } => None,
            Self::Link { .. } => Some(libc::ELOOP),
            Self::Identity { .. } => Some(libc::EPERM),
        }
    }

    /// Returns what the user can do about it, if that depends on the directory alone.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io { .. } => None,
            Self::Writable { .. } => Some("`chmod go-w` it, or use another directory"),
            Self::Link { .. } => Some("give the path of the directory itself"),
            Self::Identity { .. } => Some(
                "run as that user, or as root with CAP_SETUID and CAP_SETGID, or use a directory of your own",
            ),
            Self::Locked { .. } => Some("wait for that process to end, or end it"),
        }
    }
}
