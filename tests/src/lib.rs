//! The lab: network namespaces, probes and the machine they run in.
//!
//! Nothing here knows the agent's programs. A [`lab::Lab`] makes network namespaces that are gone when it is; [`probe`]
//! asks from inside them who can reach whom. The suites: [`demo`] fills the table of the field notes with and without an
//! agent; [`mod@bench`] measures what frames and events cost; [`oracle`] compares the agent's answers with the kernel's;
//! [`faults`] breaks things and counts what that costs; [`attacks`] plays attackers, [`nodes`] what real nodes do, and
//! [`nics`] asks behind network cards, all three as [`rows`]; [`differential`] compares generated nodes without and with
//! the agent. Tests in network namespaces run on a [`topology`]. [`init`] is the first process of the virtual machine that all
//! of it usually runs in.

#![allow(
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "an attribute on nearly every function would say nothing about any"
)]

pub mod agent;
pub mod attacks;
pub mod bench;
pub mod bpf;
pub mod command;
pub mod demo;
pub mod differential;
pub mod ethtool;
pub mod family;
pub mod faults;
pub mod hooks;
pub mod init;
pub mod lab;
pub mod netlink;
pub mod netns;
pub mod nics;
pub mod nodes;
pub mod oracle;
pub mod probe;
pub mod results;
pub mod rows;
pub mod topology;
