//! A row of a suite: an input, its outcome with the kernel alone, and its outcome with the agent.

use std::{cell::RefCell, fmt, rc::Rc};

use anyhow::Result;
use serde::Serialize;

use super::{
    scene::Scene,
    site::Site,
    suite::{Kernels, Plan},
};
use crate::demo::mode::Mode;

/// What a row is about: an attacker, or the kind of a finding on real nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Root inside a container that owns a child, with `CAP_NET_ADMIN` and `CAP_NET_RAW` there.
    Container,
    /// A local user without privileges, who can make user and network namespaces.
    User,
    /// A station on the LAN.
    Station,
    /// A compromised service user `ipvlan`.
    Service,
    /// Works without the agent and has to with it.
    Regression,
    /// The agent must not say that it is ready where nothing is answered.
    Silent,
    /// What people expect of the agent.
    Gap,
    /// What worked from the start and has to stay so.
    Held,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Container => "container",
            Self::User => "local user",
            Self::Station => "LAN station",
            Self::Service => "service user",
            Self::Regression => "regression",
            Self::Silent => "silent failure",
            Self::Gap => "gap",
            Self::Held => "held",
        })
    }
}

/// A row.
pub(crate) struct Row {
    /// The row of the table of attacks or of real nodes that it belongs to.
    pub(crate) number: &'static str,
    /// What it is about.
    pub(crate) kind: Kind,
    /// The input.
    pub(crate) input: &'static str,
    /// The required outcome with the agent.
    pub(crate) expected: &'static str,
    /// The kernels that it is for.
    pub(crate) kernels: Kernels,
    /// The outcome with the kernel alone, where it is no measurement.
    alone: &'static str,
    run: Run,
}

/// How a row is played.
pub(crate) enum Run {
    /// On topologies that it builds.
    Own(fn(&Play) -> Result<()>),
    /// Once for each of these modes, on a topology without an agent.
    Each(&'static [Mode], fn(&mut Scene) -> Result<()>),
    /// The same with an agent that was started without options.
    Started(&'static [Mode], fn(&mut Scene) -> Result<()>),
}

/// Mode l3 alone: what the agent does is the same in every mode.
pub(crate) const L3: &[Mode] = &[Mode::L3];
/// Mode l2 alone.
pub(crate) const L2: &[Mode] = &[Mode::L2];
/// A mode in which children answer, and one in which they do not.
pub(crate) const L2_L3: &[Mode] = &[Mode::L2, Mode::L3];
/// The modes in which no child answers.
pub(crate) const L3_L3S: &[Mode] = &[Mode::L3, Mode::L3s];

impl Row {
    /// Returns a row.
    pub(crate) const fn new(
        number: &'static str,
        kind: Kind,
        input: &'static str,
        expected: &'static str,
        run: Run,
    ) -> Self {
        Self {
            number,
            kind,
            input,
            expected,
            kernels: Kernels::Ends,
            alone: "",
            run,
        }
    }

    /// Returns the row with this outcome with the kernel alone.
    pub(crate) const fn alone(self, alone: &'static str) -> Self {
        Self { alone, ..self }
    }

    /// Returns the row as one that one kernel is enough for.
    pub(crate) const fn on_any_kernel(self) -> Self {
        Self {
            kernels: Kernels::Any,
            ..self
        }
    }

    /// Returns the row as one whose outcome on a kernel between the oldest and the newest is another.
    pub(crate) const fn on_every_kernel(self) -> Self {
        Self {
            kernels: Kernels::Every,
            ..self
        }
    }

    /// Plays it.
    pub(crate) fn play(&self, plan: &Plan) -> Verdict {
        let begun = Play::of(plan);
        if let Err(error) = self.run.run(&begun) {
            begun.problem(format!("{error:#}"));
        }
        let mut verdict = begun.end();
        append(&mut verdict.alone, self.alone);
        // Where nothing was measured, what was found is what is required.
        if verdict.is_met() && verdict.agent.is_empty() {
            append(&mut verdict.agent, self.expected);
        }
        verdict
    }
}

impl Run {
    fn run(&self, play: &Play) -> Result<()> {
        let (modes, is_started, once) = match *self {
            Self::Own(run) => return run(play),
            Self::Each(modes, run) => (modes, false, run),
            Self::Started(modes, run) => (modes, true, run),
        };
        for &mode in modes {
            let mut scene = play.scene(mode)?;
            if is_started {
                scene.start(&[])?;
            }
            once(&mut scene)?;
            scene.end()?;
        }
        Ok(())
    }
}

/// A row that is being played: what it has found so far.
#[derive(Clone, Debug)]
pub(crate) struct Play {
    pub(crate) plan: Plan,
    verdict: Rc<RefCell<Verdict>>,
}

impl Play {
    /// Returns one that has found nothing.
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            verdict: Rc::default(),
        }
    }

    /// Adds to the outcome with the kernel alone.
    pub(crate) fn alone(&self, text: impl AsRef<str>) {
        append(&mut self.verdict.borrow_mut().alone, text.as_ref());
    }

    /// Adds to the outcome with the agent.
    pub(crate) fn with_agent(&self, text: impl AsRef<str>) {
        append(&mut self.verdict.borrow_mut().agent, text.as_ref());
    }

    /// Records a problem unless `is_so`.
    pub(crate) fn expect(&self, is_so: bool, otherwise: impl FnOnce() -> String) {
        if !is_so {
            self.problem(otherwise());
        }
    }

    /// Records a problem.
    pub(crate) fn problem(&self, problem: String) {
        self.verdict.borrow_mut().problems.push(problem);
    }

    /// Returns what it has found, and begins anew.
    pub(crate) fn end(&self) -> Verdict {
        self.verdict.take()
    }

    /// Builds a topology with children in `mode`; no agent runs.
    pub(crate) fn scene(&self, mode: Mode) -> Result<Scene> {
        self.isolated(mode, "bridge")
    }

    /// The same with the isolation `flag`.
    pub(crate) fn isolated(&self, mode: Mode, flag: &'static str) -> Result<Scene> {
        Ok(Scene::on(self, Site::build_in(mode, flag)?))
    }
}

/// The outcome of a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// The outcome with the kernel alone.
    pub(crate) alone: String,
    /// The outcome with the agent.
    pub(crate) agent: String,
    /// Everything that differs from the required outcome.
    pub(crate) problems: Vec<String>,
}

impl Verdict {
    /// Returns whether the outcome is the required one.
    pub(crate) fn is_met(&self) -> bool {
        self.problems.is_empty()
    }
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str("; ");
    }
    text.push_str(more);
}
