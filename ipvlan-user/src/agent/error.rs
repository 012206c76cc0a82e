//! Why an agent cannot go on.

use std::io;

use crate::{
    attach::AttachError, discover::DiscoverError, metrics::BindError, model::ParentError,
    runtime::ClaimError,
};

/// The agent cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The kernel's state could not be read.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// An interface cannot be served.
    #[error(transparent)]
    Parent(#[from] ParentError),
    /// Another agent serves it.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// Its programs could not be attached.
    #[error("attach to `{parent}`")]
    Attach {
        /// Name of the parent.
        parent: String,
        /// Why.
        source: Box<AttachError>,
    },
    /// Metrics cannot be served.
    #[error("serve metrics")]
    Metrics(#[from] BindError),
    /// Something of the process itself.
    #[error("{action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Not everything was left as it was found. Each has been logged.
    #[error("{count} programs could not be detached")]
    Detach {
        /// How many.
        count: usize,
    },
}

impl AgentError {
    /// Returns the failure to attach to a parent.
    pub(super) fn attach(parent: &str, source: AttachError) -> Self {
        Self::Attach {
            parent: parent.to_owned(),
            source: Box::new(source),
        }
    }

    /// Returns whether it ends a start, whatever the outcome for the other parents: waiting would not help.
    pub(super) fn is_fatal(&self) -> bool {
        matches!(self, Self::Claim(ClaimError::Taken { .. })) || self.is_denied()
    }

    /// Returns what the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Discover(error) => error.hint().map(str::to_owned),
            Self::Parent(error) => Some(error.hint()),
            Self::Claim(error) => Some(error.hint().to_owned()),
            Self::Attach { source, .. } => source.hint().map(str::to_owned),
            Self::Metrics(error) => error.hint().map(str::to_owned),
            Self::System { .. } | Self::Detach { .. } => None,
        }
    }

    /// Whether a privilege was missing.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Attach { source, .. } => is_errno_of_denial(source.os_error()),
            Self::Claim(error @ ClaimError::File { .. }) => is_errno_of_denial(error.os_error()),
            Self::System { source, .. } => is_denied(source),
            Self::Metrics(error) => is_errno_of_denial(error.os_error()),
            Self::Discover(error) => {
                let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
                while let Some(error) = cause {
                    if is_denied(error) {
                        return true;
                    }
                    cause = error.source();
                }
                false
            }
            Self::Claim(ClaimError::Taken { .. }) | Self::Parent(_) | Self::Detach { .. } => false,
        }
    }
}

/// Whether this error is the kernel's word for a missing privilege.
fn is_denied(cause: &(dyn std::error::Error + 'static)) -> bool {
    let error = cause.downcast_ref::<io::Error>();
    is_errno_of_denial(error.and_then(io::Error::raw_os_error))
}

/// Whether this error number is.
pub(crate) fn is_errno_of_denial(errno: Option<i32>) -> bool {
    matches!(errno, Some(libc::EPERM | libc::EACCES))
}

pub(super) fn system(action: &'static str) -> impl FnOnce(io::Error) -> AgentError {
    move |source| AgentError::System { action, source }
}
