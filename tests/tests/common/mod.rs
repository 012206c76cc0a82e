//! What the packet tests share: the programs in the kernel, the addresses they know, frames, rows of
//! a table, and the reference model.
//!
//! Everything runs through `BPF_PROG_TEST_RUN`: nothing is attached to any interface.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "every test file compiles this module and uses its part of it"
)]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests panic, and so do their parts outside of `#[test]` functions"
)]

pub mod datapath;
pub mod frames;
pub mod model;
pub mod mutate;
pub mod program;
pub mod raw;
pub mod requests;
pub mod rows;
pub mod solicitations;
pub mod world;
