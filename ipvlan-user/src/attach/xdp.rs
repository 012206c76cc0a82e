//! The XDP hook.

use std::io;

use aya::{
    Ebpf,
    programs::{
        ProgramError, Xdp,
        links::{FdLink, Link as _},
        xdp::{XdpLink, XdpMode as AttachMode},
    },
};
use ipvlan_common::{Hook, programs};
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};

use super::{AttachError, HookInfo, error::program_errno, objects::Objects, verify};
use crate::{
    model::HookPoint,
    netlink,
    pins::{ParentPins, link::LinkPin},
    protocol::Mechanism,
};

const POINT: HookPoint = HookPoint::Parent(Hook::Xdp);

/// Where the XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
}

impl XdpMode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Native, Self::Generic];

    /// The word for it in messages, and the name of its pin: a link does not report its mode.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Native => "xdp-native",
            Self::Generic => "xdp-generic",
        }
    }

    /// The program for it.
    const fn program(self) -> &'static str {
        match self {
            Self::Native => programs::PARENT_XDP,
            Self::Generic => programs::PARENT_XDP_GENERIC,
        }
    }
}

/// The attached XDP program.
#[derive(Debug)]
pub(super) struct XdpHook {
    mode: XdpMode,
    program_id: u32,
    /// Whether the program captures frames.
    captures: bool,
    /// Only ever `None` after it could not be pinned or replaced.
    link: Option<FdLink>,
}

impl XdpHook {
    /// Attaches the program in exactly this mode, next to no other: a foreign program stays.
    pub(super) fn attach(
        objects: &mut Objects,
        name: &str,
        ifindex: u32,
        mode: XdpMode,
    ) -> Result<Self, AttachError> {
        let captures = objects.captures();
        let xdp = load(objects.current(), mode)?;
        let flags = match mode {
            XdpMode::Native => AttachMode::Driver,
            XdpMode::Generic => AttachMode::Skb,
        };
        let id = xdp
            .attach_to_if_index(ifindex, flags)
            .map_err(|source| explain(name, ifindex, mode, source))?;
        // aya falls back to a netlink attachment, which would replace a foreign program and could
        // not be pinned; only a link will do.
        let link = xdp
            .take_link(id)
            .map_err(failed("attach", mode))
            .and_then(|link| FdLink::try_from(link).map_err(|_| foreign(name, ifindex)))?;
        Ok(Self {
            mode,
            program_id: id_of(xdp),
            captures,
            link: Some(link),
        })
    }

    /// Atomically puts this build's program in the place of the one that a link of this mode runs.
    pub(super) fn adopt(
        objects: &mut Objects,
        mode: XdpMode,
        link: FdLink,
    ) -> Result<Self, AttachError> {
        let captures = objects.captures();
        let xdp = load(objects.current(), mode)?;
        let link = XdpLink::try_from(link).map_err(|_| AttachError::LinkGone { point: POINT })?;
        let link = xdp
            .attach_to_link(link)
            .and_then(|id| xdp.take_link(id))
            .map_err(failed("replace the attached program by", mode))
            .and_then(|link| {
                FdLink::try_from(link).map_err(|_| AttachError::LinkGone { point: POINT })
            })?;
        Ok(Self {
            mode,
            program_id: id_of(xdp),
            captures,
            link: Some(link),
        })
    }

    /// Atomically puts the program of the current object in the place of the attached one, if that is another.
    pub(super) fn replace(&mut self, objects: &mut Objects) -> Result<(), AttachError> {
        if self.captures == objects.captures() {
            return Ok(());
        }
        let gone = AttachError::LinkGone { point: POINT };
        let link = self.link.take().ok_or(gone)?;
        *self = Self::adopt(objects, self.mode, link)?;
        Ok(())
    }

    /// Returns where the program runs.
    pub(super) const fn mode(&self) -> XdpMode {
        self.mode
    }

    pub(super) fn info(&self) -> HookInfo {
        HookInfo {
            point: POINT,
            program: self.mode.program(),
            mechanism: match self.mode {
                XdpMode::Native => Mechanism::XdpNative,
                XdpMode::Generic => Mechanism::XdpGeneric,
            },
            program_id: self.program_id,
        }
    }

    /// Returns the name of its pin.
    pub(super) const fn pin_name(&self) -> &'static str {
        self.mode.word()
    }

    /// Pins the link. If that fails the hook is not attached any more.
    pub(super) fn pin(&mut self, dir: &ParentPins) -> Result<Option<LinkPin>, AttachError> {
        let Some(link) = self.link.take() else {
            return Ok(None);
        };
        let (link, one) = LinkPin::pin(dir, self.pin_name().to_owned(), link)?;
        self.link = Some(link);
        Ok(Some(one))
    }

    pub(super) fn detach(self) -> Result<(), AttachError> {
        let mode = self.mode;
        match self.link {
            Some(link) => link.detach().map_err(failed("detach", mode)),
            None => Ok(()),
        }
    }
}

/// Loads the program for a mode, unless it is loaded.
pub(super) fn load(object: &mut Ebpf, mode: XdpMode) -> Result<&mut Xdp, AttachError> {
    let program = mode.program();
    let xdp: &mut Xdp = object
        .program_mut(program)
        .ok_or(AttachError::MissingProgram { program })?
        .try_into()
        .map_err(failed("use", mode))?;
    verify::load(program, || xdp.load())?;
    Ok(xdp)
}

fn id_of(xdp: &Xdp) -> u32 {
    xdp.info().map_or(0, |info| info.id())
}

fn failed(action: &'static str, mode: XdpMode) -> impl FnOnce(ProgramError) -> AttachError {
    move |source| AttachError::Program {
        action,
        program: mode.program(),
        source: Box::new(source),
    }
}

fn explain(name: &str, ifindex: u32, mode: XdpMode, source: ProgramError) -> AttachError {
    match program_errno(&source) {
        // EBUSY: a program is attached in this mode; EEXIST: in another one.
        Some(libc::EBUSY | libc::EEXIST) => foreign(name, ifindex),
        _ => AttachError::XdpMode {
            parent: name.to_owned(),
            mode: mode.word(),
            source: Box::new(source),
        },
    }
}

fn foreign(name: &str, ifindex: u32) -> AttachError {
    AttachError::ForeignXdp {
        parent: name.to_owned(),
        program_id: attached_program(ifindex).ok().flatten(),
    }
}

/// Id of the XDP program of an interface.
pub(super) fn attached_program(ifindex: u32) -> io::Result<Option<u32>> {
    let mut request = LinkMessage::default();
    request.header.index = ifindex;
    let link = netlink::link::read(request)?;
    let attributes = link.into_iter().flat_map(|link| link.attributes);
    let mut programs = attributes.filter_map(|attribute| match attribute {
        LinkAttribute::Xdp(xdp) => xdp.into_iter().find_map(|attribute| match attribute {
            LinkXdp::ProgId(id) => Some(id),
            _ => None,
        }),
        _ => None,
    });
    Ok(programs.next())
}
