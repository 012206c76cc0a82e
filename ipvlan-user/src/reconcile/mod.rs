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
    collections::BTreeMap,
    future::poll_fn,
    io,
    path::PathBuf,
    task::Poll,
    time::{Duration, Instant},
};

use ipvlan_common::Event;
use tokio::time::{MissedTickBehavior, interval_at, sleep_until};
use tracing::{debug, error, info, warn};

use self::{
    parent::Parent,
    refresh::{Pending, Refresh},
    signals::StopSignals,
};
use crate::{
    attach::{AttachError, AttachOptions},
    discover::{
        Changed, Discover, DiscoverError, Part, Renewed, Scope, Snapshot, Wake, Watch,
        snapshot::NetnsId,
    },
    model::{ParentError, Policy},
    neighbour::Manners,
    runtime::{self, ClaimError, StatusSocket},
    status,
};

/// How often the first snapshot is tried.
const FIRST_ATTEMPTS: u32 = 100;

/// What the agent is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names of the parents.
    pub parents: Vec<String>,
    /// What is answered, and how packets are delivered.
    pub policy: Policy,
    /// What children say on the LAN.
    pub manners: Manners,
    /// How programs are attached.
    pub attach: AttachOptions,
    /// Time between two audits.
    pub audit: Duration,
    /// Directory of lock files and sockets.
    pub runtime_dir: PathBuf,
}

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
        let started = Instant::now();
        let snapshot = first_snapshot(&mut discover)?;
        let mut took = started.elapsed();
        let mut parents = Vec::new();
        for name in &settings.parents {
            let mut parent = Parent::new(name.clone(), netns);
            took += parent.start(&snapshot, &settings)?;
            parents.push(parent);
        }
        let socket = StatusSocket::bind(&settings.runtime_dir)
            .map_err(system("create the status socket"))?;
        let mut agent = Self {
            settings,
            netns,
            discover,
            watch,
            socket,
            parents,
            snapshot,
            stats: status::Sync::default(),
            stop,
        };
        agent.stats.syncs = 1;
        agent.stats.whole = 1;
        agent.stats.first_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        for parent in &agent.parents {
            info!("ready: {}", parent.summary());
        }
        runtime::give_back();
        Ok(agent)
    }

    /// Runs until SIGINT, SIGTERM or SIGHUP, then detaches.
    pub async fn run(mut self) -> Result<(), AgentError> {
        let mut audit = interval_at(
            tokio::time::Instant::now() + self.settings.audit,
            self.settings.audit,
        );
        audit.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pending = Pending::new(Instant::now());
        loop {
            let sync_due = pending.next_due();
            let next = self.parents.iter().filter_map(Parent::next_due).min();
            tokio::select! {
                biased;
                () = self.stop.received() => break,
                () = sleep_until(sync_due.unwrap_or_else(Instant::now).into()), if sync_due.is_some() => {
                    let started = Instant::now();
                    if let Some(refresh) = pending.take(started) {
                        match self.sync(&refresh) {
                            Some(stale) => {
                                pending.done(started, Instant::now(), refresh.is_whole());
                                pending.keep(stale);
                            }
                            None => pending.failed(Instant::now()),
                        }
                    }
                }
                () = sleep_until(next.unwrap_or_else(Instant::now).into()), if next.is_some() => {
                    if self.tick() {
                        pending.add_model();
                    }
                }
                (index, events) = told(&mut self.parents) => {
                    if self.parents[index].told(&events) {
                        pending.add_model();
                    }
                }
                wake = self.watch.wake() => {
                    let wake = wake?;
                    self.note(&wake);
                    pending.add(Instant::now(), self.discover.stale(&wake));
                }
                _ = audit.tick() => {
                    self.audit();
                    pending.add_everything();
                }
                client = self.socket.accept() => pending.keep(self.serve(client)),
            }
        }
        info!("stopping");
        self.stop()
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
        let mut failure = None;
        for parent in &mut self.parents {
            if let Err(error) = parent.follow(&self.snapshot, &changed, &self.settings) {
                failure = Some(error);
            }
        }
        if let Some(failure) = failure {
            self.fail(&failure);
            return None;
        }
        if refresh.is_whole() {
            runtime::give_back();
        }
        self.stats.error = None;
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

    /// Answers a client. Returns what is still stale.
    fn serve(&mut self, client: io::Result<tokio::net::UnixStream>) -> BTreeMap<NetnsId, Part> {
        let stream = match client {
            Ok(stream) => stream,
            Err(failure) => {
                warn!("status socket: {failure}");
                return BTreeMap::new();
            }
        };
        // So that link counters are of now.
        let stale = self.sync(&Refresh::KnownNetns);
        let agent = self.status();
        // On its own: a client that does not read holds nothing up.
        tokio::spawn(async move {
            if let Err(failure) = runtime::answer(stream, agent).await {
                debug!("status client: {failure}");
            }
            runtime::give_back();
        });
        stale.unwrap_or_default()
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

/// Waits for what the programs of any parent tell, and of which it is. Cancelling loses nothing.
async fn told(parents: &mut [Parent]) -> (usize, Vec<Event>) {
    poll_fn(|context| {
        for (index, parent) in parents.iter_mut().enumerate() {
            if let Poll::Ready(events) = parent.poll(context) {
                return Poll::Ready((index, events));
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
