//! How a command that ends by itself ended.

use std::process::{Command, Output, Stdio};

use ipvlan_tests::command;
use ipvlan_user::protocol::Status;

use super::{PATIENCE, Topology};

/// The end of a command. Assertions that fail show all of it.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The command itself.
    _command: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Runs `command` on the host; it must end within [`PATIENCE`].
    #[track_caller]
    pub(crate) fn of(mut command: Command, net: &Topology) -> Self {
        let shown = format!("{command:?}");
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = net.host.run(|| Ok(command.spawn()?));
        let mut child = child.unwrap_or_else(|error| panic!("cannot start {shown}: {error:#}"));
        // Neither prints more than fits into a pipe.
        let in_time = command::wait(&mut child, PATIENCE).unwrap().is_some();
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().unwrap();
        let ended = Self {
            _command: shown,
            code: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        };
        assert!(in_time, "it did not end within {PATIENCE:?}: {ended:?}");
        ended
    }

    /// It ended with this code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// Whether it ended with one of these codes.
    pub(crate) fn has_ended_with(&self, codes: &[i32]) -> bool {
        self.code.is_some_and(|code| codes.contains(&code))
    }

    /// It ended with this code and reported no error.
    #[track_caller]
    pub(crate) fn exits_silently(self, code: i32) -> Self {
        assert_eq!(self.stderr, "", "{self:?}");
        self.exits(code)
    }

    /// Its standard error has this text.
    #[track_caller]
    pub(crate) fn reports(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no {text:?} in {self:?}");
        self
    }

    /// Its standard output has this text.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "no {text:?} in {self:?}");
        self
    }

    /// Its standard output is this text.
    #[track_caller]
    pub(crate) fn prints_only(self, text: &str) -> Self {
        assert_eq!(self.stdout, text, "{self:?}");
        self
    }

    /// Its standard output is a status.
    #[track_caller]
    pub(crate) fn status(&self) -> Status {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
