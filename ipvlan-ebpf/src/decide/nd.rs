//! Neighbour discovery on behalf of the children: whether to answer (RFC 4861, RFC 4862).
//!
//! The rules for proxies (RFC 4861 §7.2.8: no override, a random delay) are not ours: the target
//! really is at the parent's MAC. The answer itself is in [`reply::nd`](crate::reply::nd).

use ipvlan_common::{AddressEntry, Config, ConfigFlags, Reason};

use super::{
    Addresses, Decision, guard,
    origin::Receiver,
    target::{Target, check_asker},
};
use crate::{
    opaque::opaque,
    parse::Nd,
    reply::nd::{LINK_LAYER, OVERRIDE, ROUTER, SOLICITED},
    wire::{Ip6, Mac},
};

/// What is done with a solicitation, and the flags of the advertisement if it is answered: R, S and O
/// in the three highest bits of a byte, and above whether the link-layer address is included. Without padding,
/// as [`Decision`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NdDecision {
    /// What is done, and why.
    pub decision: Decision,
    /// Flags of the advertisement.
    pub flags: u32,
}

impl NdDecision {
    #[inline(always)]
    const fn unattributed(reason: Reason) -> Self {
        Self {
            decision: Decision::unattributed(reason),
            flags: 0,
        }
    }

    #[inline(always)]
    const fn for_entry(entry: AddressEntry, reason: Reason) -> Self {
        Self {
            decision: Decision::for_entry(entry, reason),
            flags: 0,
        }
    }

    /// The flags that `ndisc_recv_ns` of the kernel answers with: S unless `::` asks, O to what was
    /// multicast unless the address is optimistic (RFC 4429 §3.3), R if its holder forwards.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "any part of it will do")]
    fn answered(nd: &Nd, entry: AddressEntry) -> Self {
        let mut flags = 0;
        if entry.router() {
            flags |= ROUTER;
        }
        if !nd.is_dad() {
            flags |= SOLICITED;
        }
        if nd.header.dst.is_multicast() {
            flags |= LINK_LAYER;
            if !entry.optimistic() {
                flags |= OVERRIDE;
            }
        }
        Self {
            decision: Decision::for_entry(entry, Reason::NdAnswered),
            flags: opaque(flags, nd.mac().low_bits() as u32),
        }
    }
}

/// Decides on a solicitation that came in from the wire.
#[inline(always)]
pub fn decide_ingress(
    nd: &Nd,
    config: Config,
    addresses: &impl Addresses<Ip6>,
    receiver: &impl Receiver,
) -> NdDecision {
    let own = Mac::of_parent(config);
    if let Err(reason) = guard::guard_nd_sender(nd, own) {
        return NdDecision::unattributed(reason);
    }
    if let Err(reason) = guard::guard_solicitation(nd, own, receiver) {
        return NdDecision::unattributed(reason);
    }
    // As for ARP; an advertisement claims such an address.
    if !nd.is_dad()
        && let Some(sender) = addresses.get(nd.header.src)
        && sender.is_watched()
        && sender.refusal().is_none()
    {
        return NdDecision::for_entry(sender, Reason::SenderConflict);
    }
    if config.has(ConfigFlags::L2 | ConfigFlags::L2_FLOOD) {
        return NdDecision::unattributed(Reason::LeftToKernel);
    }
    match Target::at_ingress(nd.header.target, addresses) {
        Target::Unowned => NdDecision::unattributed(foreign(nd, config)),
        Target::Refused(target, reason) => NdDecision::for_entry(target, reason),
        Target::Host(target) => NdDecision::for_entry(target, Reason::HostAddress),
        // Asked by `::`, the kernel does not defend an optimistic address but gives it up.
        Target::Child(target) if target.by_kernel() || (nd.is_dad() && target.optimistic()) => {
            NdDecision::for_entry(target, Reason::LeftToKernel)
        }
        Target::Child(target) => NdDecision::answered(nd, target),
    }
}

/// A solicitation for an unowned address, which the driver would clone to l2 children.
/// Not dropped: a probe, in which a child that is itself probing sees a conflict (RFC 4862 §5.4.3), and
/// one for an anycast address of routers, which a host or child that forwards answers.
#[inline(always)]
fn foreign(nd: &Nd, config: Config) -> Reason {
    if !nd.header.dst.is_multicast() || !config.has(ConfigFlags::L2_DROP_FOREIGN_ND) {
        return Reason::NotOurs;
    }
    if nd.is_dad() {
        return Reason::Probe;
    }
    if nd.header.target.is_subnet_router() {
        return Reason::NotOurs;
    }
    Reason::ForeignDropped
}

/// Decides on an advertisement that came in from the wire: never answered, but it may claim an address
/// of ours.
#[inline(always)]
pub fn decide_advertisement(
    nd: &Nd,
    config: Config,
    addresses: &impl Addresses<Ip6>,
    receiver: &impl Receiver,
) -> Decision {
    let own = Mac::of_parent(config);
    if nd.header.eth_src == own || nd.mac() == own {
        return Decision::unattributed(Reason::OwnSender);
    }
    if let Err(reason) = guard::guard_group(nd, own, receiver) {
        return Decision::unattributed(reason);
    }
    match addresses.get(nd.header.target) {
        Some(target) if target.is_watched() => Decision::for_entry(target, Reason::SenderConflict),
        _ => Decision::unattributed(Reason::Advertisement),
    }
}

/// Decides on a solicitation that leaves the parent: the host's, or an l2 child's on its way to the
/// wire.
#[inline(always)]
pub fn decide_egress(nd: &Nd, config: Config, addresses: &impl Addresses<Ip6>) -> NdDecision {
    let own = Mac::of_parent(config);
    if nd.header.eth_src != own || nd.mac() != own {
        return NdDecision::unattributed(Reason::SenderMac);
    }
    if let Err(reason) = guard::guard_solicitation(nd, own, &false) {
        return NdDecision::unattributed(reason);
    }
    // The host and a child can both be the one who probes for its own address.
    if nd.is_dad() {
        return NdDecision::unattributed(Reason::Probe);
    }
    match check_asker(nd.header.target, nd.header.src, config, addresses) {
        Ok(target) => NdDecision::answered(nd, target),
        Err(decision) => NdDecision { decision, flags: 0 },
    }
}
