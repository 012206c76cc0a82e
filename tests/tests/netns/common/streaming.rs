//! A command that shows what happens until it is ended.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStderr, Stdio},
};

use ipvlan_tests::command;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{Node, PATIENCE};

/// A running `capture` or `monitor`.
pub(crate) struct Streaming {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// What was read of standard error.
    said: String,
}

impl Streaming {
    pub(crate) fn start(node: &Node, verb: &str, options: &[&str]) -> Self {
        let mut command = node.command(verb, options);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self {
            stderr: BufReader::new(child.stderr.take().unwrap()),
            child,
            said: String::new(),
        }
    }

    /// Waits for a line of standard error with this text.
    #[track_caller]
    pub(crate) fn wait_for_stderr(&mut self, text: &str) {
        while !self.said.contains(text) {
            let read = self.stderr.read_line(&mut self.said).unwrap();
            assert_ne!(read, 0, "{}", self.said);
        }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(pid, signal).unwrap();
    }

    /// Waits for its end. Returns its exit code, standard output and standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String, String) {
        assert!(command::wait(&mut self.child, PATIENCE).unwrap().is_some());
        self.stderr.read_to_string(&mut self.said).unwrap();
        let output = self.child.wait_with_output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), stdout, self.said)
    }
}
