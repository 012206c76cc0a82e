//! The programs of one parent: loading, attaching, replacing, detaching.

mod clsact;
mod error;
mod tc;
#[cfg(feature = "trace")]
mod trace;
mod xdp;

use aya::{Ebpf, EbpfLoader};
use ipvlan_common::{Hook, maps, programs};

pub use self::{error::AttachError, xdp::XdpMode};
use self::{tc::TcHook, xdp::XdpHook};
use crate::{
    model::{EgressProgram, IngressProgram},
    sync::maps::Maps,
};

/// The eBPF object, built by `build.rs`. Empty in a build that skipped it.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ipvlan-ebpf"));

/// How to attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttachOptions {
    /// How the TC programs are attached.
    pub tc: TcAttach,
    /// Whether and how the XDP program is.
    pub xdp: Option<XdpMode>,
    /// Attach to egress: host and children reach each other.
    pub host_access: bool,
    /// Room in the address map of each family.
    pub max_addresses: u32,
    /// Room for child counters.
    pub max_children: u32,
}

/// How the TC programs are attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
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
    /// The hook.
    pub hook: Hook,
    /// Name of the program.
    pub program: &'static str,
    /// How it is attached: `tcx`, `clsact`, `xdp-native` or `xdp-generic`.
    pub mechanism: &'static str,
    /// Id of the program in the kernel.
    pub program_id: u32,
}

/// The attached programs of one parent. Dropping it detaches them; [`Datapath::detach`] does so and
/// says what failed.
#[derive(Debug)]
pub struct Datapath {
    // Links before the object: they go first.
    ingress: TcHook,
    egress: Option<TcHook>,
    xdp: Option<XdpHook>,
    clsact: Option<clsact::Qdisc>,
    object: Ebpf,
}

impl Datapath {
    /// Loads the object and attaches its programs to a parent. They answer nothing before the
    /// configuration is written to the maps that are returned.
    pub fn attach(
        name: &str,
        ifindex: u32,
        options: AttachOptions,
    ) -> Result<(Self, Maps), AttachError> {
        if OBJECT.is_empty() {
            return Err(AttachError::NoObject);
        }
        let mut object = EbpfLoader::new()
            .map_max_entries(maps::ADDRESSES_V4, options.max_addresses)
            .map_max_entries(maps::ADDRESSES_V6, options.max_addresses)
            .map_max_entries(maps::CHILD_COUNTERS, options.max_children)
            .load(OBJECT)
            .map_err(AttachError::load)?;
        let maps = Maps::take(&mut object)?;
        #[cfg(feature = "trace")]
        trace::follow(&mut object);

        let mut attacher = tc::Attacher::new(name, ifindex, options.tc)?;
        let ingress = attacher.attach(&mut object, Hook::Ingress, programs::PARENT_INGRESS)?;
        let egress = options
            .host_access
            .then(|| attacher.attach(&mut object, Hook::Egress, programs::PARENT_EGRESS))
            .transpose()?;
        let mut datapath = Self {
            ingress,
            egress,
            xdp: None,
            clsact: attacher.finish(),
            object,
        };
        if let Some(mode) = options.xdp {
            let hook = XdpHook::attach(&mut datapath.object, name, ifindex, mode)?;
            datapath.xdp = Some(hook);
        }
        Ok((datapath, maps))
    }

    /// Makes these the attached programs. A replacement is atomic: no frame sees none or both.
    pub fn set_programs(
        &mut self,
        ingress: IngressProgram,
        egress: EgressProgram,
    ) -> Result<(), AttachError> {
        let ingress = match ingress {
            IngressProgram::Neighbour => programs::PARENT_INGRESS,
            IngressProgram::Demux => programs::PARENT_INGRESS_DEMUX,
        };
        self.ingress.replace(&mut self.object, ingress)?;
        let egress = match egress {
            EgressProgram::OwnMac => programs::PARENT_EGRESS,
            EgressProgram::Routed => programs::PARENT_EGRESS_ROUTED,
        };
        match &mut self.egress {
            Some(hook) => hook.replace(&mut self.object, egress),
            None => Ok(()),
        }
    }

    /// What is attached where.
    #[must_use]
    pub fn hooks(&self) -> Vec<HookInfo> {
        let tc = [Some(&self.ingress), self.egress.as_ref()];
        tc.into_iter()
            .flatten()
            .map(TcHook::info)
            .chain(self.xdp.iter().map(XdpHook::info))
            .collect()
    }

    /// Detaches everything. All of it is tried; every failure is returned.
    #[must_use]
    pub fn detach(self) -> Vec<AttachError> {
        let Self {
            ingress,
            egress,
            xdp,
            clsact,
            object: _object,
        } = self;
        let mut errors = Vec::new();
        errors.extend(xdp.and_then(|hook| hook.detach().err()));
        errors.extend(egress.and_then(|hook| hook.detach().err()));
        errors.extend(ingress.detach().err());
        errors.extend(clsact.and_then(|qdisc| qdisc.remove_if_unused().err()));
        errors
    }
}
