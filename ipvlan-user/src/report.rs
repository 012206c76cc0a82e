//! An error that ends the program: what failed, why, what to do, and the exit code.

use std::{io::Write as _, process::ExitCode};

use crate::{
    attach::{AttachError, PinError},
    config::ConfigError,
    discover::DiscoverError,
    model::ParentError,
    reconcile::{self, AgentError},
    runtime::{ClaimError, privilege::PrivilegeError},
};

/// What the user asked for cannot be understood; clap's own code for it.
const USAGE: u8 = 2;
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
    let code = exit_code(error);
    if let Some(hint) = error.chain().find_map(hint) {
        text.push_str("hint: ");
        text.push_str(&hint);
        text.push('\n');
    }
    // There is nobody left to tell if standard error is gone.
    let _: std::io::Result<()> = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(code)
}

fn exit_code(error: &anyhow::Error) -> u8 {
    // One that may not be read, too.
    if error
        .chain()
        .any(<dyn std::error::Error>::is::<ConfigError>)
    {
        return USAGE;
    }
    let is_taken = |cause: &(dyn std::error::Error + 'static)| {
        let claim = match cause.downcast_ref() {
            Some(AgentError::Claim(claim)) => Some(claim),
            _ => cause.downcast_ref(),
        };
        matches!(claim, Some(ClaimError::Taken { .. }))
    };
    if error.chain().any(is_taken) {
        return TAKEN;
    }
    if error.chain().any(is_denied) {
        NO_PERMISSION
    } else {
        1
    }
}

fn is_denied(cause: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(PrivilegeError::Missing { .. }) = cause.downcast_ref() {
        return true;
    }
    if let Some(error) = cause.downcast_ref::<AttachError>() {
        return reconcile::is_errno_of_denial(error.os_error());
    }
    if let Some(error) = cause.downcast_ref::<PinError>() {
        return reconcile::is_errno_of_denial(error.os_error());
    }
    cause
        .downcast_ref::<AgentError>()
        .map_or_else(|| reconcile::is_denied(cause), AgentError::is_denied)
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
    if let Some(error) = cause.downcast_ref::<ConfigError>() {
        return error.hint();
    }
    if let Some(error) = cause.downcast_ref::<PrivilegeError>() {
        return error.hint();
    }
    if let Some(error) = cause.downcast_ref::<DiscoverError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(error) = cause.downcast_ref::<ParentError>() {
        return Some(error.hint());
    }
    if let Some(error) = cause.downcast_ref::<ClaimError>() {
        return Some(error.hint().to_owned());
    }
    if let Some(error) = cause.downcast_ref::<PinError>() {
        return Some(error.hint().to_owned());
    }
    cause
        .downcast_ref::<AttachError>()
        .and_then(AttachError::hint)
        .map(str::to_owned)
}
