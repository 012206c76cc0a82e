//! The state of the schedule: withheld, probed and duplicate addresses, groups, quotas and notes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Instant,
};

use ipvlan_common::Reason;

use super::Schedule;
use crate::{
    lan::{frame::Mac, incidents::Incidents},
    model::ChildKey,
    protocol::QuotaKind,
    quota::Exceeded,
};

impl Schedule {
    /// Returns the addresses that are withheld, and the reason of each.
    #[must_use]
    pub const fn withheld(&self) -> &BTreeMap<IpAddr, Reason> {
        self.dad.withheld()
    }

    /// Returns whether the map entry of an address has the flag PROBED.
    #[must_use]
    pub fn is_probed(&self, address: IpAddr) -> bool {
        self.dad.is_probed(address)
    }

    /// Returns the addresses for which [`Self::is_probed`].
    pub fn probed(&self) -> impl Iterator<Item = IpAddr> {
        self.dad.probed()
    }

    /// Returns whether a MAC is known to answer for every address.
    #[must_use]
    pub fn answers_for_all(&self, now: Instant, mac: Mac) -> bool {
        self.dad.answers_for_all(now, mac)
    }

    /// Returns whether a MAC that answers for every address was found since the last call.
    pub fn take_no_owner(&mut self) -> bool {
        std::mem::take(&mut self.no_owner)
    }

    /// Returns the control addresses, which have no owner and whose use is to be reported.
    pub fn controls(&self) -> impl Iterator<Item = IpAddr> {
        self.dad.controls()
    }

    /// Returns the addresses whose map entry is to be written once more: those that are probed for or not any
    /// more, and control addresses.
    pub fn take_changed(&mut self) -> BTreeSet<IpAddr> {
        self.dad.take_changed()
    }

    /// Returns whether [`Self::take_changed`] returns any.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.dad.has_changed()
    }

    /// Returns the addresses of children that a station on the LAN owns, and its MAC.
    pub fn duplicates(&self) -> impl Iterator<Item = (IpAddr, ChildKey, Mac)> {
        self.dad.duplicates().filter_map(|(address, mac)| {
            let candidate = self.candidates.get(&address)?;
            Some((address, candidate.announced.child, mac))
        })
    }

    /// Returns the number of solicited-node groups that the parent is a member of for its children.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.memberships.len()
    }

    /// Returns the last incidents.
    #[must_use]
    pub const fn incidents(&self) -> &Incidents {
        &self.incidents
    }

    /// Returns how often each netns exceeded its quotas of events, announcements and groups.
    #[must_use]
    pub fn exceeded(&self) -> Exceeded {
        let events = self.events.exceeded().map(|of| (of, QuotaKind::Events));
        let turns = self
            .turns
            .exceeded()
            .map(|of| (of, QuotaKind::Announcements));
        let groups = self
            .memberships
            .exceeded()
            .map(|of| (of, QuotaKind::Groups));
        events
            .chain(turns)
            .chain(groups)
            .map(|((netns, times), quota)| ((netns, quota), times))
            .collect()
    }

    /// Returns the notes for `status`.
    #[must_use]
    pub fn notes(&self, now: Instant) -> Vec<String> {
        let failure = self
            .failure
            .as_ref()
            .map(|failure| format!("announcements and probes cannot be sent: {failure}"));
        let mut notes = self.memberships.notes();
        notes.extend(failure);
        notes.extend(self.yielded_note(now));
        let unprobed = self.dad.unprobed();
        notes.extend((unprobed > 0).then(|| {
            format!(
                "new addresses that are not answered on the LAN before their first probe: {unprobed}; \
                 --netns-announcements and --announce-rate limit the probes"
            )
        }));
        notes
    }
}
