//! The agent: keeps the datapath of its parents in step with the kernel.
//!
//! The only place that knows discovery, model, maps and hooks. Every sync is the whole truth: a
//! snapshot, what it asks for, what is different, done. A snapshot that fails changes nothing.

mod error;
mod health;
mod parent;
mod reload;
mod schedule;
mod serve;
mod signals;
mod start;
mod status_view;
mod sync;
mod timer;
mod unreadable;

use std::{
    ops::BitOr,
    time::{Duration, Instant},
};

use tokio::net::UnixStream;
use tracing::{error, info, warn};

pub use self::error::AgentError;
pub(crate) use self::error::is_errno_of_denial;
use self::{
    error::system,
    parent::{Parent, ParentEvent},
    reload::Configuration,
    schedule::{MAX_GAP, Pending},
    signals::{Asked, Signals},
    start::Started,
    sync::first_snapshot,
    timer::{at, next_event, tick, ticks},
    unreadable::Unreadable,
};
pub use crate::config::{PinSettings, Settings};
use crate::{
    config::{Loaded, Source},
    discover::{Dirty, Discover, Wake, Watch},
    facts::Snapshot,
    protocol::SyncStats,
    runtime::{self, Service, StatusSocket},
    text::chain,
};

/// How long after a start adopted entries that no child claims are kept, while some netns was never read: its
/// children may be behind them, and no netns can keep stale entries of others for longer.
const UNREAD_TIME: Duration = Duration::from_mins(1);

/// A running agent.
pub struct Agent {
    settings: Settings,
    configuration: Configuration,
    netns: u64,
    discover: Discover,
    watch: Watch,
    socket: StatusSocket,
    /// Who asked for the status since everything began to be read.
    asking: Vec<UnixStream>,
    /// Who did before, and is answered when that is done.
    served: Vec<UnixStream>,
    parents: Vec<Parent>,
    snapshot: Snapshot,
    stats: SyncStats,
    /// When everything was last in step.
    synced: Instant,
    signals: Signals,
    service: Service,
    /// What woke, and is not done yet.
    pending: Pending,
    /// The netns that cannot be read.
    unreadable: Unreadable,
    /// When adopted entries that no child claims are removed, though some netns were never read.
    gives_up: Instant,
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
        let mut watch = Watch::new()?;
        let mut discover = Discover::new()?;
        let started = Instant::now();
        discover.set_quota(settings.addresses_of());
        let (snapshot, first) = first_snapshot(&mut discover)?;
        let dumped = started.elapsed();
        discover.update_watch(&mut watch, &snapshot);
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
            asking: Vec::new(),
            served: Vec::new(),
            parents,
            snapshot,
            stats: SyncStats::default(),
            synced: Instant::now(),
            signals,
            service: Service::new(),
            pending: Pending::new(Instant::now()),
            unreadable: Unreadable::default(),
            gives_up: Instant::now() + UNREAD_TIME,
            proven: false,
            complete,
        };
        agent.pending.set_share(agent.settings.quotas.time);
        agent.pending.charge(Instant::now(), &first, None);
        agent.unreadable.update(&first, &agent.snapshot);
        agent.stats.syncs = 1;
        agent.stats.whole = 1;
        agent.stats.first_us = u64::try_from((dumped + filled).as_micros()).unwrap_or(u64::MAX);
        for parent in &agent.parents {
            if parent.is_serving() {
                parent.report_start();
            }
        }
        reload::warn_of(&agent.settings);
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
            self.pending.add_model();
            self.pending.add_everything();
        }
        loop {
            let sync_due = self.pending.next_due();
            let stale_soon = self.stale_soon();
            let gives_up = (!self.snapshot.unread.is_empty()).then_some(self.gives_up);
            let next = self.parents.iter().filter_map(Parent::next_due);
            let next = next.chain(self.service.next_due()).min();
            tokio::select! {
                biased;
                asked = self.signals.received() => match asked {
                    Asked::Stop => break,
                    Asked::Reload => {
                        self.service.reloading();
                        if self.reload() {
                            self.discover.set_quota(self.settings.addresses_of());
                            self.pending.set_share(self.settings.quotas.time);
                            audit = ticks(self.settings.audit);
                            self.pending.add_model();
                            self.pending.add(Instant::now(), Dirty::everything());
                        } else {
                            self.service.not_reloaded();
                            self.tell();
                        }
                    }
                },
                () = at(sync_due), if sync_due.is_some() => {
                    let started = Instant::now();
                    let has_child = |id| !self.snapshot.children_of(id).is_empty();
                    if let Some(refresh) = self.pending.take(started, has_child) {
                        self.refresh(&refresh);
                    }
                }
                () = at(next), if next.is_some() => {
                    self.service.tick(Instant::now());
                    if self.tick() {
                        self.pending.add_model();
                    }
                }
                (index, event) = next_event(&mut self.parents) => match event {
                    ParentEvent::Events(events) => {
                        if self.parents[index].on_events(&events) {
                            self.pending.add_model();
                        }
                    }
                    // Whoever removes pins may be at it still.
                    ParentEvent::Unpinned => repin = repin.or(Some(Instant::now() + MAX_GAP)),
                },
                () = at(repin), if repin.is_some() => {
                    let again = self.parents.iter_mut().map(Parent::repin).fold(false, BitOr::bitor);
                    repin = again.then(|| Instant::now() + MAX_GAP);
                }
                () = at(stale_soon), if stale_soon.is_some() => self.pending.add_everything(),
                () = at(gives_up), if gives_up.is_some() => {
                    self.snapshot.give_up_unread();
                    self.pending.add_model();
                }
                wake = self.watch.wake() => {
                    let wake = wake?;
                    self.note(&wake);
                    let dirty = self.discover.dirty(&self.snapshot, &wake);
                    self.pending.add(Instant::now(), dirty);
                }
                _ = audit.tick() => {
                    self.audit();
                    self.pending.add_model();
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
