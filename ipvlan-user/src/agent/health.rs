//! How the agent is, for its service manager: one line, and whether it gets ahead.

use std::{collections::BTreeMap, time::Instant};

use super::{
    Agent,
    parent::{Parent, State},
    schedule::Refresh,
    sync::Synced,
};
use crate::{discover::Part, facts::NetnsId, text::counted};

impl Agent {
    /// Syncs, and tells the service manager what came of it.
    pub(super) fn sync_and_tell(&mut self, refresh: &Refresh) -> Synced {
        let synced = self.sync(refresh);
        if synced != Synced::InPart {
            let succeeded = synced == Synced::Done;
            self.proven |= succeeded;
            self.service.synced(succeeded);
            self.tell();
        }
        synced
    }

    /// Feeds the watchdog if there was a sync since it was fed last, or if one that is made for the
    /// purpose succeeds; but not while one that failed has to be made good. Returns whether it was fed.
    pub(super) fn feed_watchdog(&mut self) -> bool {
        if self.pending.has_failed() {
            return false;
        }
        let own = BTreeMap::from([(NetnsId::Own, Part::Addresses)]);
        let proven = self.proven || self.sync_and_tell(&Refresh::Parts(own)) == Synced::Done;
        if proven {
            self.service.feed();
        }
        self.proven = false;
        proven
    }

    /// Reports the state to the service manager if it has changed. A parent that was configured a moment ago has
    /// none before the next sync.
    pub(super) fn tell(&mut self) {
        if self.stats.error.is_none() && self.parents.iter().any(Parent::is_new) {
            return;
        }
        let line = line(
            &self.parents,
            self.stats.error.as_deref(),
            self.configuration.error.as_deref(),
        );
        self.service.status(Instant::now(), line);
    }
}

fn line(parents: &[Parent], sync: Option<&str>, reload: Option<&str>) -> String {
    let mut names = Vec::new();
    let (mut children, mut answered) = (0, 0);
    let mut parts = Vec::new();
    for parent in parents {
        match parent.state() {
            State::Serving(serving) => {
                names.push(parent.name());
                children += serving.desired.children.len();
                answered += serving.installed.answered();
                let degraded = serving.datapath.degraded();
                parts.extend(
                    degraded.map(|reason| format!("{} is degraded: {reason}", parent.name())),
                );
            }
            State::Waiting(reason) => parts.push(format!("{} waits: {reason}", parent.name())),
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
