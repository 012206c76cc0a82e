//! An skb as a packet, with what the kernel knows of it.

use core::{ffi::c_void, mem::MaybeUninit, ptr};

use aya_ebpf::{
    EbpfContext as _,
    helpers::{
        bpf_get_netns_cookie, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes,
        bpf_skb_vlan_pop,
    },
    programs::TcContext,
};
use ipvlan_common::{Config, Hook};

use super::{frame, parent, pull, vlan_id};
use crate::{
    decide::origin::{Origin, Receiver},
    hook::Packet,
    parse::ARP_FRAME_LEN,
    reply::{
        arp::ArpFrame,
        nd::{ADVERTISEMENT_MAX, Advertisement, ReplyTo},
    },
    wire::Frame,
};

/// The cookie of the host's netns. The loader sets it (`ipvlan_common::globals::HOST_COOKIE`).
#[unsafe(no_mangle)]
static HOST_COOKIE: u64 = 0;

/// `PACKET_HOST` of `skb->pkt_type`: the frame was sent to the MAC of the interface that received it.
const PACKET_HOST: u32 = 0;

/// An skb that the parent received.
pub(crate) struct Received<'a>(pub(crate) &'a TcContext);

impl Receiver for Received<'_> {
    #[inline(always)]
    fn is_own(&self) -> bool {
        // SAFETY: the context of a TC program is a valid `__sk_buff`.
        unsafe { (*self.0.skb.skb).pkt_type == PACKET_HOST }
    }
}

/// An skb that leaves the parent. With `NETNS`, the netns of its socket is known.
pub(crate) struct Sent<'a, const NETNS: bool>(pub(crate) &'a TcContext);

impl<const NETNS: bool> Origin for Sent<'_, NETNS> {
    #[inline(always)]
    fn ingress_ifindex(&self) -> u32 {
        // SAFETY: the context of a TC program is a valid `__sk_buff`.
        unsafe { (*self.0.skb.skb).ingress_ifindex }
    }

    #[inline(always)]
    fn parent(&self) -> u32 {
        parent(self.0)
    }

    #[inline(always)]
    fn is_from_other_netns(&self) -> bool {
        if !NETNS {
            return false;
        }
        // SAFETY: a static; volatile, since the loader has put another value there.
        let host = unsafe { (&raw const HOST_COOKIE).read_volatile() };
        // SAFETY: the helper takes the context.
        let sender = unsafe { bpf_get_netns_cookie(self.0.as_ptr()) };
        // The first netns of the machine stands for an skb without a socket too: it proves nothing.
        // SAFETY: the helper takes no context as well.
        sender != host && sender != unsafe { bpf_get_netns_cookie(ptr::null_mut()) }
    }
}

/// An skb at one of the TC hooks.
trait Skb {
    /// The hook.
    const HOOK: Hook;

    /// Returns the context of the program.
    fn context(&self) -> &TcContext;
}

impl Skb for Received<'_> {
    const HOOK: Hook = Hook::Ingress;

    #[inline(always)]
    fn context(&self) -> &TcContext {
        self.0
    }
}

impl<const NETNS: bool> Skb for Sent<'_, NETNS> {
    const HOOK: Hook = Hook::Egress;

    #[inline(always)]
    fn context(&self) -> &TcContext {
        self.0
    }
}

impl<S: Skb> Packet for S {
    const HOOK: Hook = S::HOOK;

    #[inline(always)]
    fn len(&self) -> u32 {
        self.context().len()
    }

    #[inline(always)]
    fn is_on_vlan(&self) -> bool {
        vlan_id(self.context()).is_some_and(|id| id != 0)
    }

    #[inline(always)]
    fn pull(&self, len: usize) -> Frame<'_> {
        pull(self.context(), len)
    }

    #[inline(always)]
    unsafe fn load(&self, at: u32, to: *mut c_void, len: u32) -> bool {
        // SAFETY: writable by the contract, and the context of a TC program is a valid `__sk_buff`.
        unsafe { bpf_skb_load_bytes(self.context().as_ptr(), at, to, len) == 0 }
    }

    #[inline(always)]
    fn reply_arp(&self, reply: &ArpFrame) -> bool {
        // SAFETY: the frame of a reply is that long.
        set_len(self.context(), ARP_FRAME_LEN)
            && unsafe { store(self.context(), reply.as_ptr(), ARP_FRAME_LEN) }
    }

    #[inline(always)]
    fn reply_nd(&self, to: ReplyTo, config: Config) -> bool {
        advertise(self.context(), to, config)
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
    set_len(ctx, len) && unsafe { store(ctx, frame, len) }
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

/// Gives the frame the length of a reply, without a tag.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the length of an answer is below 100"
)]
fn set_len(ctx: &TcContext, len: usize) -> bool {
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
