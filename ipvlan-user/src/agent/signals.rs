//! The signals that the agent handles.

use std::io::{self, IsTerminal as _};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The request of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Ctrl-C, a service manager, a terminal that was closed.
    Stop,
    /// The configuration has changed.
    Reload,
}

/// Handlers of the signals.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    /// The meaning of SIGHUP: an agent that was started from a terminal has lost it.
    on_hangup: Request,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            on_hangup: if io::stderr().is_terminal() {
                Request::Stop
            } else {
                Request::Reload
            },
        })
    }

    /// Waits for any of them. Cancelling loses nothing.
    pub(super) async fn received(&mut self) -> Request {
        tokio::select! {
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.terminate.recv() => Request::Stop,
            _ = self.hangup.recv() => self.on_hangup,
        }
    }
}
