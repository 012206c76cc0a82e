//! The lab: network namespaces, probes and the machine they run in.
//!
//! Nothing here knows the agent's programs. A [`lab::Lab`] makes network namespaces that are gone when it is; [`probe`]
//! asks from inside them who can reach whom; [`demo`] builds the topology of the field notes and
//! fills the table with and without an agent; [`numbers`] measures it; [`mod@bench`] compares what frames cost; [`oracle`] compares the agent's
//! answers with the kernel's; [`faults`] breaks things and counts what that costs; [`attacks`] plays attackers and [`nodes`] what real nodes do, and [`nics`] asks behind network cards, all three as [`rows`]; [`differential`] compares generated nodes without and with the agent; [`init`] is the first process of the virtual machine all that usually
//! runs in.

pub mod agent;
pub mod attacks;
pub mod bench;
pub mod bpf;
pub mod command;
pub mod cost;
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
pub mod numbers;
pub mod oracle;
pub mod probe;
pub mod results;
pub mod rows;
