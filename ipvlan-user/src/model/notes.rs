//! Settings that the agent cannot mend, as `status` notes them. docs/limits.md has the way out of each.

use std::net::IpAddr;

use super::{AddressView, ChildView, Prefix, Reach};
use crate::facts::{Child, Link, Mode, NetnsId, Snapshot};

const SHIM: &str = "the host routes children through an ipvlan child of its own: they depend on that link and its neighbour \
     entries; remove its routes (docs/limits.md)";
const ROUTER: &str = "a child forwards packets: those that reach the parent's MAC for addresses which the child does not \
     have are delivered to the host (docs/limits.md)";
const WITHOUT_ADDRESS: &str = "a child is up without an address: nothing is delivered to it; a runtime with a network \
     stack of its own has to leave the address on the interface (docs/limits.md)";
const WITHOUT_ROUTE: &str = "the host has no route to an allowed off-link address of a child and does not reach it: add \
     one out of the parent (docs/limits.md)";
const OF_L2: &str =
    "l2: multicast and broadcast do not pass between the host and its children (docs/limits.md)";
const OF_L3: &str = "l3: masquerade or SNAT out of the parent rewrites what children send, replies included \
     (docs/limits.md)";
const OF_L3S: &str =
    "l3s: children do not reach services of the host by ClusterIP or DNAT (docs/limits.md)";

/// Returns what ipvlan itself does not do in a mode.
#[must_use]
pub const fn note_of_mode(mode: Mode) -> &'static str {
    match mode {
        Mode::L2 => OF_L2,
        Mode::L3 => OF_L3,
        Mode::L3s => OF_L3S,
    }
}

/// Returns the notes about the children of a parent, of which these are the views.
pub(super) fn notes(
    snapshot: &Snapshot,
    parent: &Link,
    views: &[ChildView],
    has_routed: bool,
) -> impl Iterator<Item = &'static str> {
    let children = || {
        let children = snapshot.children.iter();
        children.filter(|child| child.parent_ifindex == parent.ifindex)
    };
    let without_route = has_routed
        && addresses(views)
            .any(|view| view.reach == Reach::Routed && !may_be_routed(snapshot, view.address));
    [
        (has_shim(snapshot, parent, views), SHIM),
        (children().any(|child| is_router(child, parent)), ROUTER),
        (children().any(is_without_address), WITHOUT_ADDRESS),
        (without_route, WITHOUT_ROUTE),
    ]
    .into_iter()
    .filter_map(|(is_so, note)| is_so.then_some(note))
}

fn addresses(views: &[ChildView]) -> impl Iterator<Item = &AddressView> {
    views.iter().flat_map(|view| &view.addresses)
}

/// Returns whether a route leads to a child in another netns through a child in the host's own.
fn has_shim(snapshot: &Snapshot, parent: &Link, views: &[ChildView]) -> bool {
    let own = snapshot.children_of(NetnsId::Own).iter();
    let own: Vec<u32> = own
        .filter(|child| child.parent_ifindex == parent.ifindex)
        .map(|child| child.ifindex)
        .collect();
    if own.is_empty() {
        return false;
    }
    let routes = snapshot.host.routes_on_link.iter();
    let through_own: Vec<Prefix> = routes
        .filter(|route| own.contains(&route.oif))
        .map(|route| Prefix::of(route.prefix, route.prefix_len))
        .collect();
    let others = views.iter().filter(|view| view.key.netns != NetnsId::Own);
    others.flat_map(|view| &view.addresses).any(|view| {
        view.refusal.is_none()
            && !super::owners::is_link_local(view.address)
            && through_own
                .iter()
                .any(|prefix| prefix.contains(view.address))
    })
}

/// Returns whether a child forwards by a setting of its own. A new netns inherits IPv4 forwarding from the
/// machine, so that of a host which forwards shows nothing.
const fn is_router(child: &Child, parent: &Link) -> bool {
    child.up && (child.forwarding || (child.forwarding_v4 && !parent.forwarding_v4))
}

/// Returns whether a child is up and has no address but a link-local one.
fn is_without_address(child: &Child) -> bool {
    let mut addresses = child.addresses.iter();
    child.up
        && !child.over_quota
        && addresses.all(|it| it.local.is_ipv6() && super::owners::is_link_local(it.local))
}

/// Returns whether the host may have a route to this address: there is a next hop, or a route without one that
/// covers it.
fn may_be_routed(snapshot: &Snapshot, address: IpAddr) -> bool {
    let host = &snapshot.host;
    // A route of IPv4 can have a next hop of IPv6.
    let mut gateways = host.gateways.iter();
    let mut on_link = host.routes_on_link.iter();
    gateways.any(|gateway| gateway.address.is_ipv6() || address.is_ipv4())
        || on_link.any(|route| Prefix::of(route.prefix, route.prefix_len).contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page that the notes name.
    const LIMITS: &str = include_str!("../../../docs/limits.md");

    #[test]
    fn every_note_is_in_the_limits() {
        for note in [
            SHIM,
            ROUTER,
            WITHOUT_ADDRESS,
            WITHOUT_ROUTE,
            OF_L2,
            OF_L3,
            OF_L3S,
        ] {
            let text = note.strip_suffix(" (docs/limits.md)").unwrap();
            let row = LIMITS.lines().find(|line| line.contains(text));
            assert!(
                row.is_some_and(|row| row.matches('|').count() == 3),
                "{text}"
            );
        }
    }
}
