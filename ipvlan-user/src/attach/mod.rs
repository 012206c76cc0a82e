//! The programs of one parent: loading, attaching, replacing, pinning, detaching.
//!
//! ```text
//! open ─► programs of a previous agent ─► its maps are reused, or new ones made ─► (the first sync fills them)
//!      ─► set_programs ─► each hook: its program replaced, or attached ─► the rest detached ─► pinned
//! ```
//!
//! A program of a previous agent keeps answering until it is replaced by a program whose maps are full: there is no
//! gap, whatever layout its maps have.

mod capture;
mod chain;
mod clsact;
mod datapath;
mod error;
pub mod ethtool;
mod filter;
mod layout;
mod mprog;
pub mod netns;
mod objects;
mod order;
mod previous;
mod select;
pub mod survey;
mod tc;
mod test_run;
#[cfg(feature = "trace")]
mod trace;
mod verify;
mod veth;
mod vlan;
mod xdp;

use ipvlan_common::maps;

use crate::{model::HookPoint, protocol::Mechanism};

pub use ipvlan_object::{CAPTURE as CAPTURE_OBJECT, DATAPATH as OBJECT};

pub use self::{
    capture::CaptureMaps,
    clsact::remove_filters,
    datapath::Datapath,
    error::AttachError,
    order::Order,
    test_run::{TestRun, TestVerdict},
    xdp::XdpMode,
};

/// How to attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttachOptions {
    /// How the TC programs are attached.
    pub tc: TcAttach,
    /// Where they run among those of others.
    pub order: Order,
    /// Whether and how the XDP program is.
    pub xdp: Option<XdpMode>,
    /// Attach to egress: host and children reach each other.
    pub host_access: bool,
    /// Entries of the address map of each family.
    pub max_addresses: u32,
    /// Slots for child counters.
    pub max_children: u32,
}

impl AttachOptions {
    /// Returns the configured size of a map, if it is not always the same.
    fn entries(&self, map: &str) -> Option<u32> {
        match map {
            maps::ADDRESSES_V4 | maps::ADDRESSES_V6 => Some(self.max_addresses),
            maps::CHILD_COUNTERS => Some(self.max_children),
            _ => None,
        }
    }
}

/// How the TC programs are attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TcAttach {
    /// TCX where the kernel has it (6.6), else clsact.
    #[default]
    Auto,
    /// TCX links.
    Tcx,
    /// Filters of a clsact qdisc.
    Clsact,
}

/// A program and where it is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookInfo {
    /// Where it is attached.
    pub point: HookPoint,
    /// Name of the program.
    pub program: &'static str,
    /// How it is attached.
    pub mechanism: Mechanism,
    /// Id of the program in the kernel.
    pub program_id: u32,
}
