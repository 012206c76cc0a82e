//! The programs of one parent, from loading to detaching.

use std::{
    io,
    path::Path,
    task::{Context, Poll},
};

use ipvlan_common::programs;
use tracing::debug;

use super::{
    AttachError, AttachOptions, HookInfo, OBJECT,
    clsact::Qdisc,
    layout, netns,
    objects::{self, Objects},
    order::Moves,
    previous::Previous,
    tc::TcHook,
    xdp::XdpHook,
};
use crate::{
    maps::Maps,
    model::{EgressProgram, IngressProgram},
    pins::{ParentPins, Pinned, Pins},
};

/// The cookie of no netns.
const NO_COOKIE: u64 = 0;

/// The note where isolation is set and no program can ask for the netns of a socket.
const NO_SENDER: &str = "this kernel does not report which netns sent a packet (Linux 6.15 does): a \
                         container can reach isolated children from a spoofed address of the host";

/// Why there is no XDP program although one is asked for.
#[derive(Debug)]
pub(super) enum Note {
    /// Another one is attached.
    Foreign(String),
    /// It would not see VLAN tags, or its answers would be lost.
    Unfit(String),
}

impl Note {
    fn text(&self) -> &str {
        let (Self::Foreign(text) | Self::Unfit(text)) = self;
        text
    }
}

/// Whether a program can ask for the netns of the socket that sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sockets {
    Known,
    Unknown,
}

/// The programs of one parent.
///
/// Dropping it detaches links that are not pinned; [`Datapath::detach`] detaches everything and says
/// what failed, [`Datapath::detach_keep_pins`] leaves what is pinned.
#[derive(Debug)]
pub struct Datapath {
    pub(super) name: String,
    pub(super) ifindex: u32,
    pub(super) options: AttachOptions,
    // Links before the object: they go first.
    pub(super) ingress: Option<TcHook>,
    pub(super) egress: Option<TcHook>,
    pub(super) xdp: Option<XdpHook>,
    pub(super) qdisc: Option<Qdisc>,
    /// Programs of a previous agent, until the first programs are set.
    pub(super) previous: Previous,
    /// Whether there was anything.
    pub(super) takes_over: bool,
    pub(super) adopts: bool,
    pub(super) pins: Pins,
    pub(super) pinned: Option<Pinned>,
    pub(super) note: Option<Note>,
    /// The egress program that is asked for, attached or not.
    pub(super) egress_program: Option<&'static str>,
    pub(super) moves: Moves,
    /// Why frames may not reach the programs.
    pub(super) impeded: Vec<String>,
    /// The programs that run before ours because the operator wants that.
    pub(super) behind: Vec<String>,
    /// How many programs of other processes run before ours.
    pub(super) foreign: usize,
    sockets: Sockets,
    /// Whether the programs that were set last are those of a parent under isolation.
    isolated: bool,
    pub(super) objects: Objects,
}

impl Datapath {
    /// Loads the object, with the maps of a previous agent where they fit. Nothing is attached, and what
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
        // Maps are pinned by paths.
        let _acting = pins.dir().map(ParentPins::act);
        let previous = Previous::find(ifindex, pins.dir())?;
        let adopted = match &pins {
            Pins::Keep(dir) if previous.any() => match dir.maps()? {
                Some(maps) if layout::fits(&maps, options)? => Some(maps),
                _ => None,
            },
            Pins::Keep(_) | Pins::Release(_) | Pins::None => None,
        };
        let adopts = adopted.is_some();
        let cookie = host_cookie();
        let sockets = if cookie != NO_COOKIE && netns::knows_netns_of_sockets() {
            Sockets::Known
        } else {
            Sockets::Unknown
        };
        // Open until they are loaded.
        let directory = match (&pins, adopted) {
            (Pins::Keep(dir), None) => Some(dir.make_staging()?),
            (_, adopted) => adopted,
        };
        let mut object = objects::load(OBJECT, cookie, options, directory.as_ref())?;
        let maps = Maps::take(&mut object)?;
        #[cfg(feature = "trace")]
        super::trace::follow(&mut object);
        let datapath = Self {
            name: name.to_owned(),
            ifindex,
            options,
            ingress: None,
            egress: None,
            xdp: None,
            qdisc: None,
            takes_over: previous.any(),
            previous,
            adopts,
            pins,
            pinned: None,
            note: None,
            egress_program: None,
            moves: Moves::default(),
            impeded: Vec::new(),
            behind: Vec::new(),
            foreign: 0,
            sockets,
            isolated: false,
            objects: Objects::new(object),
        };
        Ok((datapath, maps))
    }

    /// Returns whether the maps are those of a previous agent, with its entries.
    #[must_use]
    pub const fn adopts(&self) -> bool {
        self.adopts
    }

    /// Makes these the attached programs. A replacement is atomic: no frame sees none or both. The first
    /// time this is what attaches and pins; the maps must be filled by then. `isolated`: whether
    /// [`ConfigFlags::ISOLATED`](ipvlan_common::ConfigFlags::ISOLATED) is set.
    pub fn set_programs(
        &mut self,
        ingress: IngressProgram,
        egress: EgressProgram,
        isolated: bool,
    ) -> Result<(), AttachError> {
        self.isolated = isolated;
        let ingress = match ingress {
            IngressProgram::Neighbour => programs::PARENT_INGRESS,
            IngressProgram::Demux => programs::PARENT_INGRESS_DEMUX,
        };
        let egress = match (egress, isolated && self.sockets == Sockets::Known) {
            (EgressProgram::OwnMac, false) => programs::PARENT_EGRESS,
            (EgressProgram::OwnMac, true) => programs::PARENT_EGRESS_ISOLATED,
            (EgressProgram::Routed, false) => programs::PARENT_EGRESS_ROUTED,
            (EgressProgram::Routed, true) => programs::PARENT_EGRESS_ROUTED_ISOLATED,
        };
        self.egress_program = Some(egress);
        let Some(hook) = &mut self.ingress else {
            return self.attach(ingress, egress);
        };
        hook.replace(&mut self.objects, ingress)?;
        match &mut self.egress {
            Some(hook) => hook.replace(&mut self.objects, egress),
            None => Ok(()),
        }
    }

    /// Returns the attached programs and their hooks.
    #[must_use]
    pub fn hooks(&self) -> Vec<HookInfo> {
        let tc = [&self.ingress, &self.egress];
        tc.into_iter()
            .flatten()
            .map(TcHook::info)
            .chain(self.xdp.iter().map(XdpHook::info))
            .collect()
    }

    /// Whether host and children are to reach each other.
    #[must_use]
    pub const fn has_host_access(&self) -> bool {
        self.options.host_access
    }

    /// Where everything is pinned, if it is.
    #[must_use]
    pub fn pin_directory(&self) -> Option<&Path> {
        match &self.pins {
            Pins::Keep(dir) => Some(dir.path()),
            Pins::Release(_) | Pins::None => None,
        }
    }

    /// Returns how many programs of other processes ran before ours when the order was checked last.
    #[must_use]
    pub const fn foreign(&self) -> usize {
        self.foreign
    }

    /// Returns what the operator should know about how it is attached.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        let no_sender = self.isolated && self.egress.is_some() && self.sockets == Sockets::Unknown;
        let notes = [
            self.note.as_ref().map(Note::text),
            no_sender.then_some(NO_SENDER),
        ];
        let behind = self.behind.iter().map(String::as_str);
        notes.into_iter().flatten().chain(behind)
    }

    /// Restores pins that another process has removed. Returns how many.
    pub fn repin(&mut self) -> Result<usize, AttachError> {
        match (&mut self.pinned, &mut self.pins) {
            (Some(pinned), Pins::Keep(dir)) => Ok(pinned.repair(dir)?),
            _ => Ok(0),
        }
    }

    /// Waits until another process may have changed the pins. Cancelling loses nothing.
    pub fn poll_pins(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.pinned {
            Some(pinned) => pinned.poll(context),
            None => Poll::Pending,
        }
    }

    /// Stops, and keeps pinned programs attached.
    #[must_use]
    pub fn detach_keep_pins(mut self) -> Vec<AttachError> {
        if self.pinned.is_some() {
            // What stays attached captures nothing.
            let mut errors = Vec::from_iter(self.stop_capture().err());
            errors.extend(self.release());
            errors
        } else {
            self.detach()
        }
    }

    /// Closes its handles: pinned links stay, and so do filters.
    fn release(mut self) -> Vec<AttachError> {
        if let Some(qdisc) = self.qdisc.take() {
            qdisc.keep();
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
            previous,
            pins,
            pinned,
            objects: _objects,
            ..
        } = self;
        let mut errors = Vec::new();
        // Their handles, too, keep links attached.
        drop(pinned);
        errors.extend(previous.detach(pins.dir()));
        if let Pins::Keep(dir) | Pins::Release(dir) = pins {
            errors.extend(dir.remove().err().map(AttachError::from));
        }
        errors.extend(xdp.and_then(|hook| hook.detach().err()));
        errors.extend(egress.and_then(|hook| hook.detach().err()));
        errors.extend(ingress.and_then(|hook| hook.detach().err()));
        errors.extend(qdisc.and_then(|qdisc| qdisc.remove_if_unused().err()));
        errors
    }

    /// Stops after a failed start: programs of a previous agent are as they were or replaced, new ones are detached.
    #[must_use]
    pub fn rollback(self) -> Vec<AttachError> {
        if self.takes_over {
            self.release()
        } else {
            self.detach()
        }
    }
}

/// Returns the cookie of the agent's netns, by which programs recognise sockets of the host.
pub(super) fn host_cookie() -> u64 {
    netns::cookie().unwrap_or_else(|error| {
        debug!(%error, "cannot read the cookie of the netns");
        NO_COOKIE
    })
}
