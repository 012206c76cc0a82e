//! Privileges of the process: four capabilities; all others are dropped for good.

use std::fmt;

use caps::{CapSet, Capability, CapsHashSet, errors::CapsError};
use nix::errno::Errno;

/// Capabilities that the agent needs; `docs/privileges.md` has the reasons.
pub const NEEDED: [Capability; 4] = [
    Capability::CAP_BPF,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_NET_BROADCAST,
    Capability::CAP_NET_RAW,
];

/// The privileges of the process are not those that it needs.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// A needed capability is missing.
    #[error("{} missing", Missing(missing))]
    Missing {
        /// The missing capabilities.
        missing: Vec<Capability>,
    },
    /// Other privileges could not be dropped.
    #[error("{action}")]
    Capabilities {
        /// The attempt.
        action: &'static str,
        /// The error.
        source: CapsError,
    },
    /// Privileges could not be given up for good.
    #[error("refuse new privileges")]
    NoNewPrivileges(#[source] Errno),
}

struct Missing<'a>(&'a [Capability]);

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.0.len() == 1 { "is" } else { "are" };
        write!(f, "{} {verb}", list(self.0))
    }
}

impl PrivilegeError {
    /// Returns what the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { missing } => Some(format!("run as root, or with {}", list(missing))),
            Self::Capabilities { .. } | Self::NoNewPrivileges(_) => None,
        }
    }
}

fn list(capabilities: &[Capability]) -> String {
    let names: Vec<String> = capabilities.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Checks that the process has all capabilities that it needs.
pub fn check() -> Result<(), PrivilegeError> {
    let effective = read(CapSet::Effective)?;
    let missing: Vec<_> = NEEDED
        .into_iter()
        .filter(|capability| !effective.contains(capability))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(PrivilegeError::Missing { missing })
    }
}

/// Drops all other privileges, so that neither this process nor one that it would start can regain them. Applies to
/// the calling thread only: call it before there are others.
pub fn drop_others() -> Result<(), PrivilegeError> {
    let needed = CapsHashSet::from_iter(NEEDED);
    // First: it takes a capability that is dropped below. A service manager has done it for a process without that
    // capability.
    if read(CapSet::Effective)?.contains(&Capability::CAP_SETPCAP) {
        for capability in read(CapSet::Bounding)?.difference(&needed) {
            caps::drop(None, CapSet::Bounding, *capability)
                .map_err(failed("empty the bounding set of capabilities"))?;
        }
    }
    caps::clear(None, CapSet::Ambient).map_err(failed("clear the ambient capabilities"))?;
    // An effective capability must be permitted at all times.
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::set(None, set, &needed).map_err(failed("drop the other capabilities"))?;
    }
    nix::sys::prctl::set_no_new_privs().map_err(PrivilegeError::NoNewPrivileges)
}

fn read(set: CapSet) -> Result<CapsHashSet, PrivilegeError> {
    caps::read(None, set).map_err(failed("read the capabilities of this process"))
}

fn failed(action: &'static str) -> impl FnOnce(CapsError) -> PrivilegeError {
    move |source| PrivilegeError::Capabilities { action, source }
}
