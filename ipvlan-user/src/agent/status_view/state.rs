//! What the status has of limits, maps and totals.

use std::{
    net::IpAddr,
    time::{Instant, SystemTime},
};

use crate::{
    agent::serving::Serving,
    lan::incidents::Incidents,
    protocol::{DatapathState, EventTotals, Limits},
    quota::Quotas,
};

/// Returns a time in milliseconds since 1970.
pub(in crate::agent) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Returns what one netns can use.
pub(super) fn limits(quotas: Quotas) -> Limits {
    let Quotas {
        addresses,
        events,
        announcements,
        groups,
        time,
    } = quotas;
    Limits {
        addresses: addresses.into(),
        events: events.into(),
        announcements: announcements.into(),
        groups: groups.into(),
        time: time.into(),
    }
}

pub(super) fn datapath(serving: &Serving) -> DatapathState {
    let installed = &serving.installed;
    let addresses_v4 = installed.addresses().keys().filter(|of| is_v4(of)).count();
    let left = installed
        .deadline()
        .map(|deadline| deadline.saturating_duration_since(Instant::now()));
    DatapathState {
        addresses_v4: addresses_v4 as u64,
        addresses_v6: (installed.addresses().len() - addresses_v4) as u64,
        addresses_capacity: installed.maps().capacity() as u64,
        children: installed.slots().len() as u64,
        children_capacity: installed.slots().capacity().into(),
        deadline_ms: left.map(|left| milliseconds(SystemTime::now() + left)),
        foreign: serving.datapath.foreign() as u64,
    }
}

const fn is_v4(address: &IpAddr) -> bool {
    address.is_ipv4()
}

pub(super) fn totals(incidents: &Incidents) -> EventTotals {
    let kinds = incidents.totals();
    EventTotals {
        kinds: kinds
            .map(|(kind, count)| (kind.to_string(), count))
            .collect(),
        defended: incidents.defended(),
    }
}
