//! The TC hooks: TCX links, or filters of a clsact qdisc.

use std::io;

use aya::{
    Ebpf,
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        links::{FdLink, Link as _, LinkError},
        tc::{SchedClassifierLink, TcAttachOptions},
    },
};
use ipvlan_common::Hook;
use nix::net::if_::if_indextoname;

use super::{
    AttachError, HookInfo,
    filter::Filter,
    objects::Objects,
    order::{Order, Place},
    verify,
};
use crate::{
    model::HookPoint,
    pins::{ParentPins, link::LinkPin},
    protocol::Mechanism,
};

/// How a TC program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TcMechanism {
    /// [`Mechanism::Tcx`].
    Tcx,
    /// [`Mechanism::Clsact`].
    Clsact,
}

impl From<TcMechanism> for Mechanism {
    fn from(of: TcMechanism) -> Self {
        match of {
            TcMechanism::Tcx => Self::Tcx,
            TcMechanism::Clsact => Self::Clsact,
        }
    }
}

/// How a program is attached anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct How {
    pub(super) mechanism: TcMechanism,
    pub(super) order: Order,
}

/// What a program hangs on.
#[derive(Debug)]
pub(super) enum Attachment {
    /// Detached with its last handle, which may be a pin.
    Link(FdLink),
    /// Stays until it is deleted.
    Filter(Filter),
}

impl Attachment {
    const fn mechanism(&self) -> TcMechanism {
        match self {
            Self::Link(_) => TcMechanism::Tcx,
            Self::Filter(_) => TcMechanism::Clsact,
        }
    }

    /// Attaches anew, before or after what is there.
    fn new(
        classifier: &mut SchedClassifier,
        program: &str,
        ifindex: u32,
        hook: Hook,
        how: How,
    ) -> Result<Self, ProgramError> {
        match how.mechanism {
            TcMechanism::Tcx => {
                let options = TcAttachOptions::TcxOrder(match how.order {
                    Order::First => LinkOrder::first(),
                    Order::After => LinkOrder::default(),
                });
                let attach_type = match hook {
                    Hook::Egress => TcAttachType::Egress,
                    Hook::Ingress | Hook::Xdp => TcAttachType::Ingress,
                };
                let id = classifier.attach_with_options(&name(ifindex)?, attach_type, options)?;
                Ok(Self::Link(as_link(classifier.take_link(id)?)?))
            }
            TcMechanism::Clsact => {
                let filter = Filter::add(classifier.fd()?, program, ifindex, hook, how.order)?;
                Ok(Self::Filter(filter))
            }
        }
    }

    /// Returns its place among the programs at its hook.
    pub(super) fn place(&self, ifindex: u32, hook: Hook) -> io::Result<Place> {
        match self {
            Self::Link(link) => {
                let info = link.info().map_err(io::Error::other)?;
                Place::of_program(info.program_id(), ifindex, hook)
            }
            Self::Filter(filter) => filter.place(),
        }
    }

    /// Atomically puts another program in the place of the one that runs.
    fn replace(
        self,
        classifier: &mut SchedClassifier,
        program: &str,
    ) -> Result<Self, ProgramError> {
        match self {
            Self::Link(link) => {
                let link = SchedClassifierLink::try_from(link).map_err(not_tcx)?;
                let id = classifier.attach_to_link(link)?;
                Ok(Self::Link(as_link(classifier.take_link(id)?)?))
            }
            Self::Filter(filter) => {
                filter.replace(classifier.fd()?, program)?;
                Ok(Self::Filter(filter))
            }
        }
    }

    /// Takes the program off. A link that is pinned as well stays.
    pub(super) fn detach(self) -> Result<(), ProgramError> {
        match self {
            Self::Link(link) => link.detach(),
            Self::Filter(filter) => filter.delete().map_err(ProgramError::IOError),
        }
    }
}

/// The name that an interface has now: aya takes names.
fn name(ifindex: u32) -> Result<String, ProgramError> {
    let name = if_indextoname(ifindex).map_err(|errno| ProgramError::IOError(errno.into()))?;
    Ok(name.to_string_lossy().into_owned())
}

fn as_link(link: SchedClassifierLink) -> Result<FdLink, ProgramError> {
    FdLink::try_from(link).map_err(not_tcx)
}

fn not_tcx(error: LinkError) -> ProgramError {
    ProgramError::IOError(io::Error::other(error))
}

/// A TC hook of a parent.
#[derive(Debug)]
pub(super) struct TcHook {
    point: HookPoint,
    program: &'static str,
    program_id: u32,
    /// Whether the program captures frames.
    captures: bool,
    mechanism: TcMechanism,
    /// Only ever `None` after a replacement failed half-way.
    attachment: Option<Attachment>,
}

impl TcHook {
    /// Attaches anew.
    pub(super) fn attach(
        objects: &mut Objects,
        ifindex: u32,
        point: HookPoint,
        program: &'static str,
        how: How,
    ) -> Result<Self, AttachError> {
        let captures = objects.captures();
        let classifier = load(objects.current(), program)?;
        let attachment = Attachment::new(classifier, program, ifindex, point.hook(), how)
            .map_err(|error| failed("attach", program, error))?;
        Ok(Self::on(attachment, point, program, classifier, captures))
    }

    /// Atomically puts this build's program in the place of what `attachment` runs.
    pub(super) fn adopt(
        objects: &mut Objects,
        point: HookPoint,
        program: &'static str,
        attachment: Attachment,
    ) -> Result<Self, AttachError> {
        let captures = objects.captures();
        let classifier = load(objects.current(), program)?;
        let attachment = attachment
            .replace(classifier, program)
            .map_err(|error| failed("replace the attached program by", program, error))?;
        Ok(Self::on(attachment, point, program, classifier, captures))
    }

    fn on(
        attachment: Attachment,
        point: HookPoint,
        program: &'static str,
        classifier: &SchedClassifier,
        captures: bool,
    ) -> Self {
        Self {
            point,
            program,
            program_id: id(classifier),
            captures,
            mechanism: attachment.mechanism(),
            attachment: Some(attachment),
        }
    }

    /// Atomically puts the program of this name in the place of the attached one, if that is another.
    pub(super) fn replace(
        &mut self,
        objects: &mut Objects,
        program: &'static str,
    ) -> Result<(), AttachError> {
        if self.program == program && self.captures == objects.captures() {
            return Ok(());
        }
        let gone = AttachError::LinkGone { point: self.point };
        let attachment = self.attachment.take().ok_or(gone)?;
        *self = Self::adopt(objects, self.point, program, attachment)?;
        Ok(())
    }

    /// Attaches the program once more, at the place that `order` asks for. A TCX hook takes a program once, so it is
    /// loaded again.
    pub(super) fn beside(
        &self,
        objects: &mut Objects,
        ifindex: u32,
        order: Order,
    ) -> Result<Self, AttachError> {
        if self.mechanism == TcMechanism::Tcx {
            let loaded = classifier(objects.current(), self.program)?;
            loaded
                .unload()
                .map_err(|error| failed("unload", self.program, error))?;
        }
        let how = How {
            mechanism: self.mechanism,
            order,
        };
        Self::attach(objects, ifindex, self.point, self.program, how)
    }

    /// Returns its place among the programs at its hook.
    pub(super) fn place(&self, ifindex: u32) -> io::Result<Place> {
        match &self.attachment {
            Some(attachment) => attachment.place(ifindex, self.point.hook()),
            None => Ok(Place::default()),
        }
    }

    pub(super) const fn mechanism(&self) -> TcMechanism {
        self.mechanism
    }

    /// Returns the name of the program.
    pub(super) const fn program(&self) -> &'static str {
        self.program
    }

    /// Pins the link, if it is one. If that fails the hook is not attached any more.
    pub(super) fn pin(&mut self, dir: &ParentPins) -> Result<Option<LinkPin>, AttachError> {
        match self.attachment.take() {
            Some(Attachment::Link(link)) => {
                let (link, one) = LinkPin::pin(dir, self.point.pin_name(), link)?;
                self.attachment = Some(Attachment::Link(link));
                Ok(Some(one))
            }
            other => {
                self.attachment = other;
                Ok(None)
            }
        }
    }

    pub(super) fn info(&self) -> HookInfo {
        HookInfo {
            point: self.point,
            program: self.program,
            mechanism: self.mechanism.into(),
            program_id: self.program_id,
        }
    }

    pub(super) fn detach(self) -> Result<(), AttachError> {
        match self.attachment {
            Some(attachment) => attachment
                .detach()
                .map_err(|error| failed("detach", self.program, error)),
            None => Ok(()),
        }
    }
}

/// Loads a program, unless it is loaded.
pub(super) fn load<'a>(
    object: &'a mut Ebpf,
    program: &'static str,
) -> Result<&'a mut SchedClassifier, AttachError> {
    let classifier = classifier(object, program)?;
    verify::load(program, || classifier.load())?;
    Ok(classifier)
}

fn classifier<'a>(
    object: &'a mut Ebpf,
    program: &'static str,
) -> Result<&'a mut SchedClassifier, AttachError> {
    object
        .program_mut(program)
        .ok_or(AttachError::MissingProgram { program })?
        .try_into()
        .map_err(|error| failed("use", program, error))
}

/// The kernel's id of a loaded program; 0 if that cannot be read.
fn id(classifier: &SchedClassifier) -> u32 {
    classifier.info().map_or(0, |info| info.id())
}

fn failed(action: &'static str, program: &'static str, source: ProgramError) -> AttachError {
    AttachError::Program {
        action,
        program,
        source: Box::new(source),
    }
}
