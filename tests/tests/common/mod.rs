//! What the packet tests share: the programs in the kernel, the addresses they know, frames, rows of
//! a table, and the reference model.
//!
//! Everything runs through `BPF_PROG_TEST_RUN`: nothing is attached to any interface.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file compiles this module and uses its part of it"
)]

pub mod datapath;
pub mod frames;
pub mod model;
pub mod rows;
pub mod world;
