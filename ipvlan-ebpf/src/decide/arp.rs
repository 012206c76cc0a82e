//! ARP on behalf of the children: whether to answer (RFC 826, RFC 5227). The reply itself is in
//! [`reply::arp`](crate::reply::arp).

use ipvlan_common::{Config, ConfigFlags, Reason};

use super::{
    Addresses, Decision,
    guard::{self, UNSPECIFIED},
    origin::{Origin, Receiver, check_source},
    target::{Target, check_asker},
};
use crate::{
    parse::{ARPOP_REPLY, ARPOP_REQUEST, Arp},
    wire::Mac,
};

/// Decides on an ARP message that came in from the wire.
#[inline(always)]
pub fn decide_ingress(
    arp: &Arp,
    config: Config,
    addresses: &impl Addresses<[u8; 4]>,
    receiver: &impl Receiver,
) -> Decision {
    let own = Mac::of_parent(config);
    let broadcast = arp.eth_dst == Mac::BROADCAST;
    if !broadcast && arp.eth_dst != own && !receiver.is_own() {
        return Decision::unattributed(Reason::OtherMac);
    }
    if let Err(reason) = guard::guard_sender(arp, own) {
        return Decision::unattributed(reason);
    }
    if arp.oper != ARPOP_REQUEST && arp.oper != ARPOP_REPLY {
        return Decision::unattributed(Reason::NotRequest);
    }
    // Request or reply, to whomever: a sender claims its address (RFC 5227 §2.4). An address that is being probed for, or
    // that the LAN owns, may be the sender's: only a reply or an announcement claims it, and its requests are answered.
    let announces = arp.oper == ARPOP_REPLY || arp.spa == arp.tpa;
    if arp.spa != UNSPECIFIED
        && let Some(sender) = addresses.get(arp.spa)
        && sender.is_watched()
        && (announces || sender.refusal().is_none())
    {
        return Decision::for_entry(sender, Reason::SenderConflict);
    }
    if arp.oper != ARPOP_REQUEST {
        return Decision::unattributed(Reason::NotRequest);
    }
    if arp.spa == arp.tpa {
        return Decision::unattributed(Reason::Gratuitous);
    }
    if let Err(reason) = guard::guard_target(arp.tpa) {
        return Decision::unattributed(reason);
    }
    let l2 = config.has(ConfigFlags::L2);
    if l2 && config.has(ConfigFlags::L2_FLOOD) {
        return Decision::unattributed(Reason::LeftToKernel);
    }
    let (target, reason) = match Target::at_ingress(arp.tpa, addresses) {
        Target::Unowned => return Decision::unattributed(foreign(arp, broadcast, config)),
        Target::Refused(target, reason) => (target, reason),
        Target::Host(target) => (target, Reason::HostAddress),
        Target::Child(target) if target.by_kernel() => (target, Reason::LeftToKernel),
        Target::Child(target) => (target, Reason::ArpAnswered),
    };
    Decision::for_entry(target, reason)
}

/// A request for an unowned address. The driver would clone a broadcast one to every
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

/// Decides on an ARP message that leaves the parent: the host's, or an l2 child's on its way to the
/// wire (siblings have got their copy from the driver). l3 children send none, so the mode does not
/// matter: one that has just become an l2 child is answered before the agent has read it.
#[inline(always)]
pub fn decide_egress(
    arp: &Arp,
    config: Config,
    addresses: &impl Addresses<[u8; 4]>,
    origin: &impl Origin,
) -> Decision {
    let own = Mac::of_parent(config);
    if arp.eth_src != own || arp.sha != own {
        return Decision::unattributed(Reason::SenderMac);
    }
    if arp.oper == ARPOP_REPLY {
        return decide_egress_reply(arp, config, addresses, origin);
    }
    if arp.oper != ARPOP_REQUEST {
        return Decision::unattributed(Reason::NotRequest);
    }
    if arp.eth_dst != Mac::BROADCAST && arp.eth_dst != own {
        return Decision::unattributed(Reason::OtherMac);
    }
    // The host and a child can both be the one who probes for its own address. An answer would make
    // it give the address up: openwrt/openwrt#14309.
    if arp.spa == UNSPECIFIED {
        return Decision::unattributed(Reason::Probe);
    }
    if arp.spa == arp.tpa {
        return Decision::unattributed(Reason::Gratuitous);
    }
    if let Err(reason) = guard::guard_target(arp.tpa) {
        return Decision::unattributed(reason);
    }
    match check_asker(arp.tpa, arp.spa, config, addresses) {
        Ok(target) => Decision::for_entry(target, Reason::ArpAnswered),
        Err(decision) => decision,
    }
}

/// The host's reply to the unicast probe of an l2 child, which the driver had handed to the host:
/// it goes to the parent's own MAC, so it would be lost on the wire.
///
/// Under `vepa` an l2 child's reply to a sibling comes here too, whatever address it claims.
#[inline(always)]
fn decide_egress_reply(
    arp: &Arp,
    config: Config,
    addresses: &impl Addresses<[u8; 4]>,
    origin: &impl Origin,
) -> Decision {
    if arp.eth_dst != Mac::of_parent(config) {
        return Decision::unattributed(Reason::NotRequest);
    }
    let Target::Child(target) = Target::at_egress(arp.tpa, addresses) else {
        return Decision::unattributed(Reason::NotRequest);
    };
    let result = if config.has(ConfigFlags::ISOLATED) {
        // ARP is not forwarded.
        check_source(arp.spa, false, addresses, origin)
    } else {
        Ok(())
    };
    let reason = match result {
        Ok(()) => Reason::Hairpinned,
        Err(reason) => reason,
    };
    Decision::for_entry(target, reason)
}
