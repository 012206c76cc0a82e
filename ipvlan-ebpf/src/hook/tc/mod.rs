//! The TC hooks of the parent: from an skb to a decision, and what a decision does to the skb.
//!
//! The packet is only ever written through helpers. One direct write anywhere in a program makes
//! the verifier prepend code that gives every cloned skb a private copy of its data
//! (`bpf_unclone_prologue`), and every TCP segment that leaves the host is a clone.

pub(crate) mod dhcp;
pub(crate) mod header;
mod skb;

use aya_ebpf::{bindings::BPF_F_INGRESS, helpers::bpf_redirect, programs::TcContext};
use ipvlan_common::Reason;

pub(crate) use self::skb::{Received, Sent};
use crate::{
    answer,
    decide::Decision,
    forward,
    parse::{
        CLASSIFY_LEN, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, ETHERTYPE, NdClass, NdKind, classify_nd,
    },
    wire::{ETH_LEN, Frame},
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
/// With `DEMUX`, IP packets are looked up and redirected too.
#[must_use]
#[inline(always)]
pub fn ingress<const DEMUX: bool>(ctx: &TcContext) -> Option<Decision> {
    match ethertype(ctx) {
        ETH_P_ARP => {
            header::restore(ctx, ETH_P_ARP);
            Some(answer::arp_ingress(&Received(ctx)).with_opaque_child(ctx.len()))
        }
        ETH_P_IPV6 => {
            header::restore(ctx, ETH_P_IPV6);
            match classify_nd(pull(ctx, CLASSIFY_LEN)) {
                NdClass::Nd(kind) => Some(answer::nd_ingress(&Received(ctx), kind)),
                NdClass::BehindExtension => Some(Decision::unattributed(Reason::ExtensionHeader)),
                NdClass::Other if DEMUX => Some(forward::ipv6_ingress(ctx)),
                NdClass::Other => None,
            }
        }
        ETH_P_IP if DEMUX => Some(forward::ipv4_ingress(ctx)),
        _ => None,
    }
}

/// Parent egress. `None` for a frame that is not looked at.
///
/// With `ROUTED`, packets to every MAC are looked up, not only those to the parent's own. With `NETNS`, the
/// netns of the socket is asked for, which kernels before Linux 6.15 do not know how to.
#[must_use]
#[inline(always)]
pub fn egress<const ROUTED: bool, const NETNS: bool>(ctx: &TcContext) -> Option<Decision> {
    match sent_ethertype(ctx) {
        ETH_P_IP => forward::ipv4_egress::<ROUTED, NETNS>(ctx),
        ETH_P_IPV6 => match classify_nd(pull(ctx, CLASSIFY_LEN)) {
            NdClass::Nd(NdKind::Solicitation) => Some(answer::nd_egress(&Sent::<NETNS>(ctx))),
            NdClass::BehindExtension => Some(Decision::unattributed(Reason::ExtensionHeader)),
            // The host's advertisement to a child that asked by unicast is a packet like any other.
            NdClass::Nd(NdKind::Advertisement) | NdClass::Other => {
                forward::ipv6_egress::<ROUTED, NETNS>(ctx)
            }
        },
        // An answer of the program at ingress on its way out: neither host nor child sent it.
        ETH_P_ARP if was_received_here(ctx) => None,
        ETH_P_ARP => Some(answer::arp_egress(&Sent::<NETNS>(ctx))),
        _ => None,
    }
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

/// Whether the interface that the skb leaves by received it.
#[inline(always)]
fn was_received_here(ctx: &TcContext) -> bool {
    // SAFETY: the context of a TC program is a valid `__sk_buff`.
    let skb = unsafe { &*ctx.skb.skb };
    skb.ingress_ifindex == skb.ifindex
}

/// Ethertype behind a VLAN tag, if there is one: the kernel has moved the tag out of the frame.
#[inline(always)]
fn ethertype(ctx: &TcContext) -> u16 {
    #[allow(clippy::cast_possible_truncation, reason = "the field holds a __be16")]
    let protocol = ctx.skb.protocol() as u16;
    u16::from_be(protocol)
}

/// As [`ethertype`], of a frame that leaves. Where its sender named none, it is that in the frame.
///
/// A packet socket for all protocols names none (`ETH_P_ALL`, or 0), and Linux 6.1, unlike 6.12, does not read it from
/// what it sends on ipvlan devices (`packet_parse_headers`, `ipvlan_header_ops`). ISC `dhclient` has such a socket.
#[inline(always)]
fn sent_ethertype(ctx: &TcContext) -> u16 {
    /// The bits of `ETH_P_ALL`, with which no `EtherType` begins.
    const UNNAMED: u16 = 0x0003;
    let named = ethertype(ctx);
    if named & !UNNAMED != 0 {
        return named;
    }
    match frame(ctx).header::<ETH_LEN>() {
        Some(header) => header.u16::<ETHERTYPE>(),
        None => named,
    }
}

#[inline(always)]
pub(crate) fn vlan_id(ctx: &TcContext) -> Option<u32> {
    // SAFETY: the context of a TC program is a valid `__sk_buff`.
    let skb = unsafe { &*ctx.skb.skb };
    (skb.vlan_present != 0).then_some(skb.vlan_tci & VLAN_VID_MASK)
}

/// The frame, with its first `len` bytes made linear if it has that many.
#[inline(always)]
pub(crate) fn pull(ctx: &TcContext, len: usize) -> Frame<'_> {
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
pub(crate) fn frame(ctx: &TcContext) -> Frame<'_> {
    // SAFETY: the kernel sets both pointers, and the verifier checks every access against them.
    unsafe { Frame::new(ctx.data(), ctx.data_end()) }
}
