//! An attached parent: its maps and programs are made what a snapshot asks for.

use std::{collections::BTreeSet, net::IpAddr};

use ipvlan_common::{ConfigFlags, Event, Hook, Reason};
use tracing::{error, info};

use crate::{
    agent::{Settings, chain},
    attach::{AttachError, Datapath},
    facts::{Link, NetnsId, Snapshot},
    lan::Lan,
    maps::apply::{Installed, Outcome},
    model::{Desired, History, Revision, desired_after},
    runtime::Claim,
};

/// An attached parent.
pub(in crate::agent) struct Serving {
    pub(in crate::agent) link: Link,
    pub(in crate::agent) datapath: Datapath,
    pub(in crate::agent) installed: Installed,
    pub(in crate::agent) desired: Desired,
    /// What earlier decisions left.
    pub(super) history: History,
    pub(in crate::agent) lan: Lan,
    /// Addresses for which the map has no room.
    pub(in crate::agent) no_room: BTreeSet<IpAddr>,
    /// Why nothing is pinned, if that is not as it should be.
    pub(in crate::agent) unpinned: Option<String>,
    /// Why the last sync was not complete.
    pub(in crate::agent) failure: Option<String>,
    // Last: given up when nothing is attached any more.
    pub(super) _claim: Claim,
}

impl Serving {
    /// Whether everything is as it was desired.
    pub(super) fn is_settled(&self) -> bool {
        self.failure.is_none() && self.no_room.is_empty() && !self.installed.is_short()
    }

    /// Makes maps and programs what a snapshot asks for that differs from the last one in the
    /// children of these netns only.
    pub(super) fn revise(
        &mut self,
        snapshot: &Snapshot,
        netnses: &BTreeSet<NetnsId>,
        settings: &Settings,
    ) -> Result<(), AttachError> {
        if netnses.is_empty() {
            return Ok(());
        }
        let before = self.installed.answered();
        self.history.update_children(
            snapshot,
            &self.link,
            &settings.policy,
            &self.desired,
            self.installed.addresses(),
            Some(netnses),
        );
        let mut revision = self.revision(snapshot, netnses, settings);
        // A new address must be withheld before it is answered.
        if self.lan.revise(&self.desired, &revision, &self.no_room) {
            revision.extend(self.revision(snapshot, netnses, settings));
        }
        let marked = self.lan.mark_changed(&mut self.desired);
        revision.addresses.extend(marked);
        let outcome = self.installed.revise(&self.desired, &revision);
        let result = self.conclude(outcome, before);
        if !self.no_room.is_empty() {
            // Others may have lost their room.
            self.update_lan(snapshot);
        }
        self.lan.after_revision(&self.desired, &revision, snapshot);
        result
    }

    fn revision(
        &mut self,
        snapshot: &Snapshot,
        netnses: &BTreeSet<NetnsId>,
        settings: &Settings,
    ) -> Revision {
        self.desired.revise(
            &self.history,
            snapshot,
            &self.link,
            &settings.policy,
            netnses,
            self.lan.withheld(),
        )
    }

    /// Makes maps and programs what the snapshot asks for.
    pub(super) fn update(
        &mut self,
        snapshot: &Snapshot,
        settings: &Settings,
    ) -> Result<(), AttachError> {
        let before = self.installed.answered();
        self.lan.set_policy(settings.lan, settings.quotas);
        self.history.set_quota(settings.quotas.addresses as usize);
        self.history.update(
            snapshot,
            &self.link,
            &settings.policy,
            &self.desired,
            self.installed.addresses(),
        );
        // First given up, so that it and the next are not there at once.
        self.desired = Desired::default();
        self.desired = self.desire(snapshot, settings);
        // A new address must be withheld before it is answered, and marked as probed for before an answer to
        // a probe can come.
        if self.update_lan(snapshot) {
            self.desired = self.desire(snapshot, settings);
        }
        self.lan.mark(&mut self.desired);
        self.installed.keep_unclaimed(!snapshot.unread.is_empty());
        let mut outcome = self.installed.update(&self.desired);
        if self.datapath.hooks().is_empty() {
            let stamp = self.installed.stamp(settings.stale_after);
            outcome.errors.extend(stamp.err());
        }
        let no_room = self.no_room.clone();
        let result = self.conclude(outcome, before);
        if no_room != self.no_room {
            self.update_lan(snapshot);
        }
        self.lan.after_update(&self.desired, snapshot);
        result
    }

    /// Judges events of the programs. Returns whether what is answered has to be decided again.
    pub(super) fn on_events(&mut self, events: &[Event]) -> bool {
        let changed = self.lan.on_events(events, &self.desired);
        self.write_marks() || changed
    }

    /// Does and sends what is due on the LAN. Returns as [`Self::on_events`] does.
    pub(super) fn tick(&mut self) -> bool {
        let suppressed = self.suppressed();
        let changed = self.lan.advance(&self.desired, suppressed);
        // Before the probes: their answers are to be reported.
        let unwritten = self.write_marks();
        self.lan.send();
        if self.lan.is_host_due() {
            self.update_host();
        }
        unwritten || changed
    }

    /// Makes the host's own neighbour entries follow what is answered.
    fn update_host(&mut self) {
        let hooks = self.datapath.hooks();
        let host_access = hooks.iter().any(|hook| hook.hook == Hook::Egress);
        self.lan
            .update_host(&self.link, &self.desired, &self.no_room, host_access);
    }

    /// How many events about probed addresses the programs have suppressed.
    fn suppressed(&self) -> u64 {
        let maps = self.installed.maps();
        [Hook::Ingress, Hook::Xdp]
            .into_iter()
            .filter_map(|hook| maps.counter(hook, Reason::ProbedEventSuppressed).ok())
            .sum()
    }

    /// Writes which addresses are being probed for. Returns whether that is left to the next sync.
    fn write_marks(&mut self) -> bool {
        if self.failure.is_some() {
            return self.lan.has_changed();
        }
        let addresses = self.lan.mark_changed(&mut self.desired);
        if addresses.is_empty() {
            return false;
        }
        let revision = Revision {
            addresses,
            ..Revision::default()
        };
        let Outcome {
            errors, no_room, ..
        } = self.installed.revise(&self.desired, &revision);
        self.no_room.extend(no_room);
        self.failure = errors.first().map(|error| chain(error));
        self.failure.is_some()
    }

    /// Sets the programs that the written maps need, logs the outcome, and keeps a failure.
    fn conclude(&mut self, outcome: Outcome, before: usize) -> Result<(), AttachError> {
        // Programs that go by these maps come after what they need is in there.
        let programs = if outcome.errors.is_empty() {
            let isolated = self.desired.config.has(ConfigFlags::ISOLATED);
            let Desired {
                ingress, egress, ..
            } = self.desired;
            self.datapath.set_programs(ingress, egress, isolated)
        } else {
            Ok(())
        };
        let is_host_concerned = outcome.put + outcome.removed > 0 || outcome.reconfigured;
        if outcome.put + outcome.removed > 0 {
            info!(
                parent = self.link.name.as_str(),
                put = outcome.put,
                removed = outcome.removed,
                answered = self.installed.answered(),
                before,
                "addresses changed"
            );
        }
        // Once: the set may change with every sync.
        if !outcome.no_room.is_empty() && self.no_room.is_empty() {
            error!(
                parent = self.link.name.as_str(),
                addresses = outcome.no_room.len(),
                "address map full; raise --max-addresses"
            );
        }
        self.no_room = outcome.no_room;
        if is_host_concerned {
            self.update_host();
        }
        let mut errors = outcome.errors.into_iter();
        let first = errors.next().map(AttachError::from);
        for error in errors {
            error!(parent = self.link.name.as_str(), "{}", chain(&error));
        }
        let result = first.map_or(programs, Err);
        self.failure = result.as_ref().err().map(|error| chain(error));
        result
    }

    fn desire(&self, snapshot: &Snapshot, settings: &Settings) -> Desired {
        desired_after(
            &self.history,
            snapshot,
            &self.link,
            &settings.policy,
            self.lan.withheld(),
        )
    }

    /// Applies the desired state to the LAN. Returns whether other addresses than before are withheld.
    fn update_lan(&mut self, snapshot: &Snapshot) -> bool {
        self.lan
            .update(&self.link, &self.desired, &self.no_room, snapshot)
    }
}
