//! The agent: keeps the datapath of its parents in step with the kernel.
//!
//! The only place that knows discovery, model, maps and hooks. Every sync is the whole truth: a
//! snapshot, what it asks for, what is different, done. A snapshot that fails changes nothing.

mod lan;
mod parent;
mod refresh;
mod report;
mod signals;

use std::{
    future::poll_fn,
    io,
    ops::BitOr,
    task::Poll,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval_at, sleep_until};
use tracing::{debug, error, info, warn};

use self::{
    parent::{Parent, Tidings},
    refresh::{MAX_GAP, MIN_GAP, Refresh, backoff},
    signals::StopSignals,
};
pub use crate::config::{PinSettings, Settings};
use crate::{
    attach::{AttachError, PinRoot},
    discover::{Discover, DiscoverError, Scope, Snapshot, Wake, Watch},
    model::ParentError,
    runtime::{self, ClaimError, StatusSocket},
    status,
};

/// The agent cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The kernel's state could not be read.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// An interface cannot be served.
    #[error(transparent)]
    Parent(#[from] ParentError),
    /// Another agent serves it.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// Its programs could not be attached.
    #[error("attach to `{parent}`")]
    Attach {
        /// Name of the parent.
        parent: String,
        /// Why.
        source: Box<AttachError>,
    },
    /// Something of the process itself.
    #[error("{action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Not everything was left as it was found. Each has been logged.
    #[error("{count} programs could not be detached")]
    Detach {
        /// How many.
        count: usize,
    },
}

/// A running agent.
pub struct Agent {
    settings: Settings,
    netns: u64,
    discover: Discover,
    watch: Watch,
    socket: StatusSocket,
    parents: Vec<Parent>,
    snapshot: Snapshot,
    stats: status::Sync,
    /// When everything was last in step.
    synced: Instant,
    stop: StopSignals,
}

impl Agent {
    /// Attaches to all parents and completes the first sync. If one fails, all are detached.
    pub fn start(settings: Settings) -> Result<Self, AgentError> {
        // Before anything is attached: a signal from here on stops the agent cleanly.
        let stop = StopSignals::new().map_err(system("catch signals"))?;
        let netns = runtime::own_netns().map_err(system("read the network namespace"))?;
        // Before the first snapshot: what changes from here on wakes us.
        let watch = Watch::new()?;
        let mut discover = Discover::new()?;
        let snapshot = discover.snapshot(Scope::Everything, None)?;
        remove_orphans(&settings.pins, netns, &snapshot);
        let mut parents = Vec::new();
        let started = start_all(&settings, netns, &snapshot, &mut parents).and_then(|()| {
            StatusSocket::bind(&settings.runtime_dir).map_err(system("create the status socket"))
        });
        let socket = match started {
            Ok(socket) => socket,
            Err(failure) => {
                parents.into_iter().for_each(Parent::undo);
                return Err(failure);
            }
        };
        let mut agent = Self {
            settings,
            netns,
            discover,
            watch,
            socket,
            parents,
            snapshot,
            stats: status::Sync::default(),
            synced: Instant::now(),
            stop,
        };
        agent.stats.syncs = 1;
        for parent in &agent.parents {
            info!("ready: {}", parent.summary());
        }
        Ok(agent)
    }

    /// Runs until SIGINT, SIGTERM or SIGHUP, then detaches.
    pub async fn run(mut self) -> Result<(), AgentError> {
        let mut audit = interval_at(
            tokio::time::Instant::now() + self.settings.audit,
            self.settings.audit,
        );
        audit.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What a wake asks for is done at `due`; until then more wakes join it.
        let mut pending: Option<Refresh> = None;
        let mut due = Instant::now();
        let mut failures = 0_u32;
        // When to pin again what somebody else has unpinned.
        let mut repin: Option<Instant> = None;
        loop {
            let next = self.parents.iter().filter_map(Parent::next_due).min();
            let stale_soon = self.stale_soon();
            tokio::select! {
                biased;
                () = self.stop.received() => break,
                () = sleep_until(due.into()), if pending.is_some() => {
                    let refresh = pending.take().unwrap_or(Refresh::Everything);
                    let started = Instant::now();
                    if self.sync(refresh) {
                        failures = 0;
                        due = Instant::now() + started.elapsed().clamp(MIN_GAP, MAX_GAP);
                    } else {
                        failures += 1;
                        pending = Some(Refresh::Everything);
                        due = Instant::now() + backoff(failures);
                    }
                }
                () = sleep_until(next.unwrap_or_else(Instant::now).into()), if next.is_some() => {
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
                client = self.socket.accept() => self.serve(client),
            }
        }
        if self.parents.iter().any(Parent::is_pinned) {
            info!("stopping: what is pinned goes on answering; `ipvlan cleanup` removes it");
        } else {
            info!("stopping");
        }
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
        // So that link counters are of now.
        self.sync(Refresh::KnownNetns);
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

/// Starts all parents, up to the first that fails.
fn start_all(
    settings: &Settings,
    netns: u64,
    snapshot: &Snapshot,
    parents: &mut Vec<Parent>,
) -> Result<(), AgentError> {
    for name in &settings.parents {
        let mut parent = Parent::new(name.clone(), netns);
        parent.start(snapshot, settings)?;
        parents.push(parent);
    }
    Ok(())
}

/// Removes what is pinned for parents of this netns that are gone: they were deleted, or moved to another
/// netns, while no agent looked after them.
fn remove_orphans(settings: &PinSettings, netns: u64, snapshot: &Snapshot) {
    let Ok(Some(root)) = PinRoot::find(&settings.dir) else {
        return;
    };
    for name in root.names().unwrap_or_default() {
        if name.netns != netns || snapshot.link(name.ifindex).is_some() {
            continue;
        }
        match root.open(&name) {
            Ok(Some(pins)) => match pins.remove() {
                Ok(objects) => info!(
                    objects,
                    "removed what was pinned for {}: it is gone", name.parent
                ),
                Err(failure) => warn!("{}", chain(&failure)),
            },
            Ok(None) => {}
            // Its agent will find out itself.
            Err(failure) => debug!("{}", chain(&failure)),
        }
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

fn system(action: &'static str) -> impl FnOnce(io::Error) -> AgentError {
    move |source| AgentError::System { action, source }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
