//! Notifications to the service manager (`sd_notify(3)`). Without one, nothing is sent.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::debug;

/// Shortest time between two status lines: during churn only the last one is sent.
const STATUS_GAP: Duration = Duration::from_secs(1);
/// How often the watchdog is fed within its time: once may be missed, and the clock may be late.
const FEEDS: u32 = 3;

/// The service manager's view of this process.
#[derive(Debug)]
pub struct Service {
    phase: Phase,
    status: StatusLine,
    watchdog: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not ready yet.
    Starting,
    /// A reload is under way.
    Reloading,
    Ready,
}

impl Service {
    /// Returns the service manager of this process; its environment has the socket.
    #[must_use]
    pub fn new() -> Self {
        Self {
            phase: Phase::Starting,
            status: StatusLine::default(),
            watchdog: sd_notify::watchdog_enabled(),
        }
    }

    /// Returns the interval at which the watchdog is fed; none without a watchdog.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.map(|within| within / FEEDS)
    }

    /// Feeds the watchdog.
    pub fn feed(&self) {
        notify(&[NotifyState::Watchdog]);
    }

    /// Records the end of a sync. The first that succeeds makes the service ready; a reload ends with the next, whether
    /// it succeeds or not.
    pub fn synced(&mut self, succeeded: bool) {
        if match self.phase {
            Phase::Starting => succeeded,
            Phase::Reloading => true,
            Phase::Ready => false,
        } {
            self.ready();
        }
    }

    /// Notifies that a reload begins.
    pub fn reloading(&mut self) {
        // A service that is not ready yet becomes ready by its first sync.
        if self.phase == Phase::Starting {
            return;
        }
        self.phase = Phase::Reloading;
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(failure) => debug!("the time of a reload: {failure}"),
        }
    }

    /// Notifies that a reload has failed and changed nothing.
    pub fn not_reloaded(&mut self) {
        if self.phase == Phase::Reloading {
            self.ready();
        }
    }

    /// Notifies that the process is about to end.
    pub fn stopping(&mut self) {
        notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    /// Sets the status line. It is sent if it differs from the last one, and later if that was sent just now: see
    /// [`Self::next_due`].
    pub fn status(&mut self, now: Instant, line: String) {
        self.status.set(line);
        self.tick(now);
    }

    /// Returns when to call [`Self::tick`]; none if nothing is left to send.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.status.next_due()
    }

    /// Sends a line that is due.
    pub fn tick(&mut self, now: Instant) {
        if let Some(line) = self.status.due(now) {
            notify(&[NotifyState::Status(line)]);
        }
    }

    fn ready(&mut self) {
        self.phase = Phase::Ready;
        notify(&[NotifyState::Ready]);
    }
}

impl Default for Service {
    fn default() -> Self {
        Self::new()
    }
}

fn notify(state: &[NotifyState<'_>]) {
    // The agent works whether its manager receives this or not.
    if let Err(failure) = sd_notify::notify(state) {
        debug!("the service manager was not notified: {failure}");
    }
}

/// A line that is sent when it changes, and not too often.
#[derive(Debug, Default)]
struct StatusLine {
    sent: Option<(Instant, String)>,
    next: Option<String>,
}

impl StatusLine {
    fn set(&mut self, line: String) {
        let same = self.sent.as_ref().is_some_and(|(_, sent)| *sent == line);
        self.next = (!same).then_some(line);
    }

    fn next_due(&self) -> Option<Instant> {
        let (at, _) = self.sent.as_ref()?;
        self.next.as_ref().map(|_| *at + STATUS_GAP)
    }

    fn due(&mut self, now: Instant) -> Option<&str> {
        if self.next_due().is_some_and(|due| due > now) {
            return None;
        }
        let line = self.next.take()?;
        let (_, line) = self.sent.insert((now, line));
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_sent_when_it_changes_and_once_a_second() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut line = StatusLine::default();
        assert_eq!((line.next_due(), line.due(start)), (None, None));
        // When, what is set then, what is sent.
        let rows = [
            (0, Some("a"), Some("a")),
            (10, Some("a"), None),
            (20, Some("b"), None),
            (30, Some("c"), None),
            (999, None, None),
            (1000, None, Some("c")),
            (5000, None, None),
            (5000, Some("d"), Some("d")),
            (5010, Some("e"), None),
            // Back to what was sent: there is nothing to say.
            (5020, Some("d"), None),
            (7000, None, None),
        ];
        for (now, set, sent) in rows {
            if let Some(set) = set {
                line.set(set.to_owned());
            }
            assert_eq!(line.due(at(now)), sent, "after {now} ms");
        }
        assert_eq!(line.next_due(), None);
        line.set("f".to_owned());
        assert_eq!(line.next_due(), Some(at(6000)));
    }
}
