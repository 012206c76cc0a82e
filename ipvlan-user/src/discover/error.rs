//! How discovery fails, and what to do about it.

use std::{io, path::PathBuf};

use crate::netlink::NetlinkError;

/// Why there is no snapshot, or no watch. Nothing may be concluded from a failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// A netlink request failed.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// A file of /proc or /run could not be read.
    #[error("read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The watch's socket failed.
    #[error("watch netlink events")]
    Watch {
        /// Why.
        source: io::Error,
    },
}

impl DiscoverError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        let source = match self {
            Self::Netlink(error) => return error.hint(),
            Self::File { source, .. } | Self::Watch { source } => source,
        };
        match (self, source.raw_os_error()?) {
            (Self::File { .. }, libc::EPERM | libc::EACCES) => {
                Some("needs /proc and /run/netns to be readable")
            }
            (_, libc::EMFILE | libc::ENFILE) => Some("raise the limit of open files"),
            _ => None,
        }
    }

    /// Whether the agent itself failed, and no netns that it reads.
    pub(crate) const fn is_own(&self) -> bool {
        matches!(self, Self::Netlink(error) if error.is_own())
    }

    /// Whether the same request may well succeed a moment later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Netlink(NetlinkError::Interrupted { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_interrupted_dump_is_transient() {
        let interrupted = DiscoverError::from(NetlinkError::Interrupted {
            request: "RTM_GETLINK".into(),
            attempts: 3,
        });
        assert!(interrupted.is_transient() && interrupted.hint().is_none());
        let source = io::Error::from_raw_os_error(libc::ENOBUFS);
        assert!(!DiscoverError::Watch { source }.is_transient());
    }
}
