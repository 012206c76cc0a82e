//! ARP on behalf of the children: whether to answer, and the answer (RFC 826, RFC 5227).
//!
//! An answer is byte for byte what `arp_process` of the kernel sends for the same address on an l2
//! child.

use ipvlan_common::{Config, ConfigFlags, Owner, Reason};

use crate::{
    Decision,
    frame::{Mac, halves, parts, put, quarters, word},
    guard::{self, UNSPECIFIED},
    lookup::Addresses,
    origin::{Origin, Receiver, check_source},
    parse::{
        ARP_FRAME_LEN, ARP_LENGTHS, ARPHRD_ETHER, ARPOP_REPLY, ARPOP_REQUEST, Arp, ETH_P_ARP,
        ETH_P_IP,
    },
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
        return Decision::stranger(Reason::OtherMac);
    }
    if let Err(reason) = guard::guard_sender(arp, own) {
        return Decision::stranger(reason);
    }
    if arp.oper != ARPOP_REQUEST && arp.oper != ARPOP_REPLY {
        return Decision::stranger(Reason::NotRequest);
    }
    // Request or reply, to whomever: a sender claims its address (RFC 5227 §2.4). An address that is being probed for, or
    // that the LAN owns, may be the sender's: only a reply or an announcement claims it, and its requests are answered.
    let announces = arp.oper == ARPOP_REPLY || arp.spa == arp.tpa;
    if arp.spa != UNSPECIFIED
        && let Some(sender) = addresses.get(arp.spa)
        && sender.is_watched()
        && (announces || sender.refusal().is_none())
    {
        return Decision::about(sender, Reason::SenderConflict);
    }
    if arp.oper != ARPOP_REQUEST {
        return Decision::stranger(Reason::NotRequest);
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
    if target.by_kernel() {
        return Decision::about(target, Reason::LeftToKernel);
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
        return Decision::stranger(Reason::SenderMac);
    }
    if arp.oper == ARPOP_REPLY {
        return decide_egress_reply(arp, config, addresses, origin);
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
    if let Some(reason) = target.egress_refusal() {
        return Decision::about(target, reason);
    }
    let sender = addresses.of_sender(arp.spa);
    let reason = match (target.owner(), sender.owner()) {
        (Some(Owner::Child), Some(Owner::Child)) => Reason::Sibling,
        // The answer would go to whatever child has the sender's address.
        (Some(Owner::Child), Some(Owner::Gateway) | None) if config.has(ConfigFlags::ISOLATED) => {
            Reason::Isolated
        }
        (Some(Owner::Host), Some(Owner::Child)) if !target.is_answered_to(&sender) => {
            Reason::HostElsewhere
        }
        (Some(Owner::Child), _) | (Some(Owner::Host), Some(Owner::Child)) => Reason::ArpAnswered,
        (Some(Owner::Host), _) => Reason::HostAddress,
        (Some(Owner::Gateway) | None, _) => return Decision::stranger(Reason::NotOurs),
    };
    Decision::about(target, reason)
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
        return Decision::stranger(Reason::NotRequest);
    }
    let target = match addresses.get(arp.tpa) {
        Some(target)
            if target.owner() == Some(Owner::Child) && target.egress_refusal().is_none() =>
        {
            target
        }
        _ => return Decision::stranger(Reason::NotRequest),
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
    Decision::about(target, reason)
}

/// An ARP message and its Ethernet header, in words of eight bytes. The frame starts [`Self::LEAD`] bytes
/// into the first, as it does in the memory of an skb, so that only the first and the last are not all of it.
///
/// Before Linux 6.8 the verifier lets nobody without `CAP_PERFMON` write a part of a word on the stack
/// that held a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct ArpFrame([u64; (ArpFrame::LEAD + ARP_FRAME_LEN).div_ceil(8)]);

impl ArpFrame {
    /// Where in the first word the frame starts.
    pub const LEAD: usize = 2;

    /// The frame, of [`ARP_FRAME_LEN`] bytes.
    #[must_use]
    #[inline(always)]
    pub const fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr().cast::<u8>().wrapping_add(Self::LEAD)
    }

    /// Writes the frame.
    ///
    /// # Safety
    ///
    /// There must be room for [`ARP_FRAME_LEN`] bytes at `frame`.
    #[inline(always)]
    pub unsafe fn write(&self, frame: *mut u8) {
        let [first, a, b, c, d, last] = self.0;
        let ([_, head], [tail, _]) = (parts(first), parts(last));
        let [_, before, ..] = quarters(first);
        // SAFETY: the last of it ends at `ARP_FRAME_LEN`.
        unsafe {
            put(frame, before);
            put(frame.add(2), head);
            put(frame.add(6), a);
            put(frame.add(14), b);
            put(frame.add(22), c);
            put(frame.add(30), d);
            put(frame.add(38), tail);
        }
    }

    /// The bytes of the frame.
    #[cfg(not(target_arch = "bpf"))]
    #[must_use]
    pub fn bytes(&self) -> [u8; ARP_FRAME_LEN] {
        let mut bytes = [0; ARP_FRAME_LEN];
        // SAFETY: that is room for it.
        unsafe { self.write(bytes.as_mut_ptr()) };
        bytes
    }
}

/// The answer to `request`: its target address is at `own`.
///
/// The bytes of `arp_create` in the kernel: to the sender hardware address (which need not be the
/// source of the frame), hardware type 1, no padding.
#[must_use]
#[inline(always)]
pub fn reply_arp(request: &Arp, own: Mac) -> ArpFrame {
    const HEADER: [u16; 4] = [
        ARPHRD_ETHER.to_be(),
        ETH_P_IP.to_be(),
        ARP_LENGTHS.to_be(),
        ARPOP_REPLY.to_be(),
    ];
    let [to0, to1, to2] = request.sha.words();
    let [own0, own1, own2] = own.words();
    let [spa0, spa1] = halves(u32::from_ne_bytes(request.spa));
    let [tpa0, tpa1] = halves(u32::from_ne_bytes(request.tpa));
    ArpFrame([
        word([0, to0, to1, to2]),
        word([own0, own1, own2, ETH_P_ARP.to_be()]),
        word(HEADER),
        word([own0, own1, own2, tpa0]),
        word([tpa1, to0, to1, to2]),
        word([spa0, spa1, 0, 0]),
    ])
}

#[cfg(test)]
mod tests;
