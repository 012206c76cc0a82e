//! Keeps the host's own neighbour table in step with the answered addresses.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

use ipvlan_common::Reason;
use tracing::debug;

use super::Lan;
use crate::{
    facts::Link,
    model::{Desired, DesiredEntry},
};

/// Shortest time from one update of the host's neighbour entries to the next, if stations cause it.
const HOST_GAP: Duration = Duration::from_millis(100);

impl Lan {
    /// Updates the host's own neighbour entries. Without `host_access` the host reaches no child. Addresses that the
    /// map has no room for are not answered.
    pub(crate) fn update_host(
        &mut self,
        link: &Link,
        desired: &Desired,
        no_room: &BTreeSet<IpAddr>,
        host_access: bool,
    ) {
        let now = Instant::now();
        self.host_due = None;
        self.host_updated = Some(now);
        let Some(mac) = link.mac else {
            self.host.reset();
            return;
        };
        let answered = |address| match desired.addresses.get(&address) {
            Some(DesiredEntry::Child {
                refusal: None | Some(Reason::Probing),
                router,
                ..
            }) if host_access && !no_room.contains(&address) => Some(*router),
            _ => None,
        };
        let parent = link.name.as_str();
        let answers_for_all = |mac| self.schedule.answers_for_all(now, mac);
        match self.host.update(now, mac, &answered, &answers_for_all) {
            Ok(0) => {}
            Ok(entries) => debug!(parent, entries, "neighbour entries of the host updated"),
            // The kernel asks again by itself, only later.
            Err(failure) => debug!(
                parent,
                "neighbour entries of the host not updated: {failure}"
            ),
        }
    }

    /// Returns whether [`Self::update_host`] is to be called now.
    pub(crate) fn is_host_due(&self) -> bool {
        let due = [self.host.next_due(), self.host_due];
        due.into_iter().flatten().any(|due| due <= Instant::now())
    }

    /// Updates the host's entries soon: a station may have changed them.
    pub(super) fn schedule_host(&mut self) {
        let now = Instant::now();
        let due = self.host_updated.map_or(now, |at| now.max(at + HOST_GAP));
        self.host_due.get_or_insert(due);
    }
}
