//! The XDP hook of the parent: neighbour requests from the wire, before an skb exists.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::{bpf_xdp_adjust_tail, bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
    programs::XdpContext,
};
use ipvlan_common::{Config, Hook, Reason};

use crate::{
    answer,
    decide::{Decision, origin::Receiver},
    hook::Packet,
    parse::{ARP_FRAME_LEN, ETH_P_ARP, ETH_P_IPV6, ETHERTYPE, ND_FRAME_LEN, NdClass, classify_nd},
    reply::{
        arp::ArpFrame,
        nd::{ADVERTISEMENT_MAX, Advertisement, ReplyTo},
    },
    wire::{ETH_LEN, Frame},
};

/// The longest frame that every driver has in one buffer, in bytes: what an MTU of 1 500 and two VLAN tags take.
const ONE_BUFFER: u32 = 1_522;

/// Parent XDP. `None` for a frame that is not looked at.
#[must_use]
#[inline(always)]
pub fn ingress(ctx: &XdpContext) -> Option<Decision> {
    match frame(ctx).header::<ETH_LEN>()?.u16::<ETHERTYPE>() {
        ETH_P_ARP => Some(answer::arp_ingress(&Buffer(ctx))),
        ETH_P_IPV6 => match classify_nd(frame(ctx)) {
            NdClass::Nd(kind) => Some(answer::nd_ingress(&Buffer(ctx), kind)),
            NdClass::BehindExtension => Some(Decision::unattributed(Reason::ExtensionHeader)),
            NdClass::Other => None,
        },
        _ => None,
    }
}

/// A frame in the buffer of the driver.
struct Buffer<'a>(&'a XdpContext);

impl Receiver for Buffer<'_> {
    /// The driver has not compared the destination MAC yet: a frame for another MAC of the parent than its address
    /// is left to the TC program.
    #[inline(always)]
    fn is_own(&self) -> bool {
        false
    }
}

impl Packet for Buffer<'_> {
    const HOOK: Hook = Hook::Xdp;

    #[inline(always)]
    fn len(&self) -> u32 {
        len(self.0)
    }

    /// A tag is still in the frame, in front of its `EtherType`.
    #[inline(always)]
    fn is_on_vlan(&self) -> bool {
        false
    }

    #[inline(always)]
    fn pull(&self, _len: usize) -> Frame<'_> {
        frame(self.0)
    }

    #[inline(always)]
    unsafe fn load(&self, at: u32, to: *mut c_void, len: u32) -> bool {
        // SAFETY: writable by the contract, and the context of an XDP program is a valid `xdp_md`.
        unsafe { bpf_xdp_load_bytes(self.0.ctx, at, to, len) == 0 }
    }

    #[inline(always)]
    fn reply_arp(&self, reply: &ArpFrame) -> bool {
        if !set_len(self.0, ARP_FRAME_LEN) {
            return false;
        }
        let Some(frame) = writable::<ARP_FRAME_LEN>(self.0) else {
            return false;
        };
        // SAFETY: there is room for it.
        unsafe { reply.write(frame as *mut u8) };
        true
    }

    #[inline(always)]
    fn reply_nd(&self, to: ReplyTo, config: Config) -> bool {
        advertise(self.0, to, config)
    }
}

/// Turns the solicitation, which was parsed, into the advertisement. A function of its own: see [`ReplyTo`].
#[inline(never)]
fn advertise(ctx: &XdpContext, to: ReplyTo, config: Config) -> bool {
    let Some(reply) = Advertisement::answering(frame(ctx), to, config) else {
        return false;
    };
    let len = reply.frame_len();
    if !set_len(ctx, len) {
        return false;
    }
    let Some(frame) = writable::<ND_FRAME_LEN>(ctx) else {
        return false;
    };
    // SAFETY: there is room for this much.
    unsafe { reply.write(frame as *mut u8) };
    if len == ADVERTISEMENT_MAX {
        let Some(frame) = writable::<ADVERTISEMENT_MAX>(ctx) else {
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
fn set_len(ctx: &XdpContext, to: usize) -> bool {
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
fn writable<const LEN: usize>(ctx: &XdpContext) -> Option<usize> {
    let start = ctx.data();
    (start + LEN <= ctx.data_end()).then_some(start)
}

#[inline(always)]
fn frame(ctx: &XdpContext) -> Frame<'_> {
    // SAFETY: the kernel sets both pointers, and the verifier checks every access against them.
    unsafe { Frame::new(ctx.data(), ctx.data_end()) }
}
