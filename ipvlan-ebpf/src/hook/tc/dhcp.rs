//! DHCP requests at TC egress: broadcasts of l2 children.

use core::mem::MaybeUninit;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{__sk_buff, BPF_F_MARK_MANGLED_0},
    helpers::{bpf_l4_csum_replace, bpf_skb_load_bytes, bpf_skb_store_bytes},
    programs::TcContext,
};
use ipvlan_common::{ConfigFlags, Reason};

use super::vlan_id;
use crate::{
    decide::Decision,
    maps::config::config,
    parse::dhcp::{self, Bytes, parse_request},
    wire::Mac,
};

/// `PACKET_HOST` (`linux/if_packet.h`), which a frame that the host sends has here. A broadcast that the driver sends
/// for an l2 child has `PACKET_BROADCAST` (`ipvlan_process_multicast`).
const PACKET_HOST: u32 = 0;
/// What [`set_broadcast_flag`] returns for a frame that is passed on uncounted.
const NOTHING: u64 = 0;

/// An IPv4 packet to everybody. `None` unless it is a DHCP request that the broadcast flag was set on, or that
/// identifies no client.
#[inline(always)]
pub(crate) fn broadcast(ctx: &TcContext) -> Option<Decision> {
    // SAFETY: the context of a TC program is a valid `__sk_buff`.
    if unsafe { (*ctx.skb.skb).pkt_type } == PACKET_HOST || vlan_id(ctx).is_some() {
        return None;
    }
    let number = set_broadcast_flag(ctx.skb.skb);
    if number == NOTHING {
        return None;
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the number of a reason fits a byte"
    )]
    let reason = Reason::from_number(number as u8);
    Some(Decision::unattributed(reason))
}

/// Sets the broadcast flag of a request that lacks it. Returns the number of the reason that is counted, or
/// [`NOTHING`].
///
/// Global, so that the verifier follows it once and by itself.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn set_broadcast_flag(skb: *mut __sk_buff) -> u64 {
    let ctx = TcContext::new(skb);
    let Ok(config) = config() else {
        return NOTHING;
    };
    if !config.has(ConfigFlags::DHCP) {
        return NOTHING;
    }
    let Some(request) = parse_request(&Skb(&ctx), Mac::of_parent(config)) else {
        return NOTHING;
    };
    let reason = match request.broadcast() {
        Some(_) if request.is_identified => Reason::DhcpBroadcast,
        None if request.is_identified => return NOTHING,
        _ => Reason::DhcpNoClientId,
    };
    if let Some(flags) = request.broadcast() {
        let from = u16::from_ne_bytes(request.flags);
        let to = u16::from_ne_bytes(flags);
        // Both are written or none: the first helper makes the frame writable up to the end of the flags, which are
        // behind the checksum, so the second has nothing left that fails (`skb_ensure_writable`; the offset is even
        // and below 64 KiB). Where the kernel or the card fills in the checksum later (`CHECKSUM_PARTIAL`), the
        // field holds the sum of the pseudo header, and the helper leaves it alone, as it does where there is none
        // (0).
        // SAFETY: the context of a TC program is a valid `__sk_buff`, and two bytes are readable.
        let written = unsafe {
            bpf_skb_store_bytes(
                ctx.as_ptr().cast(),
                request.flags_at,
                flags.as_ptr().cast(),
                2,
                0,
            ) == 0
                && bpf_l4_csum_replace(
                    ctx.as_ptr().cast(),
                    request.checksum_at,
                    from.into(),
                    to.into(),
                    u64::from(BPF_F_MARK_MANGLED_0) | 2,
                ) == 0
        };
        if !written {
            return Reason::NotWritable as u64;
        }
    }
    reason as u64
}

/// [`dhcp::step`] as a function that the verifier follows once: it is global, and returns any number for it.
#[inline(never)]
#[unsafe(no_mangle)]
#[allow(clippy::cast_possible_truncation, reason = "the end of a packet")]
extern "C" fn dhcp_option(skb: *mut __sk_buff, walk: u64, end: u64) -> u64 {
    dhcp::step(&Skb(&TcContext::new(skb)), walk, end as u32)
}

/// A frame as an skb has it.
struct Skb<'a>(&'a TcContext);

impl Bytes for Skb<'_> {
    #[inline(always)]
    fn len(&self) -> u32 {
        self.0.len()
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "a few bytes")]
    fn read<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: the context of a TC program is a valid `__sk_buff`, and there is room for `N` bytes.
        let result =
            unsafe { bpf_skb_load_bytes(self.0.as_ptr(), at, bytes.as_mut_ptr().cast(), N as u32) };
        if result != 0 {
            return None;
        }
        // SAFETY: the helper has written all of it.
        Some(unsafe { bytes.assume_init() })
    }

    #[inline(always)]
    fn step(&self, walk: u64, end: u32) -> u64 {
        dhcp_option(self.0.skb.skb, walk, end.into())
    }
}
