//! One parent: from its name to an attached, filled datapath, and back.

use std::time::{Duration, Instant};

use nix::net::if_::if_indextoname;
use tracing::{debug, info, warn};

use super::{AgentError, Settings, schedule::backoff, serving::Serving};
use crate::{
    attach::{AttachError, Datapath},
    discover::Changed,
    facts::Snapshot,
    model::check_parent,
    text::chain,
};

/// A configured parent.
pub(super) struct Parent {
    /// Its configured name.
    name: String,
    /// Inode of the agent's netns.
    netns: u64,
    state: State,
}

/// State of a parent.
pub(super) enum State {
    /// No sync has looked for its interface yet.
    New,
    /// Not attached.
    Waiting(Waiting),
    /// Attached.
    Serving(Box<Serving>),
}

/// A parent that is not attached.
pub(super) struct Waiting {
    /// The reason.
    pub(super) reason: String,
    /// The next try, if the interface is there and the last try failed.
    retry: Option<Retry>,
}

/// The next try to attach.
struct Retry {
    ifindex: u32,
    /// How many tries in a row have failed.
    failed: u32,
    at: Instant,
}

impl Parent {
    pub(super) const fn new(name: String, netns: u64) -> Self {
        Self {
            name,
            netns,
            state: State::New,
        }
    }

    pub(super) const fn state(&self) -> &State {
        &self.state
    }

    /// Returns whether no sync has looked for its interface yet.
    pub(super) const fn is_new(&self) -> bool {
        matches!(self.state, State::New)
    }

    /// Returns the attached datapath; none if nothing is attached.
    pub(super) fn serving(&self) -> Option<&Serving> {
        match &self.state {
            State::Serving(serving) => Some(serving),
            State::New | State::Waiting(_) => None,
        }
    }

    /// Returns the attached datapath; none if nothing is attached.
    pub(super) fn serving_mut(&mut self) -> Option<&mut Serving> {
        match &mut self.state {
            State::Serving(serving) => Some(serving),
            State::New | State::Waiting(_) => None,
        }
    }

    /// Returns the current name of the interface; the configured name while nothing is attached.
    pub(super) fn name(&self) -> &str {
        self.serving().map_or(&self.name, Serving::name)
    }

    /// Returns the configured name of the interface.
    pub(super) fn configured_name(&self) -> &str {
        &self.name
    }

    /// Returns whether this is its configured or its current name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.name() == name
    }

    /// Returns whether it is attached, and the kernel knows its interface by this name at this moment.
    pub(super) fn has_name_now(&self, name: &str) -> bool {
        self.serving().is_some_and(|serving| {
            if_indextoname(serving.link.ifindex).is_ok_and(|now| now.as_bytes() == name.as_bytes())
        })
    }

    /// Changes the configured name.
    pub(super) fn set_name(&mut self, name: String) {
        self.name = name;
    }

    /// Attaches and fills the maps. Returns how long filling took. An error leaves the state as it is.
    pub(super) fn start(
        &mut self,
        snapshot: &Snapshot,
        settings: &Settings,
    ) -> Result<Duration, AgentError> {
        let link = check_parent(&snapshot.links, &self.name)?.clone();
        let mut serving = Serving::attach(link, self.netns, settings)?;
        let started = Instant::now();
        if let Err(failure) = serving.update(snapshot, settings) {
            log(serving.end(Datapath::rollback));
            return Err(AgentError::attach(&self.name, failure));
        }
        let took = started.elapsed();
        self.state = State::Serving(Box::new(serving));
        Ok(took)
    }

    /// Applies a snapshot: attaches if the interface appeared, detaches if it is gone, updates the maps.
    pub(super) fn update(
        &mut self,
        snapshot: &Snapshot,
        changed: &Changed,
        settings: &Settings,
    ) -> Result<(), AgentError> {
        if let State::Serving(serving) = &mut self.state {
            let updated = match changed {
                Changed::Children(netnses) if serving.is_settled() => {
                    Ok(serving.revise(snapshot, netnses, settings))
                }
                _ => serving
                    .update_link(snapshot)
                    .map(|()| serving.update(snapshot, settings)),
            };
            match updated {
                Ok(result) => {
                    return result.map_err(|failure| AgentError::attach(serving.name(), failure));
                }
                Err(reason) => self.abandon(&reason),
            }
        } else if matches!(changed, Changed::Children(_)) {
            // The interface itself is as it was.
            return Ok(());
        }
        match check_parent(&snapshot.links, &self.name) {
            Ok(link) => self.retry(link.ifindex, snapshot, settings),
            Err(reason) => self.wait(reason.to_string(), None),
        }
        Ok(())
    }

    /// Tries to attach, unless it has just failed to. A failure is logged once and shown in the status; it is
    /// no failure of the sync, which does all it can for the other parents.
    fn retry(&mut self, ifindex: u32, snapshot: &Snapshot, settings: &Settings) {
        let before = match &self.state {
            State::Waiting(waiting) => waiting.retry.as_ref().filter(|of| of.ifindex == ifindex),
            State::New | State::Serving(_) => None,
        };
        if before.is_some_and(|of| of.at > Instant::now()) {
            return;
        }
        let failed = before.map_or(0, |of| of.failed) + 1;
        if let Err(failure) = self.start(snapshot, settings) {
            let at = Instant::now() + backoff(failed);
            let retry = Retry {
                ifindex,
                failed,
                at,
            };
            self.wait(chain(&failure), Some(retry));
        } else if let Some(serving) = self.serving() {
            info!(
                parent = self.name,
                ifindex,
                "the interface is there: {}",
                serving.summary()
            );
        }
    }

    /// Waits. The reason is logged if it is another one than before.
    fn wait(&mut self, reason: String, retry: Option<Retry>) {
        let is_known = matches!(&self.state, State::Waiting(before) if before.reason == reason);
        if !is_known {
            warn!(parent = self.name, "waiting: {reason}");
        }
        self.state = State::Waiting(Waiting { reason, retry });
    }

    /// Detaches, because of something that happened to the interface.
    fn abandon(&mut self, reason: &str) {
        warn!(parent = self.name(), "detaching: {reason}");
        let waiting = State::Waiting(Waiting {
            reason: reason.to_owned(),
            retry: None,
        });
        if let State::Serving(serving) = std::mem::replace(&mut self.state, waiting) {
            // With the interface its hooks are gone as well.
            log(serving.end(Datapath::detach));
        }
    }

    /// Returns when to call [`Self::tick`]; none if nothing is due before the next sync.
    pub(super) fn next_due(&self) -> Option<Instant> {
        match &self.state {
            State::New => None,
            State::Waiting(waiting) => waiting.retry.as_ref().map(|retry| retry.at),
            State::Serving(serving) => serving.lan.next_due(),
        }
    }

    /// Does and sends what is due. Returns whether a sync has to follow.
    pub(super) fn tick(&mut self) -> bool {
        match &mut self.state {
            State::New => false,
            State::Waiting(Waiting { retry, .. }) => retry
                .as_ref()
                .is_some_and(|retry| retry.at <= Instant::now()),
            State::Serving(serving) => serving.tick(),
        }
    }

    /// Ends serving it, if it is served. Returns what failed.
    pub(super) fn end(self, end: impl FnOnce(Datapath) -> Vec<AttachError>) -> Vec<AttachError> {
        match self.state {
            State::Serving(serving) => serving.end(end),
            State::New | State::Waiting(_) => Vec::new(),
        }
    }

    /// Ends serving it after a failed start: what is new is removed again.
    pub(super) fn rollback(self) {
        log(self.end(Datapath::rollback));
    }
}

fn log(failures: Vec<AttachError>) {
    for failure in failures {
        debug!("{}", chain(&failure));
    }
}
