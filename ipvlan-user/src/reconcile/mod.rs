//! The agent: keeps the datapath of its parents in step with the kernel.
//!
//! The only place that knows discovery, model, maps and hooks. Every sync is the whole truth: a
//! snapshot, what it asks for, what is different, done. A snapshot that fails changes nothing.

mod error;
mod health;
mod lan;
mod parent;
mod refresh;
mod reload;
mod report;
mod signals;
mod start;

use std::{
    future::{self, poll_fn},
    io,
    ops::BitOr,
    task::Poll,
    time::{Duration, Instant},
};

use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep_until};
use tracing::{debug, error, info, warn};

pub use self::error::AgentError;
pub(crate) use self::error::{is_denied, is_errno_of_denial};
use self::{
    error::{chain, system},
    parent::{Parent, Tidings},
    refresh::{MAX_GAP, MIN_GAP, Refresh, backoff},
    reload::Configuration,
    signals::{Asked, Signals},
};
pub use crate::config::{PinSettings, Settings};
use crate::{
    config::{Loaded, Source},
    discover::{Discover, Scope, Snapshot, Wake, Watch},
    runtime::{self, Service, StatusSocket},
    status,
};

/// A running agent.
pub struct Agent {
    settings: Settings,
    configuration: Configuration,
    netns: u64,
    discover: Discover,
    watch: Watch,
    socket: StatusSocket,
    parents: Vec<Parent>,
    snapshot: Snapshot,
    stats: status::Sync,
    /// When everything was last in step.
    synced: Instant,
    signals: Signals,
    service: Service,
    /// Syncs that failed since the last one that had to succeed did.
    failures: u32,
    /// A sync succeeded since the watchdog was fed.
    proven: bool,
    /// All that the first snapshot asks for is done.
    complete: bool,
}

impl Agent {
    /// Attaches to the parents and completes the first sync. A parent that cannot be served waits, if
    /// there is another one that can. If the agent cannot start, nothing is attached.
    pub fn start(source: Source, loaded: Loaded) -> Result<Self, AgentError> {
        let Loaded { settings, files } = loaded;
        // Before anything is attached: a signal from here on stops the agent cleanly.
        let signals = Signals::new().map_err(system("catch signals"))?;
        let netns = runtime::own_netns().map_err(system("read the network namespace"))?;
        // Before the first snapshot: what changes from here on wakes us.
        let watch = Watch::new()?;
        let mut discover = Discover::new()?;
        let snapshot = discover.snapshot(Scope::Everything, None)?;
        let (parents, complete) = start::start(netns, &snapshot, &settings)?;
        let socket = match StatusSocket::bind(&settings.runtime_dir) {
            Ok(socket) => socket,
            Err(failure) => {
                parents.into_iter().for_each(Parent::undo);
                return Err(system("create the status socket")(failure));
            }
        };
        let mut agent = Self {
            settings,
            configuration: Configuration::new(source, &files),
            netns,
            discover,
            watch,
            socket,
            parents,
            snapshot,
            stats: status::Sync::default(),
            synced: Instant::now(),
            signals,
            service: Service::new(),
            failures: 0,
            proven: false,
            complete,
        };
        agent.stats.syncs = 1;
        for parent in &agent.parents {
            if parent.is_serving() {
                info!("ready: {}", parent.summary());
            }
        }
        Ok(agent)
    }

    /// Runs until SIGINT or SIGTERM, or a SIGHUP of the terminal it was started at, then detaches.
    pub async fn run(mut self) -> Result<(), AgentError> {
        let mut audit = ticks(self.settings.audit);
        let mut watchdog = self.service.watchdog().map(ticks);
        // What a wake asks for is done at `due`; until then more wakes join it.
        let mut pending: Option<Refresh> = None;
        let mut due = Instant::now();
        // When to pin again what somebody else has unpinned.
        let mut repin: Option<Instant> = None;
        if self.complete {
            self.proven = true;
            self.service.synced(true);
            self.tell();
        } else {
            pending = Some(Refresh::Everything);
        }
        loop {
            let stale_soon = self.stale_soon();
            let next = self.parents.iter().filter_map(Parent::next_due);
            let next = next.chain(self.service.next_due()).min();
            tokio::select! {
                biased;
                asked = self.signals.received() => match asked {
                    Asked::Stop => break,
                    Asked::Reload => {
                        self.service.reloading();
                        if self.reload() {
                            audit = ticks(self.settings.audit);
                            pending = Some(Refresh::Everything);
                            due = Instant::now();
                        } else {
                            self.service.not_reloaded();
                            self.tell();
                        }
                    }
                },
                () = sleep_until(due.into()), if pending.is_some() => {
                    let refresh = pending.take().unwrap_or(Refresh::Everything);
                    let started = Instant::now();
                    if self.sync_and_tell(refresh) {
                        self.failures = 0;
                        due = Instant::now() + started.elapsed().clamp(MIN_GAP, MAX_GAP);
                    } else {
                        self.failures += 1;
                        pending = Some(Refresh::Everything);
                        due = Instant::now() + backoff(self.failures);
                    }
                }
                () = sleep_until(next.unwrap_or_else(Instant::now).into()), if next.is_some() => {
                    self.service.tick(Instant::now());
                    if self.tick() {
                        pending = pending.max(Some(Refresh::Model));
                    }
                }
                (index, tidings) = told(&mut self.parents) => match tidings {
                    Tidings::Events(events) => {
                        if self.parents[index].told(&events) {
                            pending = pending.max(Some(Refresh::Model));
                        }
                    }
                    // Whoever removes pins may be at it still.
                    Tidings::Unpinned => repin = repin.or(Some(Instant::now() + MAX_GAP)),
                },
                () = sleep_until(repin.unwrap_or(due).into()), if repin.is_some() => {
                    let again = self.parents.iter_mut().map(Parent::repin).fold(false, BitOr::bitor);
                    repin = again.then(|| Instant::now() + MAX_GAP);
                }
                () = sleep_until(stale_soon.into()), if pending.is_none() => {
                    pending = Some(Refresh::Addresses);
                }
                wake = self.watch.wake() => {
                    let wake = wake?;
                    self.note(wake);
                    pending = pending.max(Some(Refresh::after(wake)));
                    // News does not wait for the end of a long pause after failures.
                    due = due.min(Instant::now() + MAX_GAP);
                }
                _ = audit.tick() => {
                    self.audit();
                    pending = Some(Refresh::Everything);
                }
                () = tick(&mut watchdog) => {
                    if !self.feed_watchdog() {
                        pending = Some(Refresh::Everything);
                    }
                }
                client = self.socket.accept() => self.serve(client),
            }
        }
        if self.parents.iter().any(Parent::is_pinned) {
            info!("stopping: what is pinned goes on answering; `ipvlan cleanup` removes it");
        } else {
            info!("stopping");
        }
        self.service.stopping();
        self.stop()
    }

    /// When the programs have to be told again that somebody looks after them.
    fn stale_soon(&self) -> Instant {
        const NEVER: Duration = Duration::from_hours(24);
        self.synced + self.settings.stale_after.map_or(NEVER, |time| time / 3)
    }

    fn note(&mut self, wake: Wake) {
        self.stats.wakes += 1;
        if wake.overrun {
            self.stats.overruns += 1;
            warn!("netlink events were lost: syncing everything");
        }
    }

    /// Takes a snapshot and makes every parent follow it. Returns whether all of it succeeded.
    fn sync(&mut self, refresh: Refresh) -> bool {
        self.stats.syncs += 1;
        let snapshot = match refresh {
            Refresh::Model => Ok(std::mem::take(&mut self.snapshot)),
            Refresh::Addresses => self.discover.readdress(&self.snapshot, None),
            Refresh::KnownNetns => self.discover.snapshot(Scope::KnownNetns, None),
            Refresh::Everything => self.discover.snapshot(Scope::Everything, None),
        };
        match snapshot {
            Ok(snapshot) => self.snapshot = snapshot,
            Err(failure) => {
                self.fail(&failure);
                return false;
            }
        }
        let mut failure: Option<Box<dyn std::error::Error>> = None;
        for parent in &mut self.parents {
            let followed = parent.follow(&self.snapshot, &self.settings);
            let stamped = match followed {
                // What is known of the kernel may be as old as before.
                Ok(()) if refresh == Refresh::Model => Ok(()),
                Ok(()) => parent.stamp(&self.settings).map_err(Box::from),
                Err(error) => Err(Box::from(error)),
            };
            failure = stamped.err().or(failure);
        }
        if let Some(failure) = failure {
            self.fail(&*failure);
            return false;
        }
        self.stats.error = None;
        if refresh != Refresh::Model {
            self.synced = Instant::now();
        }
        debug!(?refresh, "synced");
        true
    }

    /// Sends what is due on every parent. Returns whether what is answered for changed.
    fn tick(&mut self) -> bool {
        let mut changed = false;
        for parent in &mut self.parents {
            changed |= parent.tick();
        }
        changed
    }

    fn fail(&mut self, failure: &dyn std::error::Error) {
        self.stats.failed += 1;
        let failure = chain(failure);
        error!("sync failed, what is installed stays: {failure}");
        self.stats.error = Some(failure);
    }

    /// Reads the maps back. What others changed in them is mended by the sync that follows.
    fn audit(&mut self) {
        let mut failure = None;
        for parent in &mut self.parents {
            parent.repin();
            match parent.audit() {
                Ok(0) => {}
                Ok(differing) => {
                    self.stats.mended += differing as u64;
                    warn!(
                        parent = parent.name(),
                        differing, "somebody else changed the address map: mending it"
                    );
                }
                Err(error) => failure = Some(error),
            }
        }
        if let Some(failure) = failure {
            self.fail(&failure);
        }
    }

    fn serve(&mut self, client: io::Result<tokio::net::UnixStream>) {
        let stream = match client {
            Ok(stream) => stream,
            Err(failure) => {
                warn!("status socket: {failure}");
                return;
            }
        };
        // So that link counters are of now. What failed is not made good by less.
        self.sync_and_tell(if self.failures == 0 {
            Refresh::KnownNetns
        } else {
            Refresh::Everything
        });
        let agent = self.status();
        // On its own: a client that does not read holds nothing up.
        tokio::spawn(async move {
            if let Err(failure) = runtime::answer(stream, &agent).await {
                debug!("status client: {failure}");
            }
        });
    }

    fn status(&self) -> status::Agent {
        status::Agent {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            netns: self.netns,
            sync: self.stats.clone(),
            config: report::configuration(&self.configuration),
            parents: self
                .parents
                .iter()
                .map(|parent| report::parent(parent, &self.snapshot))
                .collect(),
        }
    }

    fn stop(self) -> Result<(), AgentError> {
        let count = self
            .parents
            .into_iter()
            .flat_map(Parent::stop)
            .inspect(|failure| error!("{}", chain(failure)))
            .count();
        if count == 0 {
            Ok(())
        } else {
            Err(AgentError::Detach { count })
        }
    }
}

/// Ticks after each `period` from now on; one that comes late delays those after it.
fn ticks(period: Duration) -> Interval {
    let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Waits for a tick; for ever if there are none.
async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => future::pending().await,
    }
}

/// Waits for what any parent hears, and of which it is. Cancelling loses nothing.
async fn told(parents: &mut [Parent]) -> (usize, Tidings) {
    poll_fn(|context| {
        for (index, parent) in parents.iter_mut().enumerate() {
            if let Poll::Ready(tidings) = parent.poll(context) {
                return Poll::Ready((index, tidings));
            }
        }
        Poll::Pending
    })
    .await
}
