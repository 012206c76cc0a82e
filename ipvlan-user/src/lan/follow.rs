//! Keeps the LAN in step with the desired state, and marks in it which addresses are being probed for.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Instant, SystemTime},
};

use super::{Candidate, Lan};
use crate::{
    facts::{Link, Mode, NetnsId, Snapshot},
    model::{Desired, Prefix, Revision},
};

impl Lan {
    /// Applies the desired state. Addresses that the map has no room for are left out: they are not answered.
    /// [`Self::after_update`] is to be called when the maps are written. Returns whether [`Self::withheld`] has changed.
    pub(crate) fn update(
        &mut self,
        link: &Link,
        desired: &Desired,
        no_room: &BTreeSet<IpAddr>,
        snapshot: &Snapshot,
    ) -> bool {
        let now = Instant::now();
        let candidates = candidates(desired, no_room);
        self.own = snapshot.links.iter().filter_map(|link| link.mac).collect();
        let on_link = snapshot.host.routes_on_link.iter();
        self.on_link = on_link
            .map(|route| Prefix::of(route.prefix, route.prefix_len))
            .collect();
        let changed = self.schedule.update(now, link, candidates);
        if snapshot.unread.is_empty() {
            self.schedule.forget_adopted();
        }
        changed
    }

    /// Applies a revision of the desired state. Returns as [`Self::update`] does.
    pub(crate) fn revise(
        &mut self,
        desired: &Desired,
        revision: &Revision,
        no_room: &BTreeSet<IpAddr>,
    ) -> bool {
        let now = Instant::now();
        let l2 = is_l2(desired);
        let mut changed = false;
        for &address in &revision.addresses {
            let wanted = desired.addresses.get(&address);
            let candidate = wanted
                .filter(|_| !no_room.contains(&address))
                .and_then(|wanted| Candidate::of(wanted, l2));
            changed |= self.schedule.revise(now, address, candidate);
        }
        changed
    }

    /// Does what answers do not wait for: joins groups, and reports new conflicts.
    pub(crate) fn after_update(&mut self, desired: &Desired, snapshot: &Snapshot) {
        let now = Instant::now();
        self.schedule.join_groups(now);
        let children = desired.children.iter();
        let netnses: BTreeSet<NetnsId> = children.map(|child| child.key.netns).collect();
        let labels = netnses.iter().map(|&id| (id, snapshot.netns_label(id)));
        self.schedule.name_netnses(labels.collect());
        for incident in self.conflicts.compare(now, desired, snapshot) {
            self.schedule.report(now, SystemTime::now(), incident);
        }
    }

    /// Does after a revision what [`Self::after_update`] does after an update.
    pub(crate) fn after_revision(
        &mut self,
        desired: &Desired,
        revision: &Revision,
        snapshot: &Snapshot,
    ) {
        if revision.children || revision.conflicts {
            self.after_update(desired, snapshot);
        } else {
            self.schedule.join_groups(Instant::now());
        }
    }

    /// Marks in the desired state which addresses are being probed for, and adds the control addresses.
    pub(crate) fn mark(&mut self, desired: &mut Desired) {
        self.schedule.take_changed();
        desired.probed = self.schedule.probed().collect();
        for control in self.schedule.controls() {
            desired.set_control(control, true);
        }
    }

    /// Updates the marks in a desired state that [`Self::mark`] was called for. Returns the addresses whose entry
    /// differs.
    pub(crate) fn mark_changed(&mut self, desired: &mut Desired) -> BTreeSet<IpAddr> {
        let changed = self.schedule.take_changed();
        if changed.is_empty() {
            return changed;
        }
        let controls: BTreeSet<IpAddr> = self.schedule.controls().collect();
        for &address in &changed {
            if self.schedule.is_probed(address) {
                desired.probed.insert(address);
            } else {
                desired.probed.remove(&address);
            }
            desired.set_control(address, controls.contains(&address));
        }
        changed
    }

    /// Returns whether [`Self::mark_changed`] has something to do.
    pub(crate) fn has_changed(&self) -> bool {
        self.schedule.has_changed()
    }
}

/// Returns the addresses that are answered, or would be if no station owned them.
pub(super) fn candidates(
    desired: &Desired,
    no_room: &BTreeSet<IpAddr>,
) -> BTreeMap<IpAddr, Candidate> {
    let l2 = is_l2(desired);
    desired
        .addresses
        .iter()
        .filter_map(|(&address, wanted)| Some((address, Candidate::of(wanted, l2)?)))
        .filter(|(address, _)| !no_room.contains(address))
        .collect()
}

fn is_l2(desired: &Desired) -> bool {
    desired.port.is_some_and(|port| port.mode == Mode::L2)
}

#[cfg(test)]
mod tests;
