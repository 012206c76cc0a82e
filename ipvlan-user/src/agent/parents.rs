//! The configured parents.

use std::{
    error::Error,
    future::poll_fn,
    ops::BitOr as _,
    task::Poll,
    time::{Duration, Instant},
};

use ipvlan_common::Event;
use tracing::{error, info, warn};

use super::{
    AgentError, Settings,
    parent::Parent,
    pins,
    serving::{ParentEvent, Serving},
};
use crate::{
    attach::{AttachError, Datapath},
    discover::Changed,
    facts::Snapshot,
    maps::MapsError,
    quota::{self, Exceeded},
    text::chain,
};

/// The configured parents, in the order of the configuration.
pub(super) struct Parents {
    list: Vec<Parent>,
    /// Inode of the agent's netns.
    netns: u64,
}

/// The outcome of the first try to attach.
pub(super) struct Started {
    pub(super) parents: Parents,
    /// Whether all parents are served.
    pub(super) complete: bool,
    /// How long it took to fill their maps.
    pub(super) filled: Duration,
}

impl Parents {
    /// Tries to attach to all of them. A parent that cannot be served waits for the first sync, if another one can be
    /// served. After an error nothing is attached that was not before.
    pub(super) fn start(
        netns: u64,
        snapshot: &Snapshot,
        settings: &Settings,
    ) -> Result<Started, AgentError> {
        pins::remove_orphans(netns, snapshot, &settings.pins);
        let mut parents = Self {
            list: Vec::new(),
            netns,
        };
        let mut failures = Vec::new();
        let mut filled = Duration::ZERO;
        for name in &settings.parents {
            let mut parent = Parent::new(name.clone(), netns);
            let result = parent.start(snapshot, settings);
            parents.list.push(parent);
            match result {
                Ok(took) => filled += took,
                Err(failure) if failure.is_fatal() => {
                    parents.rollback();
                    return Err(failure);
                }
                Err(failure) => failures.push(failure),
            }
        }
        let complete = failures.is_empty();
        if failures.len() == parents.list.len()
            && let Some(first) = failures.into_iter().next()
        {
            parents.rollback();
            return Err(first);
        }
        Ok(Started {
            parents,
            complete,
            filled,
        })
    }

    /// Removes what a failed start has attached.
    pub(super) fn rollback(self) {
        self.list.into_iter().for_each(Parent::rollback);
    }

    /// Iterates over all of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Parent> {
        self.list.iter()
    }

    /// Iterates over those that are attached.
    pub(super) fn serving(&self) -> impl Iterator<Item = &Serving> {
        self.list.iter().filter_map(Parent::serving)
    }

    /// Iterates over those that are attached.
    pub(super) fn serving_mut(&mut self) -> impl Iterator<Item = &mut Serving> {
        self.list.iter_mut().filter_map(Parent::serving_mut)
    }

    /// Returns whether no sync has looked for one of them yet.
    pub(super) fn has_new(&self) -> bool {
        self.list.iter().any(Parent::is_new)
    }

    /// Detaches from the parents that are no longer configured, and adds those that are new: they wait until the next
    /// sync. A parent that stays is served all the time, whatever its name was.
    pub(super) fn configure(&mut self, names: &[String]) {
        let mut before = std::mem::take(&mut self.list);
        // The name in the kernel goes first: a rename that no sync has seen may have given the old one to another.
        let mut kept: Vec<_> = names
            .iter()
            .map(|name| take(&mut before, |parent| parent.has_name_now(name)))
            .collect();
        for (name, kept) in names.iter().zip(&mut kept) {
            if kept.is_none() {
                *kept = take(&mut before, |parent| parent.is_called(name));
            }
        }
        for (name, kept) in names.iter().zip(kept) {
            let mut parent = kept.unwrap_or_else(|| Parent::new(name.clone(), self.netns));
            parent.set_name(name.clone());
            self.list.push(parent);
        }
        for parent in before {
            if let Some(serving) = parent.serving() {
                info!(
                    parent = serving.name(),
                    "detaching: it is no longer configured"
                );
            }
            log(&parent.end(Datapath::detach));
        }
    }

    /// Applies a snapshot to all of them, and moves the liveness deadline if it is new. Returns the last failure.
    pub(super) fn update(
        &mut self,
        snapshot: &Snapshot,
        changed: &Changed,
        is_new: bool,
        settings: &Settings,
    ) -> Option<Box<dyn Error>> {
        let mut last = None;
        for parent in &mut self.list {
            let updated = parent.update(snapshot, changed, settings);
            let result = updated.map_err(Box::<dyn Error>::from).and_then(|()| {
                let serving = parent.serving_mut().filter(|_| is_new);
                serving.map_or(Ok(()), |serving| {
                    Ok(serving.installed.stamp(settings.stale_after)?)
                })
            });
            last = result.err().or(last);
        }
        last
    }

    /// Checks XDP programs and pins, and compares the maps with what was written to them. Returns how many entries
    /// differ, which the next sync repairs, and the last failure.
    pub(super) fn audit(&mut self) -> (usize, Option<MapsError>) {
        let (mut total, mut last) = (0, None);
        for serving in self.serving_mut() {
            serving.repin();
            serving.check_xdp();
            match serving.installed.audit() {
                Ok(0) => {}
                Ok(entries) => {
                    total += entries;
                    warn!(
                        parent = serving.name(),
                        entries, "address map was modified by another process; repairing it"
                    );
                }
                Err(failure) => last = Some(failure),
            }
        }
        (total, last)
    }

    /// Restores pins that another process has removed. Returns whether to try again soon.
    pub(super) fn repin(&mut self) -> bool {
        let again = self.serving_mut().map(Serving::repin);
        again.fold(false, bool::bitor)
    }

    /// Returns the quotas that netns exceed.
    pub(super) fn exceeded(&self) -> Exceeded {
        let of_each: Vec<Exceeded> = self.serving().map(Serving::exceeded).collect();
        quota::merged(&of_each)
    }

    /// Returns when to call [`Self::tick`]; none if nothing is due before the next sync.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.list.iter().filter_map(Parent::next_due).min()
    }

    /// Does and sends what is due. Returns whether a sync has to follow.
    pub(super) fn tick(&mut self) -> bool {
        let changed = self.list.iter_mut().map(Parent::tick);
        changed.fold(false, bool::bitor)
    }

    /// Waits for an event of any of them. Returns the index of the parent and the event. Cancelling loses nothing.
    pub(super) async fn next_event(&mut self) -> (usize, ParentEvent) {
        poll_fn(|context| {
            for (index, parent) in self.list.iter_mut().enumerate() {
                let serving = parent.serving_mut();
                if let Some(Poll::Ready(event)) = serving.map(|serving| serving.poll(context)) {
                    return Poll::Ready((index, event));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Applies events of the programs of a parent. Returns whether a sync has to follow.
    pub(super) fn on_events(&mut self, index: usize, events: &[Event]) -> bool {
        let serving = self.list.get_mut(index).and_then(Parent::serving_mut);
        serving.is_some_and(|serving| serving.on_events(events))
    }

    /// Ends with the agent: a pinned datapath keeps answering. Returns how many failures there were.
    pub(super) fn stop(self) -> usize {
        let parents = self.list.into_iter();
        parents
            .map(|parent| log(&parent.end(Datapath::detach_keep_pins)))
            .sum()
    }
}

fn take(parents: &mut Vec<Parent>, is_it: impl FnMut(&Parent) -> bool) -> Option<Parent> {
    let index = parents.iter().position(is_it)?;
    Some(parents.remove(index))
}

fn log(failures: &[AttachError]) -> usize {
    for failure in failures {
        error!("{}", chain(failure));
    }
    failures.len()
}
