//! Judges claims and probes of stations, and reports incidents.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Instant, SystemTime},
};

use ipvlan_common::{Event, EventKind};
use tracing::{debug, info, warn};

use super::Schedule;
use crate::{
    facts::NetnsId,
    lan::{
        dad::{Verdict, control::Neighbourhood},
        frame::Mac,
        incidents::{Action, Incident, Kind},
    },
    model::ChildKey,
    text::netns_label,
};

/// The time of an incident, and the names for its log line.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// The time of the schedules.
    pub now: Instant,
    /// The wall-clock time.
    pub at: SystemTime,
    /// Returns the name of a child.
    pub name: &'a dyn Fn(ChildKey) -> String,
}

impl Schedule {
    /// Judges an event of a station, whose MAC is none of the host's. Returns as [`Self::update`] does.
    pub fn on_event(
        &mut self,
        moment: Moment<'_>,
        event: &Event,
        around: &Neighbourhood<'_>,
    ) -> bool {
        let (Some(kind), Some(address)) = (event.kind(), event.address()) else {
            debug!(?event, "an event this build does not know");
            return false;
        };
        let (now, mac) = (moment.now, event.mac());
        let log_kind = match kind {
            EventKind::Claim if self.dad.answers_control(address, mac) => return false,
            EventKind::Claim => Kind::Claim,
            EventKind::Probe => Kind::Probe,
            // Device tracking of a switch sends one every few seconds: no conflict, no incident.
            EventKind::UnicastProbe => return false,
        };
        let before = self.dad.refusal(address);
        // Evidence is never subject to a quota: the answer to a probe could be lost.
        let verdict = self.dad.claim(
            now,
            &mut self.turns,
            (address, mac, kind),
            &mut self.random,
            around,
        );
        let changed = before != self.dad.refusal(address);
        if changed {
            self.withdraw(address);
        }
        let child = self.candidates.get(&address).map(|of| of.announced.child);
        if let Some(child) = child
            && !self.events.take(now, child.netns)
        {
            return changed;
        }
        let action = match verdict {
            // Reported when the examination has ended, once for the MAC.
            Verdict::Examined | Verdict::NoOwner => return changed,
            Verdict::Withheld => Action::Withheld,
            Verdict::Undisputed | Verdict::Disputed if kind == EventKind::Claim => {
                self.claimed(now, address, mac)
            }
            Verdict::Undisputed | Verdict::Disputed => Action::Answered,
        };
        self.report_station(moment, log_kind, address, mac, action);
        changed
    }

    pub(super) fn report_station(
        &mut self,
        moment: Moment<'_>,
        kind: Kind,
        address: IpAddr,
        mac: Mac,
        action: Action,
    ) {
        let child = self.candidates.get(&address).map(|of| of.announced.child);
        self.report(
            moment.now,
            moment.at,
            Incident {
                kind,
                address: Some(address),
                mac: Some(mac),
                child: child.map(|key| (key, (moment.name)(key))),
                action,
                detail: None,
            },
        );
    }

    /// Records an incident, and logs it within the limits of its netns.
    pub fn report(&mut self, now: Instant, at: SystemTime, incident: Incident) {
        let line = incident.line(&|id| self.netns_label(id));
        let is_expected = matches!(
            incident.kind,
            Kind::Probe | Kind::ChildMoved | Kind::NoOwner
        );
        let Some(times) = self.incidents.record(now, at, incident) else {
            return;
        };
        if is_expected {
            info!(parent = self.parent, times, "{line}");
        } else {
            warn!(parent = self.parent, times, "{line}");
        }
    }

    /// Uses these short names of netns in the log.
    pub fn name_netnses(&mut self, netnses: BTreeMap<NetnsId, String>) {
        self.netnses = netnses;
    }

    fn netns_label(&self, id: NetnsId) -> String {
        let nsid = match id {
            NetnsId::Own => None,
            NetnsId::Nsid(nsid) => Some(nsid),
        };
        let known = self.netnses.get(&id).cloned();
        known.unwrap_or_else(|| netns_label(&[], None, nsid))
    }
}
