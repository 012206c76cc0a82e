//! The eBPF object: programs that capture nothing.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![allow(clippy::inline_always, reason = "there is nothing to call")]

mod entry;

/// Does nothing: `capture.rs` has the programs that capture.
mod record {
    use aya_ebpf::programs::{TcContext, XdpContext};
    use ipvlan_common::Hook;

    #[inline(always)]
    pub(crate) const fn tc(_ctx: &TcContext, _hook: Hook, _number: u8, _slot: u32) {}

    #[inline(always)]
    pub(crate) const fn xdp(_ctx: &XdpContext, _number: u8, _slot: u32) {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
