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
    collections::BTreeMap,
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
    refresh::{MAX_GAP, Pending, Refresh},
    reload::Configuration,
    signals::{Asked, Signals},
    start::Started,
};
pub use crate::config::{PinSettings, Settings};
use crate::{
    config::{Loaded, Source},
    discover::{
        Changed, Discover, DiscoverError, Part, Renewed, Scope, Snapshot, Stale, Wake, Watch,
        snapshot::NetnsId,
    },
    runtime::{self, Service, StatusSocket},
    status,
};

/// How often the first snapshot is tried.
const FIRST_ATTEMPTS: u32 = 100;

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
    /// What woke, and is not done yet.
    pending: Pending,
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
        let started = Instant::now();
        let snapshot = first_snapshot(&mut discover)?;
        let dumped = started.elapsed();
        let Started {
            parents,
            complete,
            filled,
        } = start::start(netns, &snapshot, &settings)?;
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
            pending: Pending::new(Instant::now()),
            proven: false,
            complete,
        };
        agent.stats.syncs = 1;
        agent.stats.whole = 1;
        agent.stats.first_us = u64::try_from((dumped + filled).as_micros()).unwrap_or(u64::MAX);
        for parent in &agent.parents {
            if parent.is_serving() {
                info!("ready: {}", parent.summary());
            }
        }
        runtime::give_back();
        Ok(agent)
    }

    /// Runs until SIGINT or SIGTERM, or a SIGHUP of the terminal it was started at, then detaches.
    pub async fn run(mut self) -> Result<(), AgentError> {
        let mut audit = ticks(self.settings.audit);
        let mut watchdog = self.service.watchdog().map(ticks);
        // When to pin again what somebody else has unpinned.
        let mut repin: Option<Instant> = None;
        if self.complete {
            self.proven = true;
            self.service.synced(true);
            self.tell();
        } else {
            self.pending.add_everything();
        }
        loop {
            let sync_due = self.pending.next_due();
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
                            self.pending.add(Instant::now(), Stale::everything());
                        } else {
                            self.service.not_reloaded();
                            self.tell();
                        }
                    }
                },
                () = at(sync_due), if sync_due.is_some() => {
                    let started = Instant::now();
                    let size = |id| self.snapshot.addresses_of(id);
                    if let Some(refresh) = self.pending.take(started, size) {
                        if self.sync_and_tell(&refresh) {
                            self.pending.done(started, Instant::now(), refresh.is_whole());
                        } else {
                            self.pending.failed(Instant::now());
                        }
                    }
                }
                () = at(next), if next.is_some() => {
                    self.service.tick(Instant::now());
                    if self.tick() {
                        self.pending.add_model();
                    }
                }
                (index, tidings) = told(&mut self.parents) => match tidings {
                    Tidings::Events(events) => {
                        if self.parents[index].told(&events) {
                            self.pending.add_model();
                        }
                    }
                    // Whoever removes pins may be at it still.
                    Tidings::Unpinned => repin = repin.or(Some(Instant::now() + MAX_GAP)),
                },
                () = at(repin), if repin.is_some() => {
                    let again = self.parents.iter_mut().map(Parent::repin).fold(false, BitOr::bitor);
                    repin = again.then(|| Instant::now() + MAX_GAP);
                }
                () = at(stale_soon), if stale_soon.is_some() => self.pending.add_everything(),
                wake = self.watch.wake() => {
                    let wake = wake?;
                    self.note(&wake);
                    self.pending.add(Instant::now(), self.discover.stale(&wake));
                }
                _ = audit.tick() => {
                    self.audit();
                    self.pending.add_everything();
                }
                () = tick(&mut watchdog) => {
                    if !self.feed_watchdog() {
                        self.pending.add_everything();
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

    /// When the programs have to be told again that somebody looks after them, if that is not about to
    /// be done anyway.
    fn stale_soon(&self) -> Option<Instant> {
        let time = self.settings.stale_after?;
        (!self.pending.is_whole()).then(|| self.synced + time / 3)
    }

    fn note(&mut self, wake: &Wake) {
        self.stats.wakes += 1;
        if wake.overrun {
            self.stats.overruns += 1;
            warn!("netlink events were lost: syncing everything");
        }
    }

    /// Reads what is asked for and makes every parent follow it. Returns what is still stale; `None`
    /// if something failed.
    fn sync(&mut self, refresh: &Refresh) -> Option<BTreeMap<NetnsId, Part>> {
        self.stats.syncs += 1;
        self.stats.whole += u64::from(refresh.is_whole());
        let Renewed { changed, stale } = match self.read(refresh) {
            Ok(renewed) => renewed,
            Err(failure) => {
                self.fail(&failure);
                return None;
            }
        };
        // What is known of the kernel may be as old as before.
        let is_news = *refresh != Refresh::Model;
        let mut failure: Option<Box<dyn std::error::Error>> = None;
        for parent in &mut self.parents {
            let followed = parent.follow(&self.snapshot, &changed, &self.settings);
            let stamped = match followed {
                Ok(()) if is_news => parent.stamp(&self.settings).map_err(Box::from),
                Ok(()) => Ok(()),
                Err(error) => Err(Box::from(error)),
            };
            failure = stamped.err().or(failure);
        }
        if let Some(failure) = failure {
            self.fail(&*failure);
            return None;
        }
        if refresh.is_whole() {
            runtime::give_back();
        }
        self.stats.error = None;
        if is_news {
            self.synced = Instant::now();
        }
        debug!(?refresh, ?stale, "synced");
        Some(stale)
    }

    /// Makes the snapshot one of now, as far as is asked for. An error leaves it as it was.
    fn read(&mut self, refresh: &Refresh) -> Result<Renewed, DiscoverError> {
        let scope = match refresh {
            Refresh::Model => {
                return Ok(Renewed {
                    changed: Changed::Anything,
                    stale: BTreeMap::new(),
                });
            }
            Refresh::Parts(parts) => return self.discover.renew(&mut self.snapshot, parts, None),
            Refresh::KnownNetns => Scope::KnownNetns,
            Refresh::Everything => Scope::Everything,
        };
        self.discover.renew_all(&mut self.snapshot, scope, None)
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
        self.sync_and_tell(&if self.pending.has_failed() {
            Refresh::Everything
        } else {
            Refresh::KnownNetns
        });
        let agent = self.status();
        // On its own: a client that does not read holds nothing up.
        tokio::spawn(async move {
            if let Err(failure) = runtime::answer(stream, agent).await {
                debug!("status client: {failure}");
            }
            runtime::give_back();
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

/// The first snapshot, of which nothing may be missing: while something keeps changing it is taken again.
fn first_snapshot(discover: &mut Discover) -> Result<Snapshot, DiscoverError> {
    for _ in 1..FIRST_ATTEMPTS {
        match discover.snapshot(Scope::Everything, None) {
            Err(failure) if failure.is_transient() => debug!("once more: {failure}"),
            snapshot => return snapshot,
        }
    }
    discover.snapshot(Scope::Everything, None)
}

/// Ticks after each `period` from now on; one that comes late delays those after it.
fn ticks(period: Duration) -> Interval {
    let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Waits until then; for ever without a time.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => future::pending().await,
    }
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
