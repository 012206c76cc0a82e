//! An error that ends the program: what failed, why, what to do, and the exit code.

use std::{io::Write as _, process::ExitCode};

use crate::{
    attach::AttachError, discover::DiscoverError, model::ParentError, reconcile::AgentError,
    runtime::ClaimError,
};

/// `EX_TEMPFAIL` of sysexits.h: another agent serves the parent.
const TAKEN: u8 = 75;
/// `EX_NOPERM` of sysexits.h: a privilege is missing.
const NO_PERMISSION: u8 = 77;

/// Prints the error to standard error and picks the exit code.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        text.push_str("  caused by: ");
        text.push_str(&cause.to_string());
        text.push('\n');
    }
    if let Some(hint) = error.chain().find_map(hint) {
        text.push_str("hint: ");
        text.push_str(&hint);
        text.push('\n');
    }
    // There is nobody left to tell if standard error is gone.
    let _: std::io::Result<()> = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(exit_code(error))
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.chain().any(|cause| {
        matches!(
            cause.downcast_ref(),
            Some(AgentError::Claim(ClaimError::Taken { .. }))
        )
    }) {
        return TAKEN;
    }
    let denied = error
        .chain()
        .filter_map(errno)
        .any(|errno| errno == libc::EPERM || errno == libc::EACCES);
    if denied { NO_PERMISSION } else { 1 }
}

fn errno(cause: &(dyn std::error::Error + 'static)) -> Option<i32> {
    if let Some(AgentError::Attach { source, .. }) = cause.downcast_ref() {
        return source.os_error();
    }
    cause
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::raw_os_error)
}

fn hint(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = cause.downcast_ref::<AgentError>() {
        return match error {
            AgentError::Discover(error) => error.hint().map(str::to_owned),
            AgentError::Parent(error) => Some(error.hint()),
            AgentError::Claim(error) => Some(error.hint().to_owned()),
            AgentError::Attach { source, .. } => source.hint().map(str::to_owned),
            AgentError::System { .. } | AgentError::Detach { .. } => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<DiscoverError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(error) = cause.downcast_ref::<ParentError>() {
        return Some(error.hint());
    }
    cause
        .downcast_ref::<AttachError>()
        .and_then(AttachError::hint)
        .map(str::to_owned)
}
