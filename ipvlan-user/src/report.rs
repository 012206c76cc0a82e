//! An error that ends the program: what failed, why, what to do, and the exit code.

use std::{io::Write as _, process::ExitCode};

use crate::{
    attach::{AttachError, PinError},
    config::ConfigError,
    discover::DiscoverError,
    model::ParentError,
    reconcile::AgentError,
    runtime::ClaimError,
};

/// What the user asked for cannot be understood; clap's own code for it.
const USAGE: u8 = 2;
/// `EX_TEMPFAIL` of sysexits.h: another agent serves the parent.
const TAKEN: u8 = 75;
/// `EX_NOPERM` of sysexits.h: a privilege is missing.
const NO_PERMISSION: u8 = 77;

/// The capabilities the agent needs, with their numbers (`linux/capability.h`).
const CAPABILITIES: [(&str, u32); 4] = [
    ("CAP_BPF", 39),
    ("CAP_NET_ADMIN", 12),
    ("CAP_NET_BROADCAST", 11),
    ("CAP_NET_RAW", 13),
];

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
    let missing = missing_capabilities();
    let hint = if code == NO_PERMISSION && !missing.is_empty() {
        Some(format!("run as root, or with {}", missing.join(", ")))
    } else {
        error.chain().find_map(hint)
    };
    if let Some(hint) = hint {
        text.push_str("hint: ");
        text.push_str(&hint);
        text.push('\n');
    }
    // There is nobody left to tell if standard error is gone.
    let _: std::io::Result<()> = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(code)
}

/// What the agent needs and this process has not, as far as it can tell.
fn missing_capabilities() -> Vec<&'static str> {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| effective_capabilities(&status))
        .map_or_else(Vec::new, |effective| {
            CAPABILITIES
                .iter()
                .filter(|(_, number)| effective & (1 << number) == 0)
                .map(|&(name, _)| name)
                .collect()
        })
}

fn effective_capabilities(status: &str) -> Option<u64> {
    let set = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(set.trim(), 16).ok()
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
    if let Some(error) = cause.downcast_ref::<AttachError>() {
        return error.os_error();
    }
    if let Some(error) = cause.downcast_ref::<PinError>() {
        return error.os_error();
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
    if let Some(error) = cause.downcast_ref::<ConfigError>() {
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

#[cfg(test)]
mod tests {
    use super::effective_capabilities;

    #[test]
    fn effective_capabilities_are_read_from_status() {
        let status = "CapPrm:\t000001ffffffffff\nCapEff:\t0000008000001000\n";
        assert_eq!(effective_capabilities(status), Some(1 << 39 | 1 << 12));
        assert_eq!(effective_capabilities("Name:\tipvlan\n"), None);
    }
}
