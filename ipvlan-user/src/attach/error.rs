//! How attaching fails, and what to do about it.

use std::io;

use aya::{
    EbpfError,
    maps::MapError,
    programs::{ProgramError, tc::TcError, xdp::XdpError},
};

use crate::{maps::MapsError, model::HookPoint, pins::PinError};

/// The programs could not be loaded, attached, replaced or detached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// This binary was built with `AYA_BUILD_SKIP`.
    #[error("this build carries no eBPF object")]
    NoObject,
    /// The object could not be loaded: its maps could not be created.
    #[error("load the eBPF object")]
    Load(#[source] Box<EbpfError>),
    /// The maps are not what this loader expects.
    #[error(transparent)]
    Maps(#[from] MapsError),
    /// The object has no such program.
    #[error("the eBPF object has no program `{program}`")]
    MissingProgram {
        /// Its name.
        program: &'static str,
    },
    /// The kernel refused a program.
    #[error("{action} program `{program}`")]
    Program {
        /// What was tried.
        action: &'static str,
        /// Its name.
        program: &'static str,
        /// Why it failed.
        source: Box<ProgramError>,
    },
    /// TCX was asked for, and the kernel has none.
    #[error("this kernel has no TCX")]
    NoTcx,
    /// The clsact qdisc could not be added, read or removed.
    #[error("{action} the clsact qdisc of `{parent}`")]
    Clsact {
        /// What was tried.
        action: &'static str,
        /// Name of the parent.
        parent: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The filters of the parent could not be read or removed.
    #[error("look for filters of ours on the parent")]
    Filters {
        /// Why it failed.
        source: io::Error,
    },
    /// Another XDP program is there.
    #[error("another XDP program{} is attached to `{parent}`", id(*program_id))]
    ForeignXdp {
        /// Name of the parent.
        parent: String,
        /// Its id in the kernel, if it could be read.
        program_id: Option<u32>,
    },
    /// Pins could not be read or kept.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The driver does not run XDP as asked for.
    #[error("`{parent}` does not run the XDP program in mode {mode}")]
    XdpMode {
        /// Name of the parent.
        parent: String,
        /// The mode asked for.
        mode: &'static str,
        /// Why it failed.
        source: Box<ProgramError>,
    },
    /// The verifier refused a program.
    #[error("the verifier of this kernel refuses program `{program}`: {log}")]
    Verifier {
        /// Its name.
        program: &'static str,
        /// The end of what the verifier said.
        log: String,
    },
    /// Frames are to be captured on a parent whose maps are not pinned.
    #[error("its maps are not pinned: run the agent with `--pin`")]
    Unpinned,
    /// A link is gone that should be there.
    #[error("the {point} link is gone")]
    LinkGone {
        /// Where it was.
        point: HookPoint,
    },
}

impl AttachError {
    pub(super) fn load(error: EbpfError) -> Self {
        Self::Load(Box::new(error))
    }

    /// A refused load: for want of a privilege, or by the verifier. Of its log, thousands of lines,
    /// the last ones say why.
    pub(super) fn load_program(program: &'static str, error: ProgramError) -> Self {
        const LINES: usize = 6;
        if let ProgramError::LoadError {
            io_error,
            verifier_log,
        } = &error
            && io_error.raw_os_error() != Some(libc::EPERM)
        {
            let log = verifier_log.to_string();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LINES)..];
            if !tail.is_empty() {
                return Self::Verifier {
                    program,
                    log: tail.join("; "),
                };
            }
        }
        Self::Program {
            action: "load",
            program,
            source: Box::new(error),
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoObject => Some("build without AYA_BUILD_SKIP: `cargo xtask build`"),
            Self::Verifier { .. } => {
                Some("this is a bug of ours: please report it with the kernel version")
            }
            Self::Unpinned => Some("run the agent without `--pin=false`"),
            Self::NoTcx => Some("use `--attach clsact`, or a kernel from 6.6 on"),
            Self::Pin(error) if error.hint().is_some() => error.hint(),
            Self::ForeignXdp { .. } => Some("run without --xdp: the TC programs do all it does"),
            Self::XdpMode { .. } => {
                Some("use `--xdp generic`, or none: the TC programs do all it does")
            }
            Self::Clsact { .. } => Some(
                "the kernel needs sch_ingress and cls_bpf (CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_BPF)",
            ),
            _ => match self.os_error()? {
                libc::EPERM | libc::EACCES => {
                    Some("run as root, or with CAP_BPF and CAP_NET_ADMIN")
                }
                libc::ENOSYS => Some("the kernel needs CONFIG_BPF_SYSCALL"),
                libc::ENOMEM => Some("lower --max-addresses or --max-children"),
                _ => None,
            },
        }
    }

    /// The error number behind it.
    #[must_use]
    pub fn os_error(&self) -> Option<i32> {
        match self {
            Self::Load(error) => ebpf_errno(error),
            Self::Program { source, .. } | Self::XdpMode { source, .. } => program_errno(source),
            Self::Maps(MapsError::Kernel { source, .. }) => map_errno(source),
            Self::Clsact { source, .. } | Self::Filters { source } => source.raw_os_error(),
            Self::Pin(error) => error.os_error(),
            _ => None,
        }
    }
}

fn id(program: Option<u32>) -> String {
    program.map_or_else(String::new, |id| format!(" (id {id})"))
}

fn ebpf_errno(error: &EbpfError) -> Option<i32> {
    match error {
        EbpfError::MapError(error) => map_errno(error),
        EbpfError::ProgramError(error) => program_errno(error),
        _ => None,
    }
}

fn map_errno(error: &MapError) -> Option<i32> {
    match error {
        MapError::CreateError { io_error, .. } => io_error.raw_os_error(),
        MapError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    }
}

pub(super) fn program_errno(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::LoadError { io_error, .. } | ProgramError::IOError(io_error) => {
            io_error.raw_os_error()
        }
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        ProgramError::NetlinkError(error)
        | ProgramError::TcError(TcError::NetlinkError(error))
        | ProgramError::XdpError(XdpError::NetlinkError(error)) => error.raw_os_error(),
        _ => None,
    }
}
