//! The XDP hook.

use aya::{
    Ebpf,
    programs::{
        ProgramError, Xdp,
        links::{FdLink, Link as _},
        xdp::XdpMode as AttachMode,
    },
};
use ipvlan_common::{Hook, programs};

use super::{AttachError, HookInfo, error::program_errno};

/// Where the XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
}

impl XdpMode {
    /// The word for it in `status`.
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
    link: FdLink,
}

impl XdpHook {
    /// Attaches the program in exactly this mode, next to no other: a foreign program stays.
    pub(super) fn attach(
        object: &mut Ebpf,
        name: &str,
        ifindex: u32,
        mode: XdpMode,
    ) -> Result<Self, AttachError> {
        let program = mode.program();
        let failed = |action| {
            move |source| AttachError::Program {
                action,
                program,
                source: Box::new(source),
            }
        };
        let xdp: &mut Xdp = object
            .program_mut(program)
            .ok_or(AttachError::MissingProgram { program })?
            .try_into()
            .map_err(failed("use"))?;
        xdp.load()
            .map_err(|error| AttachError::load_program(program, error))?;
        let program_id = xdp.info().map_or(0, |info| info.id());
        let flags = match mode {
            XdpMode::Native => AttachMode::Driver,
            XdpMode::Generic => AttachMode::Skb,
        };
        let id = xdp
            .attach_to_if_index(ifindex, flags)
            .map_err(|source| explain(name, mode, source))?;
        // aya falls back to a netlink attachment, which would replace a foreign program and could
        // not be pinned; only a link will do.
        let link = xdp
            .take_link(id)
            .map_err(failed("attach"))
            .and_then(|link| {
                FdLink::try_from(link).map_err(|_| AttachError::ForeignXdp {
                    parent: name.to_owned(),
                })
            })?;
        Ok(Self {
            mode,
            program_id,
            link,
        })
    }

    pub(super) fn info(&self) -> HookInfo {
        HookInfo {
            hook: Hook::Xdp,
            program: self.mode.program(),
            mechanism: self.mode.word(),
            program_id: self.program_id,
        }
    }

    pub(super) fn detach(self) -> Result<(), AttachError> {
        self.link.detach().map_err(|source| AttachError::Program {
            action: "detach",
            program: self.mode.program(),
            source: Box::new(source),
        })
    }
}

fn explain(name: &str, mode: XdpMode, source: ProgramError) -> AttachError {
    let parent = name.to_owned();
    match program_errno(&source) {
        // EBUSY: a program is attached in this mode; EEXIST: in another one.
        Some(libc::EBUSY | libc::EEXIST) => AttachError::ForeignXdp { parent },
        _ => AttachError::XdpMode {
            parent,
            mode: mode.word(),
            source: Box::new(source),
        },
    }
}
