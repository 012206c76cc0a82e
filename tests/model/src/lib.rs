//! What the packet tests share: the programs in the kernel, the addresses they know, frames, rows of
//! a table, and the reference model.
//!
//! Everything runs through `BPF_PROG_TEST_RUN`: nothing is attached to any interface.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    clippy::unwrap_used,
    reason = "a library of tests: it panics where they would"
)]

pub mod datapath;
pub mod frames;
pub mod host;
pub mod message;
pub mod model;
pub mod mutate;
pub mod prelude;
pub mod program;
pub mod rows;
pub mod world;
