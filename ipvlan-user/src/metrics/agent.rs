//! Metrics of the agent: its build, its syncs, its configuration, and what netns use of it.

use std::{collections::BTreeMap, time::Duration};

use super::family::{Kind, Metric, Scope, Series, Value, series, single};
use crate::{
    protocol::{Limits, QuotaKind},
    runtime::State,
};

/// All quotas of a netns.
const QUOTAS: [QuotaKind; 5] = [
    QuotaKind::Addresses,
    QuotaKind::Events,
    QuotaKind::Announcements,
    QuotaKind::Groups,
    QuotaKind::Time,
];

const SECONDS: Option<&str> = Some("seconds");

/// Returns a row of a metric without labels.
const fn row(
    name: &'static str,
    unit: Option<&'static str>,
    kind: Kind,
    help: &'static str,
    series: for<'a> fn(&'a State) -> Vec<Series<'a>>,
) -> Metric {
    Metric {
        name,
        help,
        unit,
        kind,
        labels: &[],
        scope: Scope::Bounded,
        series,
    }
}

pub(super) const METRICS: &[Metric] = &[
    Metric {
        labels: &["version"],
        ..row(
            "ipvlan_build",
            None,
            Kind::Info,
            "Version of the agent",
            |of| vec![series([of.agent.version.as_str().into()], true)],
        )
    },
    row(
        "ipvlan_start_timestamp",
        SECONDS,
        Kind::Gauge,
        "When the agent started, in seconds since 1970",
        |of| single(of_milliseconds(of.agent.started_ms)),
    ),
    row(
        "ipvlan_wakes",
        None,
        Kind::Counter,
        "Times that something changed in the kernel and a sync followed",
        |of| single(of.agent.sync.wakes),
    ),
    row(
        "ipvlan_syncs",
        None,
        Kind::Counter,
        "Syncs, those of the audit included",
        |of| single(of.agent.sync.syncs),
    ),
    row(
        "ipvlan_full_scans",
        None,
        Kind::Counter,
        "Syncs that read all network namespaces again",
        |of| single(of.agent.sync.whole),
    ),
    row(
        "ipvlan_sync_failures",
        None,
        Kind::Counter,
        "Syncs that failed; each left the maps as they were",
        |of| single(of.agent.sync.failed),
    ),
    row(
        "ipvlan_last_sync_successful",
        None,
        Kind::Gauge,
        "Whether the last sync succeeded: 1 or 0",
        |of| single(of.agent.sync.error.is_none()),
    ),
    row(
        "ipvlan_last_sync_timestamp",
        SECONDS,
        Kind::Gauge,
        "End of the last sync that read the kernel and succeeded, in seconds since 1970",
        |of| single(of_milliseconds(of.agent.sync.last_ms)),
    ),
    row(
        "ipvlan_first_sync_duration",
        SECONDS,
        Kind::Gauge,
        "Time that the first sync took",
        |of| single(of_microseconds(of.agent.sync.first_us)),
    ),
    row(
        "ipvlan_last_sync_duration",
        SECONDS,
        Kind::Gauge,
        "Time that the last sync took; of a full scan, the sum of its chunks",
        |of| single(of_microseconds(of.agent.sync.last_us)),
    ),
    row(
        "ipvlan_longest_sync_duration",
        SECONDS,
        Kind::Gauge,
        "Time that the longest sync took since the start",
        |of| single(of_microseconds(of.agent.sync.longest_us)),
    ),
    row(
        "ipvlan_netlink_overruns",
        None,
        Kind::Counter,
        "Times that the kernel dropped netlink events because the receive buffer was full; a full scan followed",
        |of| single(of.agent.sync.overruns),
    ),
    row(
        "ipvlan_repaired_entries",
        None,
        Kind::Counter,
        "Map entries that another process changed and an audit repaired",
        |of| single(of.agent.sync.mended),
    ),
    row(
        "ipvlan_unreadable_netns",
        None,
        Kind::Gauge,
        "Network namespaces that cannot be read; the entries of their children stay as they were",
        |of| single(of.agent.unreadable.len()),
    ),
    row(
        "ipvlan_config_reloads",
        None,
        Kind::Counter,
        "Times that the configuration was reloaded",
        |of| single(of.agent.config.reloads),
    ),
    row(
        "ipvlan_config_last_reload_successful",
        None,
        Kind::Gauge,
        "Whether the last reload of the configuration succeeded: 1 or 0; 1 if there was none",
        |of| single(of.agent.config.error.is_none()),
    ),
    row(
        "ipvlan_config_restart_keys",
        None,
        Kind::Gauge,
        "Keys of the configuration that changed and take effect after a restart",
        |of| single(of.agent.config.at_next_start.len()),
    ),
    Metric {
        labels: &["quota"],
        ..row(
            "ipvlan_netns_quota_capacity",
            None,
            Kind::Gauge,
            "What one network namespace can use, unless a rule sets another limit: addresses, groups, events per \
             second, announcements per second, or time in percent of one processor",
            |of| by_quota(|quota| limit(&of.agent.limits, quota)),
        )
    },
    Metric {
        labels: &["quota"],
        ..row(
            "ipvlan_netns_quota_used",
            None,
            Kind::Gauge,
            "The most that one network namespace uses of a quota; of addresses only",
            |of| {
                vec![series(
                    [QuotaKind::Addresses.to_string().into()],
                    most_addresses(of),
                )]
            },
        )
    },
    Metric {
        labels: &["quota"],
        ..row(
            "ipvlan_netns_quota_exceeding",
            None,
            Kind::Gauge,
            "Network namespaces that exceed a quota of addresses or groups, or have exceeded one of rate or time",
            |of| by_quota(|quota| exceeding(of, quota)),
        )
    },
];

fn by_quota<'a>(value: impl Fn(QuotaKind) -> u64) -> Vec<Series<'a>> {
    QUOTAS
        .into_iter()
        .map(|quota| series([quota.to_string().into()], value(quota)))
        .collect()
}

const fn limit(limits: &Limits, quota: QuotaKind) -> u64 {
    match quota {
        QuotaKind::Addresses => limits.addresses,
        QuotaKind::Events => limits.events,
        QuotaKind::Announcements => limits.announcements,
        QuotaKind::Groups => limits.groups,
        QuotaKind::Time => limits.time,
    }
}

fn exceeding(state: &State, quota: QuotaKind) -> u64 {
    let quotas = state.agent.quotas.iter();
    quotas.filter(|of| of.quota == quota).count() as u64
}

/// Returns how many addresses the netns has that has the most; the agent's own is not limited.
fn most_addresses(state: &State) -> u64 {
    let mut of_each = BTreeMap::<(i32, Option<u64>), u64>::new();
    for child in state.children.iter().map(|placed| &placed.child) {
        if let Some(nsid) = child.netns.nsid {
            *of_each.entry((nsid, child.netns.inode)).or_default() += child.addresses.len() as u64;
        }
    }
    of_each.into_values().max().unwrap_or_default()
}

/// Returns a time in seconds.
pub(super) fn of_milliseconds(milliseconds: u64) -> Value {
    Duration::from_millis(milliseconds).as_secs_f64().into()
}

fn of_microseconds(microseconds: u64) -> Value {
    Duration::from_micros(microseconds).as_secs_f64().into()
}
