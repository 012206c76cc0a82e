//! The XDP hook of the parent: neighbour requests from the wire, before an skb exists.

use aya_ebpf::{
    helpers::{bpf_xdp_adjust_tail, bpf_xdp_get_buff_len},
    programs::XdpContext,
};
use ipvlan_common::Reason;

use crate::{
    Decision,
    arp::{self, ArpFrame},
    frame::{ETH_LEN, Frame, Mac},
    lookup::{self, AddressMap},
    parse::{ARP_FRAME_LEN, ETH_P_ARP, parse_arp},
};

/// Parent XDP. `None` for a frame that is not looked at.
#[must_use]
#[inline(always)]
pub fn ingress(ctx: &XdpContext) -> Option<Decision> {
    if frame(ctx).header::<ETH_LEN>()?.u16::<12>() != ETH_P_ARP {
        return None;
    }
    let Some(config) = lookup::config() else {
        return Some(Decision::stranger(Reason::NotReady));
    };
    let arp = match parse_arp(frame(ctx)) {
        Ok(arp) => arp,
        Err(reason) => return Some(Decision::stranger(reason)),
    };
    let decision = arp::decide_ingress(&arp, config, &AddressMap);
    if decision.reason != Reason::ArpAnswered {
        return Some(decision);
    }
    let reply = arp::reply_arp(&arp, Mac::new(config.mac()));
    Some(if write(ctx, reply) {
        decision
    } else {
        Decision::stranger(Reason::NotReady)
    })
}

/// Replaces the frame. What the request had behind its 42 bytes is cut off.
///
/// The length comes from the helper: a difference of packet pointers is a number only for programs
/// loaded with `CAP_PERFMON`.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a frame is shorter than 2 GiB"
)]
fn write(ctx: &XdpContext, reply: ArpFrame) -> bool {
    // SAFETY: the context of an XDP program is a valid `xdp_md`.
    let len = unsafe { bpf_xdp_get_buff_len(ctx.ctx) } as i32;
    let delta = ARP_FRAME_LEN as i32 - len;
    // SAFETY: as above.
    if delta != 0 && unsafe { bpf_xdp_adjust_tail(ctx.ctx, delta) } != 0 {
        return false;
    }
    let start = ctx.data();
    if start + ARP_FRAME_LEN > ctx.data_end() {
        return false;
    }
    // SAFETY: the check above leaves room for the reply; XDP owns its frame.
    unsafe { (start as *mut ArpFrame).write(reply) };
    true
}

#[inline(always)]
fn frame(ctx: &XdpContext) -> Frame<'_> {
    // SAFETY: the kernel sets both pointers, and the verifier checks every access against them.
    unsafe { Frame::new(ctx.data(), ctx.data_end()) }
}
