//! Who is never answered, and what is never answered for.
//!
//! A child may take any address, the kernel lets it: without these checks a responder would turn
//! that into spoofing of the host, of the gateway or of half the LAN.

use ipvlan_common::Reason;

use super::origin::Receiver;
use crate::{
    parse::{Arp, Nd},
    wire::{Ip6, Mac},
};

/// 0.0.0.0: the sender of an ARP probe (RFC 5227 §1.1).
pub const UNSPECIFIED: [u8; 4] = [0; 4];

/// Checks the sender of an ARP message from the wire; `own` is the parent's MAC.
///
/// # Errors
///
/// Why it is not answered.
#[inline(always)]
pub fn guard_sender(arp: &Arp, own: Mac) -> Result<(), Reason> {
    guard_macs(arp.eth_src, arp.sha, own)?;
    guard_sender_address(arp.spa)
}

/// Checks where a message from the wire comes from, and which MAC it tells.
///
/// # Errors
///
/// Why it is not answered.
#[inline(always)]
fn guard_macs(eth_src: Mac, told: Mac, own: Mac) -> Result<(), Reason> {
    if eth_src == own || told == own {
        return Err(Reason::OwnSender);
    }
    if told.is_group() || told == Mac::ZERO || eth_src.is_group() || eth_src == Mac::ZERO {
        return Err(Reason::SenderMac);
    }
    Ok(())
}

/// Checks the sender of a solicitation from the wire; `own` is the parent's MAC.
///
/// # Errors
///
/// Why it is not answered.
#[inline(always)]
pub fn guard_nd_sender(nd: &Nd, own: Mac) -> Result<(), Reason> {
    guard_macs(nd.header.eth_src, nd.mac(), own)
}

/// Checks the addresses of a solicitation (RFC 4861 §7.1.1) and that its frame went where its packet
/// did. `own` is the parent's MAC.
///
/// Refused are sources that `ip6_rcv_core` of the kernel drops, multicast and loopback, and IPv4-mapped ones,
/// which nobody has.
///
/// # Errors
///
/// Why it is not answered, whoever holds the target.
#[inline(always)]
pub fn guard_solicitation(nd: &Nd, own: Mac, receiver: &impl Receiver) -> Result<(), Reason> {
    let header = &nd.header;
    if header.src.is_multicast() || header.src == Ip6::LOOPBACK || header.src.is_v4_mapped() {
        return Err(Reason::SenderAddress);
    }
    if nd.is_dad() {
        if nd.has_link_layer {
            return Err(Reason::DadLinkLayer);
        }
        if !header.dst.is_solicited_node() {
            return Err(Reason::DadDestination);
        }
    }
    guard_group(nd, own, receiver)?;
    if let Some(reason) = classify_v6(header.target) {
        return Err(reason);
    }
    let sent_to = if header.dst.is_multicast() {
        header.target.solicited_node()
    } else {
        header.target
    };
    if header.dst == sent_to {
        Ok(())
    } else {
        Err(Reason::OtherDestination)
    }
}

/// Checks that a frame is for the parent, for everybody, or for the group its packet goes to.
///
/// # Errors
///
/// [`Reason::OtherMac`] if not.
#[inline(always)]
pub fn guard_group(nd: &Nd, own: Mac, receiver: &impl Receiver) -> Result<(), Reason> {
    let header = &nd.header;
    if header.eth_dst == own
        || header.eth_dst == Mac::BROADCAST
        || (header.dst.is_multicast() && header.eth_dst == header.dst.group_mac())
        || receiver.is_own()
    {
        Ok(())
    } else {
        Err(Reason::OtherMac)
    }
}

/// Addresses that are no host's: `::`, `::1`, multicast, IPv4-mapped (RFC 4291 §2.5, §2.7).
#[must_use]
#[inline(always)]
pub fn classify_v6(address: Ip6) -> Option<Reason> {
    if address.is_multicast() {
        Some(Reason::TargetMulticast)
    } else if address == Ip6::UNSPECIFIED {
        Some(Reason::TargetUnspecified)
    } else if address == Ip6::LOOPBACK {
        Some(Reason::TargetLoopback)
    } else if address.is_v4_mapped() {
        Some(Reason::TargetV4Mapped)
    } else {
        None
    }
}

/// Source addresses that `ip_route_input_slow` of the kernel calls martian: multicast, limited
/// broadcast, loopback, 0.0.0.0/8. The exception is 0.0.0.0, which makes the request a probe.
#[inline(always)]
fn guard_sender_address(spa: [u8; 4]) -> Result<(), Reason> {
    match classify(spa) {
        Some(Reason::TargetUnspecified) if spa == UNSPECIFIED => Ok(()),
        Some(_) => Err(Reason::SenderAddress),
        None => Ok(()),
    }
}

/// Checks the target of a request.
///
/// # Errors
///
/// Why nobody answers for it, whoever holds it.
#[inline(always)]
pub fn guard_target(tpa: [u8; 4]) -> Result<(), Reason> {
    match classify(tpa) {
        Some(reason) => Err(reason),
        None => Ok(()),
    }
}

/// Addresses that are no host's: 0.0.0.0/8, 127.0.0.0/8 (RFC 1122 §3.2.1.3), 224.0.0.0/4,
/// 255.255.255.255.
#[must_use]
#[inline(always)]
pub const fn classify(address: [u8; 4]) -> Option<Reason> {
    match address {
        [0, ..] => Some(Reason::TargetUnspecified),
        [127, ..] => Some(Reason::TargetLoopback),
        [224..=239, ..] => Some(Reason::TargetMulticast),
        [255, 255, 255, 255] => Some(Reason::TargetBroadcast),
        _ => None,
    }
}
