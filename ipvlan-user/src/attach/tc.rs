//! The TC hooks: TCX links, or filters of a clsact qdisc.

use aya::{
    Ebpf,
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        links::Link as _,
        tc::{NlOptions, SchedClassifierLink, TcAttachOptions, qdisc_detach_program},
    },
};
use ipvlan_common::{Hook, programs};
use tracing::{info, warn};

use super::{AttachError, HookInfo, TcAttach, clsact::Qdisc, error::program_errno};

/// How a TC program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TcMechanism {
    /// A TCX link (`BPF_LINK_TYPE_TCX`, Linux 6.6, commit e420bed02507).
    Tcx,
    /// A direct-action filter of the clsact qdisc.
    Clsact,
}

impl TcMechanism {
    /// The word for it in `status`.
    const fn word(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// Attaches programs to one parent, all by the same mechanism.
pub(super) struct Attacher<'a> {
    name: &'a str,
    ifindex: u32,
    /// `None` until the first program has shown what the kernel can do.
    mechanism: Option<TcMechanism>,
    forced: bool,
    qdisc: Option<Qdisc>,
}

impl<'a> Attacher<'a> {
    pub(super) fn new(name: &'a str, ifindex: u32, tc: TcAttach) -> Result<Self, AttachError> {
        let mut attacher = Self {
            name,
            ifindex,
            mechanism: None,
            forced: tc != TcAttach::Auto,
            qdisc: None,
        };
        if remove_leftovers(name) {
            // Its agent had no time to remove the qdisc, which it had most likely added.
            attacher.qdisc = Some(Qdisc::adopt(name, ifindex));
        }
        match tc {
            TcAttach::Auto => {}
            TcAttach::Tcx => attacher.mechanism = Some(TcMechanism::Tcx),
            TcAttach::Clsact => attacher.use_clsact()?,
        }
        Ok(attacher)
    }

    pub(super) fn attach(
        &mut self,
        object: &mut Ebpf,
        hook: Hook,
        program: &'static str,
    ) -> Result<TcHook, AttachError> {
        let classifier = load(object, program)?;
        if self.mechanism != Some(TcMechanism::Clsact) {
            match attach(
                classifier,
                self.name,
                hook,
                TcAttachOptions::TcxOrder(LinkOrder::default()),
            ) {
                Ok(link) => {
                    self.mechanism = Some(TcMechanism::Tcx);
                    return Ok(TcHook {
                        hook,
                        program,
                        program_id: id(classifier),
                        mechanism: TcMechanism::Tcx,
                        link: Some(link),
                    });
                }
                // A kernel without TCX does not know the attach type.
                Err(error) if program_errno(&error) == Some(libc::EINVAL) => {
                    if self.forced {
                        return Err(AttachError::NoTcx);
                    }
                    info!(parent = self.name, "this kernel has no TCX: using clsact");
                    self.use_clsact()?;
                }
                Err(error) => return Err(failed("attach", program, error)),
            }
        }
        let link = attach(
            classifier,
            self.name,
            hook,
            TcAttachOptions::Netlink(NlOptions::default()),
        )
        .map_err(|error| failed("attach", program, error))?;
        Ok(TcHook {
            hook,
            program,
            program_id: id(classifier),
            mechanism: TcMechanism::Clsact,
            link: Some(link),
        })
    }

    /// The qdisc that was added, to be removed in the end.
    pub(super) fn finish(self) -> Option<Qdisc> {
        self.qdisc
    }

    fn use_clsact(&mut self) -> Result<(), AttachError> {
        self.mechanism = Some(TcMechanism::Clsact);
        if self.qdisc.is_none() {
            self.qdisc = Some(Qdisc::ensure(self.name, self.ifindex)?);
        }
        Ok(())
    }
}

/// Removes the filters of an agent that was killed: unlike links they outlive their process. The
/// caller owns the parent, so filters of our names have no living owner. Whether there were any.
fn remove_leftovers(name: &str) -> bool {
    let mut found = false;
    for (attach_type, program) in [
        (TcAttachType::Ingress, programs::PARENT_INGRESS),
        (TcAttachType::Ingress, programs::PARENT_INGRESS_DEMUX),
        (TcAttachType::Egress, programs::PARENT_EGRESS),
        (TcAttachType::Egress, programs::PARENT_EGRESS_ROUTED),
    ] {
        // Fails where there is no clsact qdisc or no such filter, which is the usual case.
        if qdisc_detach_program(name, attach_type, program).is_ok() {
            found = true;
            warn!(
                parent = name,
                program, "removed the filter of an agent that did not stop cleanly"
            );
        }
    }
    found
}

/// One TC hook of a parent.
#[derive(Debug)]
pub(super) struct TcHook {
    hook: Hook,
    program: &'static str,
    program_id: u32,
    mechanism: TcMechanism,
    /// Only ever `None` after a replacement failed half-way.
    link: Option<SchedClassifierLink>,
}

impl TcHook {
    /// Atomically puts another program in the place of the attached one.
    pub(super) fn replace(
        &mut self,
        object: &mut Ebpf,
        program: &'static str,
    ) -> Result<(), AttachError> {
        if self.program == program {
            return Ok(());
        }
        let classifier = load(object, program)?;
        let link = self
            .link
            .take()
            .ok_or(AttachError::LinkGone { hook: self.hook })?;
        let link = classifier
            .attach_to_link(link)
            .and_then(|id| classifier.take_link(id))
            .map_err(|error| failed("replace the attached program by", program, error))?;
        self.link = Some(link);
        self.program = program;
        self.program_id = id(classifier);
        Ok(())
    }

    pub(super) fn info(&self) -> HookInfo {
        HookInfo {
            hook: self.hook,
            program: self.program,
            mechanism: self.mechanism.word(),
            program_id: self.program_id,
        }
    }

    pub(super) fn detach(self) -> Result<(), AttachError> {
        match self.link {
            Some(link) => link
                .detach()
                .map_err(|error| failed("detach", self.program, error)),
            None => Ok(()),
        }
    }
}

fn load<'a>(
    object: &'a mut Ebpf,
    program: &'static str,
) -> Result<&'a mut SchedClassifier, AttachError> {
    let classifier: &mut SchedClassifier = object
        .program_mut(program)
        .ok_or(AttachError::MissingProgram { program })?
        .try_into()
        .map_err(|error| failed("use", program, error))?;
    match classifier.load() {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(classifier),
        Err(error) => Err(AttachError::load_program(program, error)),
    }
}

fn attach(
    classifier: &mut SchedClassifier,
    name: &str,
    hook: Hook,
    options: TcAttachOptions,
) -> Result<SchedClassifierLink, ProgramError> {
    let attach_type = match hook {
        Hook::Egress => TcAttachType::Egress,
        Hook::Ingress | Hook::Xdp => TcAttachType::Ingress,
    };
    let id = classifier.attach_with_options(name, attach_type, options)?;
    classifier.take_link(id)
}

/// The kernel's id of a loaded program; 0 if it does not tell.
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
