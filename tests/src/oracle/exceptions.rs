//! Where the agent's answers differ from the kernel's on purpose: the only place.
//!
//! A row holds for every frame that it covers and that the kernel treats as it says: then ours must
//! come out as it says, too. A row that no frame needs any more fails the comparison.

use super::{case::Case, outcome::Outcome, setting::Setting, wire::Received};

/// A difference that is meant to be.
#[derive(Debug)]
pub(crate) struct Exception {
    /// Which frames, in words.
    pub frames: &'static str,
    /// Why.
    pub reason: &'static str,
    /// Where.
    settings: fn(&Setting) -> bool,
    /// Which frames.
    covers: fn(&Case) -> bool,
    /// What the kernel does.
    kernel: Outcome,
    /// What we do.
    pub ours: Outcome,
}

impl Exception {
    /// Must it occur in this setting?
    #[must_use]
    pub(crate) fn is_due(&self, setting: &Setting) -> bool {
        (self.settings)(setting)
    }

    /// Is this what `case` is an exception by, `by_kernel` having come from the kernel?
    #[must_use]
    pub(crate) fn applies(&self, setting: &Setting, case: &Case, by_kernel: &[Received]) -> bool {
        (self.settings)(setting) && (self.covers)(case) && self.kernel.is(case, by_kernel)
    }
}

/// All of them.
pub(crate) const EXCEPTIONS: &[Exception] = &[];
