//! Which frames the rows of the table of exceptions are about.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipvlan_packet::{
    Arp, BROADCAST, Mac, Nd, ZERO,
    arp::REQUEST,
    nd::{SOLICITATION, SOURCE_MAC, group_mac, solicited_node},
};

use super::{
    case::{Case, Framing, Message},
    world::{
        CHILD, CHILD_LINK_LOCAL, GATEWAY, HOST, MAPPED, PARENT_MAC, SECOND, SIBLING, is_known,
    },
};

/// The broadcast address of 10.77.0.0/16.
pub(super) const SUBNET_BROADCAST: Ipv4Addr = Ipv4Addr::new(10, 77, 255, 255);
/// Addresses of children that are up.
const HELD: [Ipv6Addr; 5] = [
    CHILD.v6,
    SECOND.v6,
    SIBLING.v6,
    GATEWAY.v6,
    CHILD_LINK_LOCAL,
];
/// Length of a solicitation without options.
const BARE: usize = 24;
/// The longest one that the programs read (`ND_MAX`).
const LONGEST: usize = 128;

/// Is it an ARP message about an address that a child has?
pub(super) fn asks_child(case: &Case, is: impl FnOnce(&Arp) -> bool) -> bool {
    let children = [CHILD, SECOND, SIBLING, GATEWAY].map(|pair| pair.v4);
    arp(case, |arp| children.contains(&arp.tpa) && is(arp))
}

/// Is it such an ARP message?
pub(super) fn arp(case: &Case, is: impl FnOnce(&Arp) -> bool) -> bool {
    match &case.message {
        Message::Arp(message) => is(message),
        Message::Nd(_) => false,
    }
}

/// Is it such a solicitation of an address that a child has?
pub(super) fn nd(case: &Case, is: impl FnOnce(&Nd) -> bool) -> bool {
    solicits(case, |nd| HELD.contains(&nd.target) && is(nd))
}

/// Is it such a solicitation?
pub(super) fn solicits(case: &Case, is: impl FnOnce(&Nd) -> bool) -> bool {
    match &case.message {
        Message::Nd(message) => message.kind == SOLICITATION && is(message),
        Message::Arp(_) => false,
    }
}

/// No station has such a MAC.
pub(super) fn is_odd(mac: Mac) -> bool {
    mac == ZERO || mac[0] & 1 != 0
}

/// A request that nothing but its sender's address can be in the way of an answer to.
pub(super) fn is_welcome(arp: &Arp) -> bool {
    arp.oper == REQUEST
        && arp.tpa != GATEWAY.v4
        && [BROADCAST, PARENT_MAC].contains(&arp.eth_dst)
        && !is_odd(arp.sha)
        && arp.sha != PARENT_MAC
}

/// Its sender has a MAC that no station has.
pub(super) fn has_odd_mac(nd: &Nd) -> bool {
    is_odd(nd.eth_src) || nd.mac(SOURCE_MAC).is_some_and(is_odd)
}

/// Its sender has the parent's MAC.
pub(super) fn has_own_mac(nd: &Nd) -> bool {
    [Some(nd.eth_src), nd.mac(SOURCE_MAC)].contains(&Some(PARENT_MAC))
}

/// Its sender has an address of the host or of a child.
pub(super) fn is_impostor(nd: &Nd) -> bool {
    let held = [CHILD, SECOND, SIBLING, HOST].map(|pair| pair.v6);
    held.contains(&nd.src) || nd.src == CHILD_LINK_LOCAL
}

/// It goes neither to its target nor to the target's group.
pub(super) fn is_elsewhere(nd: &Nd) -> bool {
    ![nd.target, solicited_node(nd.target)].contains(&nd.dst)
}

/// It is longer than what the programs read.
pub(super) fn is_long(nd: &Nd) -> bool {
    BARE + nd.options.len() > LONGEST
}

/// There is something between the IPv6 header and the message.
pub(super) fn is_extended(nd: &Nd) -> bool {
    nd.extension.is_some()
}

/// The programs do not answer it.
fn is_refused(nd: &Nd) -> bool {
    let reasons = [
        has_odd_mac,
        has_own_mac,
        is_impostor,
        is_elsewhere,
        is_long,
        is_extended,
    ];
    nd.target == GATEWAY.v6 || nd.src == MAPPED || reasons.iter().any(|is| is(nd))
}

/// It goes to the target's group, but its frame to the parent alone. No probe: the driver looks at the
/// target of those.
pub(super) fn is_group_by_unicast(nd: &Nd) -> bool {
    nd.eth_dst == PARENT_MAC && nd.dst.is_multicast() && may_ask(nd.src) && !is_refused(nd)
}

/// It is answered, but does not say which MAC the sender has, nor does the target know.
pub(super) fn has_no_mac(nd: &Nd) -> bool {
    let tells_none = |list: Vec<(u8, &[u8])>| list.iter().all(|(kind, _)| *kind != SOURCE_MAC);
    let is_for_us = [PARENT_MAC, BROADCAST, group_mac(nd.dst)].contains(&nd.eth_dst);
    nd.option_list().is_some_and(tells_none)
        && is_for_us
        && may_ask(nd.src)
        && !is_known(nd.src)
        && !is_refused(nd)
}

/// It asks for the host, by the group of [`SECOND`].
pub(super) fn asks_host_by_group_of_child(case: &Case) -> bool {
    solicits(case, |nd| {
        let probes = nd.src.is_unspecified() && nd.options.is_empty();
        nd.target == HOST.v6 && nd.dst == solicited_node(SECOND.v6) && (probes || may_ask(nd.src))
    })
}

/// An address that a node can have.
fn may_ask(address: Ipv6Addr) -> bool {
    !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
}

/// It has two tags, both for a priority only.
pub(super) fn has_two_priority_tags(case: &Case) -> bool {
    const VID: u16 = 0xfff;
    match case.framing {
        Framing::Tagged(tags) => tags.len() == 2 && tags.iter().all(|(_, tag)| tag & VID == 0),
        Framing::Plain | Framing::Truncated(_) | Framing::Padded(_) => false,
    }
}
