//! Options of one source: the command line, or a file.

use std::path::PathBuf;

use serde::Deserialize;

use super::{
    rule,
    value::{self, InterfaceName, XdpChoice},
};
use crate::{
    attach::TcAttach,
    model::{Deliver, L2Broadcast, Prefix, Rule},
    neighbour::{Announcing, DadMode},
};

/// The options of `ipvlan run`, and the keys of a configuration file; those that are not given are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// The parents.
    #[serde(deserialize_with = "value::list")]
    pub iface: Option<Vec<InterfaceName>>,
    /// What happens to neighbour requests from the wire for l2 children.
    #[serde(deserialize_with = "value::word")]
    pub l2_broadcast: Option<L2Broadcast>,
    /// How packets reach children in the parent's own netns.
    #[serde(deserialize_with = "value::word")]
    pub deliver: Option<Deliver>,
    /// How the TC programs are attached.
    #[serde(deserialize_with = "value::word")]
    pub attach: Option<TcAttach>,
    /// Whether and where the XDP program runs.
    #[serde(deserialize_with = "value::word")]
    pub xdp: Option<XdpChoice>,
    /// Whether host and children reach each other.
    pub host_access: Option<bool>,
    /// Whether addresses in 169.254.0.0/16 are answered.
    pub answer_link_local: Option<bool>,
    /// The only prefixes whose addresses are answered, of both families.
    #[serde(deserialize_with = "value::list")]
    pub allow: Option<Vec<Prefix>>,
    /// Prefixes whose addresses are not answered.
    #[serde(deserialize_with = "value::list")]
    pub deny: Option<Vec<Prefix>>,
    /// Settings of single children. Only files have them; those of all files apply, in the order of reading.
    #[serde(deserialize_with = "rule::list")]
    pub rule: Option<Vec<Rule>>,
    /// Whether and how new addresses are probed.
    #[serde(deserialize_with = "value::word")]
    pub dad: Option<DadMode>,
    /// Whether addresses are announced.
    #[serde(deserialize_with = "value::word")]
    pub announce: Option<Announcing>,
    /// Announcements and probes of a parent, per second.
    #[serde(deserialize_with = "value::rate")]
    pub announce_rate: Option<u32>,
    /// [`Quotas::addresses`](crate::quota::Quotas::addresses)
    #[serde(deserialize_with = "value::room")]
    pub netns_addresses: Option<u32>,
    /// [`Quotas::events`](crate::quota::Quotas::events)
    #[serde(deserialize_with = "value::rate")]
    pub netns_events: Option<u32>,
    /// [`Quotas::announcements`](crate::quota::Quotas::announcements)
    #[serde(deserialize_with = "value::rate")]
    pub netns_announcements: Option<u32>,
    /// [`Quotas::groups`](crate::quota::Quotas::groups)
    #[serde(deserialize_with = "value::room")]
    pub netns_groups: Option<u32>,
    /// [`Quotas::time`](crate::quota::Quotas::time)
    #[serde(deserialize_with = "value::percent")]
    pub netns_time: Option<u32>,
    /// Size of the address map of each family.
    #[serde(deserialize_with = "value::room")]
    pub max_addresses: Option<u32>,
    /// Number of children with counters.
    #[serde(deserialize_with = "value::room")]
    pub max_children: Option<u32>,
    /// Seconds between two audits.
    #[serde(deserialize_with = "value::audit")]
    pub audit: Option<u64>,
    /// Seconds that programs answer without a sync; 0 without limit.
    #[serde(deserialize_with = "value::stale_after")]
    pub stale_after: Option<u64>,
    /// Whether links and maps are pinned.
    pub pin: Option<bool>,
    /// Directory of the pins, on a BPF filesystem.
    pub pin_dir: Option<PathBuf>,
    /// Directory of lock files and status sockets.
    pub runtime_dir: Option<PathBuf>,
}

impl Options {
    /// Returns both merged; `self` takes precedence. Rules are joined, those of `lower` first.
    #[must_use]
    pub fn over(self, lower: Self) -> Self {
        Self {
            iface: self.iface.or(lower.iface),
            l2_broadcast: self.l2_broadcast.or(lower.l2_broadcast),
            deliver: self.deliver.or(lower.deliver),
            attach: self.attach.or(lower.attach),
            xdp: self.xdp.or(lower.xdp),
            host_access: self.host_access.or(lower.host_access),
            answer_link_local: self.answer_link_local.or(lower.answer_link_local),
            allow: self.allow.or(lower.allow),
            deny: self.deny.or(lower.deny),
            rule: joined(lower.rule, self.rule),
            dad: self.dad.or(lower.dad),
            announce: self.announce.or(lower.announce),
            announce_rate: self.announce_rate.or(lower.announce_rate),
            netns_addresses: self.netns_addresses.or(lower.netns_addresses),
            netns_events: self.netns_events.or(lower.netns_events),
            netns_announcements: self.netns_announcements.or(lower.netns_announcements),
            netns_groups: self.netns_groups.or(lower.netns_groups),
            netns_time: self.netns_time.or(lower.netns_time),
            max_addresses: self.max_addresses.or(lower.max_addresses),
            max_children: self.max_children.or(lower.max_children),
            audit: self.audit.or(lower.audit),
            stale_after: self.stale_after.or(lower.stale_after),
            pin: self.pin.or(lower.pin),
            pin_dir: self.pin_dir.or(lower.pin_dir),
            runtime_dir: self.runtime_dir.or(lower.runtime_dir),
        }
    }
}

/// Returns both lists, one behind the other.
fn joined<T>(first: Option<Vec<T>>, then: Option<Vec<T>>) -> Option<Vec<T>> {
    match (first, then) {
        (Some(mut first), Some(mut then)) => {
            first.append(&mut then);
            Some(first)
        }
        (first, then) => first.or(then),
    }
}
