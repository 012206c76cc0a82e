//! How a request fails.

use std::io;

/// Why a request has no answer. Nothing may be concluded from a failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetlinkError {
    /// A socket could not be opened.
    #[error("open a netlink socket ({step})")]
    Socket {
        /// The call that failed.
        step: &'static str,
        /// Its error.
        source: io::Error,
    },
    /// The kernel refused a request, or did not answer it.
    #[error("netlink: {request}")]
    Request {
        /// The request and its netns.
        request: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel kept changing while it was dumped; worth another try later.
    #[error("netlink: {request} was interrupted by changes {attempts} times in a row")]
    Interrupted {
        /// The request and its netns.
        request: String,
        /// How often it was sent.
        attempts: u32,
    },
    /// An answer that cannot be decoded.
    #[error("netlink: answer to {request} is malformed: {reason}")]
    Malformed {
        /// The request and its netns.
        request: String,
        /// What is wrong.
        reason: &'static str,
    },
}

/// The step that needs `CAP_NET_BROADCAST`.
pub(super) const ALL_NETNSES: &str = "NETLINK_LISTEN_ALL_NSID";

impl NetlinkError {
    /// Returns what the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        let (Self::Socket { source, .. } | Self::Request { source, .. }) = self else {
            return None;
        };
        match (self, source.raw_os_error()?) {
            (Self::Socket { step, .. }, libc::EPERM) if *step == ALL_NETNSES => {
                Some("needs CAP_NET_BROADCAST")
            }
            (_, libc::EPERM | libc::EACCES) => {
                Some("needs CAP_NET_ADMIN in this network namespace")
            }
            (_, libc::EMFILE | libc::ENFILE) => Some("raise the limit of open files"),
            _ => None,
        }
    }

    /// Returns the kernel's answer to a request.
    pub(crate) fn errno(&self) -> Option<i32> {
        match self {
            Self::Request { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// Returns whether the agent itself failed, and no netns that it reads.
    pub(crate) const fn is_own(&self) -> bool {
        matches!(self, Self::Socket { .. })
    }

    /// Returns whether a privilege in the agent's own netns is missing.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self.errno(), Some(libc::EPERM | libc::EACCES))
    }
}

/// The answer of the kernel stays an error of the system, with its number.
impl From<NetlinkError> for io::Error {
    fn from(error: NetlinkError) -> Self {
        match error {
            NetlinkError::Socket { source, .. } | NetlinkError::Request { source, .. } => source,
            error => Self::other(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_capability_is_named() {
        let denied = || io::Error::from_raw_os_error(libc::EPERM);
        let subscribe = NetlinkError::Socket {
            step: ALL_NETNSES,
            source: denied(),
        };
        assert_eq!(subscribe.hint(), Some("needs CAP_NET_BROADCAST"));
        let request = NetlinkError::Request {
            request: "RTM_NEWNSID".into(),
            source: denied(),
        };
        let hint = request.hint().unwrap();
        assert!(hint.contains("CAP_NET_ADMIN"));
        assert_eq!(io::Error::from(request).raw_os_error(), Some(libc::EPERM));
    }
}
