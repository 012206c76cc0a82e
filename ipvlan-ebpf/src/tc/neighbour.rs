//! ARP and neighbour discovery at the TC hooks.
//!
//! The direction is a constant, not a function to call: the compiler would really call it.

use core::mem::MaybeUninit;

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes, bpf_skb_vlan_pop},
    programs::TcContext,
};
use ipvlan_common::{Config, Hook, Reason};

use super::{
    frame, linear,
    origin::{Received, Skb},
    vlan_id,
};
use crate::{
    Decision,
    advertisement::{ADVERTISEMENT_MAX, Advertisement},
    arp, event,
    frame::Mac,
    lookup::{self, AddressMap},
    ndp::{self, NdDecision, ReplyTo},
    parse::{
        ARP_FRAME_LEN, Message, ND_FRAME_LEN, ND_START, NdHeader, NdKind, parse_arp, parse_nd,
        parse_nd_header, parse_short_nd, short_message,
    },
    scratch,
};

/// An ARP message from the wire, or to it.
#[inline(always)]
pub(super) fn arp<const FROM_WIRE: bool, const NETNS: bool>(ctx: &TcContext) -> Decision {
    if vlan_id(ctx).is_some_and(|id| id != 0) {
        return Decision::stranger(Reason::Tagged);
    }
    let config = match lookup::config() {
        Ok(config) => config,
        Err(reason) => return Decision::stranger(reason),
    };
    let arp = match parse_arp(linear(ctx, ARP_FRAME_LEN)) {
        Ok(arp) => arp,
        Err(reason) => return Decision::stranger(reason),
    };
    let decision = if FROM_WIRE {
        arp::decide_ingress(&arp, config, &AddressMap, &Received(ctx))
    } else {
        arp::decide_egress(&arp, config, &AddressMap, &Skb::<NETNS>(ctx))
    };
    if FROM_WIRE {
        event::tell_arp(Hook::Ingress, &arp, decision);
    }
    if decision.reason != Reason::ArpAnswered {
        return decision;
    }
    let reply = arp::reply_arp(&arp, Mac::of_parent(config));
    // SAFETY: the frame of an answer is that long.
    if resize(ctx, ARP_FRAME_LEN) && unsafe { store(ctx, reply.as_ptr(), ARP_FRAME_LEN) } {
        decision
    } else {
        Decision::stranger(Reason::NotWritable)
    }
}

/// A solicitation from the wire, or to it, or an advertisement from it.
#[inline(always)]
pub(super) fn nd<const FROM_WIRE: bool>(ctx: &TcContext, kind: NdKind) -> Decision {
    if vlan_id(ctx).is_some_and(|id| id != 0) {
        return Decision::stranger(Reason::Tagged);
    }
    let config = match lookup::config() {
        Ok(config) => config,
        Err(reason) => return Decision::stranger(reason),
    };
    let frame = linear(ctx, ND_FRAME_LEN);
    // Not `and_then`: of a closure the compiler makes a function of its own, and the kernel refuses type
    // information with a Rust enum in a signature.
    let header = match parse_nd_header(frame, ctx.len() as usize) {
        Ok(header) => header,
        Err(reason) => return Decision::stranger(reason),
    };
    let parsed = match short_message(frame, header.len) {
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
    if FROM_WIRE && kind == NdKind::Advertisement {
        let decision = ndp::decide_advertisement(&nd, config, &AddressMap, &Received(ctx));
        let decision = decision.of_any_reason(ctx.len());
        event::tell_advertisement(Hook::Ingress, &nd, decision);
        return decision;
    }
    let NdDecision { decision, flags } = if FROM_WIRE {
        ndp::decide_ingress(&nd, config, &AddressMap, &Received(ctx))
    } else {
        ndp::decide_egress(&nd, config, &AddressMap)
    };
    let decision = decision.of_any_reason(ctx.len());
    if FROM_WIRE {
        event::tell_solicitation(Hook::Ingress, &nd, decision);
    }
    if decision.reason == Reason::NdAnswered
        && !advertise(ctx, ReplyTo::new(nd.mac(), flags), config)
    {
        return Decision::stranger(Reason::NotWritable);
    }
    decision
}

/// The whole message, copied out of the skb.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "a message is shorter than 64 KiB"
)]
fn load<'a>(ctx: &TcContext, header: NdHeader) -> Result<&'a Message, Reason> {
    let Some(message) = scratch::message() else {
        return Err(Reason::NotReady);
    };
    // SAFETY: the context of a TC program is a valid `__sk_buff`; `len` is at most the size of the
    // message, which the verifier checks again.
    let result = unsafe {
        bpf_skb_load_bytes(
            ctx.as_ptr(),
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
fn advertise(ctx: &TcContext, to: ReplyTo, config: Config) -> bool {
    let Some(reply) = Advertisement::answering(frame(ctx), to, config) else {
        return false;
    };
    let mut buffer = Buffer(MaybeUninit::uninit());
    // SAFETY: two bytes and then the longest frame is what the buffer is long. The option is written in any
    // case: before Linux 6.13 the verifier wants all that a length it does not know may take.
    let frame = unsafe {
        let frame = buffer.0.as_mut_ptr().cast::<u8>().add(2);
        reply.write(frame);
        reply.write_option(frame);
        frame
    };
    let len = reply.frame_len();
    // SAFETY: `len` bytes were written just now.
    resize(ctx, len) && unsafe { store(ctx, frame, len) }
}

/// Writes `len` bytes to the start of the frame.
///
/// # Safety
///
/// `len` bytes must be readable at `from`.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the length of an answer is below 100"
)]
unsafe fn store(ctx: &TcContext, from: *const u8, len: usize) -> bool {
    // SAFETY: readable by the contract, and the context of a TC program is a valid `__sk_buff`.
    unsafe { bpf_skb_store_bytes(ctx.as_ptr().cast(), 0, from.cast(), len as u32, 0) == 0 }
}

/// Room for the longest advertisement, with the packet at a multiple of eight bytes.
#[repr(C, align(8))]
struct Buffer(MaybeUninit<[u8; 2 + ADVERTISEMENT_MAX]>);

/// Makes room for an answer of `len` bytes without a tag.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the length of an answer is below 100"
)]
fn resize(ctx: &TcContext, len: usize) -> bool {
    let len = len as u32;
    // What is behind the request is of its sender and must not travel back; the kernel's answer has
    // nothing there.
    // SAFETY: the context of a TC program is a valid `__sk_buff`.
    if ctx.len() != len && unsafe { bpf_skb_change_tail(ctx.skb.skb, len, 0) } != 0 {
        return false;
    }
    // A priority tag (VLAN id 0) is not a VLAN; the kernel's answer carries none.
    // SAFETY: as above.
    vlan_id(ctx).is_none() || unsafe { bpf_skb_vlan_pop(ctx.skb.skb) } == 0
}
