//! An error that ends the program: what failed, why, what to do, and the exit code.

use std::{io::Write as _, process::ExitCode};

use crate::{
    attach::{AttachError, PinError},
    config::ConfigError,
    directory::DirectoryError,
    discover::DiscoverError,
    model::ParentError,
    reconcile::{self, AgentError},
    runtime::{ClaimError, privilege::PrivilegeError},
    text::printable_start,
};

/// What the user asked for cannot be understood; clap's own code for it.
const USAGE: u8 = 2;
/// `EX_TEMPFAIL` of sysexits.h: another agent serves the parent.
const TAKEN: u8 = 75;
/// `EX_NOPERM` of sysexits.h: a privilege is missing.
const NO_PERMISSION: u8 = 77;

/// Longest line, in characters: a key of a configuration file can be longer.
const LONGEST: usize = 4096;

/// Prints the error to standard error and picks the exit code.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    // A closed standard error is no reason for another exit code.
    let _: std::io::Result<()> = std::io::stderr().write_all(render(error).as_bytes());
    ExitCode::from(exit_code(error))
}

/// Renders the error with its causes and a hint, each on one line of printable characters: names of files,
/// contents of configuration files and answers of agents are part of it.
#[must_use]
pub fn render(error: &anyhow::Error) -> String {
    let causes = error
        .chain()
        .skip(1)
        .map(|cause| ("  caused by", cause.to_string()));
    let hint = error.chain().find_map(hint).map(|hint| ("hint", hint));
    let lines: Vec<_> = std::iter::once(("error", error.to_string()))
        .chain(causes)
        .chain(hint)
        .map(|(what, line)| format!("{what}: {}\n", printable_start(&line, LONGEST)))
        .collect();
    lines.concat()
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
    if let Some(error) = cause.downcast_ref::<DirectoryError>() {
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
    if let Some(error) = cause.downcast_ref::<DirectoryError>() {
        return directory_hint(error).map(str::to_owned);
    }
    cause
        .downcast_ref::<AttachError>()
        .and_then(AttachError::hint)
        .map(str::to_owned)
}

fn directory_hint(error: &DirectoryError) -> Option<&'static str> {
    let denied = reconcile::is_errno_of_denial(error.os_error())
        .then_some("run as root, or as the user or the group that the directory belongs to");
    error.hint().or(denied)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use anyhow::Context as _;
    use proptest::prelude::*;

    use super::*;
    use crate::config::parse;

    #[test]
    fn error_has_one_line_each_for_itself_its_causes_and_a_hint() {
        let error: anyhow::Error = DirectoryError::Writable {
            path: PathBuf::from("/run/\u{1b}[31m\nhint: forged"),
            mode: 0o777,
        }
        .into();
        let shown = render(&error.context("look\x07"));
        assert_eq!(
            shown,
            "error: look\\u{7}\n  caused by: /run/\\u{1b}[31m\\u{a}hint: forged is writable by its group or \
             by others (mode 0777)\nhint: `chmod go-w` it, or use another directory\n"
        );
    }

    /// Parses a configuration file; an error must be printable, and name the place.
    fn assert_config(bytes: &[u8]) -> Result<(), TestCaseError> {
        let Err(error) = parse(Path::new("/etc/ipvlan\n"), bytes) else {
            return Ok(());
        };
        let shown = render(&error.into());
        prop_assert!(
            shown
                .split('\n')
                .all(|line| !line.contains(char::is_control))
        );
        let place = shown.strip_prefix(r"error: /etc/ipvlan\u{a}:").unwrap();
        let mut numbers = place.splitn(3, ':');
        for what in ["line", "column"] {
            let number: usize = numbers.next().unwrap().parse().unwrap();
            prop_assert!(number > 0, "{}: {}", what, shown);
        }
        Ok(())
    }

    #[test]
    fn control_characters_in_a_configuration_file_are_an_error_with_its_place() {
        let huge = format!("{}\u{1b} = 1", "k".repeat(100_000));
        for (bytes, place) in [
            (&b"a\x1b[31m = 1"[..], "1:"),
            (b"\"a\\u001b[31m\" = 1", "1:1"),
            (b"iface = [\"e\\u001b[31m :\"]", "1:10"),
            (b"\n\niface = [\"a\x00\"]", "3:"),
            (b"dad = \"\\u009b\\u202e\"", "1:7"),
            (b"\xff", "1:1"),
            (b"iface = 1\n\xc3", "2:1"),
            (huge.as_bytes(), "1:100"),
        ] {
            assert_config(bytes).unwrap();
            let shown = render(&parse(Path::new("f"), bytes).unwrap_err().into());
            assert!(shown.starts_with(&format!("error: f:{place}")), "{shown}");
            assert!(shown.len() < 3 * 4096, "{}", shown.len());
        }
        let huge = format!("\"{}\" = 1", "k".repeat(100_000));
        let shown = render(&parse(Path::new("f"), huge.as_bytes()).unwrap_err().into());
        assert!(shown.starts_with("error: f:1:1: `kkk"), "{shown}");
        assert!(shown.len() < 3 * 4096, "{}", shown.len());
        // A byte order mark is white space to TOML.
        parse(Path::new("f"), "\u{feff}iface = [\"eth0\"]".as_bytes()).unwrap();
    }

    proptest! {
        #[test]
        fn errors_have_no_control_characters_whatever_they_quote(
            quoted in any::<String>(),
            key in prop::option::of(any::<String>()),
        ) {
            let config = ConfigError::Invalid {
                path: PathBuf::from(&quoted),
                line: 1,
                column: 1,
                key,
                message: quoted.clone(),
            };
            let result: Result<(), _> = Err(config);
            let shown = render(&result.context(quoted).unwrap_err());
            prop_assert!(shown.split('\n').all(|line| !line.contains(char::is_control)));
            prop_assert!(shown.lines().count() <= 3, "{}", shown);
        }

        #[test]
        fn any_configuration_file_is_read_or_its_error_names_file_line_and_column(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..256),
                any::<String>().prop_map(String::into_bytes),
                // Almost right.
                r#"((iface|allow|audit|dad|rule|\[\[rule\]\]|\PC|[\x00-\x20\x7f]) ?=? ?(\[?"[^"]{0,8}"\]?|[0-9]{1,20})\n){0,8}"#
                    .prop_map(String::into_bytes),
            ],
        ) {
            assert_config(&bytes)?;
        }
    }
}
