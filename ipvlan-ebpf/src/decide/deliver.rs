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
        Target::Child(entry) => Decision::for_entry(
            entry,
            match entry.delivery() {
                Delivery::Redirect => Reason::Redirected,
                Delivery::Pass => Reason::LeftToDriver,
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use ipvlan_common::{AddressEntry, ConfigFlags, Owner};

    use super::*;
    use crate::decide::tests::Table;

    const PARENT: [u8; 6] = [2, 0, 0, 0, 0, 1];

    #[test]
    fn redirects_only_what_the_loader_said_and_what_is_for_the_parent() {
        let child = |delivery| AddressEntry::child(7, 3, delivery);
        let table = Table(&[
            ([10, 0, 0, 1], child(Delivery::Redirect)),
            ([10, 0, 0, 2], child(Delivery::Pass)),
            (
                [10, 0, 0, 3],
                child(Delivery::Redirect).refused(Reason::ChildDown),
            ),
            ([10, 0, 0, 4], AddressEntry::held_by(Owner::Host)),
            ([10, 0, 0, 5], AddressEntry::held_by(Owner::Gateway)),
        ]);
        let reasons = [
            (1, Reason::Redirected),
            (2, Reason::LeftToDriver),
            (3, Reason::ChildDown),
            (4, Reason::HostAddress),
            (5, Reason::NotOurs),
            (6, Reason::NotOurs),
        ];
        let config = Config::new(PARENT, ConfigFlags::READY);
        for (host, reason) in reasons {
            let mut packet = Ip {
                eth_dst: Mac::new(PARENT),
                eth_src: Mac::ZERO,
                src: [10, 0, 0, 9],
                dst: [10, 0, 0, host],
            };
            assert_eq!(decide(&packet, config, &table).reason, reason, "{host}");
            packet.eth_dst = Mac::BROADCAST;
            assert_eq!(
                decide(&packet, config, &table),
                Decision::unattributed(Reason::OtherMac)
            );
        }
    }
}
