//! The state of the agent in the types of the protocol.

mod conflicts;
mod state;

use std::time::SystemTime;

use ipvlan_common::{ChildRecord, Delivery, Hook, Reason};

pub(super) use self::conflicts::event;
use self::conflicts::{conflict, stations};
use super::{
    Kernel, Settings,
    parent::{Parent, State},
    parents::Parents,
    serving::Serving,
};
use crate::{
    facts::{Kind, NetnsId, Snapshot},
    lan::frame::colons,
    maps::deadline::Clock,
    model::{AddressView, ChildView, HookPoint, Policy, note_of_mode},
    protocol::{
        self, AddressState, ChildCounters, ChildState, Counters, ExceededQuota, LinkStats,
        MAP_FULL, ParentState, Program, QuotaKind,
    },
    quota::Exceeded,
    text::{chain, counted},
};

pub(super) use state::milliseconds;

/// Returns the state of the agent, as far as it is about parents and netns.
pub(super) fn agent(
    parents: &Parents,
    kernel: &Kernel,
    settings: &Settings,
    exceeded: &Exceeded,
) -> protocol::Agent {
    let snapshot = kernel.snapshot();
    let parents = parents.iter();
    protocol::Agent {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        quotas: quotas(exceeded, settings, snapshot),
        limits: state::limits(settings.quotas),
        parents: parents
            .map(|of| parent(of, snapshot, &settings.policy))
            .collect(),
        unreadable: kernel.unreadable(),
        ..protocol::Agent::default()
    }
}

/// Returns the quotas that netns have exceeded. One that is gone has none.
fn quotas(exceeded: &Exceeded, settings: &Settings, snapshot: &Snapshot) -> Vec<ExceededQuota> {
    let is_known = |&(&(id, _), &count): &(&(NetnsId, QuotaKind), &u64)| {
        count > 0 && snapshot.netns(id).is_some()
    };
    let exceeded = exceeded.iter().filter(is_known);
    exceeded
        .map(|(&(id, quota), &count)| {
            let of_rule = snapshot
                .netns(id)
                .filter(|_| quota == QuotaKind::Addresses)
                .and_then(|netns| settings.policy.quota_of(&netns.files));
            ExceededQuota {
                netns: netns(id, snapshot),
                quota: quota.into(),
                limit: of_rule.unwrap_or(settings.quotas.of(quota)).into(),
                exceeded: count,
                option: of_rule.map_or_else(
                    || format!("--netns-{quota}"),
                    |_| "[[rule]] addresses".to_owned(),
                ),
            }
        })
        .collect()
}

fn parent(parent: &Parent, snapshot: &Snapshot, policy: &Policy) -> protocol::Parent {
    match parent.state() {
        State::New => waiting(parent.name(), ""),
        State::Waiting(of) => waiting(parent.name(), &of.reason),
        State::Serving(of) => serving(of, snapshot, policy),
    }
}

fn waiting(name: &str, reason: &str) -> protocol::Parent {
    protocol::Parent {
        name: name.to_owned(),
        ifindex: None,
        mac: None,
        up: false,
        mode: None,
        flag: None,
        state: ParentState::Waiting.into(),
        reason: Some(reason.to_owned()),
        pinned: None,
        hooks: Vec::new(),
        counters: Counters::default(),
        notes: Vec::new(),
        conflicts: Vec::new(),
        events: Vec::new(),
        groups: 0,
        datapath: protocol::DatapathState::default(),
        totals: protocol::EventTotals::default(),
        children: Vec::new(),
    }
}

fn serving(serving: &Serving, snapshot: &Snapshot, policy: &Policy) -> protocol::Parent {
    let mut failure = None;
    let mut counters = Counters::default();
    let hooks = serving.datapath.hooks();
    for point in hooks.iter().map(|info| info.point) {
        match serving.installed.maps().counters(point) {
            Ok(of_hook) => {
                let of_hook = of_hook
                    .into_iter()
                    .map(|(reason, frames)| (reason.word().to_owned(), frames))
                    .collect();
                counters.0.insert(hook(point).into(), of_hook);
            }
            Err(error) => failure = Some(chain(&error)),
        }
    }
    let unnamed = dhcp_note(&counters);
    let port = serving.desired.port;
    failure = failure.or_else(|| self::failure(serving));
    protocol::Parent {
        name: serving.link.name.to_string(),
        ifindex: Some(serving.link.ifindex),
        mac: serving.link.mac.map(colons),
        up: serving.link.up,
        mode: port.map(|port| port.mode.into()),
        flag: port.map(|port| port.flag.into()),
        state: match failure {
            None => ParentState::Ready,
            Some(_) => ParentState::Degraded,
        }
        .into(),
        reason: failure,
        pinned: serving
            .datapath
            .pin_directory()
            .map(|path| path.display().to_string()),
        hooks: hooks
            .iter()
            .map(|info| Program {
                hook: hook(info.point).into(),
                program: info.program.to_owned(),
                program_id: info.program_id,
                attach: info.mechanism.into(),
            })
            .collect(),
        counters,
        notes: notes(
            serving,
            &hooks.iter().map(|info| info.point).collect::<Vec<_>>(),
            unnamed,
        ),
        conflicts: serving
            .desired
            .conflicts
            .iter()
            .map(|it| conflict(it, snapshot))
            .chain(stations(serving, snapshot))
            .collect(),
        events: serving
            .lan
            .incidents()
            .entries()
            .map(|entry| event(entry, serving.link.name.as_str(), snapshot))
            .collect(),
        groups: serving.lan.groups() as u64,
        datapath: state::datapath(serving),
        totals: state::totals(serving.lan.incidents()),
        children: serving
            .desired
            .children
            .iter()
            .map(|view| child(view, serving, snapshot, policy))
            .collect(),
    }
}

/// Returns why a parent that is attached is degraded; none if it is not.
pub(super) fn failure(serving: &Serving) -> Option<String> {
    let full = || {
        let count = counted(serving.no_room.len(), "address", "addresses");
        let is_full = !serving.no_room.is_empty();
        is_full.then(|| format!("an address map is full: not answered: {count}"))
    };
    let failure = serving.failure.clone();
    failure
        .or_else(|| serving.datapath.degraded())
        .or_else(full)
}

pub(super) const fn hook(point: HookPoint) -> protocol::Hook {
    match point {
        HookPoint::Parent(Hook::Ingress) => protocol::Hook::Ingress,
        HookPoint::Parent(Hook::Egress) => protocol::Hook::Egress,
        HookPoint::Parent(Hook::Xdp) => protocol::Hook::Xdp,
    }
}

/// Returns a note if children have sent DHCP requests that identify their client only by the MAC.
fn dhcp_note(counters: &Counters) -> Option<String> {
    let count = counters
        .0
        .values()
        .filter_map(|of_hook| of_hook.get(Reason::DhcpNoClientId.word()))
        .sum::<u64>();
    (count > 0).then(|| {
        format!(
            "children send DHCP requests without a client identifier of their own ({count}): the server cannot \
             tell clients behind the parent's MAC apart and leases them one address; set an identifier in each \
             client (udhcpc -x 0x3d:HEX, dhcp-client-identifier of dhclient, ClientIdentifier=duid of networkd)"
        )
    })
}

fn notes(serving: &Serving, hooks: &[HookPoint], dhcp: Option<String>) -> Vec<String> {
    let mut notes: Vec<String> = serving
        .desired
        .notes
        .iter()
        .map(|&note| note.to_owned())
        .collect();
    if !serving.datapath.has_host_access() && !hooks.contains(&HookPoint::Parent(Hook::Egress)) {
        notes.push("--no-host-access: host and children do not reach each other".to_owned());
    }
    let port = serving.desired.port;
    notes.extend(port.map(|port| note_of_mode(port.mode).to_owned()));
    notes.extend(dhcp);
    notes.extend(serving.lan.notes());
    notes.extend(serving.unpinned.clone());
    notes.extend(serving.datapath.notes().map(str::to_owned));
    if !serving.link.up {
        notes.push("the parent is down: nothing is answered".to_owned());
    }
    notes
}

fn child(
    view: &ChildView,
    serving: &Serving,
    snapshot: &Snapshot,
    policy: &Policy,
) -> protocol::Child {
    let addresses: Vec<protocol::Address> = view
        .addresses
        .iter()
        .map(|of| address(of, serving))
        .collect();
    let first_reason = addresses.iter().find_map(|of| of.reason.clone());
    let state = if addresses.is_empty() {
        ChildState::NoAddress
    } else if addresses.iter().any(|of| of.reason.is_none()) {
        ChildState::Answering
    } else {
        ChildState::Refused
    };
    let slot = serving.installed.slots().of(view.key);
    // Counters are for information: one that cannot be read shows as zero, and `counters` of the
    // parent says why.
    let ChildRecord { counters, asked } = serving
        .installed
        .maps()
        .child_record(slot)
        .unwrap_or_default();
    protocol::Child {
        name: view.name.to_string(),
        label: snapshot
            .child(view.key.netns, view.key.ifindex)
            .and_then(|child| child.alias.as_deref().map(str::to_owned)),
        ifindex: view.key.ifindex,
        netns: netns(view.key.netns, snapshot),
        mode: match view.kind {
            Kind::Ipvlan(port) => port.mode.into(),
        },
        up: view.up,
        forwarding: view.forwarding,
        delivery: match view.delivery {
            Delivery::Pass => protocol::Delivery::Pass,
            Delivery::Redirect(_) => protocol::Delivery::Redirect,
        }
        .into(),
        rule: view
            .rule
            .and_then(|index| policy.rules.get(index))
            .map(|rule| rule.place.clone()),
        state: state.into(),
        reason: first_reason.filter(|_| state == ChildState::Refused),
        addresses,
        asked_ms: asked_ms(asked),
        counters: ChildCounters {
            answered: counters.answered,
            hairpinned: counters.hairpinned,
            redirected: counters.redirected,
            refused: counters.refused,
        },
        link: LinkStats {
            rx_packets: view.stats.rx_packets,
            rx_bytes: view.stats.rx_bytes,
            tx_packets: view.stats.tx_packets,
            tx_bytes: view.stats.tx_bytes,
        },
    }
}

/// Returns the time of a tick in milliseconds since 1970.
fn asked_ms(tick: u64) -> Option<u64> {
    let ago = Clock::read().ok()?.ago(tick)?;
    let time = SystemTime::now().checked_sub(ago)?;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

fn address(view: &AddressView, serving: &Serving) -> protocol::Address {
    let full = serving.no_room.contains(&view.address);
    let reason = match view.refusal {
        Some(reason) => Some(reason.word()),
        None if full => Some(MAP_FULL),
        None => None,
    };
    protocol::Address {
        address: format!("{}/{}", view.address, view.prefix_len),
        peer: view.peer.map(|peer| peer.to_string()),
        state: match view.refusal {
            None if !full => AddressState::Answered,
            Some(Reason::Probing) => AddressState::Probing,
            _ => AddressState::Refused,
        }
        .into(),
        reason: reason.map(str::to_owned),
    }
}

pub(super) fn netns(id: NetnsId, snapshot: &Snapshot) -> protocol::Netns {
    let nsid = match id {
        NetnsId::Own => None,
        NetnsId::Nsid(nsid) => Some(nsid),
    };
    snapshot.netns(id).map_or_else(
        || protocol::Netns {
            nsid,
            ..protocol::Netns::default()
        },
        |netns| protocol::Netns {
            nsid,
            inode: netns.inode,
            names: netns.names.clone(),
            pid: netns.pids.lowest(),
            ..protocol::Netns::default()
        },
    )
}

#[cfg(test)]
mod tests;
