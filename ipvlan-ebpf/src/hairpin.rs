//! Packets that leave the parent for an address behind it.
//!
//! The parent's transmit path never consults the driver's table of children, so what the host sends
//! to a child would end on the wire. It is turned around to the parent's ingress instead, where the
//! driver delivers it like any other.

use ipvlan_common::{Config, ConfigFlags, Owner, Reason};

use crate::{Decision, lookup::Addresses, parse::Ip};

/// Decides on an IP packet that leaves the parent.
///
/// A packet of a child never goes to a sibling this way: that shortcut would undo `private`, `vepa`
/// and whatever filters between subnets on the LAN. Where a child's packets can come here with a
/// sibling as destination ([`ConfigFlags::CHECK_SOURCE`]), the source costs a second lookup, after
/// the first was a hit.
#[inline(always)]
pub fn decide<A: Copy>(packet: &Ip<A>, config: Config, addresses: &impl Addresses<A>) -> Decision {
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

#[cfg(test)]
mod tests {
    use ipvlan_common::{AddressEntry, Delivery};

    use super::*;
    use crate::{frame::Mac, lookup::tests::Table};

    #[test]
    fn hairpins_from_host_to_child_and_in_vepa_from_child_to_host_only() {
        const HOST: [u8; 4] = [10, 0, 0, 1];
        const CHILD: [u8; 4] = [10, 0, 0, 2];
        const SIBLING: [u8; 4] = [10, 0, 0, 3];
        const LAN: [u8; 4] = [10, 0, 0, 9];
        let table = Table(&[
            (HOST, AddressEntry::held_by(Owner::Host)),
            (CHILD, AddressEntry::child(7, 3, Delivery::Pass)),
            (SIBLING, AddressEntry::child(8, 4, Delivery::Pass)),
        ]);
        let plain = ConfigFlags::READY;
        let check = plain | ConfigFlags::CHECK_SOURCE;
        let vepa = check | ConfigFlags::VEPA;
        let rows = [
            (plain, HOST, CHILD, Reason::Hairpinned),
            (check, HOST, CHILD, Reason::Hairpinned),
            (vepa, HOST, CHILD, Reason::Hairpinned),
            (check, CHILD, SIBLING, Reason::Sibling),
            (vepa, CHILD, SIBLING, Reason::Sibling),
            (check, CHILD, HOST, Reason::HostAddress),
            (vepa, CHILD, HOST, Reason::Hairpinned),
            (vepa, LAN, HOST, Reason::HostAddress),
            (vepa, CHILD, LAN, Reason::NotOurs),
        ];
        for (flags, src, dst, reason) in rows {
            let packet = Ip {
                eth_dst: Mac::ZERO,
                src,
                dst,
            };
            let decision = decide(&packet, Config::new([2; 6], flags), &table);
            assert_eq!(decision.reason, reason, "{src:?} to {dst:?} with {flags:?}");
        }
    }
}
