//! One parent: from its name to an attached, filled datapath, and back.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use ipvlan_common::Event;
use tracing::{error, info, warn};

use super::{AgentError, Settings, lan::Lan};
use crate::{
    attach::{AttachError, Datapath},
    discover::{
        Changed, Snapshot,
        snapshot::{Link, NetnsId},
    },
    model::{Desired, check_parent, desired},
    runtime::Claim,
    sync::{
        apply::{Installed, Outcome},
        maps::MapsError,
    },
};

/// A parent that was asked for.
pub(super) struct Parent {
    /// The name it was asked for by.
    name: String,
    netns: u64,
    state: State,
}

pub(super) enum State {
    /// There is nothing to attach to.
    Waiting(String),
    /// Attached.
    Serving(Box<Serving>),
}

pub(super) struct Serving {
    pub(super) link: Link,
    pub(super) datapath: Datapath,
    pub(super) installed: Installed,
    pub(super) desired: Desired,
    pub(super) lan: Lan,
    /// Addresses for which the map has no room.
    pub(super) no_room: BTreeSet<IpAddr>,
    /// Why the last sync was not complete.
    pub(super) failure: Option<String>,
    // Last: given up when nothing is attached any more.
    _claim: Claim,
}

impl Parent {
    pub(super) const fn new(name: String, netns: u64) -> Self {
        Self {
            name,
            netns,
            state: State::Waiting(String::new()),
        }
    }

    /// The name it has now; the one it was asked for by while there is no such interface.
    pub(super) fn name(&self) -> &str {
        match &self.state {
            State::Serving(serving) => &serving.link.name,
            State::Waiting(_) => &self.name,
        }
    }

    pub(super) const fn state(&self) -> &State {
        &self.state
    }

    /// Attaches and fills; gives how long filling took. An error is fatal: it is the user's first
    /// try.
    pub(super) fn start(
        &mut self,
        snapshot: &Snapshot,
        settings: &Settings,
    ) -> Result<Duration, AgentError> {
        let link = check_parent(&snapshot.links, &self.name)?.clone();
        let mut serving = self.attach(link, snapshot, settings)?;
        let started = Instant::now();
        let result = serving.update(snapshot, settings);
        let took = started.elapsed();
        self.state = State::Serving(Box::new(serving));
        result.map_err(attach_error(&self.name))?;
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
                    .map_err(attach_error(&serving.link.name));
            }
        }
        if let State::Serving(serving) = &mut self.state {
            // By ifindex: a rename changes nothing.
            let now = snapshot
                .link(serving.link.ifindex)
                .map(|link| check_parent(&snapshot.links, &link.name));
            match now {
                Some(Ok(link)) => {
                    if link.name != serving.link.name {
                        info!(from = serving.link.name, to = link.name, "parent renamed");
                    }
                    serving.link = link.clone();
                    return serving
                        .update(snapshot, settings)
                        .map_err(attach_error(&serving.link.name));
                }
                Some(Err(reason)) => self.abandon(&reason.to_string()),
                None => self.abandon("the interface is gone"),
            }
        }
        match check_parent(&snapshot.links, &self.name) {
            Ok(link) => {
                if let Err(failure) = self.start(snapshot, settings) {
                    if let State::Waiting(reason) = &mut self.state {
                        *reason = super::chain(&failure);
                    }
                    return Err(failure);
                }
                info!(
                    parent = self.name,
                    ifindex = link.ifindex,
                    "the interface is there: {}",
                    self.summary()
                );
                Ok(())
            }
            Err(reason) => {
                self.state = State::Waiting(reason.to_string());
                Ok(())
            }
        }
    }

    /// When to call [`Self::tick`]; `None` if never, as things are.
    pub(super) fn next_due(&self) -> Option<Instant> {
        match &self.state {
            State::Serving(serving) => serving.lan.next_due(),
            State::Waiting(_) => None,
        }
    }

    /// Sends what is due on the LAN. Returns whether what is answered for changed.
    pub(super) fn tick(&mut self) -> bool {
        match &mut self.state {
            State::Serving(serving) => serving.lan.tick(),
            State::Waiting(_) => false,
        }
    }

    /// Waits for what the programs tell.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Vec<Event>> {
        match &mut self.state {
            State::Serving(serving) => serving.lan.poll(context),
            State::Waiting(_) => Poll::Pending,
        }
    }

    /// Judges what the programs told. Returns whether what is answered for changed.
    pub(super) fn told(&mut self, events: &[Event]) -> bool {
        match &mut self.state {
            State::Serving(serving) => serving.lan.told(events, &serving.desired),
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

    /// Detaches. Returns what failed.
    pub(super) fn stop(self) -> Vec<AttachError> {
        match self.state {
            State::Serving(serving) => serving.datapath.detach(),
            State::Waiting(_) => Vec::new(),
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
            "{} (ifindex {}), {}; {} children, {} addresses answered",
            serving.link.name,
            serving.link.ifindex,
            hooks.join(", "),
            serving.desired.children.len(),
            serving.desired.answered,
        )
    }

    fn abandon(&mut self, reason: &str) {
        warn!(parent = self.name(), "detaching: {reason}");
        let state = std::mem::replace(&mut self.state, State::Waiting(reason.to_owned()));
        if let State::Serving(serving) = state {
            for failure in serving.datapath.detach() {
                // With the interface its hooks are gone as well.
                tracing::debug!("{}", super::chain(&failure));
            }
        }
    }

    fn attach(
        &self,
        link: Link,
        snapshot: &Snapshot,
        settings: &Settings,
    ) -> Result<Serving, AgentError> {
        let claim = Claim::new(&settings.runtime_dir, self.netns, &link.name, link.ifindex)?;
        // Before anything is attached: it takes a capability of its own.
        let mut lan = Lan::open(link.ifindex, settings.manners)
            .map_err(super::system("open a packet socket on the parent"))?;
        let (datapath, mut maps) = Datapath::attach(&link.name, link.ifindex, settings.attach)
            .map_err(|source| AgentError::Attach {
                parent: link.name.clone(),
                source: Box::new(source),
            })?;
        lan.hear(maps.take_events())
            .map_err(super::system("read the events of the programs"))?;
        Ok(Serving {
            desired: desired(snapshot, &link, &settings.policy, &lan.held_back()),
            lan,
            link,
            datapath,
            installed: Installed::new(maps, settings.attach.max_children),
            no_room: BTreeSet::new(),
            failure: None,
            _claim: claim,
        })
    }
}

impl Serving {
    /// Whether everything is as it was desired, and what is desired depends on nothing but snapshots.
    fn is_settled(&self) -> bool {
        self.failure.is_none() && self.no_room.is_empty() && !self.lan.enforces()
    }

    /// Makes maps and programs what a snapshot asks for that differs from the last one in the
    /// children of these netns only.
    fn revise(
        &mut self,
        snapshot: &Snapshot,
        netnses: &BTreeSet<NetnsId>,
        settings: &Settings,
    ) -> Result<(), AttachError> {
        if netnses.is_empty() {
            return Ok(());
        }
        let before = self.desired.answered;
        let revision = self
            .desired
            .revise(snapshot, &self.link, &settings.policy, netnses);
        let programs = self
            .datapath
            .set_programs(self.desired.ingress, self.desired.egress);
        let outcome = self.installed.revise(&self.desired, &revision);
        let result = self.conclude(programs, outcome, before);
        self.lan
            .revise(&self.desired, &revision, &self.no_room, snapshot);
        result
    }

    /// Makes maps and programs what the snapshot asks for.
    fn update(&mut self, snapshot: &Snapshot, settings: &Settings) -> Result<(), AttachError> {
        let before = self.desired.answered;
        // First given up, so that it and the next are not there at once.
        self.desired = Desired::default();
        self.desired = self.desire(snapshot, settings);
        // A new address must be held back before it is answered for; otherwise answers come first.
        let holds = self.lan.enforces();
        if holds && self.listen(snapshot) {
            self.desired = self.desire(snapshot, settings);
        }
        let programs = self
            .datapath
            .set_programs(self.desired.ingress, self.desired.egress);
        let outcome = self.installed.update(&self.desired);
        let no_room = self.no_room.clone();
        let result = self.conclude(programs, outcome, before);
        if !(holds && no_room == self.no_room) {
            self.listen(snapshot);
        }
        result
    }

    /// Tells and keeps how it went.
    fn conclude(
        &mut self,
        programs: Result<(), AttachError>,
        outcome: Outcome,
        before: usize,
    ) -> Result<(), AttachError> {
        if outcome.put + outcome.removed > 0 {
            info!(
                parent = self.link.name,
                put = outcome.put,
                removed = outcome.removed,
                answered = self.desired.answered,
                before,
                "addresses changed"
            );
        }
        if !outcome.no_room.is_empty() && outcome.no_room != self.no_room {
            error!(
                parent = self.link.name,
                refused = outcome.no_room.len(),
                "an address map is full: raise --max-addresses"
            );
        }
        self.no_room = outcome.no_room;
        let mut errors = outcome.errors.into_iter();
        let first = errors.next().map(AttachError::from);
        for error in errors {
            error!(parent = self.link.name, "{}", super::chain(&error));
        }
        let result = programs.and(first.map_or(Ok(()), Err));
        self.failure = result.as_ref().err().map(|error| super::chain(error));
        result
    }

    fn desire(&self, snapshot: &Snapshot, settings: &Settings) -> Desired {
        desired(
            snapshot,
            &self.link,
            &settings.policy,
            &self.lan.held_back(),
        )
    }

    /// Makes what is said on the LAN follow what is desired. Returns whether that in turn holds back
    /// other addresses than before.
    fn listen(&mut self, snapshot: &Snapshot) -> bool {
        self.lan
            .follow(&self.link, &self.desired, &self.no_room, snapshot)
    }
}

fn attach_error(parent: &str) -> impl FnOnce(AttachError) -> AgentError {
    let parent = parent.to_owned();
    move |source| AgentError::Attach {
        parent,
        source: Box::new(source),
    }
}
