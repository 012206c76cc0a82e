//! Neighbour discovery on behalf of the children: whether to answer, and the answer (RFC 4861,
//! RFC 4862).
//!
//! An answer is byte for byte what `ndisc_send_na` of the kernel sends for the same address on an l2
//! child. The rules for proxies (RFC 4861 §7.2.8: no override, a random delay) are not ours: the
//! target really is at the parent's MAC.

use ipvlan_common::{AddressEntry, Config, ConfigFlags, Owner, Reason};

use crate::{
    Decision, checksum, forget,
    frame::{Ip6, Mac},
    guard,
    lookup::Addresses,
    parse::{ETH_P_IPV6, ND_FRAME_LEN, ND_START, Nd, OPTION_TARGET_LINK_LAYER},
};

/// Flags of an advertisement, in the first byte of its second word (RFC 4861 §4.4).
const ROUTER: u32 = 1 << 7;
const SOLICITED: u32 = 1 << 6;
const OVERRIDE: u32 = 1 << 5;

/// What is done with a solicitation, and the flags of the advertisement if it is answered: R, S and O
/// in the three highest bits of a byte. Without padding, as [`Decision`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NdDecision {
    /// What is done, and why.
    pub decision: Decision,
    /// Flags of the advertisement.
    pub flags: u32,
}

impl NdDecision {
    #[inline(always)]
    const fn stranger(reason: Reason) -> Self {
        Self {
            decision: Decision::stranger(reason),
            flags: 0,
        }
    }

    #[inline(always)]
    const fn about(entry: AddressEntry, reason: Reason) -> Self {
        Self {
            decision: Decision::about(entry, reason),
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
        if nd.header.dst.is_multicast() && !entry.optimistic() {
            flags |= OVERRIDE;
        }
        Self {
            decision: Decision::about(entry, Reason::NdAnswered),
            flags: forget(flags, nd.mac().low_bits() as u32),
        }
    }
}

/// Decides on a solicitation that came in from the wire.
#[inline(always)]
pub fn decide_ingress(nd: &Nd, config: Config, addresses: &impl Addresses<Ip6>) -> NdDecision {
    let own = Mac::new(config.mac());
    if let Err(reason) = guard::guard_nd_sender(nd, own) {
        return NdDecision::stranger(reason);
    }
    if let Err(reason) = guard::guard_solicitation(nd, own) {
        return NdDecision::stranger(reason);
    }
    if !nd.is_dad()
        && let Some(sender) = addresses.get(nd.header.src)
        && sender.is_watched()
    {
        return NdDecision::about(sender, Reason::SenderConflict);
    }
    if config.has(ConfigFlags::L2 | ConfigFlags::L2_FLOOD) {
        return NdDecision::stranger(Reason::LeftToKernel);
    }
    let Some(target) = addresses.get(nd.header.target) else {
        return NdDecision::stranger(foreign(nd, config));
    };
    if let Some(reason) = target.refusal() {
        return NdDecision::about(target, reason);
    }
    match target.owner() {
        Some(Owner::Child) => {}
        Some(Owner::Host) => return NdDecision::about(target, Reason::HostAddress),
        Some(Owner::Gateway) | None => return NdDecision::stranger(foreign(nd, config)),
    }
    // Asked by `::`, the kernel does not defend an optimistic address but gives it up.
    if target.by_kernel() || (nd.is_dad() && target.optimistic()) {
        return NdDecision::about(target, Reason::LeftToKernel);
    }
    NdDecision::answered(nd, target)
}

/// A solicitation for an address that nobody here holds, which the driver would clone to l2 children.
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
pub fn decide_advertisement(nd: &Nd, config: Config, addresses: &impl Addresses<Ip6>) -> Decision {
    let own = Mac::new(config.mac());
    if nd.header.eth_src == own || nd.mac() == own {
        return Decision::stranger(Reason::OwnSender);
    }
    if let Err(reason) = guard::guard_group(nd, own) {
        return Decision::stranger(reason);
    }
    match addresses.get(nd.header.target) {
        Some(target) if target.is_watched() => Decision::about(target, Reason::SenderConflict),
        _ => Decision::stranger(Reason::Advertisement),
    }
}

/// Decides on a solicitation that leaves the parent: the host's, or an l2 child's on its way to the
/// wire.
#[inline(always)]
pub fn decide_egress(nd: &Nd, config: Config, addresses: &impl Addresses<Ip6>) -> NdDecision {
    let own = Mac::new(config.mac());
    if nd.header.eth_src != own || nd.mac() != own {
        return NdDecision::stranger(Reason::SenderMac);
    }
    if let Err(reason) = guard::guard_solicitation(nd, own) {
        return NdDecision::stranger(reason);
    }
    // The host and a child can both be the one who probes for its own address.
    if nd.is_dad() {
        return NdDecision::stranger(Reason::Probe);
    }
    let Some(target) = addresses.get(nd.header.target) else {
        return NdDecision::stranger(Reason::NotOurs);
    };
    if let Some(reason) = target.refusal() {
        return NdDecision::about(target, reason);
    }
    let from_child = addresses
        .get(nd.header.src)
        .is_some_and(|sender| sender.owner() == Some(Owner::Child));
    let reason = match (target.owner(), from_child) {
        (Some(Owner::Child), false) => return NdDecision::answered(nd, target),
        (Some(Owner::Child), true) => Reason::Sibling,
        (Some(Owner::Host), true) if config.has(ConfigFlags::L2) => {
            return NdDecision::answered(nd, target);
        }
        (Some(Owner::Host), _) => Reason::HostAddress,
        (Some(Owner::Gateway) | None, _) => return NdDecision::stranger(Reason::NotOurs),
    };
    NdDecision::about(target, reason)
}

/// Length of a frame with an advertisement that tells its link-layer address.
pub const LONG_LEN: usize = ND_FRAME_LEN + 8;

/// An advertisement and its headers, two bytes at a time, in the order of the wire.
pub type Short = [u16; ND_FRAME_LEN / 2];
/// The option with the target's link-layer address, likewise.
pub type LinkLayerOption = [u16; 4];

/// An advertisement with that option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct AdvertisementFrame {
    short: Short,
    option: LinkLayerOption,
}

const _: () = assert!(size_of::<AdvertisementFrame>() == LONG_LEN);

impl AdvertisementFrame {
    /// What every advertisement has, and the option that only a long one has.
    #[must_use]
    #[inline(always)]
    pub const fn split(&self) -> (&Short, &LinkLayerOption) {
        (&self.short, &self.option)
    }

    /// All the bytes, in the order of the wire. The frame ends after [`advertisement_len`] of them.
    #[must_use]
    pub fn bytes(&self) -> [u8; LONG_LEN] {
        let mut bytes = [0; LONG_LEN];
        let words = self.short.iter().chain(&self.option);
        for (pair, word) in bytes.chunks_exact_mut(2).zip(words) {
            pair.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}

/// Length of the frame with the answer: what was asked by multicast is told the link-layer address
/// (RFC 4861 §7.2.4), who asked by unicast knows it.
#[must_use]
#[inline(always)]
pub fn advertisement_len(nd: &Nd) -> usize {
    if nd.header.dst.is_multicast() {
        LONG_LEN
    } else {
        ND_FRAME_LEN
    }
}

/// The answer to `nd`: its target is at `own`. `flags` as [`NdDecision::flags`].
#[must_use]
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "takes words apart; a length below 256"
)]
pub fn advertisement(nd: &Nd, flags: u32, own: Mac) -> AdvertisementFrame {
    const ADVERTISEMENT: u16 = u16::from_ne_bytes([136, 0]);
    const VERSION: u16 = u16::from_ne_bytes([0x60, 0]);
    const NEXT_HEADER_AND_HOP_LIMIT: u16 = u16::from_ne_bytes([58, 255]);
    const OPTION: u16 = u16::from_ne_bytes([OPTION_TARGET_LINK_LAYER, 1]);

    // Whoever asks from `::` cannot be sent anything (RFC 4861 §7.2.4).
    let (to_mac, to) = if nd.is_dad() {
        (Ip6::ALL_NODES.group_mac(), Ip6::ALL_NODES)
    } else {
        (nd.mac(), nd.header.src)
    };
    let target = nd.header.target;
    let flags = u16::from_ne_bytes([flags as u8, 0]);
    let len = advertisement_len(nd) - ND_START;
    let [m0, m1, m2] = own.words();
    let mut sum = checksum::pseudo_header(target, to, len)
        + checksum::address(target)
        + u64::from(ADVERTISEMENT)
        + u64::from(flags);
    if len > ND_FRAME_LEN - ND_START {
        sum += u64::from(OPTION) + u64::from(m0) + u64::from(m1) + u64::from(m2);
    }
    let [d0, d1, d2] = to_mac.words();
    let [t0, t1, t2, t3, t4, t5, t6, t7] = target.words();
    let [a0, a1, a2, a3, a4, a5, a6, a7] = to.words();
    let short = [
        d0,
        d1,
        d2,
        m0,
        m1,
        m2,
        ETH_P_IPV6.to_be(),
        VERSION,
        0,
        (len as u16).to_be(),
        NEXT_HEADER_AND_HOP_LIMIT,
        t0,
        t1,
        t2,
        t3,
        t4,
        t5,
        t6,
        t7,
        a0,
        a1,
        a2,
        a3,
        a4,
        a5,
        a6,
        a7,
        ADVERTISEMENT,
        !checksum::fold(sum),
        flags,
        0,
        t0,
        t1,
        t2,
        t3,
        t4,
        t5,
        t6,
        t7,
    ];
    AdvertisementFrame {
        short,
        option: [OPTION, m0, m1, m2],
    }
}
