//! The signals the agent listens to.

use std::io::{self, IsTerminal as _};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Ctrl-C, a service manager, a terminal that was closed.
    Stop,
    /// The configuration is another.
    Reload,
}

/// Catches them.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    /// What SIGHUP means: who was started at a terminal has lost it.
    on_hangup: Asked,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            on_hangup: if io::stderr().is_terminal() {
                Asked::Stop
            } else {
                Asked::Reload
            },
        })
    }

    /// Waits for any of them. Cancelling loses nothing.
    pub(super) async fn received(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.hangup.recv() => self.on_hangup,
        }
    }
}
