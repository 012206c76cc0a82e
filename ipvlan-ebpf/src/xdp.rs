//! The XDP hook of the parent: neighbour requests from the wire, before an skb exists.

use aya_ebpf::{
    helpers::{bpf_xdp_adjust_tail, bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
    programs::XdpContext,
};
use ipvlan_common::{Config, Hook, Reason};

use crate::{
    Decision,
    advertisement::{ADVERTISEMENT_MAX, Advertisement},
    arp, event,
    frame::{ETH_LEN, Frame, Mac},
    lookup::{self, AddressMap},
    ndp::{self, NdDecision, ReplyTo},
    parse::{
        ARP_FRAME_LEN, ETH_P_ARP, ETH_P_IPV6, ETHERTYPE, Message, ND_FRAME_LEN, ND_START, NdHeader,
        NdKind, Recognised, parse_arp, parse_nd, parse_nd_header, parse_short_nd, recognise_nd,
        short_message,
    },
    scratch,
};

/// The driver has not compared the destination MAC yet: a frame for another MAC of the parent than its address
/// is left to the TC program.
const UNKNOWN: bool = false;

/// The longest frame that every driver has in one buffer, in bytes: what an MTU of 1 500 and two VLAN tags take.
const ONE_BUFFER: u32 = 1_522;

/// Parent XDP. `None` for a frame that is not looked at.
#[must_use]
#[inline(always)]
pub fn ingress(ctx: &XdpContext) -> Option<Decision> {
    let kind = match frame(ctx).header::<ETH_LEN>()?.u16::<ETHERTYPE>() {
        ETH_P_ARP => None,
        ETH_P_IPV6 => match recognise_nd(frame(ctx)) {
            Recognised::Nd(kind) => Some(kind),
            Recognised::BehindExtension => {
                return Some(Decision::stranger(Reason::ExtensionHeader));
            }
            Recognised::Other => return None,
        },
        _ => return None,
    };
    let config = match lookup::config() {
        Ok(config) => config,
        Err(reason) => return Some(Decision::stranger(reason)),
    };
    Some(match kind {
        None => arp(ctx, config),
        Some(kind) => nd(ctx, kind, config),
    })
}

#[inline(always)]
fn arp(ctx: &XdpContext, config: Config) -> Decision {
    let arp = match parse_arp(frame(ctx)) {
        Ok(arp) => arp,
        Err(reason) => return Decision::stranger(reason),
    };
    let decision = arp::decide_ingress(&arp, config, &AddressMap, &UNKNOWN);
    event::tell_arp(Hook::Xdp, &arp, decision);
    if decision.reason != Reason::ArpAnswered {
        return decision;
    }
    let reply = arp::reply_arp(&arp, Mac::of_parent(config));
    if !resize(ctx, ARP_FRAME_LEN) {
        return Decision::stranger(Reason::NotWritable);
    }
    let Some(frame) = room::<ARP_FRAME_LEN>(ctx) else {
        return Decision::stranger(Reason::NotWritable);
    };
    // SAFETY: there is room for it.
    unsafe { reply.write(frame as *mut u8) };
    decision
}

#[inline(always)]
fn nd(ctx: &XdpContext, kind: NdKind, config: Config) -> Decision {
    // Not `and_then`: of a closure the compiler makes a function of its own, and the kernel refuses type
    // information with a Rust enum in a signature.
    let header = match parse_nd_header(frame(ctx), len(ctx) as usize) {
        Ok(header) => header,
        Err(reason) => return Decision::stranger(reason),
    };
    let parsed = match short_message(frame(ctx), header.len) {
        Some(message) => parse_short_nd(header, kind, message),
        None => match load(ctx, header) {
            Ok(message) => parse_nd(header, kind, message),
            Err(reason) => return Decision::stranger(reason),
        },
    };
    let nd = match parsed {
        Ok(nd) => nd,
        Err(reason) => return Decision::stranger(reason),
    };
    if kind == NdKind::Advertisement {
        let decision = ndp::decide_advertisement(&nd, config, &AddressMap, &UNKNOWN);
        let decision = decision.of_any_reason(len(ctx));
        event::tell_advertisement(Hook::Xdp, &nd, decision);
        return decision;
    }
    let NdDecision { decision, flags } = ndp::decide_ingress(&nd, config, &AddressMap, &UNKNOWN);
    let decision = decision.of_any_reason(len(ctx));
    event::tell_solicitation(Hook::Xdp, &nd, decision);
    if decision.reason == Reason::NdAnswered
        && !advertise(ctx, ReplyTo::new(nd.mac(), flags), config)
    {
        return Decision::stranger(Reason::NotWritable);
    }
    decision
}

/// The whole message, copied out of the frame.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "a message is shorter than 64 KiB"
)]
fn load<'a>(ctx: &XdpContext, header: NdHeader) -> Result<&'a Message, Reason> {
    let Some(message) = scratch::message() else {
        return Err(Reason::NotReady);
    };
    // SAFETY: the context of an XDP program is a valid `xdp_md`; `len` is at most the size of the
    // message, which the verifier checks again.
    let result = unsafe {
        bpf_xdp_load_bytes(
            ctx.ctx,
            ND_START as u32,
            message.cast(),
            scratch::copied(header.len),
        )
    };
    if result == 0 {
        // SAFETY: this CPU's scratch memory: nobody else writes it while the program runs.
        Ok(unsafe { &*message })
    } else {
        Err(Reason::Malformed)
    }
}

/// Turns the solicitation, which was parsed, into the advertisement. A function of its own: see [`ReplyTo`].
#[inline(never)]
fn advertise(ctx: &XdpContext, to: ReplyTo, config: Config) -> bool {
    let Some(reply) = Advertisement::answering(frame(ctx), to, config) else {
        return false;
    };
    let len = reply.frame_len();
    if !resize(ctx, len) {
        return false;
    }
    let Some(frame) = room::<ND_FRAME_LEN>(ctx) else {
        return false;
    };
    // SAFETY: there is room for this much.
    unsafe { reply.write(frame as *mut u8) };
    if len == ADVERTISEMENT_MAX {
        let Some(frame) = room::<ADVERTISEMENT_MAX>(ctx) else {
            return false;
        };
        // SAFETY: as above.
        unsafe { reply.write_option(frame as *mut u8) };
    }
    true
}

/// Length of the frame, in bytes. From the helper: a difference of packet pointers is a number only for
/// programs loaded with `CAP_PERFMON`.
#[must_use]
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "a frame is shorter than 4 GiB"
)]
pub fn len(ctx: &XdpContext) -> u32 {
    // SAFETY: the context of an XDP program is a valid `xdp_md`.
    unsafe { bpf_xdp_get_buff_len(ctx.ctx) as u32 }
}

/// Makes the frame `to` bytes long. What the request had behind them is cut off.
///
/// A longer frame than [`ONE_BUFFER`] is left to the TC program: veth gives the kernel the wrong owner of the
/// buffers that it puts such a frame into, which then frees them as memory of its own ("Bad page state:
/// `page_pool` leak", seen on Linux 7.2).
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a frame is shorter than 2 GiB"
)]
fn resize(ctx: &XdpContext, to: usize) -> bool {
    let from = len(ctx);
    if from > ONE_BUFFER {
        return false;
    }
    let delta = to as i32 - from as i32;
    // SAFETY: the context of an XDP program is a valid `xdp_md`.
    delta == 0 || unsafe { bpf_xdp_adjust_tail(ctx.ctx, delta) } == 0
}

/// The address of a frame with at least `LEN` bytes, to write to: XDP owns its frame.
#[inline(always)]
fn room<const LEN: usize>(ctx: &XdpContext) -> Option<usize> {
    let start = ctx.data();
    (start + LEN <= ctx.data_end()).then_some(start)
}

#[inline(always)]
fn frame(ctx: &XdpContext) -> Frame<'_> {
    // SAFETY: the kernel sets both pointers, and the verifier checks every access against them.
    unsafe { Frame::new(ctx.data(), ctx.data_end()) }
}
