//! Packets through the programs, on this host's kernel. What takes long or measures has a binary of its own.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests panic, and so do their parts outside of `#[test]` functions"
)]

mod arp;
mod arp_egress;
mod bad;
mod claims;
mod dhcp;
mod events;
mod guard;
mod ipv4;
mod ipv6;
mod isolation;
mod ndp;
mod ndp_bad;
mod ndp_claims;
mod ndp_egress;
mod ndp_guard;
mod ndp_passed;
mod verify;
