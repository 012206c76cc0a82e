//! ARP on behalf of the children: whether to answer, and the answer (RFC 826, RFC 5227).
//!
//! An answer is byte for byte what `arp_process` of the kernel sends for the same address on an l2
//! child.

use ipvlan_common::{AddressEntry, Config, ConfigFlags, Owner, Reason};
use network_types::arp::ArpHdr;

use crate::{
    Decision,
    frame::{ETH_LEN, Mac},
    guard::{self, UNSPECIFIED},
    lookup::Addresses,
    parse::{ARP_FRAME_LEN, ARPOP_REPLY, ARPOP_REQUEST, Arp, ETH_P_ARP, ETH_P_IP},
};

/// Decides on an ARP message that came in from the wire.
#[inline(always)]
pub fn decide_ingress(arp: &Arp, config: Config, addresses: &impl Addresses) -> Decision {
    if arp.oper != ARPOP_REQUEST {
        return Decision::stranger(Reason::NotRequest);
    }
    let own = Mac::new(config.mac());
    let broadcast = arp.eth_dst == Mac::BROADCAST;
    if !broadcast && arp.eth_dst != own {
        return Decision::stranger(Reason::OtherMac);
    }
    if let Err(reason) = guard::guard_sender(arp, own) {
        return Decision::stranger(reason);
    }
    if arp.spa == arp.tpa {
        return Decision::stranger(Reason::Gratuitous);
    }
    if let Err(reason) = guard::guard_target(arp.tpa) {
        return Decision::stranger(reason);
    }
    let l2 = config.has(ConfigFlags::L2);
    if l2 && config.has(ConfigFlags::L2_FLOOD) {
        return Decision::stranger(Reason::LeftToKernel);
    }
    let Some(target) = addresses.get(arp.tpa) else {
        return Decision::stranger(foreign(arp, broadcast, config));
    };
    if let Some(reason) = target.refusal() {
        return Decision::about(target, reason);
    }
    match target.owner() {
        Some(Owner::Child) => {}
        Some(Owner::Host) => return Decision::about(target, Reason::HostAddress),
        Some(Owner::Gateway) | None => {
            return Decision::stranger(foreign(arp, broadcast, config));
        }
    }
    if arp.spa != UNSPECIFIED
        && let Some(sender) = addresses.get(arp.spa)
        && is_ours(sender)
    {
        return Decision::about(target, Reason::SenderConflict);
    }
    Decision::about(target, Reason::ArpAnswered)
}

/// A request for an address that nobody here holds. The driver would clone a broadcast one to every
/// l2 child, each of which would throw it away; not so a probe, in which a child that is itself
/// probing for the address sees a conflict (RFC 5227 §2.1.1).
#[inline(always)]
const fn foreign(arp: &Arp, broadcast: bool, config: Config) -> Reason {
    if !broadcast || !config.has(ConfigFlags::L2_DROP_FOREIGN) {
        return Reason::NotOurs;
    }
    if u32::from_ne_bytes(arp.spa) == 0 {
        return Reason::Probe;
    }
    Reason::ForeignDropped
}

#[inline(always)]
fn is_ours(entry: AddressEntry) -> bool {
    matches!(entry.owner(), Some(Owner::Child | Owner::Host))
}

/// Decides on an ARP message that leaves the parent: the host's, or an l2 child's on its way to the
/// wire (siblings have got their copy from the driver).
#[inline(always)]
pub fn decide_egress(arp: &Arp, config: Config, addresses: &impl Addresses) -> Decision {
    let own = Mac::new(config.mac());
    if arp.eth_src != own || arp.sha != own {
        return Decision::stranger(Reason::SenderMac);
    }
    if arp.oper == ARPOP_REPLY {
        return decide_egress_reply(arp, own, config, addresses);
    }
    if arp.oper != ARPOP_REQUEST {
        return Decision::stranger(Reason::NotRequest);
    }
    if arp.eth_dst != Mac::BROADCAST && arp.eth_dst != own {
        return Decision::stranger(Reason::OtherMac);
    }
    // The host and a child can both be the one who probes for its own address. An answer would make
    // it give the address up: openwrt/openwrt#14309.
    if arp.spa == UNSPECIFIED {
        return Decision::stranger(Reason::Probe);
    }
    if arp.spa == arp.tpa {
        return Decision::stranger(Reason::Gratuitous);
    }
    if let Err(reason) = guard::guard_target(arp.tpa) {
        return Decision::stranger(reason);
    }
    let Some(target) = addresses.get(arp.tpa) else {
        return Decision::stranger(Reason::NotOurs);
    };
    if let Some(reason) = target.refusal() {
        return Decision::about(target, reason);
    }
    let from_child = addresses
        .get(arp.spa)
        .is_some_and(|sender| sender.owner() == Some(Owner::Child));
    let reason = match (target.owner(), from_child) {
        (Some(Owner::Child), false) => Reason::ArpAnswered,
        (Some(Owner::Child), true) => Reason::Sibling,
        (Some(Owner::Host), true) if config.has(ConfigFlags::L2) => Reason::ArpAnswered,
        (Some(Owner::Host), _) => Reason::HostAddress,
        (Some(Owner::Gateway) | None, _) => return Decision::stranger(Reason::NotOurs),
    };
    Decision::about(target, reason)
}

/// The host's reply to the unicast probe of an l2 child, which the driver had handed to the host:
/// it goes to the parent's own MAC, so it would be lost on the wire.
#[inline(always)]
fn decide_egress_reply(
    arp: &Arp,
    own: Mac,
    config: Config,
    addresses: &impl Addresses,
) -> Decision {
    if arp.eth_dst != own || !config.has(ConfigFlags::L2) {
        return Decision::stranger(Reason::NotRequest);
    }
    match addresses.get(arp.tpa) {
        Some(target) if target.is_live_child() => Decision::about(target, Reason::Hairpinned),
        _ => Decision::stranger(Reason::NotRequest),
    }
}

/// The answer to `request`: its target address is at `own`.
///
/// The bytes of `arp_create` in the kernel: to the sender hardware address (which need not be the
/// source of the frame), hardware type 1, no padding.
#[must_use]
#[inline(always)]
pub fn reply_arp(request: &Arp, own: Mac) -> [u8; ARP_FRAME_LEN] {
    const ARP: usize = ETH_LEN;
    const { assert!(ARP + ArpHdr::LEN == ARP_FRAME_LEN) };
    let to = request.sha.bytes();
    let own = own.bytes();
    let ethertype = ETH_P_ARP.to_be_bytes();
    let ptype = ETH_P_IP.to_be_bytes();
    let oper = ARPOP_REPLY.to_be_bytes();
    let [s0, s1, s2, s3] = request.spa;
    let [t0, t1, t2, t3] = request.tpa;
    [
        to[0],
        to[1],
        to[2],
        to[3],
        to[4],
        to[5],
        own[0],
        own[1],
        own[2],
        own[3],
        own[4],
        own[5],
        ethertype[0],
        ethertype[1],
        0,
        1,
        ptype[0],
        ptype[1],
        6,
        4,
        oper[0],
        oper[1],
        own[0],
        own[1],
        own[2],
        own[3],
        own[4],
        own[5],
        t0,
        t1,
        t2,
        t3,
        to[0],
        to[1],
        to[2],
        to[3],
        to[4],
        to[5],
        s0,
        s1,
        s2,
        s3,
    ]
}
