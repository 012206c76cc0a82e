//! Metrics of each child, which have to be asked for: containers choose how many there are, and their names.

use std::borrow::Cow;

use super::{
    family::{Kind, Metric, Scope, Series, Value, series},
    parent::{outcomes, word},
};
use crate::{
    protocol::{Netns, varlink::PlacedChild},
    runtime::State,
};

/// The inode of a netns is its identity, its name is for people.
const LABELS: &[&str] = &["parent", "netns", "netns_name", "child"];

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
        labels: LABELS,
        scope: Scope::Children,
        series,
    }
}

pub(super) const METRICS: &[Metric] = &[
    Metric {
        labels: &["parent", "netns", "netns_name", "child", "mode", "state"],
        ..row(
            "ipvlan_child",
            None,
            Kind::Info,
            "Mode and state of the child",
            |of| {
                let labels = of.children.iter().map(|it| {
                    let [parent, netns, netns_name, child] = labels(it);
                    let mode = it.child.mode.to_string().into();
                    let state = word(&it.child.state).into();
                    [parent, netns, netns_name, child, mode, state]
                });
                labels.map(|labels| series(labels, true)).collect()
            },
        )
    },
    row(
        "ipvlan_child_addresses",
        None,
        Kind::Gauge,
        "Addresses of the child",
        |of| each(of, |it| it.child.addresses.len().into()),
    ),
    Metric {
        labels: &["parent", "netns", "netns_name", "child", "outcome"],
        ..row(
            "ipvlan_child_frames",
            None,
            Kind::Counter,
            "Frames that the programs counted for the child, by outcome",
            |of| {
                let of_each = of.children.iter().flat_map(|it| {
                    let [parent, netns, netns_name, child] = labels(it);
                    outcomes(&it.child.counters).map(|(outcome, frames)| {
                        let outcome = outcome.into();
                        let (netns, netns_name) = (netns.clone(), netns_name.clone());
                        let labels = [parent.clone(), netns, netns_name, child.clone(), outcome];
                        series(labels, frames)
                    })
                });
                of_each.collect()
            },
        )
    },
    row(
        "ipvlan_child_receive_packets",
        None,
        Kind::Counter,
        "Packets that the link of the child received, as the kernel counts them",
        |of| each(of, |it| it.child.link.rx_packets.into()),
    ),
    row(
        "ipvlan_child_receive",
        Some("bytes"),
        Kind::Counter,
        "Bytes that the link of the child received, as the kernel counts them",
        |of| each(of, |it| it.child.link.rx_bytes.into()),
    ),
    row(
        "ipvlan_child_transmit_packets",
        None,
        Kind::Counter,
        "Packets that the link of the child sent, as the kernel counts them",
        |of| each(of, |it| it.child.link.tx_packets.into()),
    ),
    row(
        "ipvlan_child_transmit",
        Some("bytes"),
        Kind::Counter,
        "Bytes that the link of the child sent, as the kernel counts them",
        |of| each(of, |it| it.child.link.tx_bytes.into()),
    ),
];

fn each(state: &State, value: impl Fn(&PlacedChild) -> Value) -> Vec<Series<'_>> {
    let children = state.children.iter();
    children.map(|it| series(labels(it), value(it))).collect()
}

fn labels(placed: &PlacedChild) -> [Cow<'_, str>; 4] {
    let netns = &placed.child.netns;
    let inode = netns
        .inode
        .map_or_else(String::new, |inode| inode.to_string());
    [
        placed.parent.as_str().into(),
        inode.into(),
        netns_name(netns).into(),
        placed.child.name.as_str().into(),
    ]
}

/// Returns the name of the container or service, or of the file of a netns; empty if it has neither.
fn netns_name(netns: &Netns) -> &str {
    let container = netns.container.as_ref();
    let of_container =
        container.and_then(|of| of.name.as_ref().or(of.pod.as_ref()).or(of.id.as_ref()));
    of_container
        .or(netns.names.first())
        .map_or("", String::as_str)
}
