//! Who reaches whom on this node: tried by echo requests where that is possible, derived from the mode and the state
//! of the agent otherwise.

mod expected;

use std::{collections::HashMap, net::IpAddr, thread, time::Duration};

use self::expected::{Expected, host_access, lan_access, other_parent, siblings};
use super::{
    node::{Child, Node, Parent, is_link_local},
    ping::{Outcome, ping},
    report::{Check, word},
};
use crate::text::counted;

/// Children that are tried.
const TRIED: usize = 8;
/// How long a reply is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// A parent and a child of it, by their places.
type Place = (usize, usize);

/// Outcomes of echo requests.
#[derive(Debug, Default)]
pub(super) struct Trials {
    /// Those of the host.
    host: HashMap<IpAddr, Outcome>,
    /// Those of children.
    children: HashMap<Place, HashMap<IpAddr, Outcome>>,
}

/// Tries what is harmless: one second of echo requests from the host and from eight children.
pub(super) fn read(node: &Node) -> Trials {
    let places = places(node);
    let mut targets = Vec::new();
    for &place in &places {
        let child = child(node, place);
        if child.up && !child.own {
            targets.extend(firsts(child));
        }
    }
    for parent in &node.parents {
        targets.extend(gateways(node, parent));
    }
    let host = ping(&targets, PATIENCE);
    let tried = thread::scope(|scope| {
        let running: Vec<_> = places
            .iter()
            .filter(|&&place| !child(node, place).own)
            .filter_map(|&place| Some((place, node.netns_of(child(node, place))?)))
            .map(|(place, netns)| {
                let targets = targets_of(node, place);
                let run = move || {
                    let outcomes = netns.run(|| ping(&targets, PATIENCE));
                    let outcomes =
                        outcomes.unwrap_or_else(|_| vec![Outcome::Denied; targets.len()]);
                    targets.into_iter().zip(outcomes).collect()
                };
                (place, scope.spawn(run))
            })
            .collect();
        let joined = running.into_iter();
        joined
            .map(|(place, thread)| (place, thread.join().unwrap_or_default()))
            .collect()
    });
    Trials {
        host: targets.into_iter().zip(host).collect(),
        children: tried,
    }
}

/// Returns the first children of all parents.
fn places(node: &Node) -> Vec<Place> {
    let parents = node.parents.iter().enumerate();
    let children =
        parents.flat_map(|(at, parent)| (0..parent.children.len()).map(move |it| (at, it)));
    children.take(TRIED).collect()
}

fn child(node: &Node, (parent, child): Place) -> &Child {
    &node.parents[parent].children[child]
}

/// Returns the first address of each family.
fn firsts(child: &Child) -> impl Iterator<Item = IpAddr> {
    let first = |is: fn(&IpAddr) -> bool| {
        let mut addresses = child.addresses.iter().map(|(address, _)| *address);
        addresses.find(is)
    };
    [first(IpAddr::is_ipv4), first(IpAddr::is_ipv6)]
        .into_iter()
        .flatten()
}

/// Returns the gateways of the host's default routes out of a parent.
fn gateways(node: &Node, parent: &Parent) -> Vec<IpAddr> {
    let defaults = node.own.routes.iter().filter(|route| route.prefix_len == 0);
    let gateways = defaults.flat_map(|route| &route.gateways);
    let out_of_it = gateways.filter(|gateway| gateway.oif == Some(parent.link.ifindex));
    let mut addresses: Vec<IpAddr> = out_of_it
        .map(|gateway| gateway.address)
        .filter(|address| !is_link_local(*address))
        .collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

/// Returns the host's first address of each family on a parent.
fn of_host(node: &Node, parent: &Parent) -> Vec<IpAddr> {
    let addresses: Vec<IpAddr> = node
        .addresses_of(parent.link.ifindex)
        .map(|(address, _)| address)
        .collect();
    let first = |is: fn(&IpAddr) -> bool| addresses.iter().copied().find(is);
    [first(IpAddr::is_ipv4), first(IpAddr::is_ipv6)]
        .into_iter()
        .flatten()
        .collect()
}

/// Returns whom a child tries to reach: the host, the gateways, and a child of each parent.
fn targets_of(node: &Node, place: Place) -> Vec<IpAddr> {
    let of = child(node, place);
    let parent = &node.parents[place.0];
    let mut targets = of_host(node, parent);
    targets.extend(gateways(node, parent));
    targets.extend(
        peers(node, place)
            .into_iter()
            .flat_map(|peer| firsts(child(node, peer))),
    );
    let has = |target: &IpAddr| firsts(of).any(|own| own.is_ipv6() == target.is_ipv6());
    targets.retain(has);
    targets
}

/// Returns the first other child of each parent that is up.
fn peers(node: &Node, place: Place) -> Vec<Place> {
    let parents = node.parents.iter().enumerate();
    parents
        .filter_map(|(at, parent)| {
            let mut children = parent.children.iter().enumerate();
            let peer = children.find(|(it, child)| (at, *it) != place && child.up && !child.own)?;
            Some((at, peer.0))
        })
        .collect()
}

/// Judges what was tried, and the rest by what is known.
pub(super) fn judge(node: &Node, trials: &Trials) -> Vec<Check> {
    let mut checks = Vec::new();
    for parent in &node.parents {
        checks.extend(lan_host(node, parent, trials));
    }
    let places = places(node);
    for &place in &places {
        checks.extend(host_child(node, place, trials));
        checks.extend(child_host(node, place, trials));
        checks.extend(lan_child(node, place, trials));
    }
    for at in 0..node.parents.len() {
        if let Some(&place) = places.iter().find(|(parent, _)| *parent == at) {
            checks.extend(child_child(node, place, trials));
        }
    }
    let all: usize = node
        .parents
        .iter()
        .map(|parent| parent.children.len())
        .sum();
    if all > places.len() {
        let more = counted(all - places.len(), "child was", "children were");
        checks.push(Check::skip(
            "matrix.more",
            "",
            format!("{more} not tried: {TRIED} at most are"),
        ));
    }
    checks
}

/// Returns the line about one path.
fn line(
    id: &str,
    subject: &str,
    tried: Option<&Outcome>,
    expected: Expected,
    watch: &str,
) -> Check {
    match (tried, expected) {
        (Some(Outcome::Reply(after)), _) => {
            let found = format!("tried: a reply within {} ms", after.as_millis().max(1));
            Check::ok(id, subject, found)
        }
        (Some(Outcome::Silence(failure)), Expected::Works(why)) => {
            let failure = failure.as_ref().map(|failure| format!(" ({failure})"));
            Check::warn(
                id,
                subject,
                format!(
                    "tried: no reply{}; expected one: {why}",
                    failure.unwrap_or_default()
                ),
                "echo requests or replies are lost, or a rule drops them",
            )
            .mend(watch)
        }
        (tried, Expected::Broken(why, mend)) => {
            let how = if tried.is_some_and(|it| *it != Outcome::Denied) {
                "tried: no reply"
            } else {
                "derived"
            };
            let check = Check::fail(id, subject, format!("{how}: not reachable"), why);
            if mend.is_empty() {
                check
            } else {
                check.mend(mend)
            }
        }
        (_, Expected::Closed(why)) => {
            Check::ok(id, subject, format!("not reachable, as intended: {why}"))
        }
        (_, Expected::Works(why)) => Check::ok(id, subject, format!("derived: reachable ({why})")),
    }
}

fn watch(parent: &Parent, address: IpAddr) -> String {
    format!("tcpdump -eni {} host {address}", word(parent.name()))
}

fn lan_host(node: &Node, parent: &Parent, trials: &Trials) -> Vec<Check> {
    let name = parent.name();
    gateways(node, parent)
        .into_iter()
        .map(|gateway| {
            let subject = format!("{name} host -> gateway {gateway}");
            match trials.host.get(&gateway) {
                Some(Outcome::Silence(_)) => Check::skip(
                    "matrix.lan-host",
                    &subject,
                    "tried: no reply; the gateway may not answer echo requests",
                ),
                tried => {
                    let expected = Expected::Works("by the host's own stack");
                    line(
                        "matrix.lan-host",
                        &subject,
                        tried,
                        expected,
                        &watch(parent, gateway),
                    )
                }
            }
        })
        .collect()
}

fn host_child(node: &Node, place: Place, trials: &Trials) -> Vec<Check> {
    let (parent, child) = (&node.parents[place.0], child(node, place));
    if child.own {
        return Vec::new();
    }
    firsts(child)
        .map(|address| {
            let subject = format!("{} host -> {} {address}", parent.name(), child.label());
            let tried = trials.host.get(&address);
            let expected = host_access(parent, child, address);
            line(
                "matrix.host-child",
                &subject,
                tried,
                expected,
                &watch(parent, address),
            )
        })
        .collect()
}

fn child_host(node: &Node, place: Place, trials: &Trials) -> Vec<Check> {
    let (parent, child) = (&node.parents[place.0], child(node, place));
    if child.own {
        return Vec::new();
    }
    let tried = trials.children.get(&place);
    let host = of_host(node, parent);
    firsts(child)
        .filter_map(|own| {
            let target = host
                .iter()
                .copied()
                .find(|it| it.is_ipv6() == own.is_ipv6())?;
            let subject = format!("{} {} -> host {target}", parent.name(), child.label());
            let tried = tried.and_then(|tried| tried.get(&target));
            let expected = host_access(parent, child, own);
            Some(line(
                "matrix.child-host",
                &subject,
                tried,
                expected,
                &watch(parent, target),
            ))
        })
        .collect()
}

fn lan_child(node: &Node, place: Place, trials: &Trials) -> Vec<Check> {
    let (parent, child) = (&node.parents[place.0], child(node, place));
    let gateways = gateways(node, parent);
    let tried = trials.children.get(&place);
    firsts(child)
        .map(|address| {
            let gateway = gateways.iter().find(|it| it.is_ipv6() == address.is_ipv6());
            let subject = match gateway {
                Some(gateway) => format!(
                    "{} {} {address} <-> gateway {gateway}",
                    parent.name(),
                    child.label()
                ),
                None => format!("{} LAN -> {} {address}", parent.name(), child.label()),
            };
            let tried = gateway.and_then(|gateway| tried?.get(gateway));
            // A gateway that replies to no one shows nothing.
            let is_mute = gateway.is_some_and(|gateway| {
                !matches!(trials.host.get(gateway), Some(Outcome::Reply(_)))
            });
            let expected = lan_access(parent, child, address);
            line(
                "matrix.lan-child",
                &subject,
                tried.filter(|_| !is_mute),
                expected,
                &watch(parent, address),
            )
        })
        .collect()
}

fn child_child(node: &Node, place: Place, trials: &Trials) -> Vec<Check> {
    let parent = &node.parents[place.0];
    let from = child(node, place);
    let tried = trials.children.get(&place);
    let mut checks = Vec::new();
    for peer in peers(node, place) {
        let (to, is_same) = (child(node, peer), peer.0 == place.0);
        for address in firsts(to) {
            let Some(own) = firsts(from).find(|own| own.is_ipv6() == address.is_ipv6()) else {
                continue;
            };
            let (id, expected) = if is_same {
                ("matrix.child-child", siblings(parent, from, to))
            } else {
                (
                    "matrix.other-parent",
                    other_parent(node, (place, own), (peer, address)),
                )
            };
            let subject = format!("{} -> {} {address}", from.label(), to.label());
            let tried = tried.and_then(|tried| tried.get(&address));
            checks.push(line(id, &subject, tried, expected, &watch(parent, address)));
        }
    }
    checks
}

#[cfg(test)]
mod tests;
