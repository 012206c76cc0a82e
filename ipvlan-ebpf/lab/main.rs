//! Small programs of the tests: foreign programs beside the agent's, counters, and a sender of frames.
//!
//! The loader (`tests/src/bpf`) sets the globals; the verifier knows them as constants and removes what they exclude.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::inline_always,
    clippy::needless_pass_by_value,
    reason = "the shape that aya's entry point macros expect"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "lengths of frames and verdicts are small numbers"
)]

use core::ffi::c_void;

use aya_ebpf::{
    Global,
    bindings::xdp_action::XDP_ABORTED,
    helpers::{
        bpf_get_prandom_u32, bpf_ktime_get_ns, bpf_redirect, bpf_skb_store_bytes,
        bpf_skb_vlan_push, bpf_xdp_adjust_tail, bpf_xdp_store_bytes,
    },
    macros::{classifier, map, socket_filter, xdp},
    maps::{Array, PerCpuArray, ProgramArray},
    programs::{SkBuffContext, TcContext, XdpContext},
};

/// The longest frame that is written, in bytes.
const FRAME_MAX: usize = 128;
/// By how many bytes `xdp_send` shortens a frame.
const EXCESS: i32 = 8;
/// Half words of a frame that vary, at most, of either kind.
const PLACES: usize = 4;
const ETH_P_8021Q: u16 = 0x8100;
/// A verdict that no measured program returns: `TC_ACT_STOLEN`, which XDP has no verdict of the number of.
const NOT_REACHED: u32 = 4;

/// The verdict of `tc_verdict`, `xdp_verdict` and of the counters.
#[unsafe(no_mangle)]
static VERDICT: Global<i32> = Global::new(0);
/// The length of the frames that are counted or written, in bytes.
#[unsafe(no_mangle)]
static LENGTH: Global<u32> = Global::new(0);
/// The VLAN id of `tc_tag`.
#[unsafe(no_mangle)]
static VLAN: Global<u16> = Global::new(0);
/// The ifindex that frames are redirected to.
#[unsafe(no_mangle)]
static DEVICE: Global<u32> = Global::new(0);
/// The bits that can be set in the random number of a restored frame.
#[unsafe(no_mangle)]
static MASK: Global<u16> = Global::new(0);
/// Offsets of the random number in a restored frame; an offset beyond the frame is none.
#[unsafe(no_mangle)]
static WITH: [Global<u16>; PLACES] = [const { Global::new(u16::MAX) }; PLACES];
/// Offsets of its complement.
#[unsafe(no_mangle)]
static AGAINST: [Global<u16>; PLACES] = [const { Global::new(u16::MAX) }; PLACES];

/// Frames that were counted, then the nanoseconds since boot of the first and of the last one.
#[map]
static COUNT: PerCpuArray<[u64; 3]> = PerCpuArray::with_max_entries(1, 0);
/// The frame that is written.
#[map]
static FRAME: Array<[u8; FRAME_MAX]> = Array::with_max_entries(1, 0);
/// The program that goes on with a restored frame.
#[map]
static NEXT: ProgramArray = ProgramArray::with_max_entries(1, 0);

#[xdp(frags)]
pub fn xdp_verdict(_ctx: XdpContext) -> u32 {
    VERDICT.load() as u32
}

#[classifier]
pub fn tc_verdict(_ctx: TcContext) -> i32 {
    VERDICT.load()
}

/// Writes to the packet directly.
#[classifier]
pub fn tc_write(ctx: TcContext) -> i32 {
    let data = ctx.data();
    // The verifier learns nothing from a comparison for one byte, which the compiler makes `data < end`.
    if data + 2 <= ctx.data_end() {
        // SAFETY: the byte is in the packet.
        unsafe { (data as *mut u8).write(0) };
    }
    VERDICT.load()
}

/// Tags the frame, beside its bytes, as a VLAN device does.
#[classifier]
pub fn tc_tag(ctx: TcContext) -> i32 {
    // SAFETY: the context of a classifier is a valid `__sk_buff`.
    unsafe { bpf_skb_vlan_push(ctx.skb.skb, ETH_P_8021Q.to_be(), VLAN.load()) };
    VERDICT.load()
}

#[classifier]
pub fn tc_redirect(_ctx: TcContext) -> i32 {
    redirect() as i32
}

#[xdp(frags)]
pub fn xdp_count(ctx: XdpContext) -> u32 {
    count((ctx.data_end() - ctx.data()) as u32);
    VERDICT.load() as u32
}

#[classifier]
pub fn tc_count(ctx: TcContext) -> i32 {
    count(ctx.len());
    VERDICT.load()
}

/// Counts datagrams of a socket, with their transport header, and drops them.
#[socket_filter]
pub fn filter_count(ctx: SkBuffContext) -> i64 {
    count(ctx.len());
    0
}

/// Turns the frame into [`FRAME`] and sends it out of [`DEVICE`]; notes when the first one was sent.
///
/// The kernel uses the buffers of `BPF_PROG_TEST_RUN` again, with whatever answer was written into them, and restores
/// the length only of a frame that the program has changed (`ctx_was_changed` of `net/bpf/test_run.c`). So frames are
/// made too long, and shortened here.
#[xdp(frags)]
pub fn xdp_send(ctx: XdpContext) -> u32 {
    if let Some(count) = COUNT.get_ptr_mut(0) {
        // SAFETY: the entry of this processor.
        unsafe { note_first(count) };
    }
    // SAFETY: the context of an XDP program is a valid `xdp_md`.
    if unsafe { bpf_xdp_adjust_tail(ctx.ctx, -EXCESS) } != 0 || !xdp_store(&ctx) {
        return XDP_ABORTED;
    }
    redirect()
}

/// Writes the frame anew and goes on with the program in [`NEXT`].
#[xdp(frags)]
pub fn xdp_restore(ctx: XdpContext) -> u32 {
    vary();
    if xdp_store(&ctx) {
        // SAFETY: the measured program is of the same type.
        unsafe { NEXT.tail_call(&ctx, 0) };
    }
    NOT_REACHED
}

/// As [`xdp_restore`].
#[classifier]
pub fn tc_restore(ctx: TcContext) -> i32 {
    vary();
    let store = |frame: *const c_void| {
        // SAFETY: an entry of [`FRAME`] is at least this long, and the context is a valid `__sk_buff`.
        unsafe { bpf_skb_store_bytes(ctx.skb.skb, 0, frame, LENGTH.load(), 0) == 0 }
    };
    if FRAME.get_ptr(0).is_some_and(|frame| store(frame.cast())) {
        // SAFETY: as above.
        unsafe { NEXT.tail_call(&ctx, 0) };
    }
    NOT_REACHED as i32
}

#[inline(always)]
fn redirect() -> u32 {
    // SAFETY: a plain helper.
    unsafe { bpf_redirect(DEVICE.load(), 0) as u32 }
}

#[inline(always)]
fn xdp_store(ctx: &XdpContext) -> bool {
    FRAME.get_ptr_mut(0).is_some_and(|frame| {
        // SAFETY: an entry of the map is at least this long, and the context is a valid `xdp_md`.
        unsafe { bpf_xdp_store_bytes(ctx.ctx, 0, frame.cast(), LENGTH.load()) == 0 }
    })
}

/// Writes a random number, and its complement, into the frame.
#[inline(always)]
fn vary() {
    let Some(frame) = FRAME.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: a plain helper.
    let number = (unsafe { bpf_get_prandom_u32() } as u16 & MASK.load()).to_be();
    for (places, number) in [(&WITH, number), (&AGAINST, !number)] {
        for place in places {
            let place = usize::from(place.load());
            if place <= FRAME_MAX - size_of::<u16>() {
                // SAFETY: the half word is in the entry of the map.
                unsafe { frame.byte_add(place).cast::<u16>().write_unaligned(number) };
            }
        }
    }
}

/// Counts a frame, if it has the length of those that are counted.
#[inline(always)]
fn count(length: u32) {
    if length != LENGTH.load() {
        return;
    }
    let Some(count) = COUNT.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the entry of this processor, on which no other program runs meanwhile.
    unsafe {
        let now = note_first(count);
        (*count)[2] = now;
        (*count)[0] += 1;
    }
}

/// Notes the time if no frame was noted before; returns it.
///
/// # Safety
/// `count` is the entry of [`COUNT`].
#[inline(always)]
unsafe fn note_first(count: *mut [u64; 3]) -> u64 {
    // SAFETY: a plain helper, and the contract of this function.
    unsafe {
        let now = bpf_ktime_get_ns();
        if (*count)[1] == 0 {
            (*count)[1] = now;
        }
        now
    }
}

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Every panic is a bounds check that cannot fail, or the verifier refuses the program.
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
