//! An error that ends a command: what failed, why, what to do, and the exit code.

use std::{error::Error, io, io::Write as _, iter, process::ExitCode};

use crate::{
    agent::{self, AgentError},
    attach::AttachError,
    commands::{
        AgentsError, StreamError, children::ChildrenError, cleanup::CleanupError,
        generate::ManError, top::TopError,
    },
    config::ConfigError,
    directory::DirectoryError,
    doctor::DiscoverError,
    pins::PinError,
    runtime::{ClaimError, privilege::PrivilegeError},
    text::printable_start,
};

/// The command or a configuration file cannot be understood; clap's own code for it.
pub const USAGE: u8 = 2;
/// No agent runs, or none serves the requested parent.
pub const NOT_RUNNING: u8 = 3;
/// `EX_TEMPFAIL` of sysexits.h: another agent serves the parent.
const TAKEN: u8 = 75;
/// `EX_NOPERM` of sysexits.h: a privilege is missing.
const NO_PERMISSION: u8 = 77;

/// Longest line, in characters: a key of a configuration file can be longer.
const LONGEST: usize = 4096;

/// The error that ended a command.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A configuration file or an option is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The privileges of the process are not those that it needs.
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    /// A directory of agents cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Pinned objects could not be read or removed.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// Filters could not be removed.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The agent ended with an error.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// A running agent serves a parent that was to be cleaned up, or there is no such parent.
    #[error(transparent)]
    Cleanup(#[from] CleanupError),
    /// An agent did not answer.
    #[error(transparent)]
    Agents(#[from] AgentsError),
    /// There is no such child.
    #[error(transparent)]
    Children(#[from] ChildrenError),
    /// Frames or events could not be shown.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// There is no terminal to show children on.
    #[error(transparent)]
    Top(#[from] TopError),
    /// Man pages could not be written.
    #[error(transparent)]
    Man(#[from] ManError),
    /// This node could not be examined.
    #[error("examine this node")]
    Doctor(#[from] DiscoverError),
    /// A system call of the command itself failed.
    #[error("{action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl Failure {
    /// Returns a function that makes a failure of an error of the system.
    pub(crate) fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System {
            action,
            source: source.into(),
        }
    }

    /// Prints the error to standard error and returns the exit code.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        // A closed standard error is no reason for another exit code.
        let _: io::Result<()> = io::stderr().write_all(self.render().as_bytes());
        ExitCode::from(self.exit_code())
    }

    /// Renders the error with its causes and a hint, each on one line of printable characters: names of files,
    /// contents of configuration files and answers of agents are part of it.
    #[must_use]
    pub fn render(&self) -> String {
        let causes = iter::successors(self.source(), |cause| (*cause).source())
            .map(|cause| ("  caused by", cause.to_string()));
        let hint = self.hint().map(|hint| ("hint", hint));
        let lines: Vec<_> = iter::once(("error", self.to_string()))
            .chain(causes)
            .chain(hint)
            .map(|(what, line)| format!("{what}: {}\n", printable_start(&line, LONGEST)))
            .collect();
        lines.concat()
    }

    /// Returns the exit code of the command.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Top(_) => USAGE,
            Self::Agent(AgentError::Claim(ClaimError::Taken { .. }))
            | Self::Cleanup(CleanupError::Served { .. }) => TAKEN,
            Self::Stream(error) if error.is_not_served() => NOT_RUNNING,
            _ if self.is_denied() => NO_PERMISSION,
            _ => 1,
        }
    }

    /// Returns whether a privilege was missing.
    fn is_denied(&self) -> bool {
        match self {
            Self::Privilege(error) => matches!(error, PrivilegeError::Missing { .. }),
            Self::Agent(error) => error.is_denied(),
            Self::Agents(error) => error.is_denied(),
            Self::Stream(error) => error.is_denied(),
            Self::Config(_)
            | Self::Cleanup(_)
            | Self::Children(_)
            | Self::Doctor(_)
            | Self::Top(_) => false,
            Self::Directory(error) => agent::is_errno_of_denial(error.os_error()),
            Self::Pin(error) => agent::is_errno_of_denial(error.os_error()),
            Self::Attach(error) => agent::is_errno_of_denial(error.os_error()),
            Self::System { source, .. } | Self::Man(ManError::Write { source, .. }) => {
                agent::is_errno_of_denial(source.raw_os_error())
            }
        }
    }

    /// Returns what the user can do about it.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Privilege(error) => error.hint(),
            Self::Agent(error) => error.hint(),
            Self::Cleanup(error) => Some(error.hint()),
            Self::Pin(error) => error.hint().map(str::to_owned),
            Self::Directory(error) => directory_hint(error).map(str::to_owned),
            Self::Attach(error) => error.hint().map(str::to_owned),
            Self::Agents(error) => Some(error.hint().to_owned()),
            Self::Children(error) => Some(error.hint().to_owned()),
            Self::Stream(error) => error.hint().map(str::to_owned),
            Self::Top(error) => Some(error.hint().to_owned()),
            Self::Man(ManError::Write { .. }) => {
                Some("name a directory that exists and that this user can write to".to_owned())
            }
            Self::Doctor(error) => error.hint().map(str::to_owned),
            Self::System { .. } => None,
        }
    }
}

fn directory_hint(error: &DirectoryError) -> Option<&'static str> {
    let denied = agent::is_errno_of_denial(error.os_error())
        .then_some("run as root, or as the user or the group that the directory belongs to");
    error.hint().or(denied)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::*;
    use crate::config::parse;

    #[test]
    fn error_has_one_line_each_for_itself_its_causes_and_a_hint() {
        let writable = DirectoryError::Writable {
            path: PathBuf::from("/run/\u{1b}[31m\nhint: forged"),
            mode: 0o777,
        };
        let failure = Failure::from(AgentError::Attach {
            parent: "look\x07".to_owned(),
            source: Box::new(PinError::from(writable).into()),
        });
        let shown = failure.render();
        assert_eq!(
            shown,
            "error: attach to `look\\u{7}`\n  caused by: /run/\\u{1b}[31m\\u{a}hint: forged is writable by its group or \
             by others (mode 0777)\nhint: `chmod go-w` it, or use another directory\n"
        );
    }

    /// Parses a configuration file; an error must be printable, and name the place.
    fn assert_config(bytes: &[u8]) -> Result<(), TestCaseError> {
        let Err(error) = parse(Path::new("/etc/ipvlan\n"), bytes) else {
            return Ok(());
        };
        let shown = Failure::from(error).render();
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
            let shown = Failure::from(parse(Path::new("f"), bytes).unwrap_err()).render();
            assert!(shown.starts_with(&format!("error: f:{place}")), "{shown}");
            assert!(shown.len() < 3 * 4096, "{}", shown.len());
        }
        let huge = format!("\"{}\" = 1", "k".repeat(100_000));
        let shown = Failure::from(parse(Path::new("f"), huge.as_bytes()).unwrap_err()).render();
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
                message: quoted,
            };
            let shown = Failure::from(config).render();
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
