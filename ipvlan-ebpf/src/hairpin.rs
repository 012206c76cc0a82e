//! Packets that leave the parent for an address behind it.
//!
//! The parent's transmit path never consults the driver's table of children, so what the host sends
//! to a child would end on the wire. It is turned around to the parent's ingress instead, where the
//! driver delivers it like any other.

use ipvlan_common::{Config, ConfigFlags, Owner, Reason};

use crate::{Decision, lookup::Addresses, parse::Ipv4};

/// Decides on an IPv4 packet that leaves the parent.
///
/// A packet of a child never goes to a sibling this way: that shortcut would undo `private`, `vepa`
/// and whatever filters between subnets on the LAN. Where a child's packets can come here with a
/// sibling as destination ([`ConfigFlags::CHECK_SOURCE`]), the source costs a second lookup, after
/// the first was a hit.
#[inline(always)]
pub fn decide_ipv4(packet: &Ipv4, config: Config, addresses: &impl Addresses) -> Decision {
    let Some(entry) = addresses.get(packet.dst) else {
        return Decision::stranger(Reason::NotOurs);
    };
    if let Some(reason) = entry.refusal() {
        return Decision::about(entry, reason);
    }
    let from_child = config.has(ConfigFlags::CHECK_SOURCE)
        && addresses
            .get(packet.src)
            .is_some_and(|source| source.owner() == Some(Owner::Child));
    let reason = match (entry.owner(), from_child) {
        (Some(Owner::Child), false) => Reason::Hairpinned,
        (Some(Owner::Child), true) => Reason::Sibling,
        (Some(Owner::Host), true) if config.has(ConfigFlags::VEPA) => Reason::Hairpinned,
        (Some(Owner::Host), _) => Reason::HostAddress,
        (Some(Owner::Gateway) | None, _) => return Decision::stranger(Reason::NotOurs),
    };
    Decision::about(entry, reason)
}
