//! An attached parent: its maps and programs are made what a snapshot asks for.

use std::{collections::BTreeSet, net::IpAddr};

use ipvlan_common::ConfigFlags;
use tracing::{error, info};

use crate::{
    attach::{AttachError, Datapath},
    discover::{
        Snapshot,
        snapshot::{Link, NetnsId},
    },
    model::{Desired, History, desired_after},
    reconcile::{Settings, chain, lan::Lan},
    runtime::Claim,
    sync::apply::{Installed, Outcome},
};

/// An attached parent.
pub(in crate::reconcile) struct Serving {
    pub(in crate::reconcile) link: Link,
    pub(in crate::reconcile) datapath: Datapath,
    pub(in crate::reconcile) installed: Installed,
    pub(in crate::reconcile) desired: Desired,
    /// What earlier decisions left.
    pub(super) history: History,
    pub(in crate::reconcile) lan: Lan,
    /// Addresses for which the map has no room.
    pub(in crate::reconcile) no_room: BTreeSet<IpAddr>,
    /// Why nothing is pinned, if that is not as it should be.
    pub(in crate::reconcile) unpinned: Option<String>,
    /// Why the last sync was not complete.
    pub(in crate::reconcile) failure: Option<String>,
    // Last: given up when nothing is attached any more.
    pub(super) _claim: Claim,
}

impl Serving {
    /// Whether everything is as it was desired, and what is desired depends on nothing but snapshots.
    pub(super) fn is_settled(&self) -> bool {
        self.failure.is_none()
            && self.no_room.is_empty()
            && !self.installed.is_short()
            && !self.lan.enforces()
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
        let revision = self.desired.revise(
            &self.history,
            snapshot,
            &self.link,
            &settings.policy,
            netnses,
        );
        let outcome = self.installed.revise(&self.desired, &revision);
        let result = self.conclude(outcome, before);
        if self.no_room.is_empty() {
            self.lan
                .revise(&self.desired, &revision, &self.no_room, snapshot);
        } else {
            // Others may have lost their room.
            self.listen(snapshot);
        }
        result
    }

    /// Makes maps and programs what the snapshot asks for.
    pub(super) fn update(
        &mut self,
        snapshot: &Snapshot,
        settings: &Settings,
    ) -> Result<(), AttachError> {
        let before = self.installed.answered();
        self.lan.behave(settings.manners);
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
        // A new address must be held back before it is answered for; otherwise answers come first.
        let holds = self.lan.enforces();
        if holds && self.listen(snapshot) {
            self.desired = self.desire(snapshot, settings);
        }
        let mut outcome = self.installed.update(&self.desired);
        if self.datapath.hooks().is_empty() {
            let stamp = self.installed.stamp(settings.stale_after);
            outcome.errors.extend(stamp.err());
        }
        let no_room = self.no_room.clone();
        let result = self.conclude(outcome, before);
        if !(holds && no_room == self.no_room) {
            self.listen(snapshot);
        }
        result
    }

    /// Sets the programs that go by what was written, and tells and keeps how it went.
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
        if outcome.put > 0 || outcome.reconfigured {
            self.lan.tell_host(&self.link, &self.desired);
        }
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
