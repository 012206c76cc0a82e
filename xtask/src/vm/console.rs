//! What a machine says on its console, and which outcome that is.

use std::{fmt, time::Duration};

/// How a run ended. Every run has exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The job ended well.
    Pass,
    /// The job ended with this exit code.
    Fail(i32),
    /// The console said something, then nothing for this long.
    Hang(Duration),
    /// The machine was still busy after this long.
    TooLong(Duration),
    /// The console never said anything for this long.
    Silent(Duration),
    /// The kernel gave up.
    Panic(String),
    /// The job ended well, but the kernel found a bug of its own: what it called it.
    Bug(String),
    /// The machine went off without an outcome.
    Gone(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => write!(out, "pass"),
            Self::Fail(code) => write!(out, "fail: the job ended with exit code {code}"),
            Self::Hang(quiet) => write!(out, "hang: nothing on the console for {quiet:?}"),
            Self::TooLong(limit) => write!(out, "hang: still running after {limit:?}"),
            Self::Silent(quiet) => write!(out, "silent boot: nothing on the console in {quiet:?}"),
            Self::Panic(line) => write!(out, "kernel panic: {line}"),
            Self::Bug(line) => write!(out, "the kernel reported a bug: {line}"),
            Self::Gone(how) => write!(out, "the machine ended without an outcome: {how}"),
        }
    }
}

/// Reads the console line by line.
#[derive(Debug, Default)]
pub(crate) struct Console {
    partial: Vec<u8>,
    panic: Option<String>,
    bug: Option<String>,
    outcome: Option<Outcome>,
}

impl Console {
    /// Takes what the machine said now; gives the complete lines for people to see.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        self.partial.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if !self.understand(&line) && !line.is_empty() {
                lines.push(line);
            }
        }
        lines
    }

    /// The outcome the console told, once it has.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        let panic = || self.panic.clone().map(Outcome::Panic);
        let outcome = self.outcome.clone().or_else(panic);
        match (&outcome, &self.bug) {
            (Some(Outcome::Pass), Some(bug)) => Some(Outcome::Bug(bug.clone())),
            _ => outcome,
        }
    }

    /// Is `line` about the outcome?
    fn understand(&mut self, line: &str) -> bool {
        if let Some((_, why)) = line.split_once("Kernel panic - not syncing: ") {
            self.panic.get_or_insert_with(|| why.to_owned());
            return false;
        }
        // A lockup is one of the clock: an emulator on a busy host gives the machine no time.
        if let Some((_, bug)) = line.split_once("] BUG: ")
            && !bug.contains("lockup")
        {
            self.bug.get_or_insert_with(|| bug.to_owned());
            return false;
        }
        let Some(outcome) = line.strip_prefix("OUTCOME: ").and_then(parse) else {
            return false;
        };
        self.outcome = Some(match self.outcome {
            None => outcome,
            Some(_) => Outcome::Gone("it told two outcomes".to_owned()),
        });
        true
    }
}

fn parse(text: &str) -> Option<Outcome> {
    match text.split_once(' ') {
        None if text == "pass" => Some(Outcome::Pass),
        Some(("fail", code)) => code.parse().ok().map(Outcome::Fail),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<Outcome> {
        let mut console = Console::default();
        console.take(text.as_bytes());
        console.outcome()
    }

    #[test]
    fn the_outcome_line_is_the_outcome() {
        assert_eq!(told("hello\r\nOUTCOME: pass\r\n"), Some(Outcome::Pass));
        assert_eq!(told("OUTCOME: fail 3\n"), Some(Outcome::Fail(3)));
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "OUTCOME: pass",
            "OUTCOME: maybe\n",
            "its OUTCOME: pass\n",
            "",
        ] {
            assert_eq!(told(text), None, "{text:?}");
        }
    }

    #[test]
    fn two_outcomes_are_none() {
        let outcome = told("OUTCOME: pass\nOUTCOME: pass\n");
        assert!(matches!(outcome, Some(Outcome::Gone(_))), "{outcome:?}");
    }

    #[test]
    fn a_panic_is_an_outcome() {
        let outcome = told("[    1.2] Kernel panic - not syncing: No working init found.\n");
        assert_eq!(
            outcome,
            Some(Outcome::Panic("No working init found.".to_owned()))
        );
    }

    #[test]
    fn a_bug_of_the_kernel_fails_a_job_that_ended_well() {
        for (line, outcome) in [
            (
                "[    8.3] BUG: Bad page state in process lab  pfn:03e02\n",
                Outcome::Bug("Bad page state in process lab  pfn:03e02".to_owned()),
            ),
            (
                "[   12.3] BUG: soft lockup - CPU#0 stuck for 22s! [lab:106]\n",
                Outcome::Pass,
            ),
        ] {
            assert_eq!(told(&format!("{line}OUTCOME: pass\n")), Some(outcome));
            assert_eq!(
                told(&format!("{line}OUTCOME: fail 1\n")),
                Some(Outcome::Fail(1))
            );
        }
    }

    #[test]
    fn lines_in_pieces_are_put_together() {
        let mut console = Console::default();
        assert!(console.take(b"OUTCOME: ").is_empty());
        assert!(console.take(b"pass\r").is_empty());
        assert_eq!(console.take(b"\nbye\n"), ["bye"]);
        assert_eq!(console.outcome(), Some(Outcome::Pass));
    }
}
