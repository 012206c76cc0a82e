//! One parent: from its name to an attached, filled datapath, and back.

mod attach;
mod pins;
mod serving;

use std::{
    task::{Context, Poll},
    time::{Duration, Instant},
};

use ipvlan_common::Event;
use nix::net::if_::if_indextoname;
use tracing::{info, warn};

pub(super) use self::serving::Serving;
use super::{AgentError, Settings, schedule::backoff};
use crate::{
    attach::{AttachError, Datapath},
    discover::Changed,
    facts::Snapshot,
    maps::MapsError,
    model::{check_link, check_parent},
    quota::{self, Exceeded},
    text::counted,
};

/// A parent that was asked for.
pub(super) struct Parent {
    /// The name it was asked for by.
    name: String,
    netns: u64,
    state: State,
    /// The last try to attach, if it failed.
    failed: Option<Failed>,
}

/// A try to attach that failed.
struct Failed {
    ifindex: u32,
    /// How many in a row.
    tries: u32,
    /// When to try again.
    retry_at: Instant,
}

pub(super) enum State {
    /// There is nothing to attach to.
    Waiting(String),
    /// Attached.
    Serving(Box<Serving>),
}

impl Parent {
    pub(super) const fn new(name: String, netns: u64) -> Self {
        Self {
            name,
            netns,
            state: State::Waiting(String::new()),
            failed: None,
        }
    }

    /// Whether it was asked for by this name, or has it now.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.name() == name
    }

    /// Whether it is attached, and the kernel knows its interface by this name at this moment.
    pub(super) fn has_name_now(&self, name: &str) -> bool {
        let State::Serving(serving) = &self.state else {
            return false;
        };
        if_indextoname(serving.link.ifindex).is_ok_and(|now| now.as_bytes() == name.as_bytes())
    }

    /// It is asked for by this name from now on.
    pub(super) fn ask_for(&mut self, name: String) {
        self.name = name;
    }

    /// Whether no sync has looked for it yet.
    pub(super) const fn is_new(&self) -> bool {
        matches!(&self.state, State::Waiting(reason) if reason.is_empty())
    }

    /// Whether programs are attached.
    pub(super) const fn is_serving(&self) -> bool {
        matches!(self.state, State::Serving(_))
    }

    /// The name it has now; the one it was asked for by while there is no such interface.
    pub(super) fn name(&self) -> &str {
        match &self.state {
            State::Serving(serving) => serving.link.name.as_str(),
            State::Waiting(_) => &self.name,
        }
    }

    pub(super) const fn state(&self) -> &State {
        &self.state
    }

    /// Whether it is answered for when the agent is gone.
    pub(super) fn is_pinned(&self) -> bool {
        match &self.state {
            State::Serving(serving) => serving.datapath.pin_directory().is_some(),
            State::Waiting(_) => false,
        }
    }

    /// Attaches and fills; gives how long filling took. After an error it waits.
    pub(super) fn start(
        &mut self,
        snapshot: &Snapshot,
        settings: &Settings,
    ) -> Result<Duration, AgentError> {
        let link = check_parent(&snapshot.links, &self.name)?.clone();
        let mut serving = self.attach(link, settings)?;
        let started = Instant::now();
        if let Err(source) = serving.update(snapshot, settings) {
            log(serving.datapath.rollback());
            return Err(attach_error(&self.name)(source));
        }
        let took = started.elapsed();
        self.state = State::Serving(Box::new(serving));
        Ok(took)
    }

    /// Follows a snapshot: attaches if the parent came, detaches if it went, fills the maps.
    pub(super) fn follow(
        &mut self,
        snapshot: &Snapshot,
        changed: &Changed,
        settings: &Settings,
    ) -> Result<(), AgentError> {
        if let Changed::Children(netnses) = changed {
            let State::Serving(serving) = &mut self.state else {
                // Children do not make a parent.
                return Ok(());
            };
            if serving.is_settled() {
                return serving
                    .revise(snapshot, netnses, settings)
                    .map_err(attach_error(serving.link.name.as_str()));
            }
        }
        if let State::Serving(serving) = &mut self.state {
            // By ifindex: a rename changes nothing.
            let now = snapshot
                .link(serving.link.ifindex)
                .map(|link| check_link(&snapshot.links, link));
            match now {
                Some(Ok(link)) => {
                    if link.name != serving.link.name {
                        info!(
                            from = serving.link.name.as_str(),
                            to = link.name.as_str(),
                            "parent renamed"
                        );
                    }
                    serving.link = link.clone();
                    return serving
                        .update(snapshot, settings)
                        .map_err(attach_error(serving.link.name.as_str()));
                }
                Some(Err(reason)) => self.abandon(&reason.to_string()),
                None => self.abandon("the interface is gone"),
            }
        }
        match check_parent(&snapshot.links, &self.name) {
            Ok(link) => self.retry(link.ifindex, snapshot, settings),
            Err(reason) => {
                self.failed = None;
                self.wait_for(reason.to_string());
            }
        }
        Ok(())
    }

    /// Tries to attach, unless it has just failed to. That is told once and shown in the status; it is
    /// no failure of the sync, which does all it can for the other parents.
    fn retry(&mut self, ifindex: u32, snapshot: &Snapshot, settings: &Settings) {
        let before = self.failed.as_ref().filter(|of| of.ifindex == ifindex);
        if before.is_some_and(|of| of.retry_at > Instant::now()) {
            return;
        }
        let tries = before.map_or(0, |of| of.tries) + 1;
        match self.start(snapshot, settings) {
            Ok(_) => {
                self.failed = None;
                info!(
                    parent = self.name,
                    ifindex,
                    "the interface is there: {}",
                    self.summary()
                );
            }
            Err(failure) => {
                self.failed = Some(Failed {
                    ifindex,
                    tries,
                    retry_at: Instant::now() + backoff(tries),
                });
                self.wait_for(super::chain(&failure));
            }
        }
    }

    /// Lets the programs go on answering: everything is in step.
    pub(super) fn stamp(&mut self, settings: &Settings) -> Result<(), MapsError> {
        match &mut self.state {
            State::Serving(serving) => serving.installed.stamp(settings.stale_after),
            State::Waiting(_) => Ok(()),
        }
    }

    /// Waits, and says so if the reason is another than before.
    pub(super) fn wait_for(&mut self, reason: String) {
        let same = matches!(&self.state, State::Waiting(before) if *before == reason);
        if !same {
            warn!(parent = self.name, "waiting: {reason}");
            self.state = State::Waiting(reason);
        }
    }

    /// Returns the quotas that netns exceed.
    pub(super) fn exceeded(&self) -> Exceeded {
        match &self.state {
            State::Serving(serving) => {
                quota::merged([&serving.desired.exceeded(), &serving.lan.exceeded()])
            }
            State::Waiting(_) => Exceeded::new(),
        }
    }

    /// When to call [`Self::tick`]; `None` if never, as things are.
    pub(super) fn next_due(&self) -> Option<Instant> {
        match &self.state {
            State::Serving(serving) => serving.lan.next_due(),
            State::Waiting(_) => self.failed.as_ref().map(|of| of.retry_at),
        }
    }

    /// Sends what is due on the LAN. Returns whether it is to follow the snapshot once more.
    pub(super) fn tick(&mut self) -> bool {
        match &mut self.state {
            State::Serving(serving) => serving.tick(),
            State::Waiting(_) => self
                .failed
                .as_ref()
                .is_some_and(|of| of.retry_at <= Instant::now()),
        }
    }

    /// Waits for an event of the parent.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<ParentEvent> {
        let State::Serving(serving) = &mut self.state else {
            return Poll::Pending;
        };
        if let Poll::Ready(events) = serving.lan.poll(context) {
            return Poll::Ready(ParentEvent::Events(events));
        }
        match serving.datapath.poll_pins(context) {
            Poll::Ready(Ok(())) => Poll::Ready(ParentEvent::Unpinned),
            Poll::Ready(Err(failure)) => {
                warn!(
                    parent = serving.link.name.as_str(),
                    "pins are not watched any more: {failure}"
                );
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Judges events of the programs. Returns whether the answered addresses changed.
    pub(super) fn on_events(&mut self, events: &[Event]) -> bool {
        match &mut self.state {
            State::Serving(serving) => serving.on_events(events),
            State::Waiting(_) => false,
        }
    }

    /// Compares the maps with what was written to them.
    pub(super) fn audit(&mut self) -> Result<usize, MapsError> {
        match &mut self.state {
            State::Serving(serving) => serving.installed.audit(),
            State::Waiting(_) => Ok(0),
        }
    }

    /// Lets go of it for good: nobody asks for it any more. Returns what failed.
    pub(super) fn detach(self) -> Vec<AttachError> {
        self.end(Datapath::detach)
    }

    /// Ends with the agent: what is pinned goes on answering. Returns what failed.
    pub(super) fn stop(self) -> Vec<AttachError> {
        self.end(Datapath::detach_keep_pins)
    }

    /// Ends after a failed start: what is new goes again.
    pub(super) fn undo(self) {
        log(self.end(Datapath::rollback));
    }

    fn end(self, end: impl FnOnce(Datapath) -> Vec<AttachError>) -> Vec<AttachError> {
        match self.state {
            State::Serving(serving) => end(serving.datapath),
            State::Waiting(_) => Vec::new(),
        }
    }

    /// Logs how it is served after the start.
    pub(super) fn report_start(&self) {
        let State::Serving(serving) = &self.state else {
            return;
        };
        if let Some(reason) = serving.datapath.degraded() {
            warn!("degraded: {}; {reason}", self.summary());
        } else {
            info!("ready: {}", self.summary());
        }
    }

    /// One line about it.
    pub(super) fn summary(&self) -> String {
        let serving = match &self.state {
            State::Serving(serving) => serving,
            State::Waiting(reason) => return format!("{} waits: {reason}", self.name),
        };
        let hooks: Vec<String> = serving
            .datapath
            .hooks()
            .iter()
            .map(|hook| format!("{} by {}", hook.hook.word(), hook.mechanism))
            .collect();
        format!(
            "{} (ifindex {}), {}; {}, {} answered",
            serving.link.name,
            serving.link.ifindex,
            hooks.join(", "),
            counted(serving.desired.children.len(), "child", "children"),
            counted(serving.installed.answered(), "address", "addresses"),
        )
    }

    fn abandon(&mut self, reason: &str) {
        warn!(parent = self.name(), "detaching: {reason}");
        let state = std::mem::replace(&mut self.state, State::Waiting(reason.to_owned()));
        if let State::Serving(serving) = state {
            // With the interface its hooks are gone as well.
            log(serving.datapath.detach());
        }
    }
}

/// An event of one parent.
pub(super) enum ParentEvent {
    /// Events of the programs.
    Events(Vec<Event>),
    /// Another process may have removed pins.
    Unpinned,
}

fn log(failures: Vec<AttachError>) {
    for failure in failures {
        tracing::debug!("{}", super::chain(&failure));
    }
}

fn attach_error(parent: &str) -> impl FnOnce(AttachError) -> AgentError {
    let parent = parent.to_owned();
    move |source| AgentError::Attach {
        parent,
        source: Box::new(source),
    }
}
