//! The TC hooks of the parent: from an skb to a decision, and what a decision does to the skb.
//!
//! The packet is only ever written through helpers. One direct write anywhere in a program makes
//! the verifier prepend code that gives every cloned skb a private copy of its data
//! (`bpf_unclone_prologue`), and every TCP segment that leaves the host is a clone.

use aya_ebpf::{
    bindings::BPF_F_INGRESS,
    helpers::{bpf_redirect, bpf_skb_change_tail, bpf_skb_vlan_pop},
    programs::TcContext,
};
use ipvlan_common::{Config, Reason};

use crate::{
    Decision, arp, deliver,
    frame::{Frame, Mac},
    hairpin,
    lookup::{self, AddressMap},
    parse::{
        ARP_FRAME_LEN, Arp, ETH_P_ARP, ETH_P_IP, IPV4_FRAME_LEN, is_to_own_mac, parse_arp,
        parse_ipv4,
    },
};

/// VLAN id in an 802.1Q tag control information.
const VLAN_VID_MASK: u32 = 0x0fff;

/// Direction of a redirect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Towards {
    /// Out of the interface.
    Wire,
    /// Into the interface, as if received by it.
    Stack,
}

/// Parent ingress. `None` for a frame that is not looked at.
///
/// With `DEMUX`, IPv4 packets are looked up and redirected too.
#[must_use]
#[inline(always)]
pub fn ingress<const DEMUX: bool>(ctx: &TcContext) -> Option<Decision> {
    let ethertype = ethertype(ctx);
    if ethertype == ETH_P_ARP {
        return Some(neighbour::<true>(ctx));
    }
    if DEMUX && ethertype == ETH_P_IP {
        return Some(ipv4_ingress(ctx));
    }
    None
}

/// Parent egress. `None` for a frame that is not looked at.
///
/// With `ROUTED`, packets to every MAC are looked up, not only those to the parent's own.
#[must_use]
#[inline(always)]
pub fn egress<const ROUTED: bool>(ctx: &TcContext) -> Option<Decision> {
    let ethertype = ethertype(ctx);
    if ethertype == ETH_P_IP {
        return ipv4_egress::<ROUTED>(ctx);
    }
    if ethertype == ETH_P_ARP {
        return Some(neighbour::<false>(ctx));
    }
    None
}

/// Redirects the skb to the interface; what it returns is the verdict.
#[must_use]
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the helper returns a TC_ACT_* code"
)]
pub fn redirect(ifindex: u32, towards: Towards) -> i32 {
    let flags = match towards {
        Towards::Wire => 0,
        Towards::Stack => u64::from(BPF_F_INGRESS),
    };
    // SAFETY: the helper takes no pointers.
    unsafe { bpf_redirect(ifindex, flags) as i32 }
}

/// Interface index of the parent.
#[must_use]
#[inline(always)]
pub fn parent(ctx: &TcContext) -> u32 {
    // SAFETY: the context of a TC program is a valid `__sk_buff`.
    unsafe { (*ctx.skb.skb).ifindex }
}

/// An ARP message from the wire, or to it. The direction is a constant, not a function to call: the
/// compiler would really call it.
#[inline(always)]
fn neighbour<const FROM_WIRE: bool>(ctx: &TcContext) -> Decision {
    if vlan_id(ctx).is_some_and(|id| id != 0) {
        return Decision::stranger(Reason::Tagged);
    }
    let Some(config) = lookup::config() else {
        return Decision::stranger(Reason::NotReady);
    };
    let arp = match parse_arp(linear(ctx, ARP_FRAME_LEN)) {
        Ok(arp) => arp,
        Err(reason) => return Decision::stranger(reason),
    };
    let decision = if FROM_WIRE {
        arp::decide_ingress(&arp, config, &AddressMap)
    } else {
        arp::decide_egress(&arp, config, &AddressMap)
    };
    answer(ctx, &arp, config, decision)
}

/// Turns the request into its answer, if that is the decision.
#[inline(always)]
fn answer(ctx: &TcContext, request: &Arp, config: Config, decision: Decision) -> Decision {
    if decision.reason != Reason::ArpAnswered {
        return decision;
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the length of an ARP frame is 42"
    )]
    let len = ARP_FRAME_LEN as u32;
    // Padding is of the request's sender and must not travel back; the kernel's reply has none.
    // SAFETY: the context of a TC program is a valid `__sk_buff`.
    if ctx.len() != len && unsafe { bpf_skb_change_tail(ctx.skb.skb, len, 0) } != 0 {
        return Decision::stranger(Reason::NotReady);
    }
    // A priority tag (VLAN id 0) is not a VLAN; the kernel's reply carries none.
    // SAFETY: as above.
    if vlan_id(ctx).is_some() && unsafe { bpf_skb_vlan_pop(ctx.skb.skb) } != 0 {
        return Decision::stranger(Reason::NotReady);
    }
    let reply = arp::reply_arp(request, Mac::new(config.mac()));
    match ctx.store(0, &reply, 0) {
        Ok(()) => decision,
        Err(_) => Decision::stranger(Reason::NotReady),
    }
}

#[inline(always)]
fn ipv4_ingress(ctx: &TcContext) -> Decision {
    if vlan_id(ctx).is_some() {
        return Decision::stranger(Reason::Tagged);
    }
    let Some(config) = lookup::config() else {
        return Decision::stranger(Reason::NotReady);
    };
    match parse_ipv4(linear(ctx, IPV4_FRAME_LEN), ctx.len() as usize) {
        Ok(packet) => deliver::decide_ipv4(&packet, config, &AddressMap),
        Err(reason) => Decision::stranger(reason),
    }
}

#[inline(always)]
fn ipv4_egress<const ROUTED: bool>(ctx: &TcContext) -> Option<Decision> {
    // The kernel keeps the Ethernet header linear (`eth_type_trans`, `eth_header`).
    if !ROUTED && !is_to_own_mac(frame(ctx)) {
        return None;
    }
    if vlan_id(ctx).is_some() {
        return Some(Decision::stranger(Reason::Tagged));
    }
    let Some(config) = lookup::config() else {
        return Some(Decision::stranger(Reason::NotReady));
    };
    let packet = match parse_ipv4(linear(ctx, IPV4_FRAME_LEN), ctx.len() as usize) {
        Ok(packet) => packet,
        Err(reason) => return Some(Decision::stranger(reason)),
    };
    if ROUTED && packet.eth_dst.is_group() {
        return None;
    }
    let decision = hairpin::decide_ipv4(&packet, config, &AddressMap);
    if ROUTED
        && decision.reason == Reason::Hairpinned
        && packet.eth_dst != Mac::new(config.mac())
        && ctx.store(0, &config.mac(), 0).is_err()
    {
        return Some(Decision::stranger(Reason::NotReady));
    }
    Some(decision)
}

/// Ethertype behind a VLAN tag, if there is one: the kernel has moved the tag out of the frame.
#[inline(always)]
fn ethertype(ctx: &TcContext) -> u16 {
    #[allow(clippy::cast_possible_truncation, reason = "the field holds a __be16")]
    let protocol = ctx.skb.protocol() as u16;
    u16::from_be(protocol)
}

#[inline(always)]
fn vlan_id(ctx: &TcContext) -> Option<u32> {
    // SAFETY: the context of a TC program is a valid `__sk_buff`.
    let skb = unsafe { &*ctx.skb.skb };
    (skb.vlan_present != 0).then_some(skb.vlan_tci & VLAN_VID_MASK)
}

/// The frame, with its first `len` bytes made linear if it has that many.
#[inline(always)]
fn linear(ctx: &TcContext, len: usize) -> Frame<'_> {
    if ctx.data() + len > ctx.data_end() {
        #[allow(clippy::cast_possible_truncation, reason = "the length of a header")]
        let len = len as u32;
        // A shorter frame stays short, and parsing it says so.
        if ctx.len() >= len {
            let _: Result<(), _> = ctx.skb.pull_data(len);
        }
    }
    frame(ctx)
}

/// The linear part of the frame.
#[inline(always)]
fn frame(ctx: &TcContext) -> Frame<'_> {
    // SAFETY: the kernel sets both pointers, and the verifier checks every access against them.
    unsafe { Frame::new(ctx.data(), ctx.data_end()) }
}
