//! The programs of one parent: loading, attaching, replacing, pinning, detaching.
//!
//! ```text
//! open ─► what an agent before left ─► maps: gone on with, or new ones ─► (the first sync fills them)
//!      ─► set_programs ─► each hook: its program replaced, or attached ─► the rest taken off ─► pinned
//! ```
//!
//! What an agent before left goes on answering until the very moment its program is replaced, by a
//! program whose maps are full: there is no gap, whatever layout its maps have.

mod clsact;
mod error;
mod filter;
mod found;
mod layout;
mod link;
mod pin;
mod pinned;
mod rtnetlink;
mod tc;
#[cfg(feature = "trace")]
mod trace;
mod xdp;

use std::io;

use aya::{Ebpf, EbpfLoader};
use ipvlan_common::{Hook, maps, programs};
use tracing::warn;

use self::{
    clsact::Qdisc,
    error::program_errno,
    found::Found,
    pinned::Pinned,
    tc::{Attachment, TcHook, TcMechanism},
    xdp::XdpHook,
};
pub use self::{
    error::AttachError,
    pin::{PIN_DIR, ParentPins, PinError, PinName, PinRoot},
    xdp::XdpMode,
};
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

impl AttachOptions {
    /// The room that is asked for in a map, if it is not always the same.
    fn entries(&self, map: &str) -> Option<u32> {
        match map {
            maps::ADDRESSES_V4 | maps::ADDRESSES_V6 => Some(self.max_addresses),
            maps::CHILD_COUNTERS => Some(self.max_children),
            _ => None,
        }
    }
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

/// The directory of a parent's pins.
#[derive(Debug)]
pub enum Pins {
    /// What is attached is pinned there and outlives the agent.
    Keep(ParentPins),
    /// What an agent before has pinned there is taken over, and outlives the agent no more.
    Release(ParentPins),
    /// There is none.
    None,
}

impl Pins {
    const fn dir(&self) -> Option<&ParentPins> {
        match self {
            Self::Keep(dir) | Self::Release(dir) => Some(dir),
            Self::None => None,
        }
    }
}

/// The programs of one parent.
///
/// Dropping it detaches links that are not pinned; [`Datapath::detach`] detaches everything and says
/// what failed, [`Datapath::leave`] leaves what is pinned.
#[derive(Debug)]
pub struct Datapath {
    name: String,
    ifindex: u32,
    options: AttachOptions,
    // Links before the object: they go first.
    ingress: Option<TcHook>,
    egress: Option<TcHook>,
    xdp: Option<XdpHook>,
    qdisc: Option<Qdisc>,
    /// What an agent before left, until the first programs are set.
    found: Found,
    /// Whether there was anything.
    takes_over: bool,
    adopts: bool,
    pins: Pins,
    pinned: Option<Pinned>,
    note: Option<String>,
    object: Ebpf,
}

impl Datapath {
    /// Loads the object, with the maps of an agent before where they fit. Nothing is attached, and what
    /// is attached stays as it is, before [`Self::set_programs`]: the caller fills the maps meanwhile.
    pub fn open(
        name: &str,
        ifindex: u32,
        options: AttachOptions,
        pins: Pins,
    ) -> Result<(Self, Maps), AttachError> {
        if OBJECT.is_empty() {
            return Err(AttachError::NoObject);
        }
        let found = Found::look(ifindex, pins.dir())?;
        let adopts = match &pins {
            Pins::Keep(dir) => found.any() && layout::fits(&dir.maps(), options)?,
            Pins::Release(_) | Pins::None => false,
        };
        let mut loader = EbpfLoader::new();
        for map in maps::ALL {
            if let Some(entries) = options.entries(map) {
                loader.map_max_entries(map, entries);
            }
        }
        if let Pins::Keep(dir) = &pins {
            let directory = if adopts {
                dir.maps()
            } else {
                dir.make_staging()?
            };
            for map in maps::ALL {
                loader.map_pin_path(map, directory.join(map));
            }
        }
        let mut object = loader.load(OBJECT).map_err(AttachError::load)?;
        let maps = Maps::take(&mut object)?;
        #[cfg(feature = "trace")]
        trace::follow(&mut object);
        let datapath = Self {
            name: name.to_owned(),
            ifindex,
            options,
            ingress: None,
            egress: None,
            xdp: None,
            qdisc: None,
            takes_over: found.any(),
            found,
            adopts,
            pins,
            pinned: None,
            note: None,
            object,
        };
        Ok((datapath, maps))
    }

    /// Whether the maps are those of an agent before, and hold what it wrote.
    #[must_use]
    pub const fn adopts(&self) -> bool {
        self.adopts
    }

    /// Makes these the attached programs. A replacement is atomic: no frame sees none or both. The first
    /// time this is what attaches and pins; the maps must be filled by then.
    pub fn set_programs(
        &mut self,
        ingress: IngressProgram,
        egress: EgressProgram,
    ) -> Result<(), AttachError> {
        let ingress = match ingress {
            IngressProgram::Neighbour => programs::PARENT_INGRESS,
            IngressProgram::Demux => programs::PARENT_INGRESS_DEMUX,
        };
        let egress = match egress {
            EgressProgram::OwnMac => programs::PARENT_EGRESS,
            EgressProgram::Routed => programs::PARENT_EGRESS_ROUTED,
        };
        let Some(hook) = &mut self.ingress else {
            return self.attach(ingress, egress);
        };
        hook.replace(&mut self.object, ingress)?;
        match &mut self.egress {
            Some(hook) => hook.replace(&mut self.object, egress),
            None => Ok(()),
        }
    }

    fn attach(&mut self, ingress: &'static str, egress: &'static str) -> Result<(), AttachError> {
        let mut mechanism = match self.options.tc {
            TcAttach::Auto => None,
            TcAttach::Tcx => Some(TcMechanism::Tcx),
            TcAttach::Clsact => Some(TcMechanism::Clsact),
        };
        // What is still found in the end is taken off; a try after a failed one finds the rest.
        let mut hooks = vec![(Hook::Ingress, ingress)];
        if self.options.host_access {
            hooks.push((Hook::Egress, egress));
        }
        let mut attached = Vec::new();
        for (hook, program) in hooks {
            let hook = self.attach_tc(hook, program, mechanism)?;
            mechanism = Some(hook.mechanism());
            attached.push(hook);
        }
        let mut attached = attached.into_iter();
        self.ingress = attached.next();
        self.egress = attached.next();
        self.attach_xdp()?;
        self.take_over_qdisc();
        for failure in std::mem::take(&mut self.found).detach(self.pins.dir()) {
            warn!(
                parent = self.name,
                "what an agent before left stays: {failure}"
            );
        }
        self.pin()
    }

    fn attach_tc(
        &mut self,
        hook: Hook,
        program: &'static str,
        mechanism: Option<TcMechanism>,
    ) -> Result<TcHook, AttachError> {
        if mechanism != Some(TcMechanism::Clsact) {
            if let Some(link) = self.found.take_link(hook) {
                let attachment = Attachment::Link(link);
                return TcHook::adopt(&mut self.object, hook, program, attachment);
            }
            let tcx = TcMechanism::Tcx;
            match TcHook::attach(&mut self.object, self.ifindex, hook, program, tcx) {
                // A kernel without TCX does not know the attach type.
                Err(error) if is_unknown_attach_type(&error) => {
                    if mechanism == Some(TcMechanism::Tcx) {
                        return Err(AttachError::NoTcx);
                    }
                }
                result => return result,
            }
        }
        if let Some(filter) = self.found.take_filter(hook) {
            let attachment = Attachment::Filter(filter);
            return TcHook::adopt(&mut self.object, hook, program, attachment);
        }
        if self.qdisc.is_none() {
            let qdisc = Qdisc::ensure(&self.name, self.ifindex)?;
            if let (true, Pins::Keep(dir)) = (qdisc.is_ours(), &self.pins) {
                dir.mark_clsact()?;
            }
            self.qdisc = Some(qdisc);
        }
        let clsact = TcMechanism::Clsact;
        TcHook::attach(&mut self.object, self.ifindex, hook, program, clsact)
    }

    fn attach_xdp(&mut self) -> Result<(), AttachError> {
        let Some(mode) = self.options.xdp else {
            return Ok(());
        };
        let hook = if let Some(link) = self.found.take_xdp(mode) {
            XdpHook::adopt(&mut self.object, mode, link)
        } else {
            // One of another mode is in the way; the TC programs answer meanwhile.
            self.found.detach_xdp(self.pins.dir())?;
            XdpHook::attach(&mut self.object, &self.name, self.ifindex, mode)
        };
        match hook {
            Ok(hook) => self.xdp = Some(hook),
            Err(error @ AttachError::ForeignXdp { .. }) => {
                let note = format!("{error}: it stays, and the TC programs answer");
                warn!(parent = self.name, "{note}");
                self.note = Some(note);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The qdisc of filters that were found, if it was added for us.
    fn take_over_qdisc(&mut self) {
        if self.qdisc.is_some() || !self.found.had_filters() {
            return;
        }
        // Without pins there is no mark: it was most likely the agent that added it.
        let ours = self
            .pins
            .dir()
            .is_none_or(|dir| dir.has_clsact_mark() || !dir.maps().is_dir());
        if ours {
            self.qdisc = Some(Qdisc::adopt(&self.name, self.ifindex));
        }
    }

    /// Pins everything, or nothing.
    fn pin(&mut self) -> Result<(), AttachError> {
        if !self.uses_clsact()
            && let Some(qdisc) = self.qdisc.take()
        {
            qdisc.remove_if_unused()?;
            if let Pins::Keep(dir) = &self.pins {
                dir.unmark_clsact()?;
            }
        }
        match &self.pins {
            Pins::Keep(dir) => {
                if !self.adopts {
                    dir.commit()?;
                }
                if self.uses_clsact() && self.qdisc.as_ref().is_some_and(Qdisc::is_ours) {
                    dir.mark_clsact()?;
                }
                let mut links = Vec::new();
                for hook in [&mut self.ingress, &mut self.egress].into_iter().flatten() {
                    links.extend(hook.pin(dir)?);
                }
                if let Some(hook) = &mut self.xdp {
                    links.extend(hook.pin(dir)?);
                }
                self.pinned = Some(Pinned::new(dir, links)?);
                Ok(())
            }
            Pins::Release(_) => {
                let Pins::Release(dir) = std::mem::replace(&mut self.pins, Pins::None) else {
                    return Ok(());
                };
                dir.remove()?;
                Ok(())
            }
            Pins::None => Ok(()),
        }
    }

    fn uses_clsact(&self) -> bool {
        let mut hooks = [&self.ingress, &self.egress].into_iter().flatten();
        hooks.any(|hook| hook.mechanism() == TcMechanism::Clsact)
    }

    /// What is attached where.
    #[must_use]
    pub fn hooks(&self) -> Vec<HookInfo> {
        let tc = [&self.ingress, &self.egress];
        tc.into_iter()
            .flatten()
            .map(TcHook::info)
            .chain(self.xdp.iter().map(XdpHook::info))
            .collect()
    }

    /// Where everything is pinned, if it is.
    #[must_use]
    pub fn pin_directory(&self) -> Option<&std::path::Path> {
        match &self.pins {
            Pins::Keep(dir) => Some(dir.path()),
            Pins::Release(_) | Pins::None => None,
        }
    }

    /// What people should know about how it is attached.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Pins again what somebody else has unpinned. Returns how many objects it was.
    pub fn repin(&mut self) -> Result<usize, AttachError> {
        match (&mut self.pinned, &self.pins) {
            (Some(pinned), Pins::Keep(dir)) => pinned.repair(dir),
            _ => Ok(0),
        }
    }

    /// Waits until somebody else may have changed what is pinned. Cancelling loses nothing.
    pub fn poll_pins(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        match &mut self.pinned {
            Some(pinned) => pinned.poll(context),
            None => std::task::Poll::Pending,
        }
    }

    /// Ends, and leaves attached what is pinned.
    #[must_use]
    pub fn leave(self) -> Vec<AttachError> {
        if self.pinned.is_some() {
            self.let_go()
        } else {
            self.detach()
        }
    }

    /// Closes what it holds: links that are pinned stay, and so do filters.
    fn let_go(mut self) -> Vec<AttachError> {
        if let Some(qdisc) = self.qdisc.take() {
            qdisc.leave();
        }
        Vec::new()
    }

    /// Detaches everything. All of it is tried; every failure is returned.
    #[must_use]
    pub fn detach(self) -> Vec<AttachError> {
        let Self {
            ingress,
            egress,
            xdp,
            qdisc,
            found,
            pins,
            pinned,
            object: _object,
            ..
        } = self;
        let mut errors = Vec::new();
        // Their handles, too, keep links attached.
        drop(pinned);
        errors.extend(found.detach(pins.dir()));
        if let Pins::Keep(dir) | Pins::Release(dir) = pins {
            errors.extend(dir.remove().err().map(AttachError::from));
        }
        errors.extend(xdp.and_then(|hook| hook.detach().err()));
        errors.extend(egress.and_then(|hook| hook.detach().err()));
        errors.extend(ingress.and_then(|hook| hook.detach().err()));
        errors.extend(qdisc.and_then(|qdisc| qdisc.remove_if_unused().err()));
        errors
    }

    /// Ends after a failed start: what an agent before left is as it was or replaced, what is new goes.
    #[must_use]
    pub fn undo(self) -> Vec<AttachError> {
        if self.takes_over {
            self.let_go()
        } else {
            self.detach()
        }
    }
}

fn is_unknown_attach_type(error: &AttachError) -> bool {
    matches!(error, AttachError::Program { source, action: "attach", .. }
        if program_errno(source) == Some(libc::EINVAL))
}

/// Takes everything of ours off an interface of the current netns that no agent serves: filters, and the
/// qdisc if it is ours and nobody else uses it. Returns how many filters it were.
pub fn remove_filters(name: &str, ifindex: u32, qdisc_is_ours: bool) -> Result<usize, AttachError> {
    let failed = |action| {
        move |source| AttachError::Clsact {
            action,
            parent: name.to_owned(),
            source,
        }
    };
    let filters = filter::ours(ifindex).map_err(failed("read"))?;
    for filter in &filters {
        filter.delete().map_err(failed("remove a filter of"))?;
    }
    if !filters.is_empty() && qdisc_is_ours {
        Qdisc::adopt(name, ifindex).remove_if_unused()?;
    }
    Ok(filters.len())
}
