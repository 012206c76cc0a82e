//! Listening to a machine's console until it is gone or has to be stopped.

use std::{
    io::{Read, Write},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::console::{Console, Outcome};
use crate::exec;

const TAIL: usize = 30;

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// A machine that has not said anything by then never will.
    silent: Duration,
    /// How long it may say nothing once it has begun to.
    quiet: Duration,
    /// How long it may take to power off after it told its outcome.
    power_off: Duration,
    /// How long everything may take.
    limit: Duration,
}

impl Patience {
    /// What an emulated machine on a busy host needs, and no more than `limit` in all.
    pub(crate) fn within(limit: Duration) -> Self {
        Self {
            silent: Duration::from_mins(3),
            quiet: Duration::from_mins(8),
            power_off: Duration::from_secs(10),
            limit,
        }
    }
}

/// Pieces of what `output` says, as they come; the channel closes with it.
pub(crate) fn listen(mut output: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = output.read(&mut piece) {
            if sender.send(piece[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Shows what a machine says and keeps the end of it.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    name: &'a str,
    patience: Patience,
    console: Console,
    tail: Vec<String>,
}

impl<'a> Watch<'a> {
    /// Watches the machine called `name`.
    pub(crate) fn new(name: &'a str, patience: Patience) -> Self {
        Self {
            name,
            patience,
            console: Console::default(),
            tail: Vec::new(),
        }
    }

    /// The outcome that the machine told, once it has.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.console.outcome()
    }

    /// The last lines.
    pub(crate) fn into_tail(self) -> Vec<String> {
        self.tail
    }

    /// Listens until the machine is gone (`None`) or has to be stopped.
    pub(crate) fn until_the_end(
        &mut self,
        pieces: &Receiver<Vec<u8>>,
        log: &mut impl Write,
    ) -> Result<Option<Outcome>> {
        let Patience {
            silent,
            quiet,
            power_off,
            limit,
        } = self.patience;
        let end = Instant::now() + limit;
        let mut spoke = false;
        loop {
            let patience = match self.outcome() {
                Some(_) => power_off,
                None if spoke => quiet,
                None => silent,
            };
            let left = end.saturating_duration_since(Instant::now());
            match pieces.recv_timeout(patience.min(left)) {
                Ok(piece) => {
                    spoke = true;
                    log.write_all(&piece).context("cannot write the log")?;
                    for line in self.console.take(&piece) {
                        self.show(line);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {
                    return Ok(Some(match self.outcome() {
                        Some(outcome) => outcome,
                        None if left < patience => Outcome::TooLong(limit),
                        None if spoke => Outcome::Hang(quiet),
                        None => Outcome::Silent(silent),
                    }));
                }
            }
        }
    }

    fn show(&mut self, line: String) {
        exec::say(format!("{}: {line}", self.name));
        if self.tail.len() == TAIL {
            self.tail.remove(0);
        }
        self.tail.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Patience = Patience {
        silent: Duration::from_millis(20),
        quiet: Duration::from_millis(30),
        power_off: Duration::from_millis(10),
        limit: Duration::from_mins(1),
    };

    /// A machine that says `pieces`, then nothing, and stays.
    fn ended(patience: Patience, pieces: &[&str]) -> (Option<Outcome>, Vec<String>) {
        let (sender, receiver) = channel();
        for piece in pieces {
            sender.send(piece.as_bytes().to_vec()).unwrap();
        }
        let mut watch = Watch::new("test", patience);
        let outcome = watch.until_the_end(&receiver, &mut Vec::new()).unwrap();
        drop(sender);
        (outcome, watch.into_tail())
    }

    #[test]
    fn nothing_at_all_is_a_silent_boot() {
        let (outcome, _) = ended(SHORT, &[]);
        assert_eq!(outcome, Some(Outcome::Silent(SHORT.silent)));
    }

    #[test]
    fn nothing_more_is_a_hang_and_the_tail_is_kept() {
        let (outcome, tail) = ended(SHORT, &["one\n", "two\nthr"]);
        assert_eq!(outcome, Some(Outcome::Hang(SHORT.quiet)));
        assert_eq!(tail, ["one", "two"]);
    }

    #[test]
    fn a_machine_that_talks_for_ever_is_stopped_too() {
        let limit = Duration::from_millis(5);
        let (outcome, _) = ended(Patience { limit, ..SHORT }, &["busy\n"]);
        assert_eq!(outcome, Some(Outcome::TooLong(limit)));
    }

    #[test]
    fn a_machine_that_reported_its_outcome_need_not_power_off() {
        let (outcome, _) = ended(SHORT, &["OUTCOME: fail 2\n"]);
        assert_eq!(outcome, Some(Outcome::Fail(2)));
    }

    #[test]
    fn a_machine_that_is_gone_is_none() {
        let (sender, receiver) = channel();
        drop(sender);
        let mut watch = Watch::new("test", SHORT);
        let outcome = watch.until_the_end(&receiver, &mut Vec::new()).unwrap();
        assert_eq!(outcome, None);
    }

    #[test]
    fn the_log_has_every_byte() {
        let mut watch = Watch::new("test", SHORT);
        let mut log = Vec::new();
        watch
            .until_the_end(&listen(&b"a\r\nb"[..]), &mut log)
            .unwrap();
        assert_eq!(log, b"a\r\nb");
    }
}
