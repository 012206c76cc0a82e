//! A row of the suite: a fault, what it may cost, and what it cost.

use std::{fmt, time::Duration};

use anyhow::Result;

use super::{stage::Stage, traffic::Judged};
use crate::rows::suite::Kernels;

/// A fault.
pub(super) struct Row {
    /// What is done.
    pub(super) fault: &'static str,
    /// The options of the agent that is running before.
    pub(super) options: &'static [&'static str],
    /// Within which everything has to be as it should be again.
    pub(super) heals_within: Duration,
    /// Whether it is only for kernels with TCX: on others the agent uses clsact whatever its options.
    pub(super) needs_tcx: bool,
    /// The kernels that it is for.
    pub(super) kernels: Kernels,
    /// Does it, and puts everything back.
    pub(super) run: fn(&mut Stage) -> Result<()>,
}

impl Row {
    /// A row with the usual limits, and an agent with default options.
    pub(super) const fn new(fault: &'static str, run: fn(&mut Stage) -> Result<()>) -> Self {
        Self {
            fault,
            options: &[],
            heals_within: Duration::from_secs(1),
            needs_tcx: false,
            kernels: Kernels::Ends,
            run,
        }
    }

    /// The same with other options.
    pub(super) const fn with(self, options: &'static [&'static str]) -> Self {
        Self { options, ..self }
    }

    /// The same on kernels with TCX alone.
    pub(super) const fn with_tcx(self) -> Self {
        Self {
            needs_tcx: true,
            ..self
        }
    }

    /// The same with TC programs in a clsact qdisc, where they would not be anyway.
    pub(super) const fn by_clsact(self) -> Self {
        self.with(&["--attach", "clsact"]).with_tcx()
    }

    /// The same where a kernel may ask for an address before the agent has heard of the change, and gets no
    /// answer: it asks again after a second (`RETRANS_TIMER` of RFC 4861 §10, `retrans_time_ms` of Linux).
    pub(super) const fn asked_meanwhile(self) -> Self {
        self.within(1_500)
    }

    /// The same for what the agent does whatever the kernel: one of them is enough.
    pub(super) const fn on_any_kernel(self) -> Self {
        Self {
            kernels: Kernels::Any,
            ..self
        }
    }

    /// The same with another time to heal.
    pub(super) const fn within(self, milliseconds: u64) -> Self {
        Self {
            heals_within: Duration::from_millis(milliseconds),
            ..self
        }
    }
}

/// What a row cost.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// What became of the traffic.
    pub(super) traffic: Judged,
    /// Addresses that are served and that no child has, after it.
    pub(super) stale: usize,
    /// Addresses that a child has and that are not served, after it.
    pub(super) missing: usize,
    /// Everything else that is not as it should be.
    pub(super) problems: Vec<String>,
}

impl Outcome {
    /// Milliseconds until everything was as it should be.
    pub(super) fn healed_ms(&self) -> Option<f64> {
        let healed = self.traffic.tally.healed?;
        Some(healed.as_secs_f64() * 1000.0)
    }

    /// Returns whether everything was as it should be, within `limit`.
    pub(super) fn is_met(&self, limit: Duration) -> bool {
        let tally = &self.traffic.tally;
        tally.lost + tally.wrong == 0
            && self.stale + self.missing == 0
            && self.problems.is_empty()
            && tally.healed.is_none_or(|healed| healed <= limit)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stale, missing, .. } = self;
        let Judged { tally, last, .. } = &self.traffic;
        write!(
            formatter,
            "{} lost of {}, {} wrong, {stale} stale, {missing} missing",
            tally.lost, tally.sent, tally.wrong
        )?;
        if let Some(healed) = self.healed_ms() {
            write!(formatter, ", healed in {healed:.0} ms")?;
        }
        if let Some(last) = last {
            write!(formatter, " ({last})")?;
        }
        Ok(())
    }
}
