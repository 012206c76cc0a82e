//! How discovery fails, and what to do about it.

use std::{io, path::PathBuf};

/// Why there is no snapshot, or no watch. Nothing may be concluded from a failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// A netlink socket could not be had.
    #[error("open a netlink socket ({step})")]
    Socket {
        /// The call that failed.
        step: &'static str,
        /// Its error.
        source: io::Error,
    },
    /// A request was refused or not answered.
    #[error("netlink: {request}")]
    Request {
        /// What was asked, and of which netns.
        request: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel kept changing while it was dumped; worth another try later.
    #[error("netlink: {request} was interrupted by changes {attempts} times in a row")]
    Interrupted {
        /// What was asked.
        request: String,
        /// How often.
        attempts: u32,
    },
    /// An answer that does not read as one.
    #[error("netlink: answer to {request} is malformed: {reason}")]
    Malformed {
        /// What was asked.
        request: String,
        /// What is wrong.
        reason: &'static str,
    },
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
        let (Self::Socket { source, .. }
        | Self::Request { source, .. }
        | Self::File { source, .. }
        | Self::Watch { source }) = self
        else {
            return None;
        };
        match (self, source.raw_os_error()?) {
            (Self::Socket { step, .. }, libc::EPERM) if *step == super::watch::ALL_NETNSES => {
                Some("needs CAP_NET_BROADCAST")
            }
            (Self::Request { .. } | Self::Socket { .. }, libc::EPERM | libc::EACCES) => {
                Some("needs CAP_NET_ADMIN in this network namespace")
            }
            (Self::File { .. }, libc::EPERM | libc::EACCES) => {
                Some("needs /proc and /run/netns to be readable")
            }
            (_, libc::EMFILE | libc::ENFILE) => Some("raise the limit of open files"),
            _ => None,
        }
    }

    /// The kernel's answer to a request.
    pub(crate) fn errno(&self) -> Option<i32> {
        match self {
            Self::Request { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// Whether the agent itself failed, and no netns that it reads.
    pub(crate) const fn is_own(&self) -> bool {
        matches!(self, Self::Socket { .. })
    }

    /// Whether a privilege in the agent's own netns is missing.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self.errno(), Some(libc::EPERM | libc::EACCES))
    }

    /// Whether the same request may well succeed a moment later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Interrupted { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_capability_is_named() {
        let denied = || io::Error::from_raw_os_error(libc::EPERM);
        let subscribe = DiscoverError::Socket {
            step: super::super::watch::ALL_NETNSES,
            source: denied(),
        };
        assert_eq!(subscribe.hint(), Some("needs CAP_NET_BROADCAST"));
        let request = DiscoverError::Request {
            request: "RTM_NEWNSID".into(),
            source: denied(),
        };
        assert!(
            request
                .hint()
                .is_some_and(|hint| hint.contains("CAP_NET_ADMIN"))
        );
    }

    #[test]
    fn only_an_interrupted_dump_is_transient() {
        let interrupted = DiscoverError::Interrupted {
            request: "RTM_GETLINK".into(),
            attempts: 3,
        };
        assert!(interrupted.is_transient() && interrupted.hint().is_none());
        let source = io::Error::from_raw_os_error(libc::ENOBUFS);
        assert!(!DiscoverError::Watch { source }.is_transient());
    }
}
