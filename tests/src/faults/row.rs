//! A row of the suite: a fault, what it may cost, and what it cost.

use std::{fmt, time::Duration};

use anyhow::Result;

use super::{stage::Stage, traffic::Judged};

/// A fault.
pub(super) struct Row {
    /// What is done.
    pub(super) fault: &'static str,
    /// The options of the agent that is running before.
    pub(super) options: &'static [&'static str],
    /// Within which everything has to be as it should be again.
    pub(super) heals_within: Duration,
    /// Where it makes a difference.
    pub(super) needs: Needs,
    /// Whether one kernel shows what every kernel would.
    pub(super) any_kernel: bool,
    /// Does it, and puts everything back.
    pub(super) run: fn(&mut Stage) -> Result<()>,
}

/// What a row takes of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: it is for every kernel.
    Nothing,
    /// TCX: before it the agent uses clsact whatever it is told.
    Tcx,
}

impl Row {
    /// A row with the usual limits, and an agent with default options.
    pub(super) const fn new(fault: &'static str, run: fn(&mut Stage) -> Result<()>) -> Self {
        Self {
            fault,
            options: &[],
            heals_within: Duration::from_secs(1),
            needs: Needs::Nothing,
            any_kernel: false,
            run,
        }
    }

    /// The same with other options.
    pub(super) const fn with(self, options: &'static [&'static str]) -> Self {
        Self { options, ..self }
    }

    /// The same with TC programs in a clsact qdisc, where they would not be anyway.
    pub(super) const fn by_clsact(self) -> Self {
        Self {
            options: &["--attach", "clsact"],
            needs: Needs::Tcx,
            ..self
        }
    }

    /// The same where a kernel may ask for an address before the agent has heard of the change, and gets no
    /// answer: it asks again after a second (`RETRANS_TIMER` of RFC 4861 §10, `retrans_time_ms` of Linux).
    pub(super) const fn asked_meanwhile(self) -> Self {
        self.within(1_500)
    }

    /// The same for what the agent does whatever the kernel: one of them is enough.
    pub(super) const fn on_any_kernel(self) -> Self {
        Self {
            any_kernel: true,
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
    /// Packets and questions that something was expected of.
    pub(super) sent: u64,
    /// Of these, not answered though they should have been.
    pub(super) lost: u64,
    /// Of these, answered otherwise than they should have been.
    pub(super) wrong: u64,
    /// Until everything was as it should be; none if nothing changed.
    pub(super) healed: Option<Duration>,
    /// Whose traffic was the last that was.
    pub(super) last: Option<String>,
    /// Addresses that are served and that no child has, after it.
    pub(super) stale: usize,
    /// Addresses that a child has and that are not served, after it.
    pub(super) missing: usize,
    /// Everything that is not as it should be.
    pub(super) problems: Vec<String>,
}

impl Outcome {
    /// One that could not be carried out.
    pub(super) fn failed(error: &anyhow::Error) -> Self {
        Self {
            problems: vec![format!("{error:#}")],
            ..Self::default()
        }
    }

    /// Adds what became of the traffic.
    pub(super) fn judge(&mut self, judged: Judged) {
        let Judged {
            tally,
            last,
            problems,
        } = judged;
        self.sent = tally.sent;
        self.lost = tally.lost;
        self.wrong = tally.wrong;
        self.healed = tally.healed;
        self.last = last;
        self.problems.extend(problems);
    }

    /// Milliseconds until everything was as it should be.
    pub(super) fn healed_ms(&self) -> Option<f64> {
        self.healed.map(|healed| healed.as_secs_f64() * 1000.0)
    }

    /// Was everything as it should be, within `limit`?
    pub(super) fn is_met(&self, limit: Duration) -> bool {
        self.lost + self.wrong == 0
            && self.stale + self.missing == 0
            && self.problems.is_empty()
            && self.healed.is_none_or(|healed| healed <= limit)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sent,
            lost,
            wrong,
            stale,
            missing,
            ..
        } = self;
        write!(
            formatter,
            "{lost} lost of {sent}, {wrong} wrong, {stale} stale, {missing} missing"
        )?;
        if let Some(healed) = self.healed_ms() {
            write!(formatter, ", healed in {healed:.0} ms")?;
        }
        if let Some(last) = &self.last {
            write!(formatter, " ({last})")?;
        }
        Ok(())
    }
}
