//! Demultiplexing of IP packets from the wire to children in the parent's own netns.
//!
//! Only the demux variant of the ingress program comes here. A child in another netns is delivered
//! by the driver right behind us, and `bpf_redirect` could not reach it.

use ipvlan_common::{Config, Delivery, Reason};

use super::{Addresses, Decision, target::Target};
use crate::{parse::Ip, wire::Mac};

/// Decides on an IP packet that came in from the wire.
#[inline(always)]
pub fn decide<A: Copy>(packet: &Ip<A>, config: Config, addresses: &impl Addresses<A>) -> Decision {
    if packet.eth_dst != Mac::of_parent(config) {
        return Decision::unattributed(Reason::OtherMac);
    }
    match Target::at_ingress(packet.dst, addresses) {
        Target::Unowned => Decision::unattributed(Reason::NotOurs),
        Target::Refused(entry, reason) => Decision::for_entry(entry, reason),
        Target::Host(entry) => Decision::for_entry(entry, Reason::HostAddress),
        Target::Child(entry) => match entry.delivery() {
            Delivery::Redirect(target) => Decision::redirected(entry, target),
            Delivery::Pass => Decision::for_entry(entry, Reason::LeftToDriver),
        },
    }
}

#[cfg(test)]
mod tests {
    use ipvlan_common::{AddressEntry, ConfigFlags, Owner};

    use super::*;
    use crate::decide::tests::Table;

    const PARENT: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const NO_SLOT: u32 = AddressEntry::NO_SLOT;

    #[test]
    fn redirects_only_what_the_loader_said_and_what_is_for_the_parent() {
        let child = |delivery| AddressEntry::child(7, 3, delivery);
        let table = Table(&[
            ([10, 0, 0, 1], child(Delivery::Redirect(9))),
            ([10, 0, 0, 2], child(Delivery::Pass)),
            (
                [10, 0, 0, 3],
                child(Delivery::Redirect(9)).refused(Reason::ChildDown),
            ),
            ([10, 0, 0, 4], AddressEntry::held_by(Owner::Host)),
            ([10, 0, 0, 5], AddressEntry::held_by(Owner::Gateway)),
        ]);
        let decisions = [
            (1, Reason::Redirected, 3, 9),
            (2, Reason::LeftToDriver, 3, 0),
            (3, Reason::ChildDown, 3, 0),
            (4, Reason::HostAddress, NO_SLOT, 0),
            (5, Reason::NotOurs, NO_SLOT, 0),
            (6, Reason::NotOurs, NO_SLOT, 0),
        ];
        let config = Config::new(PARENT, ConfigFlags::READY);
        for (host, reason, slot, target) in decisions {
            let mut packet = Ip {
                eth_dst: Mac::new(PARENT),
                eth_src: Mac::ZERO,
                src: [10, 0, 0, 9],
                dst: [10, 0, 0, host],
            };
            let expected = Decision {
                reason,
                slot,
                target,
            };
            assert_eq!(decide(&packet, config, &table), expected, "{host}");
            packet.eth_dst = Mac::BROADCAST;
            assert_eq!(
                decide(&packet, config, &table),
                Decision::unattributed(Reason::OtherMac)
            );
        }
    }
}
