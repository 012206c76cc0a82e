//! Events as they happen, for clients: what the last steps of the agent left is compared with what was reported before.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::Notify;

use super::{
    parent::{Parent, State},
    parents::Parents,
    schedule::Refresh,
    serving::Serving,
    status_view,
    syncs::Note,
};
use crate::{
    facts::Snapshot,
    protocol::{MonitorEvent, ParentState, SyncEvent, SyncKind, Topic, varlink::Error},
    runtime::{Feed, Subscription, feed},
    text::counted,
};

/// Most clients at a time.
const CLIENTS: usize = 64;
/// Events that wait for one client.
const QUEUE: usize = 1024;
/// Most names of netns in an event; of others the number is shown.
const NAMES: usize = 4;

/// The clients, and what was reported to them.
#[derive(Default)]
pub(super) struct Monitors {
    clients: Vec<Client>,
    /// By the configured name of the parent; empty while there are no clients.
    reported: BTreeMap<String, Reported>,
}

/// A client and what it wants.
struct Client {
    feed: Feed<MonitorEvent>,
    conflicts: bool,
    syncs: bool,
    parent: Option<String>,
}

/// What was reported of a parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Reported {
    state: Option<(ParentState, Option<String>)>,
    /// As of [`Incidents::recorded`](crate::lan::incidents::Incidents::recorded).
    incidents: u64,
    /// As of [`Serving::written`].
    written: Written,
}

/// Addresses that were written to and removed from the maps of a parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) put: u64,
    pub(super) removed: u64,
}

impl Reported {
    fn of(parent: &Parent) -> Self {
        let serving = parent.serving();
        Self {
            state: match parent.state() {
                State::New => None,
                State::Waiting(of) => Some((ParentState::Waiting, Some(of.reason.clone()))),
                State::Serving(of) => Some(state(of)),
            },
            incidents: serving.map_or(0, |of| of.lan.incidents().recorded()),
            written: serving.map_or_else(Written::default, |of| of.written),
        }
    }
}

fn state(serving: &Serving) -> (ParentState, Option<String>) {
    match status_view::failure(serving) {
        None => (ParentState::Ready, None),
        failure => (ParentState::Degraded, failure),
    }
}

impl Monitors {
    /// Adds a client. What happens from now on is reported to it.
    pub(super) fn begin(
        &mut self,
        topics: &BTreeSet<Topic>,
        parent: Option<String>,
        parents: &Parents,
        released: &Arc<Notify>,
    ) -> Result<(Feed<MonitorEvent>, Subscription<MonitorEvent>), Error> {
        self.clients.retain(|client| !client.feed.is_closed());
        if self.clients.len() >= CLIENTS {
            let reason = format!("{CLIENTS} clients monitor already");
            return Err(Error::MonitorFailed { reason });
        }
        let (feed, subscription) = feed(QUEUE, released);
        let (conflicts, syncs) = (
            topics.contains(&Topic::Conflict),
            topics.contains(&Topic::Sync),
        );
        if conflicts || syncs {
            if self.clients.is_empty() {
                self.reported = all(parents);
            }
            self.clients.push(Client {
                feed: feed.clone(),
                conflicts,
                syncs,
                parent,
            });
        }
        Ok((feed, subscription))
    }

    /// Reports what has happened since the last call.
    pub(super) fn report(&mut self, parents: &Parents, snapshot: &Snapshot, notes: Vec<Note>) {
        if self.clients.is_empty() {
            return;
        }
        self.clients.retain(|client| !client.feed.is_closed());
        let before = std::mem::take(&mut self.reported);
        if self.clients.is_empty() {
            return;
        }
        let time_ns = now_ns();
        for parent in parents.iter() {
            self.report_conflicts(parent, &before, snapshot);
        }
        self.reported = all(parents);
        for event in syncs(&self.reported, &before, parents, snapshot, notes) {
            let (parent, sync) = event;
            self.send(&MonitorEvent {
                topic: Topic::Sync.into(),
                time_ns,
                parent,
                frame: None,
                conflict: None,
                sync: Some(sync),
            });
        }
    }

    fn report_conflicts(
        &self,
        parent: &Parent,
        before: &BTreeMap<String, Reported>,
        snapshot: &Snapshot,
    ) {
        let Some(serving) = parent.serving() else {
            return;
        };
        let known = before
            .get(parent.configured_name())
            .map_or(0, |of| of.incidents);
        for entry in serving.lan.incidents().since(known) {
            let event = status_view::event(entry, serving.name(), snapshot);
            self.send(&MonitorEvent {
                topic: Topic::Conflict.into(),
                time_ns: event.time_ms.saturating_mul(1_000_000),
                parent: Some(event.parent.clone()),
                frame: None,
                conflict: Some(event),
                sync: None,
            });
        }
    }

    fn send(&self, event: &MonitorEvent) {
        for client in &self.clients {
            let wants = match &event.conflict {
                Some(_) => client.conflicts,
                None => client.syncs,
            };
            let parent = event.parent.as_ref();
            let is_meant = client
                .parent
                .as_ref()
                .is_none_or(|wanted| parent.is_none_or(|of| of == wanted));
            if wants && is_meant {
                client.feed.send(event.clone());
            }
        }
    }
}

fn all(parents: &Parents) -> BTreeMap<String, Reported> {
    let parents = parents.iter();
    parents
        .map(|parent| (parent.configured_name().to_owned(), Reported::of(parent)))
        .collect()
}

/// Returns the events of syncs, each with the parent that it is about.
fn syncs(
    now: &BTreeMap<String, Reported>,
    before: &BTreeMap<String, Reported>,
    parents: &Parents,
    snapshot: &Snapshot,
    notes: Vec<Note>,
) -> Vec<(Option<String>, SyncEvent)> {
    let mut events = Vec::new();
    for note in notes {
        let (kind, what, took) = match note {
            Note::Synced { refresh, took } => {
                (SyncKind::Synced, what(&refresh, snapshot), Some(took))
            }
            Note::Failed(failure) => (SyncKind::Failed, failure, None),
            Note::Overrun => (
                SyncKind::Overrun,
                "netlink events were lost".to_owned(),
                None,
            ),
            Note::Repaired(entries) => (
                SyncKind::Repaired,
                counted(entries, "entry", "entries") + " changed by another process",
                None,
            ),
        };
        let event = SyncEvent {
            kind: kind.into(),
            what,
            took_us: took.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            ..SyncEvent::default()
        };
        let changed = changed(now, before, parents);
        if kind != SyncKind::Synced || changed.is_empty() {
            events.push((None, event));
            continue;
        }
        for (parent, Written { put, removed }, answered) in changed {
            let event = SyncEvent {
                put,
                removed,
                answered: Some(answered),
                ..event.clone()
            };
            events.push((Some(parent), event));
        }
    }
    for parent in parents.iter() {
        let name = parent.configured_name();
        let Some(of) = now.get(name) else { continue };
        let known = before.get(name).and_then(|of| of.state.as_ref());
        if let Some((state, reason)) = &of.state
            && of.state.as_ref() != known
        {
            let reason = reason.as_ref().map(|reason| format!(": {reason}"));
            let event = SyncEvent {
                kind: SyncKind::Parent.into(),
                what: format!("{state}{}", reason.unwrap_or_default()),
                ..SyncEvent::default()
            };
            events.push((Some(parent.name().to_owned()), event));
        }
    }
    events
}

/// Returns the parents whose maps were written to, how much was, and how many addresses are answered.
fn changed(
    now: &BTreeMap<String, Reported>,
    before: &BTreeMap<String, Reported>,
    parents: &Parents,
) -> Vec<(String, Written, u64)> {
    let serving = parents.iter().filter_map(|parent| {
        let (name, serving) = (parent.configured_name(), parent.serving()?);
        let now = now.get(name)?.written;
        let before = before
            .get(name)
            .map_or_else(Written::default, |of| of.written);
        let written = Written {
            put: now.put.saturating_sub(before.put),
            removed: now.removed.saturating_sub(before.removed),
        };
        let answered = serving.installed.answered() as u64;
        (written != Written::default()).then(|| (serving.name().to_owned(), written, answered))
    });
    serving.collect()
}

/// Returns what a sync has read.
fn what(refresh: &Refresh, snapshot: &Snapshot) -> String {
    match refresh {
        Refresh::Model => "what is known".to_owned(),
        Refresh::FullScan(_) | Refresh::Chunk => "full scan".to_owned(),
        Refresh::Parts(parts) => {
            let names = parts.keys().take(NAMES);
            let mut names: Vec<_> = names.map(|&id| snapshot.netns_label(id)).collect();
            let more = parts.len().saturating_sub(NAMES);
            names.extend((more > 0).then(|| format!("{more} more")));
            format!("netns {}", names.join(", "))
        }
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
