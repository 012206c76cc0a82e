//! Neighbour discovery on behalf of the children: whether to answer (RFC 4861, RFC 4862).
//!
//! The rules for proxies (RFC 4861 §7.2.8: no override, a random delay) are not ours: the target
//! really is at the parent's MAC. The answer itself is in [`advertisement`](crate::advertisement).

use ipvlan_common::{AddressEntry, Config, ConfigFlags, Owner, Reason};

use crate::{
    Decision, forget,
    frame::{Ip6, Mac},
    guard,
    lookup::Addresses,
    parse::Nd,
};

/// Flags of an advertisement, in the first byte of its second word (RFC 4861 §4.4).
pub(crate) const ROUTER: u32 = 1 << 7;
pub(crate) const SOLICITED: u32 = 1 << 6;
pub(crate) const OVERRIDE: u32 = 1 << 5;

/// Beside the flags: the advertisement tells the link-layer address. Who asked by multicast is told it
/// (RFC 4861 §7.2.4), who asked by unicast knows it.
pub(crate) const LINK_LAYER: u32 = 1 << 8;

/// What is done with a solicitation, and the flags of the advertisement if it is answered: R, S and O
/// in the three highest bits of a byte, and above whether the link-layer address is told. Without padding,
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
        if nd.header.dst.is_multicast() {
            flags |= LINK_LAYER;
            if !entry.optimistic() {
                flags |= OVERRIDE;
            }
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
            let answered = decided.decision.reason == Reason::NdAnswered;
            let told = if answered && !direct { LINK_LAYER } else { 0 };
            assert_eq!(decided.flags, flags | told, "{row}");
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
}
