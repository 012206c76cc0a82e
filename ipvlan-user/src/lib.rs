//! The agent of the eBPF datapath for ipvlan parents.
//!
//! ```text
//! netlink ─► watch ─► wake ─► (coalesce) ─► dump ─► Snapshot ─► desired() ─► diff(Installed) ─► apply
//! ```
//!
//! Data flows one way. An event carries no state: events are wakes, dumps are truth. [`discover`] reads the kernel
//! and writes nothing but nsids; [`model`] and [`maps::diff`] are pure; only [`agent`] knows them all. Which room
//! uses which is a table in ARCHITECTURE.md, which `cargo xtask lint` holds against the `use` lines.

#[cfg(not(target_arch = "x86_64"))]
compile_error!(
    "ipvlan builds for x86_64 only: the programs read the address indexes while the agent writes them, which \
     relies on loads and stores that stay in order"
);

pub mod agent;
pub mod attach;
pub mod cli;
pub mod commands;
pub mod config;
pub mod decode;
pub mod directory;
pub mod discover;
pub mod doctor;
pub mod exit;
pub mod facts;
pub mod lan;
pub mod maps;
pub mod metrics;
pub mod model;
pub mod names;
pub mod netlink;
pub mod pins;
pub mod protocol;
pub mod quota;
pub mod runtime;
pub mod text;

pub use attach::{CAPTURE_OBJECT, OBJECT};
