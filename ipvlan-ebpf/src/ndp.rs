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

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use ipvlan_common::Delivery;

    use super::*;
    use crate::{lookup::tests::Table, parse::NdHeader};

    const PARENT: Mac = Mac::new([2, 0, 0, 0, 0, 1]);
    const LAN: Mac = Mac::new([2, 0, 0, 0, 0, 2]);

    fn ip(text: &str) -> Ip6 {
        Ip6::new(text.parse::<Ipv6Addr>().unwrap().octets())
    }

    fn child(slot: u32) -> AddressEntry {
        AddressEntry::child(7, slot, Delivery::Pass)
    }

    fn table() -> Vec<(Ip6, AddressEntry)> {
        vec![
            (ip("2001:db8::1"), child(1)),
            (ip("2001:db8::2"), AddressEntry::held_by(Owner::Host)),
            (ip("2001:db8::3"), AddressEntry::held_by(Owner::Gateway)),
            (ip("2001:db8::4"), child(2).refused(Reason::ChildDown)),
            (ip("2001:db8::5"), child(3).refused(Reason::GatewayAddress)),
            (ip("2001:db8::6"), child(4).refused(Reason::Probing)),
            (ip("2001:db8::7"), child(5).with_router()),
            (ip("2001:db8::8"), child(6).with_optimistic()),
            (ip("2001:db8::a"), child(7).with_by_kernel()),
        ]
    }

    fn config(flags: ConfigFlags) -> Config {
        Config::new(PARENT.bytes(), ConfigFlags::READY | flags)
    }

    /// Whoever is at `LAN` with `src` asks for `target`, by multicast or (`direct`) not.
    fn asks(src: &str, target: &str, direct: bool) -> Nd {
        let (src, target) = (ip(src), ip(target));
        let dst = if direct {
            target
        } else {
            target.solicited_node()
        };
        let dad = src == Ip6::UNSPECIFIED;
        Nd {
            header: NdHeader {
                eth_dst: if direct { PARENT } else { dst.group_mac() },
                eth_src: LAN,
                src,
                dst,
                target,
                len: 32,
            },
            link_layer: if dad { Mac::ZERO } else { LAN },
            has_link_layer: !dad,
        }
    }

    const R: u32 = ROUTER;
    const S: u32 = SOLICITED;
    const O: u32 = OVERRIDE;

    #[test]
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn from_the_wire() {
        let plain = config(ConfigFlags::READY);
        let filter = config(ConfigFlags::L2 | ConfigFlags::L2_DROP_FOREIGN_ND);
        let flood = config(ConfigFlags::L2 | ConfigFlags::L2_FLOOD);
        let rows = [
            (
                plain,
                "2001:db8::9",
                "2001:db8::1",
                false,
                Reason::NdAnswered,
                S | O,
            ),
            (
                plain,
                "2001:db8::9",
                "2001:db8::1",
                true,
                Reason::NdAnswered,
                S,
            ),
            (plain, "::", "2001:db8::1", false, Reason::NdAnswered, O),
            (
                plain,
                "2001:db8::9",
                "2001:db8::7",
                false,
                Reason::NdAnswered,
                R | S | O,
            ),
            (
                plain,
                "2001:db8::9",
                "2001:db8::7",
                true,
                Reason::NdAnswered,
                R | S,
            ),
            (
                plain,
                "2001:db8::9",
                "2001:db8::8",
                false,
                Reason::NdAnswered,
                S,
            ),
            (plain, "::", "2001:db8::8", false, Reason::LeftToKernel, 0),
            (
                plain,
                "2001:db8::9",
                "2001:db8::a",
                false,
                Reason::LeftToKernel,
                0,
            ),
            (
                plain,
                "2001:db8::9",
                "2001:db8::2",
                false,
                Reason::HostAddress,
                0,
            ),
            (
                plain,
                "2001:db8::9",
                "2001:db8::3",
                false,
                Reason::NotOurs,
                0,
            ),
            (
                plain,
                "2001:db8::9",
                "2001:db8::4",
                false,
                Reason::ChildDown,
                0,
            ),
            (
                plain,
                "2001:db8::9",
                "2001:db8::5",
                false,
                Reason::GatewayAddress,
                0,
            ),
            (
                plain,
                "2001:db8::9",
                "2001:db8::6",
                false,
                Reason::Probing,
                0,
            ),
            (
                plain,
                "2001:db8::9",
                "2001:db8::99",
                false,
                Reason::NotOurs,
                0,
            ),
            (
                plain,
                "2001:db8::1",
                "2001:db8::99",
                false,
                Reason::SenderConflict,
                0,
            ),
            (
                plain,
                "2001:db8::2",
                "2001:db8::1",
                false,
                Reason::SenderConflict,
                0,
            ),
            (
                plain,
                "2001:db8::6",
                "2001:db8::1",
                false,
                Reason::SenderConflict,
                0,
            ),
            // The station that has the address of a child that is down, and the real gateway.
            (
                plain,
                "2001:db8::4",
                "2001:db8::1",
                false,
                Reason::NdAnswered,
                S | O,
            ),
            (
                plain,
                "2001:db8::5",
                "2001:db8::1",
                false,
                Reason::NdAnswered,
                S | O,
            ),
            (
                plain,
                "2001:db8::3",
                "2001:db8::1",
                false,
                Reason::NdAnswered,
                S | O,
            ),
            (
                filter,
                "2001:db8::9",
                "2001:db8::1",
                false,
                Reason::NdAnswered,
                S | O,
            ),
            (
                filter,
                "2001:db8::9",
                "2001:db8::99",
                false,
                Reason::ForeignDropped,
                0,
            ),
            (
                filter,
                "2001:db8::9",
                "2001:db8::3",
                false,
                Reason::ForeignDropped,
                0,
            ),
            (
                filter,
                "2001:db8::9",
                "2001:db8::99",
                true,
                Reason::NotOurs,
                0,
            ),
            (
                filter,
                "2001:db8::9",
                "2001:db8:1::",
                false,
                Reason::NotOurs,
                0,
            ),
            (filter, "::", "2001:db8::99", false, Reason::Probe, 0),
            (
                flood,
                "2001:db8::9",
                "2001:db8::1",
                false,
                Reason::LeftToKernel,
                0,
            ),
            (
                flood,
                "2001:db8::1",
                "2001:db8::9",
                false,
                Reason::SenderConflict,
                0,
            ),
            (
                plain,
                "2001:db8::9",
                "ff02::2",
                false,
                Reason::TargetMulticast,
                0,
            ),
            (
                plain,
                "2001:db8::9",
                "::",
                false,
                Reason::TargetUnspecified,
                0,
            ),
            (
                plain,
                "2001:db8::9",
                "::1",
                false,
                Reason::TargetLoopback,
                0,
            ),
            (
                plain,
                "2001:db8::9",
                "::ffff:10.0.0.1",
                false,
                Reason::TargetV4Mapped,
                0,
            ),
            (
                plain,
                "ff02::1",
                "2001:db8::1",
                false,
                Reason::SenderAddress,
                0,
            ),
            (plain, "::1", "2001:db8::1", false, Reason::SenderAddress, 0),
            (
                plain,
                "::ffff:10.0.0.1",
                "2001:db8::1",
                false,
                Reason::SenderAddress,
                0,
            ),
            (plain, "::", "2001:db8::1", true, Reason::DadDestination, 0),
        ];
        for (config, src, target, direct, reason, flags) in rows {
            let nd = asks(src, target, direct);
            let decided = decide_ingress(&nd, config, &Table(&table()));
            let row = format!("{src} asks for {target}, directly: {direct}, {config:?}");
            assert_eq!(decided.decision.reason, reason, "{row}");
            assert_eq!(decided.flags, flags, "{row}");
        }
    }

    #[test]
    fn where_it_comes_from_and_goes_to_must_fit() {
        type Change = fn(&mut Nd);
        let rows: [(Change, Reason); 12] = [
            (|nd| nd.header.eth_dst = PARENT, Reason::NdAnswered),
            (|nd| nd.header.eth_dst = Mac::BROADCAST, Reason::NdAnswered),
            (|nd| nd.header.eth_dst = LAN, Reason::OtherMac),
            (
                |nd| nd.header.eth_dst = Ip6::ALL_NODES.group_mac(),
                Reason::OtherMac,
            ),
            (|nd| nd.header.dst = ip("ff02::1:ff00:2"), Reason::OtherMac),
            (
                |nd| {
                    nd.header.dst = Ip6::ALL_NODES;
                    nd.header.eth_dst = Ip6::ALL_NODES.group_mac();
                },
                Reason::OtherDestination,
            ),
            (
                |nd| {
                    nd.header.dst = ip("2001:db8::7");
                    nd.header.eth_dst = PARENT;
                },
                Reason::OtherDestination,
            ),
            (|nd| nd.header.eth_src = PARENT, Reason::OwnSender),
            (|nd| nd.link_layer = PARENT, Reason::OwnSender),
            (|nd| nd.link_layer = Mac::ZERO, Reason::SenderMac),
            (|nd| nd.header.eth_src = Mac::BROADCAST, Reason::SenderMac),
            (|nd| nd.header.src = Ip6::UNSPECIFIED, Reason::DadLinkLayer),
        ];
        for (index, (change, reason)) in rows.into_iter().enumerate() {
            let mut nd = asks("2001:db8::9", "2001:db8::1", false);
            change(&mut nd);
            let config = config(ConfigFlags::READY);
            let decided = decide_ingress(&nd, config, &Table(&table()));
            assert_eq!(decided.decision.reason, reason, "row {index}");
        }
    }

    #[test]
    fn an_advertisement_of_another_for_what_is_held_here_is_a_claim() {
        let rows = [
            ("2001:db8::1", LAN, Reason::SenderConflict),
            ("2001:db8::2", LAN, Reason::SenderConflict),
            ("2001:db8::6", LAN, Reason::SenderConflict),
            ("2001:db8::3", LAN, Reason::Advertisement),
            ("2001:db8::4", LAN, Reason::Advertisement),
            ("2001:db8::99", LAN, Reason::Advertisement),
            ("2001:db8::1", PARENT, Reason::OwnSender),
        ];
        for (target, mac, reason) in rows {
            let mut nd = asks(target, target, true);
            nd.header.dst = Ip6::ALL_NODES;
            nd.header.eth_dst = Ip6::ALL_NODES.group_mac();
            nd.link_layer = mac;
            let config = config(ConfigFlags::READY);
            let decision = decide_advertisement(&nd, config, &Table(&table()));
            assert_eq!(decision.reason, reason, "{target} at {mac:?}");
        }
    }

    #[test]
    fn to_the_wire() {
        let l2 = ConfigFlags::L2;
        let l3 = ConfigFlags::READY;
        let rows = [
            (l3, "2001:db8::2", "2001:db8::1", false, Reason::NdAnswered),
            (l3, "2001:db8::2", "2001:db8::1", true, Reason::NdAnswered),
            (l3, "2001:db8::2", "2001:db8::4", false, Reason::ChildDown),
            (l3, "2001:db8::2", "2001:db8::99", false, Reason::NotOurs),
            (l3, "2001:db8::2", "2001:db8::3", false, Reason::NotOurs),
            (l3, "::", "2001:db8::1", false, Reason::Probe),
            (l2, "2001:db8::7", "2001:db8::1", false, Reason::Sibling),
            (l2, "2001:db8::7", "2001:db8::2", false, Reason::NdAnswered),
            (l3, "2001:db8::7", "2001:db8::2", false, Reason::HostAddress),
            (l2, "2001:db8::2", "2001:db8::2", false, Reason::HostAddress),
        ];
        for (flags, src, target, direct, reason) in rows {
            let mut nd = asks(src, target, direct);
            let decide = |nd: &Nd| decide_egress(nd, config(flags), &Table(&table())).decision;
            assert_eq!(decide(&nd).reason, Reason::SenderMac, "from the LAN");
            nd.header.eth_src = PARENT;
            nd.link_layer = PARENT;
            assert_eq!(decide(&nd).reason, reason, "{src} asks for {target}");
        }
    }

    #[test]
    fn advertisement_is_what_ndisc_send_na_makes() {
        let mut nd = asks("fe80::2", "fe80::1", false);
        let long = advertisement(&nd, SOLICITED | OVERRIDE, PARENT).bytes();
        let head = [
            2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, // to the asker, from the parent
            0x60, 0, 0, 0, 0, 32, 58, 255, // 32 bytes of ICMPv6
        ];
        assert_eq!(long[..22], head);
        assert_eq!(long[22..38], ip("fe80::1").bytes());
        assert_eq!(long[38..54], ip("fe80::2").bytes());
        assert_eq!(long[54..56], [136, 0]);
        assert_eq!(long[58..62], [0x60, 0, 0, 0]);
        assert_eq!(long[62..78], ip("fe80::1").bytes());
        assert_eq!(long[78..], [2, 1, 2, 0, 0, 0, 0, 1]);
        assert_eq!(advertisement_len(&nd), 86);

        nd.header.dst = nd.header.target;
        assert_eq!(advertisement_len(&nd), 78);
        let short = advertisement(&nd, SOLICITED, PARENT).bytes();
        assert_eq!(short[18..20], [0, 24]);
        assert_eq!(short[58], 0x40);

        let probe = asks("::", "fe80::1", false);
        let to_all = advertisement(&probe, OVERRIDE, PARENT).bytes();
        assert_eq!(to_all[..6], [0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!(to_all[38..54], Ip6::ALL_NODES.bytes());
        assert_eq!(to_all[58], 0x20);
        for (frame, len) in [(long, 86), (short, 78), (to_all, 86)] {
            let word = |at: usize| u64::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
            let pseudo: u64 = (22..54).step_by(2).map(word).sum();
            let sum = pseudo + (len as u64 - 54) + 58 + (54..len).step_by(2).map(word).sum::<u64>();
            assert_eq!(checksum::fold(sum), 0xffff);
        }
    }
}
