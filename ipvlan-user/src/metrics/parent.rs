//! Metrics of each parent. Labels have the name of the parent, and words of closed sets.

use std::{borrow::Cow, collections::BTreeMap};

use ipvlan_common::{REASONS, Reason, ReasonClass};
use serde::Serialize;

use super::{
    agent::of_milliseconds,
    family::{Kind, Metric, Scope, Series, Value, series},
};
use crate::{
    protocol::{
        AddressState, ChildCounters, ChildState, ConflictKind, EventKind, MAP_FULL, Parent,
        ParentState, varlink::PlacedChild,
    },
    runtime::State,
};

const STATES: [ParentState; 3] = [
    ParentState::Ready,
    ParentState::Degraded,
    ParentState::Waiting,
];
const CHILD_STATES: [ChildState; 3] = [
    ChildState::Answering,
    ChildState::Refused,
    ChildState::NoAddress,
];
const ADDRESS_STATES: [AddressState; 3] = [
    AddressState::Answered,
    AddressState::Probing,
    AddressState::Refused,
];
const CONFLICTS: [ConflictKind; 7] = [
    ConflictKind::HostAddress,
    ConflictKind::GatewayAddress,
    ConflictKind::NextHop,
    ConflictKind::SiblingAddress,
    ConflictKind::OtherParent,
    ConflictKind::PeerAddress,
    ConflictKind::LanStation,
];
const EVENTS: [EventKind; 6] = [
    EventKind::Claim,
    EventKind::Probe,
    EventKind::NoOwner,
    EventKind::ModeChanged,
    EventKind::FlagChanged,
    EventKind::ChildMoved,
];

/// Returns a row of a gauge with a label for the parent.
const fn gauge(
    name: &'static str,
    help: &'static str,
    series: for<'a> fn(&'a State) -> Vec<Series<'a>>,
) -> Metric {
    Metric {
        name,
        help,
        unit: None,
        kind: Kind::Gauge,
        labels: &["parent"],
        scope: Scope::Bounded,
        series,
    }
}

/// Returns a row of a gauge with another label.
const fn gauge_by(
    labels: &'static [&'static str],
    name: &'static str,
    help: &'static str,
    series: for<'a> fn(&'a State) -> Vec<Series<'a>>,
) -> Metric {
    Metric {
        labels,
        ..gauge(name, help, series)
    }
}

pub(super) const METRICS: &[Metric] = &[
    gauge_by(
        &["parent", "state"],
        "ipvlan_parent_state",
        "1 for the state of the parent (ready, degraded: something is missing or failed, waiting: not attached), 0 \
         for the others",
        |of| {
            let is_in = |parent: &Parent| (word(&parent.state), 1);
            each(of, |parent| by_word(parent, &STATES, [is_in(parent)]))
        },
    ),
    Metric {
        kind: Kind::Info,
        ..gauge_by(
            &["parent", "ifindex", "mode", "flag"],
            "ipvlan_parent",
            "Ifindex of the parent, mode and isolation flag of its children; empty while there are none",
            |of| each(of, |parent| vec![info(parent)]),
        )
    },
    gauge(
        "ipvlan_parent_up",
        "Whether the parent is administratively up: 1 or 0",
        |of| one_each(of, |parent| parent.up.into()),
    ),
    gauge(
        "ipvlan_parent_pinned",
        "Whether programs and maps are pinned, so that the datapath survives the agent: 1 or 0",
        |of| one_each(of, |parent| parent.pinned.is_some().into()),
    ),
    gauge_by(
        &["parent", "hook", "mechanism"],
        "ipvlan_hook_attached",
        "1 for each program that is attached",
        |of| each(of, hooks),
    ),
    gauge(
        "ipvlan_foreign_programs",
        "Programs of other processes that run before those of the agent and may keep frames from them",
        |of| one_each(of, |parent| parent.datapath.foreign.into()),
    ),
    Metric {
        unit: Some("seconds"),
        ..gauge(
            "ipvlan_deadline_timestamp",
            "When the programs stop answering unless a sync succeeds before, in seconds since 1970; no series \
             without limit",
            |of| {
                each(of, |parent| {
                    let deadline = parent.datapath.deadline_ms.into_iter();
                    deadline
                        .map(|at| series([name(parent)], of_milliseconds(at)))
                        .collect()
                })
            },
        )
    },
    gauge_by(
        &["parent", "state"],
        "ipvlan_children",
        "Children by state: one of their addresses is answered, none is, or they have none",
        |of| {
            each(of, |parent| {
                let states = children(of, parent).map(|it| (word(&it.child.state), 1));
                by_word(parent, &CHILD_STATES, states)
            })
        },
    ),
    gauge_by(
        &["parent", "state"],
        "ipvlan_addresses",
        "Addresses of children by state",
        |of| {
            each(of, |parent| {
                let addresses = children(of, parent).flat_map(|it| &it.child.addresses);
                by_word(
                    parent,
                    &ADDRESS_STATES,
                    addresses.map(|it| (word(&it.state), 1)),
                )
            })
        },
    ),
    gauge_by(
        &["parent", "reason"],
        "ipvlan_addresses_unanswered",
        "Addresses of children that are not answered, by reason; map_full: their address map is full",
        |of| {
            each(of, |parent| {
                let addresses = children(of, parent).flat_map(|it| &it.child.addresses);
                let reasons = addresses.filter_map(|it| it.reason.clone());
                by_word(parent, &[MAP_FULL], reasons.map(|reason| (reason, 1)))
            })
        },
    ),
    gauge_by(
        &["parent", "map"],
        "ipvlan_map_entries",
        "Entries in use of the address map of each family and of the map of child counters",
        |of| {
            each(of, |parent| {
                let of = parent.datapath;
                by_map(parent, [of.addresses_v4, of.addresses_v6, of.children])
            })
        },
    ),
    gauge_by(
        &["parent", "map"],
        "ipvlan_map_entries_capacity",
        "Most entries of these maps: --max-addresses of each family, and --max-children",
        |of| {
            each(of, |parent| {
                let of = parent.datapath;
                let addresses = of.addresses_capacity;
                by_map(parent, [addresses, addresses, of.children_capacity])
            })
        },
    ),
    gauge(
        "ipvlan_groups",
        "Solicited-node groups that the parent has joined for its children",
        |of| one_each(of, |parent| parent.groups.into()),
    ),
    gauge_by(
        &["parent", "kind"],
        "ipvlan_conflicts",
        "Addresses of children that another owner claims as well, by kind of the owner",
        |of| {
            each(of, |parent| {
                let kinds = parent.conflicts.iter().map(|it| (word(&it.kind), 1));
                by_word(parent, &CONFLICTS, kinds)
            })
        },
    ),
    Metric {
        kind: Kind::Counter,
        ..gauge_by(
            &["parent", "kind"],
            "ipvlan_events",
            "Events about addresses of children, by kind: those of status, and a conflict that appeared; from 0 when \
             the parent is attached",
            |of| {
                each(of, |parent| {
                    let kinds = EVENTS.map(|kind| word(&kind)).into_iter();
                    let kinds = kinds.chain(CONFLICTS.map(|kind| word(&kind)));
                    let totals = parent.totals.kinds.clone();
                    by_word(parent, &[(); 0], kinds.map(|kind| (kind, 0)).chain(totals))
                })
            },
        )
    },
    Metric {
        kind: Kind::Counter,
        ..gauge(
            "ipvlan_defended",
            "Announcements by which the agent defended an address that a station claimed (RFC 5227)",
            |of| one_each(of, |parent| parent.totals.defended.into()),
        )
    },
    Metric {
        kind: Kind::Counter,
        ..gauge_by(
            &["parent", "hook", "class", "reason"],
            "ipvlan_frames",
            "Frames that the programs looked at, by hook and reason; the class follows from the reason: answered, \
             hairpinned, redirected, dropped, delegated (to the driver or the kernel, which serve the child) or \
             passed",
            |of| each(of, frames),
        )
    },
    gauge_by(
        &["parent", "outcome"],
        "ipvlan_children_frames",
        "Frames that the programs counted for the children there are now, by outcome; falls when a child is removed",
        |of| {
            each(of, |parent| {
                let outcomes = children(of, parent).flat_map(|it| outcomes(&it.child.counters));
                let outcomes = outcomes.map(|(outcome, frames)| (outcome.to_owned(), frames));
                let all = outcomes_of_none();
                by_word(parent, &all, outcomes)
            })
        },
    ),
];

/// Iterates over the series of each parent. Names are for people: after a rename a parent that waits can have the name
/// of one that is served, which comes first.
fn each<'a>(state: &'a State, series: impl Fn(&'a Parent) -> Vec<Series<'a>>) -> Vec<Series<'a>> {
    let mut parents: Vec<&Parent> = state.agent.parents.iter().collect();
    parents.sort_by_key(|parent| parent.state == ParentState::Waiting);
    parents.into_iter().flat_map(series).collect()
}

fn one_each(state: &State, value: impl Fn(&Parent) -> Value) -> Vec<Series<'_>> {
    each(state, |parent| vec![series([name(parent)], value(parent))])
}

fn children<'a>(state: &'a State, parent: &Parent) -> impl Iterator<Item = &'a PlacedChild> {
    let of_parent = move |child: &&PlacedChild| child.parent == parent.name;
    state.children.iter().filter(of_parent)
}

fn name(parent: &Parent) -> Cow<'_, str> {
    parent.name.as_str().into()
}

/// Returns a word as it is in JSON.
pub(super) fn word<T: Serialize>(of: &T) -> String {
    match serde_json::to_value(of) {
        Ok(serde_json::Value::String(word)) => word,
        // No set of words has others.
        _ => String::new(),
    }
}

/// Sums up what was found of each word. Each of `all` has a series, so that the first increase can be seen.
fn by_word<'a>(
    parent: &'a Parent,
    all: &[impl Serialize],
    found: impl IntoIterator<Item = (String, u64)>,
) -> Vec<Series<'a>> {
    let mut counts: BTreeMap<String, u64> = all.iter().map(|of| (word(of), 0)).collect();
    for (word, count) in found {
        *counts.entry(word).or_default() += count;
    }
    let counts = counts.into_iter();
    counts
        .map(|(word, count)| series([name(parent), word.into()], count))
        .collect()
}

fn by_map(parent: &Parent, entries: [u64; 3]) -> Vec<Series<'_>> {
    let maps = ["addresses_v4", "addresses_v6", "children"];
    let maps = maps.into_iter().zip(entries);
    maps.map(|(map, entries)| series([name(parent), map.into()], entries))
        .collect()
}

fn info(parent: &Parent) -> Series<'_> {
    fn text<T: ToString>(of: Option<T>) -> Cow<'static, str> {
        of.map_or_else(String::new, |of| of.to_string()).into()
    }
    let Parent {
        ifindex,
        mode,
        flag,
        ..
    } = parent;
    let labels = [
        name(parent),
        text(*ifindex),
        text(mode.as_ref()),
        text(flag.as_ref()),
    ];
    series(labels, true)
}

fn hooks(parent: &Parent) -> Vec<Series<'_>> {
    let labels = parent.hooks.iter().map(|program| {
        let (hook, mechanism) = (program.hook.to_string(), program.attach.to_string());
        [name(parent), hook.into(), mechanism.into()]
    });
    labels.map(|labels| series(labels, true)).collect()
}

/// Returns the frames of each reason at each hook that has a program.
fn frames(parent: &Parent) -> Vec<Series<'_>> {
    let mut all = Vec::new();
    for program in &parent.hooks {
        let counted = parent.counters.0.get(&program.hook);
        for &reason in REASONS {
            let frames = counted.and_then(|of| of.get(reason.word())).copied();
            if reason == Reason::Unknown && frames.is_none() {
                continue;
            }
            let labels = [
                name(parent),
                program.hook.to_string().into(),
                class(reason).into(),
                reason.word().into(),
            ];
            all.push(series(labels, frames.unwrap_or_default()));
        }
    }
    all
}

const fn class(reason: Reason) -> &'static str {
    match reason.class() {
        ReasonClass::Answered => "answered",
        ReasonClass::Hairpinned => "hairpinned",
        ReasonClass::Redirected => "redirected",
        ReasonClass::Dropped => "dropped",
        ReasonClass::Delegated => "delegated",
        ReasonClass::Passed => "passed",
    }
}

/// Returns the counters of a child with their words.
pub(super) const fn outcomes(counters: &ChildCounters) -> [(&'static str, u64); 4] {
    let ChildCounters {
        answered,
        hairpinned,
        redirected,
        refused,
    } = *counters;
    [
        ("answered", answered),
        ("hairpinned", hairpinned),
        ("redirected", redirected),
        ("refused", refused),
    ]
}

fn outcomes_of_none() -> [&'static str; 4] {
    outcomes(&ChildCounters::default()).map(|(outcome, _)| outcome)
}
