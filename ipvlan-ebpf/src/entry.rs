//! Entry points of the eBPF objects, and the one place where a reason becomes a verdict.
//!
//! A pass is `TC_ACT_UNSPEC`, which in TCX (as `TCX_NEXT`) and in clsact means: go on with the next
//! program or filter. Programs of others on the same parent keep running.
//!
//! Both objects have them: `main.rs`, and `capture.rs`, whose `record` copies each frame that is counted.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::inline_always,
    clippy::needless_pass_by_value,
    reason = "the shape that aya's entry point macros expect"
)]

use aya_ebpf::{
    EbpfContext,
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use ipvlan_common::{Hook, Reason, ReasonClass};
use ipvlan_ebpf::{
    decide::Decision,
    hook::{
        tc::{self, Towards},
        xdp as xdp_hook,
    },
    maps::counters,
    opaque::opaque,
};

use crate::record;

/// TC ingress of the parent.
#[classifier]
pub fn parent_ingress(ctx: TcContext) -> i32 {
    tc_verdict(&ctx, Hook::Ingress, tc::ingress::<false>(&ctx))
}

/// TC ingress of a parent with children to redirect to.
#[classifier]
pub fn parent_ingress_demux(ctx: TcContext) -> i32 {
    tc_verdict(&ctx, Hook::Ingress, tc::ingress::<true>(&ctx))
}

/// TC egress of the parent.
#[classifier]
pub fn parent_egress(ctx: TcContext) -> i32 {
    tc_verdict(&ctx, Hook::Egress, tc::egress::<false, false>(&ctx))
}

/// TC egress of a parent with children that the host routes through a gateway.
#[classifier]
pub fn parent_egress_routed(ctx: TcContext) -> i32 {
    tc_verdict(&ctx, Hook::Egress, tc::egress::<true, false>(&ctx))
}

/// TC egress of a parent under isolation, on kernels that know the netns of a socket.
#[classifier]
pub fn parent_egress_isolated(ctx: TcContext) -> i32 {
    tc_verdict(&ctx, Hook::Egress, tc::egress::<false, true>(&ctx))
}

/// TC egress of a parent under isolation with children that the host routes through a gateway, on the same
/// kernels.
#[classifier]
pub fn parent_egress_routed_isolated(ctx: TcContext) -> i32 {
    tc_verdict(&ctx, Hook::Egress, tc::egress::<true, true>(&ctx))
}

/// XDP on the parent, in the driver.
#[xdp(frags)]
pub fn parent_xdp(ctx: XdpContext) -> u32 {
    xdp_verdict(&ctx)
}

/// XDP on the parent, in the network stack. Without frags, so that the kernel puts a frame of many
/// buffers together first: from Linux 6.9 on generic XDP else keeps counting what a program has cut
/// off such a frame, and sends as much of its own memory behind the answer.
#[xdp]
pub fn parent_xdp_generic(ctx: XdpContext) -> u32 {
    xdp_verdict(&ctx)
}

#[inline(always)]
fn xdp_verdict(ctx: &XdpContext) -> u32 {
    match xdp_hook::ingress(ctx) {
        Some(Decision {
            reason,
            slot,
            target: _,
        }) => xdp_conclude(ctx, number(reason, xdp_hook::len(ctx)), slot),
        None => xdp_action::XDP_PASS,
    }
}

#[inline(always)]
fn tc_verdict(ctx: &TcContext, hook: Hook, decision: Option<Decision>) -> i32 {
    match decision {
        Some(Decision {
            reason,
            slot,
            target,
        }) => {
            // One reason is one way more to follow; this one is worth the detour saved.
            const ANSWERED: u8 = Reason::ArpAnswered as u8;
            let number = match reason {
                Reason::ArpAnswered => ANSWERED,
                _ => number(reason, ctx.len()),
            };
            tc_conclude(ctx, hook, number, slot, target)
        }
        None => TC_ACT_UNSPEC,
    }
}

/// The number of the reason, which the verifier then does not know.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the number of a reason fits a byte"
)]
fn number(reason: Reason, any: u32) -> u8 {
    opaque(reason as u32, any) as u8
}

/// Counts, and turns the reason into a verdict. Its arguments are in registers: of a structure on the
/// stack the verifier would lose track.
#[inline(never)]
fn tc_conclude(ctx: &TcContext, hook: Hook, number: u8, slot: u32, target: u32) -> i32 {
    counters::count(hook, number, slot);
    trace(ctx, hook, number, slot);
    record::tc(ctx, hook, number, slot);
    match ReasonClass::of_number(number) {
        ReasonClass::Answered => {
            let towards = match hook {
                Hook::Egress => Towards::Stack,
                Hook::Ingress | Hook::Xdp => Towards::Wire,
            };
            tc::redirect(tc::parent(ctx), towards)
        }
        ReasonClass::Hairpinned => {
            // The host's mark is the host's policy; it must not reach into the child.
            ctx.set_mark(0);
            tc::redirect(tc::parent(ctx), Towards::Stack)
        }
        ReasonClass::Redirected => tc::redirect(target, Towards::Stack),
        ReasonClass::Dropped => TC_ACT_SHOT,
        ReasonClass::Delegated | ReasonClass::Passed => TC_ACT_UNSPEC,
    }
}

/// As [`tc_conclude`].
#[inline(never)]
fn xdp_conclude(ctx: &XdpContext, number: u8, slot: u32) -> u32 {
    counters::count(Hook::Xdp, number, slot);
    trace(ctx, Hook::Xdp, number, slot);
    record::xdp(ctx, number, slot);
    match ReasonClass::of_number(number) {
        ReasonClass::Answered => xdp_action::XDP_TX,
        ReasonClass::Dropped => xdp_action::XDP_DROP,
        // The first two are not decided at XDP.
        ReasonClass::Hairpinned
        | ReasonClass::Redirected
        | ReasonClass::Delegated
        | ReasonClass::Passed => xdp_action::XDP_PASS,
    }
}

/// One line per decision in a build with the feature `trace`; nothing in any other.
#[inline(always)]
#[cfg_attr(
    not(feature = "trace"),
    allow(
        unused_variables,
        reason = "the arguments of a message that only this feature has"
    )
)]
fn trace(ctx: &impl EbpfContext, hook: Hook, number: u8, slot: u32) {
    #[cfg(feature = "trace")]
    aya_log_ebpf::trace!(ctx, "hook {} reason {} slot {}", hook as u8, number, slot);
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
