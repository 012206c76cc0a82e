//! Settings of the agent, and which of them can change while it runs.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use super::{Bounded, Options, Places, StaleAfter};
use crate::{
    attach::AttachOptions,
    facts::Netns,
    lan::{DEFAULT_ANNOUNCE_RATE, LanPolicy},
    metrics::Endpoint,
    model::Policy,
    quota::{
        DEFAULT_ADDRESSES, DEFAULT_ANNOUNCEMENTS, DEFAULT_EVENTS, DEFAULT_GROUPS, DEFAULT_TIME,
        Quotas,
    },
};

/// Default of `--max-addresses`.
pub const DEFAULT_MAX_ADDRESSES: u32 = 16_384;
/// Default of `--max-children`.
pub const DEFAULT_MAX_CHILDREN: u32 = 4_096;
/// Default of `--audit`, in seconds.
pub const DEFAULT_AUDIT: u32 = 60;
/// Default of `--stale-after`, in seconds.
pub const DEFAULT_STALE_AFTER: u64 = 600;

/// Settings of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Names of the parents: at least one, none twice.
    pub parents: Vec<String>,
    /// What is answered, and how packets are delivered.
    pub policy: Policy,
    /// Announcements, probes and their pace.
    pub lan: LanPolicy,
    /// Quotas of each netns.
    pub quotas: Quotas,
    /// How programs are attached.
    pub attach: AttachOptions,
    /// Time between two audits.
    pub audit: Duration,
    /// Time that programs answer without a sync; none without limit.
    pub stale_after: Option<Duration>,
    /// Whether and where links and maps are pinned.
    pub pins: PinSettings,
    /// Whether and where metrics are served.
    pub metrics: MetricsSettings,
    /// Directory of lock files and sockets.
    pub runtime_dir: PathBuf,
}

/// Whether and where metrics are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Where; none if they are not served.
    pub endpoint: Option<Endpoint>,
    /// Whether each child has series of its own.
    pub children: bool,
}

/// Whether and where links and maps are pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinSettings {
    /// Directory of the pins of all parents, on a BPF filesystem.
    pub dir: PathBuf,
    /// Whether the datapath outlives the agent.
    pub keep: bool,
}

impl Settings {
    /// Returns how many addresses of a netns are read: the quota that a rule gives it, or that of all.
    pub(crate) fn addresses_of(&self) -> impl Fn(&Netns) -> u32 + Send + 'static {
        let (policy, default) = (self.policy.clone(), self.quotas.addresses);
        move |netns| policy.quota_of(&netns.files).unwrap_or(default)
    }

    /// Completes options with defaults; none if they name no parent.
    #[must_use]
    pub fn new(options: Options) -> Option<Self> {
        let Options {
            iface,
            l2_broadcast,
            deliver,
            dhcp,
            attach,
            order,
            xdp,
            host_access,
            answer_link_local,
            allow,
            deny,
            rule,
            dad,
            announce,
            defend,
            refresh,
            announce_rate,
            netns_addresses,
            netns_events,
            netns_announcements,
            netns_groups,
            netns_time,
            max_addresses,
            max_children,
            audit,
            stale_after,
            pin,
            metrics,
            metrics_children,
            pin_dir,
            runtime_dir,
        } = options;
        let mut seen = BTreeSet::new();
        let parents: Vec<String> = iface
            .unwrap_or_default()
            .into_iter()
            .map(String::from)
            .filter(|name| seen.insert(name.clone()))
            .collect();
        if parents.is_empty() {
            return None;
        }
        let Places {
            pin_dir,
            runtime_dir,
        } = Places::new(pin_dir, runtime_dir);
        Some(Self {
            parents,
            policy: Policy {
                l2_broadcast: l2_broadcast.unwrap_or_default(),
                deliver: deliver.unwrap_or_default(),
                dhcp: dhcp.unwrap_or_default(),
                answer_link_local: answer_link_local.unwrap_or(false),
                allow: allow.unwrap_or_default(),
                deny: deny.unwrap_or_default(),
                rules: rule,
            },
            lan: LanPolicy {
                announce: announce.unwrap_or_default(),
                defend: defend.unwrap_or_default(),
                refresh: unless_zero(refresh.map_or(0, |seconds| seconds.get().into())),
                dad: dad.unwrap_or_default(),
                rate: announce_rate.map_or(DEFAULT_ANNOUNCE_RATE, Bounded::get),
            },
            quotas: Quotas {
                addresses: netns_addresses.map_or(DEFAULT_ADDRESSES, Bounded::get),
                events: netns_events.map_or(DEFAULT_EVENTS, Bounded::get),
                announcements: netns_announcements.map_or(DEFAULT_ANNOUNCEMENTS, Bounded::get),
                groups: netns_groups.map_or(DEFAULT_GROUPS, Bounded::get),
                time: netns_time.map_or(DEFAULT_TIME, Bounded::get),
            },
            attach: AttachOptions {
                tc: attach.unwrap_or_default(),
                order: order.unwrap_or_default(),
                xdp: xdp.unwrap_or_default().into(),
                host_access: host_access.unwrap_or(true),
                max_addresses: max_addresses.map_or(DEFAULT_MAX_ADDRESSES, Bounded::get),
                max_children: max_children.map_or(DEFAULT_MAX_CHILDREN, Bounded::get),
            },
            audit: Duration::from_secs(audit.map_or(DEFAULT_AUDIT, Bounded::get).into()),
            stale_after: unless_zero(
                stale_after.map_or(DEFAULT_STALE_AFTER, |StaleAfter(seconds)| seconds),
            ),
            pins: PinSettings {
                dir: pin_dir,
                keep: pin.unwrap_or(true),
            },
            metrics: MetricsSettings {
                endpoint: metrics.unwrap_or_default().into(),
                children: metrics_children.unwrap_or(false),
            },
            runtime_dir,
        })
    }

    /// Takes over from `new` what a running agent can change. Returns the keys that differ and take effect after a
    /// restart.
    pub fn reload(&mut self, new: Self) -> Vec<&'static str> {
        let AttachOptions {
            tc,
            order,
            xdp,
            host_access,
            max_addresses,
            max_children,
        } = &new.attach;
        let PinSettings { dir, keep } = &new.pins;
        let MetricsSettings { endpoint, children } = &new.metrics;
        let stay = [
            ("attach", self.attach.tc == *tc),
            ("order", self.attach.order == *order),
            ("xdp", self.attach.xdp == *xdp),
            ("host-access", self.attach.host_access == *host_access),
            ("max-addresses", self.attach.max_addresses == *max_addresses),
            ("max-children", self.attach.max_children == *max_children),
            ("pin", self.pins.keep == *keep),
            ("metrics", self.metrics.endpoint == *endpoint),
            ("metrics-children", self.metrics.children == *children),
            ("pin-dir", self.pins.dir == *dir),
            ("runtime-dir", self.runtime_dir == new.runtime_dir),
        ];
        let differ = stay.into_iter().filter(|&(_, same)| !same);
        let waiting = differ.map(|(key, _)| key).collect();
        let old = std::mem::replace(self, new);
        self.attach = old.attach;
        self.pins = old.pins;
        self.metrics = old.metrics;
        self.runtime_dir = old.runtime_dir;
        waiting
    }
}

/// Returns a time in seconds; none if it is 0.
fn unless_zero(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
