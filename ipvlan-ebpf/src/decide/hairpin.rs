//! Packets that leave the parent for an address behind it.
//!
//! The parent's transmit path never consults the driver's table of children, so what the host sends
//! to a child would end on the wire. It is hairpinned to the parent's ingress, where the driver delivers it
//! like any other.

use ipvlan_common::{AddressEntry, Config, ConfigFlags, Owner, Reason};

use super::{
    Addresses, Decision,
    origin::{Origin, check_loop, check_source},
    target::Target,
};
use crate::{parse::Ip, wire::Mac};

/// Decides on an IP packet that leaves the parent. With `ROUTED`, its frame may go to any MAC, else only
/// to the one it comes from.
///
/// A frame to another MAC than the parent's own is one that the host routes through a gateway: it is
/// hairpinned only to an entry that the operator allowed ([`AddressEntry::routed`]). One to the parent's own MAC
/// can be such a frame as well, so it is not hairpinned to an address that is off-link
/// ([`AddressEntry::is_off_link`]).
///
/// Under [`ConfigFlags::ISOLATED`] the source decides too, after the destination was a hit: see
/// [`check_source`]. A child's packet for the host is hairpinned where the driver does not deliver it: under
/// [`ConfigFlags::VEPA`], and to a gateway's MAC, from an l2 child that the host itself reaches through a gateway.
#[inline(always)]
pub fn decide<const ROUTED: bool, A: Copy>(
    packet: &Ip<A>,
    config: Config,
    addresses: &impl Addresses<A>,
    origin: &impl Origin,
) -> Decision {
    let (entry, result) = match Target::at_egress(packet.dst, addresses) {
        Target::Unowned => return Decision::unattributed(Reason::NotOurs),
        Target::Refused(entry, reason) => (entry, Err(reason)),
        Target::Child(entry) => (
            entry,
            to_child::<ROUTED, A>(entry, packet, config, addresses, origin),
        ),
        Target::Host(entry) => (
            entry,
            to_host::<ROUTED, A>(entry, packet, config, addresses, origin),
        ),
    };
    let reason = match result {
        Ok(()) => Reason::Hairpinned,
        Err(reason) => reason,
    };
    Decision::for_entry(entry, reason)
}

#[inline(always)]
fn to_child<const ROUTED: bool, A: Copy>(
    entry: AddressEntry,
    packet: &Ip<A>,
    config: Config,
    addresses: &impl Addresses<A>,
    origin: &impl Origin,
) -> Result<(), Reason> {
    let to_own = to_own::<ROUTED, A>(packet, config);
    if entry.is_off_link() || (!to_own && !entry.routed()) {
        return Err(Reason::OffLink);
    }
    check_loop(config, origin)?;
    if !config.has(ConfigFlags::ISOLATED) {
        return Ok(());
    }
    // The driver keeps what an l2 child sends from its own MAC to its own, except under vepa.
    let from_own = !ROUTED || packet.eth_src == packet.eth_dst;
    let proven = !config.has(ConfigFlags::CHILD_IIF)
        || (to_own && from_own && !config.has(ConfigFlags::VEPA));
    let forwarded = proven && origin.ingress_ifindex() != 0;
    check_source(packet.src, forwarded, addresses, origin)
}

#[inline(always)]
fn to_host<const ROUTED: bool, A: Copy>(
    entry: AddressEntry,
    packet: &Ip<A>,
    config: Config,
    addresses: &impl Addresses<A>,
    origin: &impl Origin,
) -> Result<(), Reason> {
    let to_own = to_own::<ROUTED, A>(packet, config);
    let lost = if to_own {
        ConfigFlags::ISOLATED | ConfigFlags::VEPA
    } else {
        ConfigFlags::L2
    };
    if !config.has(lost) {
        return Err(Reason::HostAddress);
    }
    let source = addresses.of_sender(packet.src);
    // To a gateway: as in the other direction, of those alone that the operator allowed. The gateway may
    // lead to the link that has the address.
    if source.owner() == Some(Owner::Child)
        && (to_own || (source.routed() && entry.is_answered_to(&source)))
    {
        check_loop(config, origin)
    } else {
        Err(Reason::HostAddress)
    }
}

/// Whether the frame goes to the parent's own MAC.
#[inline(always)]
fn to_own<const ROUTED: bool, A>(packet: &Ip<A>, config: Config) -> bool {
    !ROUTED || packet.eth_dst == Mac::of_parent(config)
}

#[cfg(test)]
mod tests {
    use ipvlan_common::Delivery;

    use super::*;
    use crate::decide::{
        origin::tests::{PARENT, Skb},
        tests::Table,
    };

    const MAC: [u8; 6] = [2; 6];
    const OTHER: [u8; 6] = [4; 6];
    const HOST: [u8; 4] = [10, 0, 0, 1];
    const CHILD: [u8; 4] = [10, 0, 0, 2];
    const SIBLING: [u8; 4] = [10, 0, 0, 3];
    const GATEWAY: [u8; 4] = [10, 0, 0, 4];
    const LAN: [u8; 4] = [10, 0, 0, 9];
    /// A child in a subnet of its own that the operator allowed.
    const ROUTED: [u8; 4] = [10, 9, 0, 1];
    /// A child in a subnet of its own that the operator did not allow.
    const OFF_LINK: [u8; 4] = [8, 8, 8, 8];
    const PROBING: [u8; 4] = [10, 0, 0, 5];
    const DUPLICATE: [u8; 4] = [10, 0, 0, 6];

    const TABLE: Table<'static, [u8; 4]> = Table(&[
        (HOST, AddressEntry::held_by(Owner::Host)),
        (CHILD, AddressEntry::child(7, 3, Delivery::Pass)),
        (SIBLING, AddressEntry::child(8, 4, Delivery::Pass)),
        (GATEWAY, AddressEntry::held_by(Owner::Gateway)),
        (
            ROUTED,
            AddressEntry::child(9, 5, Delivery::Pass).with_routed(),
        ),
        (
            OFF_LINK,
            AddressEntry::child(10, 6, Delivery::Pass).with_off_link(),
        ),
        (
            PROBING,
            AddressEntry::child(10, 6, Delivery::Pass).refused(Reason::Probing),
        ),
        (
            DUPLICATE,
            AddressEntry::child(11, 7, Delivery::Pass).refused(Reason::Duplicate),
        ),
    ]);

    const PLAIN: ConfigFlags = ConfigFlags::READY;
    const LOCAL: Skb = Skb {
        ingress_ifindex: 0,
        from_other_netns: false,
    };
    const FORWARDED: Skb = Skb {
        ingress_ifindex: PARENT + 1,
        ..LOCAL
    };
    const RECEIVED: Skb = Skb {
        ingress_ifindex: PARENT,
        ..LOCAL
    };
    const CONTAINER: Skb = Skb {
        from_other_netns: true,
        ..LOCAL
    };

    fn isolated() -> ConfigFlags {
        PLAIN | ConfigFlags::ISOLATED
    }

    fn vepa() -> ConfigFlags {
        isolated() | ConfigFlags::VEPA
    }

    fn packet(macs: [[u8; 6]; 2], src: [u8; 4], dst: [u8; 4]) -> Ip<[u8; 4]> {
        let [eth_dst, eth_src] = macs.map(Mac::new);
        Ip {
            eth_dst,
            eth_src,
            src,
            dst,
        }
    }

    /// What both egress programs do with a frame from the parent's MAC to itself.
    #[track_caller]
    fn check(flags: ConfigFlags, src: [u8; 4], dst: [u8; 4], origin: Skb, reason: Reason) {
        let (packet, config) = (packet([MAC; 2], src, dst), Config::new(MAC, flags));
        for decision in [
            decide::<false, _>(&packet, config, &TABLE, &origin),
            decide::<true, _>(&packet, config, &TABLE, &origin),
        ] {
            assert_eq!(
                decision.reason, reason,
                "{src:?} to {dst:?} with {flags:?} {origin:?}"
            );
        }
    }

    #[test]
    fn hairpins_from_host_to_child_and_in_vepa_from_child_to_host_only() {
        let rows = [
            (PLAIN, HOST, CHILD, Reason::Hairpinned),
            (PLAIN, CHILD, SIBLING, Reason::Hairpinned),
            (PLAIN, LAN, CHILD, Reason::Hairpinned),
            (PLAIN, HOST, PROBING, Reason::Hairpinned),
            (PLAIN, HOST, DUPLICATE, Reason::Duplicate),
            (isolated(), HOST, CHILD, Reason::Hairpinned),
            (vepa(), HOST, CHILD, Reason::Hairpinned),
            (isolated(), CHILD, SIBLING, Reason::Sibling),
            (vepa(), CHILD, SIBLING, Reason::Sibling),
            (isolated(), LAN, SIBLING, Reason::Isolated),
            (vepa(), LAN, SIBLING, Reason::Isolated),
            (isolated(), GATEWAY, SIBLING, Reason::Isolated),
            (isolated(), CHILD, HOST, Reason::HostAddress),
            (vepa(), CHILD, HOST, Reason::Hairpinned),
            (vepa(), LAN, HOST, Reason::HostAddress),
            (vepa(), CHILD, LAN, Reason::NotOurs),
            (vepa(), CHILD, GATEWAY, Reason::NotOurs),
        ];
        for (flags, src, dst, reason) in rows {
            check(flags, src, dst, LOCAL, reason);
        }
    }

    #[test]
    fn never_hairpins_what_the_parent_received() {
        for flags in [PLAIN, isolated(), vepa()] {
            check(flags, HOST, CHILD, RECEIVED, Reason::ReceivedHere);
            check(flags, LAN, CHILD, RECEIVED, Reason::ReceivedHere);
            // Behind a VRF it cannot be told from what another interface received.
            let vrf = flags | ConfigFlags::VRF;
            check(vrf, HOST, CHILD, FORWARDED, Reason::ReceivedHere);
            check(vrf, HOST, CHILD, LOCAL, Reason::Hairpinned);
        }
        check(vepa(), CHILD, HOST, RECEIVED, Reason::ReceivedHere);
    }

    #[test]
    fn under_isolation_hairpins_what_the_host_forwards_where_that_is_proven() {
        let child_iif = isolated() | ConfigFlags::CHILD_IIF;
        let rows = [
            (isolated(), LAN, Reason::Hairpinned),
            (isolated(), GATEWAY, Reason::Hairpinned),
            (isolated(), HOST, Reason::Hairpinned),
            (isolated(), SIBLING, Reason::Sibling),
            (vepa(), LAN, Reason::Hairpinned),
            (child_iif, LAN, Reason::Hairpinned),
            (child_iif | ConfigFlags::VEPA, LAN, Reason::Isolated),
            (child_iif | ConfigFlags::VEPA, HOST, Reason::Hairpinned),
        ];
        for (flags, src, reason) in rows {
            check(flags, src, CHILD, FORWARDED, reason);
        }
        // An l2 child can send from other MACs, or to them.
        for (macs, dst) in [([MAC, OTHER], CHILD), ([OTHER, MAC], ROUTED)] {
            for (flags, reason) in [
                (isolated(), Reason::Hairpinned),
                (child_iif, Reason::Isolated),
            ] {
                let (packet, config) = (packet(macs, LAN, dst), Config::new(MAC, flags));
                let decision = decide::<true, _>(&packet, config, &TABLE, &FORWARDED);
                assert_eq!(decision.reason, reason, "{macs:?} {flags:?}");
            }
        }
    }

    #[test]
    fn under_isolation_a_container_cannot_send_as_the_host() {
        check(isolated(), HOST, CHILD, CONTAINER, Reason::Isolated);
        check(vepa(), HOST, CHILD, CONTAINER, Reason::Isolated);
        check(vepa(), CHILD, HOST, CONTAINER, Reason::Hairpinned);
        check(PLAIN, HOST, CHILD, CONTAINER, Reason::Hairpinned);
    }

    #[test]
    fn an_off_link_child_gets_nothing_whatever_the_mac_and_the_source() {
        for flags in [PLAIN, isolated(), vepa()] {
            for src in [HOST, CHILD, LAN, OFF_LINK] {
                for origin in [LOCAL, FORWARDED, RECEIVED, CONTAINER] {
                    check(flags, src, OFF_LINK, origin, Reason::OffLink);
                }
                let (packet, config) =
                    (packet([OTHER, MAC], src, OFF_LINK), Config::new(MAC, flags));
                let decision = decide::<true, _>(&packet, config, &TABLE, &LOCAL);
                assert_eq!(decision.reason, Reason::OffLink, "{flags:?} {src:?}");
            }
        }
        check(PLAIN, HOST, ROUTED, LOCAL, Reason::Hairpinned);
    }

    #[test]
    fn an_allowed_l2_childs_packet_to_the_host_by_a_gateway_is_hairpinned() {
        const ELSEWHERE: [u8; 4] = [10, 0, 0, 5];
        let host = AddressEntry::held_by(Owner::Host);
        let (routed, child) = (
            AddressEntry::child(9, 5, Delivery::Pass).with_routed(),
            AddressEntry::child(7, 3, Delivery::Pass),
        );
        let table = Table(&[
            (HOST, host),
            (ELSEWHERE, host.with_unanswered()),
            (CHILD, child),
            (ROUTED, routed),
        ]);
        for (src, dst, flags, origin, reason) in [
            (ROUTED, HOST, ConfigFlags::L2, LOCAL, Reason::Hairpinned),
            (
                ROUTED,
                HOST,
                ConfigFlags::L2,
                RECEIVED,
                Reason::ReceivedHere,
            ),
            (
                ROUTED,
                ELSEWHERE,
                ConfigFlags::L2,
                LOCAL,
                Reason::HostAddress,
            ),
            (CHILD, HOST, ConfigFlags::L2, LOCAL, Reason::HostAddress),
            (LAN, HOST, ConfigFlags::L2, LOCAL, Reason::HostAddress),
            (ROUTED, HOST, PLAIN, LOCAL, Reason::HostAddress),
        ] {
            let packet = packet([OTHER, MAC], src, dst);
            let config = Config::new(MAC, PLAIN | flags);
            let decision = decide::<true, _>(&packet, config, &table, &origin);
            assert_eq!(decision.reason, reason, "{src:?} to {dst:?}");
        }
    }

    #[test]
    fn a_packet_for_a_gateway_reaches_only_a_child_that_the_operator_allowed() {
        let packet = |dst| packet([OTHER, MAC], HOST, dst);
        for (dst, reason) in [
            (ROUTED, Reason::Hairpinned),
            (CHILD, Reason::OffLink),
            (HOST, Reason::HostAddress),
            (LAN, Reason::NotOurs),
        ] {
            for flags in [PLAIN, isolated(), vepa()] {
                let config = Config::new(MAC, flags);
                let decision = decide::<true, _>(&packet(dst), config, &TABLE, &LOCAL);
                assert_eq!(decision.reason, reason, "{dst:?}");
            }
        }
    }
}
