//! The eBPF object of a parent whose frames are captured: the same programs, which also copy each frame that they
//! count into a ring buffer.
//!
//! The frame is copied after it was rewritten and before the verdict is returned: a reply as it leaves, any other frame
//! as it came. A ring buffer that is full changes no verdict. The maps are in this object alone, so that nothing is
//! reserved for them while nothing is captured.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![allow(
    clippy::inline_always,
    reason = "a call would cost more than most of these bodies"
)]

mod entry;

/// Copies frames.
mod record {
    use core::hint::black_box;

    use aya_ebpf::{
        EbpfContext as _,
        bindings::{__sk_buff, xdp_md},
        helpers::{bpf_ktime_get_ns, bpf_skb_load_bytes, bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
        macros::map,
        maps::{Array, PerCpuArray, RingBuf},
        programs::{TcContext, XdpContext},
    };
    use ipvlan_common::{CAPTURE_SNAP, CaptureHeader, CaptureRecord, Hook};

    /// Size of the ring buffer, in bytes: about 3 700 frames of 256 bytes.
    const RING: u32 = 1 << 20;

    #[map]
    static CAPTURE: RingBuf = RingBuf::with_byte_size(RING, 0);

    #[map]
    static CAPTURE_RECORD: PerCpuArray<CaptureRecord> = PerCpuArray::with_max_entries(1, 0);

    #[map]
    static CAPTURE_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

    #[map]
    static CAPTURE_LENGTH: Array<u32> = Array::with_max_entries(1, 0);

    /// Captures a frame at a TC hook.
    #[inline(always)]
    pub(crate) fn tc(ctx: &TcContext, hook: Hook, number: u8, slot: u32) {
        capture_skb(
            ctx.as_ptr().cast(),
            CaptureHeader::verdict_of(hook, number),
            slot.into(),
        );
    }

    /// Captures a frame at the XDP hook.
    #[inline(always)]
    pub(crate) fn xdp(ctx: &XdpContext, number: u8, slot: u32) {
        capture_xdp(
            ctx.as_ptr().cast(),
            CaptureHeader::verdict_of(Hook::Xdp, number),
            slot.into(),
        );
    }

    /// Copies an skb. Returns 0.
    ///
    /// Global, so that the verifier follows it once and by itself.
    #[inline(never)]
    #[unsafe(no_mangle)]
    extern "C" fn capture_skb(skb: *mut __sk_buff, verdict: u64, slot: u64) -> u64 {
        // SAFETY: the context of a TC program is a valid `__sk_buff`.
        let len = unsafe { (*skb).len };
        capture(len, verdict, slot, |to, count| {
            // SAFETY: as above, and `count` bytes are writable.
            unsafe { bpf_skb_load_bytes(skb.cast(), 0, to.cast(), count) == 0 }
        });
        0
    }

    /// As [`capture_skb`], for a frame at the XDP hook.
    #[inline(never)]
    #[unsafe(no_mangle)]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a frame is shorter than 4 GiB"
    )]
    extern "C" fn capture_xdp(frame: *mut xdp_md, verdict: u64, slot: u64) -> u64 {
        // SAFETY: the context of an XDP program is a valid `xdp_md`.
        let len = unsafe { bpf_xdp_get_buff_len(frame) as u32 };
        capture(len, verdict, slot, |to, count| {
            // SAFETY: as above, and `count` bytes are writable.
            unsafe { bpf_xdp_load_bytes(frame, 0, to.cast(), count) == 0 }
        });
        0
    }

    /// Makes a record of a frame of this length with `load`, and hands it to the agent.
    #[inline(always)]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a slot is a u32, a count below 2 049"
    )]
    fn capture(len: u32, verdict: u64, slot: u64, load: impl FnOnce(*mut u8, u32) -> bool) {
        let Some(record) = CAPTURE_RECORD.get_ptr_mut(0) else {
            return;
        };
        let Some(&wanted) = CAPTURE_LENGTH.get(0) else {
            return;
        };
        let count = if len < wanted { len } else { wanted };
        if count == 0 {
            return;
        }
        // Up to Linux 6.12 the length that a helper receives must be provably positive. The compiler would check the
        // bounds on a copy of it, of which the verifier does not know that it is the same number.
        let count = (black_box(u64::from(count - 1)) & u64::from(CAPTURE_SNAP - 1)) + 1;
        // SAFETY: the value of this CPU. Nothing else on this CPU makes a record before this one is handed on: a hook
        // does not interrupt itself.
        let sent = unsafe {
            (*record).header = CaptureHeader {
                time: bpf_ktime_get_ns(),
                verdict,
                slot: slot as u32,
                len,
            };
            load((&raw mut (*record).data).cast(), count as u32) && {
                let len = size_of::<CaptureHeader>() + count as usize;
                let bytes = core::slice::from_raw_parts(record.cast::<u8>(), len);
                CAPTURE.output::<[u8]>(bytes, 0).is_ok()
            }
        };
        if !sent {
            count_lost();
        }
    }

    /// Counts a frame that the ring buffer had no space for.
    ///
    /// A function of its own: before Linux 6.8 the key of the map, half a word, must not be written where a register
    /// was on the stack.
    #[inline(never)]
    fn count_lost() {
        if let Some(lost) = CAPTURE_LOST.get_ptr_mut(0) {
            // SAFETY: the value of this CPU; nothing else on it counts meanwhile.
            unsafe { *lost += 1 };
        }
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
