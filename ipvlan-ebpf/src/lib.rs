//! The packet path of an ipvlan parent.
//!
//! ```text
//! hook ─► answer  ─► parse ─► decide ─► reply
//!      └► forward ─► parse ─► decide
//! ```
//!
//! A hook ([`hook::tc`], [`hook::xdp`]) hands neighbour requests to [`answer`] and IP packets to [`forward`]. Both let
//! [`parse`] read the frame and [`decide`] look up the addresses ([`maps`]), and get a [`Decision`](decide::Decision): a
//! reason, and the child that it concerns. [`reply`] has the frames that are sent. The entry point in `main.rs` counts
//! the reason and turns its class into a verdict.
//!
//! Everything that decides also builds on the host, where plain tests, property tests and the
//! reference model run it.

#![cfg_attr(target_arch = "bpf", no_std)]
#![allow(
    clippy::inline_always,
    reason = "a call would cost more than most of these bodies, and the verifier follows bounds better within one function"
)]

pub mod answer;
pub mod decide;
pub mod forward;
pub mod hook;
pub mod maps;
pub mod opaque;
pub mod parse;
pub mod reply;
pub mod wire;
