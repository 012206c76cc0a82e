//! Where an skb comes from.

use core::ptr;

use aya_ebpf::{EbpfContext as _, helpers::bpf_get_netns_cookie, programs::TcContext};

use super::parent;
use crate::origin::{Origin, Receiver};

/// The cookie of the host's netns. The loader sets it (`ipvlan_common::globals::HOST_COOKIE`).
#[unsafe(no_mangle)]
static HOST_COOKIE: u64 = 0;

/// `PACKET_HOST` of `skb->pkt_type`: the frame was sent to the MAC of the interface that received it.
const PACKET_HOST: u32 = 0;

/// An skb that the parent received.
pub(super) struct Received<'a>(pub(super) &'a TcContext);

impl Receiver for Received<'_> {
    #[inline(always)]
    fn is_own(&self) -> bool {
        // SAFETY: the context of a TC program is a valid `__sk_buff`.
        unsafe { (*self.0.skb.skb).pkt_type == PACKET_HOST }
    }
}

/// An skb that leaves the parent. With `NETNS`, the netns of its socket is known.
pub(super) struct Skb<'a, const NETNS: bool>(pub(super) &'a TcContext);

impl<const NETNS: bool> Origin for Skb<'_, NETNS> {
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
