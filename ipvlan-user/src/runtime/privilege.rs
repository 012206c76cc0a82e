//! What the process may do: four capabilities, and nothing else from then on.

use std::fmt;

use caps::{CapSet, Capability, CapsHashSet, errors::CapsError};
use nix::errno::Errno;

/// What the agent needs; `docs/privileges.md` says what for.
pub const NEEDED: [Capability; 4] = [
    Capability::CAP_BPF,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_NET_BROADCAST,
    Capability::CAP_NET_RAW,
];

/// What this process may do is not what it should.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// Something needed is missing.
    #[error("{} missing", Missing(missing))]
    Missing {
        /// What.
        missing: Vec<Capability>,
    },
    /// What is not needed could not be dropped.
    #[error("{action}")]
    Capabilities {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
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
    /// What the user can do about it.
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

/// Checks that everything needed is there.
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

/// Keeps what is needed and drops all else, so that neither this process nor one that it would start can
/// get it back. Of the calling thread only: call it before there are others.
pub fn drop_others() -> Result<(), PrivilegeError> {
    let needed = CapsHashSet::from_iter(NEEDED);
    // First: it takes a capability that is among what goes. A service manager has done it for those
    // who have not got that.
    if read(CapSet::Effective)?.contains(&Capability::CAP_SETPCAP) {
        for capability in read(CapSet::Bounding)?.difference(&needed) {
            caps::drop(None, CapSet::Bounding, *capability)
                .map_err(failed("empty the bounding set of capabilities"))?;
        }
    }
    caps::clear(None, CapSet::Ambient).map_err(failed("clear the ambient capabilities"))?;
    // What is effective must be permitted at all times.
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

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Capabilities are a thread's own.
    fn on_its_own<T: Send>(test: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| scope.spawn(test).join().unwrap())
    }

    #[test]
    fn all_that_is_missing_is_named_and_nothing_else() {
        for (kept, says) in [
            (
                &[][..],
                "CAP_BPF, CAP_NET_ADMIN, CAP_NET_BROADCAST, CAP_NET_RAW are missing",
            ),
            // Whoever runs this test may have none; what is not held cannot be kept.
            (
                &[Capability::CAP_CHOWN],
                "CAP_BPF, CAP_NET_ADMIN, CAP_NET_BROADCAST, CAP_NET_RAW are missing",
            ),
        ] {
            let error = on_its_own(|| {
                let permitted = read(CapSet::Permitted).unwrap();
                let kept = kept.iter().copied().filter(|of| permitted.contains(of));
                caps::set(None, CapSet::Effective, &kept.collect()).unwrap();
                check().unwrap_err()
            });
            assert_eq!(error.to_string(), says);
            assert_eq!(
                error.hint().unwrap(),
                "run as root, or with CAP_BPF, CAP_NET_ADMIN, CAP_NET_BROADCAST, CAP_NET_RAW"
            );
        }
        let one = PrivilegeError::Missing {
            missing: vec![Capability::CAP_BPF],
        };
        assert_eq!(one.to_string(), "CAP_BPF is missing");
    }
}
