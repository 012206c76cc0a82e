//! The Ethernet header of a received frame, which the kernel may have hidden.

use core::mem::MaybeUninit;

use aya_ebpf::{
    EbpfContext as _,
    bindings::__sk_buff,
    helpers::{bpf_skb_change_head, bpf_skb_load_bytes_relative, bpf_skb_store_bytes},
    programs::TcContext,
};

use super::{frame, vlan_id};
use crate::{parse::ETHERTYPE, wire::ETH_LEN};

/// `BPF_HDR_START_MAC` (`linux/bpf.h`).
const START_MAC: u32 = 0;
/// [`ETH_LEN`] as the helpers take it.
#[allow(clippy::cast_possible_truncation, reason = "14 bytes")]
const LEN: u32 = ETH_LEN as u32;

/// Shows the Ethernet header of a frame of this ethertype, if the kernel hides it.
///
/// From Linux 6.9 on, generic XDP copies a received frame for a program with `xdp.frags` and loses the length of its
/// Ethernet header (`skb_pp_cow_data` does not copy `mac_len`). Every TC program then sees the frame from the network header on. The
/// Ethernet header is still in front of that. A frame on a VLAN is left as it is: nothing of it is read.
#[inline(always)]
pub(crate) fn restore(ctx: &TcContext, ethertype: u16) {
    let shown = frame(ctx)
        .header::<ETH_LEN>()
        .is_some_and(|header| header.u16::<ETHERTYPE>() == ethertype);
    if !shown && vlan_id(ctx).is_none_or(|id| id == 0) {
        show_header(ctx.skb.skb, ethertype.into());
    }
}

/// Puts the Ethernet header where TC programs and the kernel expect it, if it is of this ethertype. Returns whether it
/// did.
///
/// Global, so that the verifier follows it once and by itself.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn show_header(skb: *mut __sk_buff, ethertype: u64) -> u64 {
    let ctx = TcContext::new(skb);
    // Read in place: kernels before Linux 6.8 refuse a copy that is not of whole words without `CAP_PERFMON`.
    let mut header = MaybeUninit::<[u16; ETH_LEN / 2]>::uninit();
    let header = header.as_mut_ptr().cast::<u16>();
    // SAFETY: the context of a TC program is a valid `__sk_buff`, and the header is that long.
    let loaded =
        unsafe { bpf_skb_load_bytes_relative(ctx.as_ptr(), 0, header.cast(), LEN, START_MAC) };
    if loaded != 0 {
        return 0;
    }
    // SAFETY: the helper has written all of it.
    let found = unsafe { header.add(ETHERTYPE / 2).read() };
    if u64::from(u16::from_be(found)) != ethertype {
        return 0;
    }
    // This makes room in front of the frame, where the header is, and fills it with zeros.
    // SAFETY: as above.
    if unsafe { bpf_skb_change_head(skb, LEN, 0) } != 0 {
        return 0;
    }
    // SAFETY: as above.
    let stored = unsafe { bpf_skb_store_bytes(skb, 0, header.cast(), LEN, 0) };
    u64::from(stored == 0)
}
