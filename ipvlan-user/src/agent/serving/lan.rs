//! The LAN of an attached parent: events of the programs in, frames and the host's neighbour entries out.

use ipvlan_common::{Event, Hook, Reason};

use super::Serving;
use crate::{
    facts::Snapshot,
    maps::apply::Outcome,
    model::{HookPoint, Revision},
    text::chain,
};

/// Where host and children reach each other.
const EGRESS: HookPoint = HookPoint::Parent(Hook::Egress);

impl Serving {
    /// Applies events of the programs. Returns whether a sync has to follow.
    pub(in crate::agent) fn on_events(&mut self, events: &[Event]) -> bool {
        let changed = self.lan.on_events(events, &self.desired);
        self.write_marks() || changed
    }

    /// Does and sends what is due on the LAN. Returns whether a sync has to follow.
    pub(in crate::agent) fn tick(&mut self) -> bool {
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

    /// Updates the host's own neighbour entries.
    pub(super) fn update_host(&mut self) {
        let hooks = self.datapath.hooks();
        let host_access = hooks.iter().any(|hook| hook.point == EGRESS);
        self.lan
            .update_host(&self.link, &self.desired, &self.no_room, host_access);
    }

    /// Returns how many events about probed addresses the programs have suppressed.
    fn suppressed(&self) -> u64 {
        let maps = self.installed.maps();
        [Hook::Ingress, Hook::Xdp]
            .into_iter()
            .filter_map(|hook| {
                maps.counter(HookPoint::Parent(hook), Reason::ProbedEventSuppressed)
                    .ok()
            })
            .sum()
    }

    /// Writes the marks of addresses that are being probed for. Returns whether that is left to the next sync.
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

    /// Applies the desired state to the LAN. Returns whether other addresses than before are withheld.
    pub(super) fn update_lan(&mut self, snapshot: &Snapshot) -> bool {
        self.lan
            .update(&self.link, &self.desired, &self.no_room, snapshot)
    }
}
