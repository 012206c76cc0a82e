//! Handing a program to the kernel's verifier, which takes it some tens of milliseconds.

use aya::{VerifierLogLevel, programs::ProgramError};
use nix::sys::signal::{SigSet, SigmaskHow};

use super::AttachError;

/// What the verifier is asked to say of a program that it refused: why, not every step on the way there,
/// of which there are ten thousands.
pub(super) const LOG: VerifierLogLevel = VerifierLogLevel::STATS;
/// How often a program is loaded whose verification was interrupted, as often as libbpf does
/// (`PROG_LOAD_ATTEMPTS`).
const ATTEMPTS: usize = 5;

/// Loads `program` by `load`; nothing to do if it has been.
///
/// The verifier gives up with EAGAIN when its thread has a signal (`bpf_check`, commit c3494801cd17): none is
/// let through meanwhile, and as one cannot be held up, SIGSTOP, it is tried again.
pub(super) fn load(
    program: &'static str,
    mut load: impl FnMut() -> Result<(), ProgramError>,
) -> Result<(), AttachError> {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let mut loaded = load();
    for _ in 1..ATTEMPTS {
        if !loaded.as_ref().is_err_and(is_interrupted) {
            break;
        }
        loaded = load();
    }
    if let Ok(before) = before {
        // Fails only for a mask that there cannot be.
        let _restored = before.thread_set_mask();
    }
    match loaded {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(error) => Err(AttachError::load_program(program, error)),
    }
}

fn is_interrupted(error: &ProgramError) -> bool {
    matches!(error, ProgramError::LoadError { io_error, .. } if io_error.raw_os_error() == Some(libc::EAGAIN))
}

#[cfg(test)]
mod tests {
    use std::{io, iter};

    use aya_obj::VerifierLog;
    use nix::sys::signal::Signal;

    use super::*;

    fn refused(errno: i32) -> Result<(), ProgramError> {
        Err(ProgramError::LoadError {
            io_error: io::Error::from_raw_os_error(errno),
            verifier_log: VerifierLog::new(String::new()),
        })
    }

    #[test]
    fn what_was_interrupted_is_tried_again_and_nothing_else() {
        let rows: [(&[i32], usize, bool); 4] = [
            (&[], 1, true),
            (&[libc::EAGAIN, libc::EAGAIN], 3, true),
            (&[libc::EINVAL], 1, false),
            (&[libc::EAGAIN; 9], ATTEMPTS, false),
        ];
        for (errors, tried, good) in rows {
            let mut answers = errors
                .iter()
                .map(|errno| refused(*errno))
                .chain(iter::once(Ok(())));
            let mut times = 0;
            let loaded = load("program", || {
                times += 1;
                answers.next().unwrap_or(Ok(()))
            });
            assert_eq!((times, loaded.is_ok()), (tried, good), "{errors:?}");
        }
        assert!(load("program", || Err(ProgramError::AlreadyLoaded)).is_ok());
    }

    #[test]
    fn signals_wait_meanwhile() {
        let before = SigSet::thread_get_mask().unwrap();
        load("program", || {
            let now = SigSet::thread_get_mask().unwrap();
            assert!(now.contains(Signal::SIGHUP) && now.contains(Signal::SIGTERM));
            Ok(())
        })
        .unwrap();
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }
}
