//! The running agent, on this host's kernel: every test makes the network namespaces it needs.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests panic, and so do their parts outside of `#[test]` functions"
)]

mod beside_root;
mod capture;
mod cleanup;
mod clients;
mod common;
mod config;
mod doctor;
mod errors;
mod explain;
mod files;
mod host;
mod lifecycle;
mod messages;
mod metrics;
mod monitor;
mod motion;
mod neighbours;
mod pins;
mod privileges;
mod service;
mod sockets;
mod status;
mod status_places;
mod takeover;
mod top;
mod verbs;
mod vlan;
