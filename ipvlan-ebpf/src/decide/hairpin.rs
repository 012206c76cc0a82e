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
