//! The health of the agent as its service manager sees it: one line, readiness and the watchdog.

use std::time::{Duration, Instant};

use super::{parent::State, parents::Parents};
use crate::{runtime::Service, text::counted};

/// What is reported to the service manager.
pub(super) struct Health {
    service: Service,
    /// A sync succeeded since the watchdog was fed.
    proven: bool,
}

impl Health {
    /// Reports to the service manager of this process, if there is one.
    pub(super) fn new() -> Self {
        Self {
            service: Service::new(),
            proven: false,
        }
    }

    /// Returns the time between two calls of [`Self::feed`]; none without a watchdog.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.service.watchdog()
    }

    /// Records the outcome of a sync.
    pub(super) fn synced(&mut self, succeeded: bool) {
        self.proven |= succeeded;
        self.service.synced(succeeded);
    }

    /// Returns whether a sync succeeded since the watchdog was fed.
    pub(super) const fn is_proven(&self) -> bool {
        self.proven
    }

    /// Feeds the watchdog if a sync succeeded since it was fed. Returns whether it was fed.
    pub(super) fn feed(&mut self) -> bool {
        if self.proven {
            self.service.feed();
        }
        std::mem::take(&mut self.proven)
    }

    /// Reports that a reload begins.
    pub(super) fn reloading(&mut self) {
        self.service.reloading();
    }

    /// Reports that a reload failed.
    pub(super) fn not_reloaded(&mut self) {
        self.service.not_reloaded();
    }

    /// Reports that the agent stops.
    pub(super) fn stopping(&mut self) {
        self.service.stopping();
    }

    /// Reports the state in one line, which is sent if it has changed.
    pub(super) fn report(&mut self, parents: &Parents, sync: Option<&str>, reload: Option<&str>) {
        // A parent that was configured a moment ago has no state before the next sync.
        if sync.is_some() || !parents.has_new() {
            let line = line(parents, sync, reload);
            self.service.status(Instant::now(), line);
        }
    }

    /// Returns when to call [`Self::send`]; none if nothing is left to send.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.service.next_due()
    }

    /// Sends a line that is due.
    pub(super) fn send(&mut self) {
        self.service.tick(Instant::now());
    }
}

fn line(parents: &Parents, sync: Option<&str>, reload: Option<&str>) -> String {
    let mut names = Vec::new();
    let (mut children, mut answered) = (0, 0);
    let mut parts = Vec::new();
    for parent in parents.iter() {
        let name = parent.name();
        match parent.state() {
            State::New => parts.push(format!("{name} waits")),
            State::Waiting(waiting) => parts.push(format!("{name} waits: {}", waiting.reason)),
            State::Serving(serving) => {
                names.push(name);
                children += serving.desired.children.len();
                answered += serving.installed.answered();
                let degraded = serving.datapath.degraded();
                parts.extend(degraded.map(|reason| format!("{name} is degraded: {reason}")));
            }
        }
    }
    let names = names.join(", ");
    let serving = if names.is_empty() {
        "no parent is served".to_owned()
    } else {
        let children = counted(children, "child", "children");
        let answered = counted(answered, "address", "addresses");
        format!("{names}: {children}, {answered} answered")
    };
    parts.insert(0, serving);
    parts.extend(sync.map(|failure| format!("last sync failed: {failure}")));
    parts.extend(reload.map(|failure| format!("last reload failed: {failure}")));
    // A line break would end it, and what follows would be taken for another field.
    parts.join("; ").replace(char::is_control, " ")
}
