//! Packets through the programs, on this host's kernel. What takes long or measures has a binary of its own.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests panic, and so do their parts outside of `#[test]` functions"
)]

mod answers;
mod bad;
mod capture;
mod claims;
mod dhcp;
mod egress;
mod events;
mod guard;
mod ip;
mod ip_headers;
mod isolation;
mod nd_answers;
mod nd_bad;
mod passed;
mod verify;
