//! The agent: keeps the datapath of its parents in step with the kernel.
//!
//! The only module that knows discovery, the model, maps and hooks. Every sync is complete: a snapshot, the state
//! that it asks for, the difference, and its application. A snapshot that fails changes nothing.

mod answering;
mod capture;
mod clients;
mod error;
mod explain;
mod health;
mod kernel;
mod metrics;
mod monitor;
mod naming;
mod parent;
mod parents;
mod pins;
mod reload;
mod schedule;
mod serving;
mod signals;
mod status_view;
mod streams;
mod syncs;
mod timer;
mod unreadable;

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Instant, SystemTime},
};

use tracing::{debug, info};

pub use self::error::AgentError;
pub(crate) use self::error::is_errno_of_denial;
use self::{
    clients::{Asked, Clients},
    error::system,
    health::Health,
    kernel::{Kernel, Read},
    metrics::Metrics,
    parents::{Parents, Started},
    reload::Configuration,
    schedule::{MAX_GAP, Refresh, Schedule},
    serving::{ParentEvent, Serving},
    signals::{Request, Signals},
    streams::Streams,
    syncs::{Synced, Syncs},
    timer::{at, tick, ticks},
};
pub use crate::config::{PinSettings, Settings};
use crate::{
    config::{Loaded, Source},
    discover::{Dirty, Part},
    facts::NetnsId,
    names::Names,
    runtime::{self, trim_heap},
};

/// A running agent.
pub struct Agent {
    settings: Settings,
    configuration: Configuration,
    /// Inode of its netns.
    netns: u64,
    /// When it started, in milliseconds since 1970.
    started_ms: u64,
    signals: Signals,
    kernel: Kernel,
    parents: Parents,
    schedule: Schedule,
    syncs: Syncs,
    /// Before the clients: their socket removes the directory if it is empty.
    _metrics: Option<Metrics>,
    clients: Clients,
    names: Names,
    streams: Streams,
    health: Health,
}

impl Agent {
    /// Attaches to the parents and completes the first sync. A parent that cannot be served waits, if
    /// there is another one that can. If the agent cannot start, nothing is attached.
    pub fn start(source: Source, loaded: Loaded) -> Result<Self, AgentError> {
        let Loaded { settings, files } = loaded;
        // Before anything is attached: a signal from here on stops the agent cleanly.
        let signals = Signals::new().map_err(system("catch signals"))?;
        let netns = runtime::own_netns().map_err(system("read the network namespace"))?;
        let metrics = metrics::Bound::new(&settings.metrics)?;
        let started = Instant::now();
        let (kernel, first) = Kernel::open(&settings)?;
        let dumped = started.elapsed();
        let Started {
            parents,
            complete,
            filled,
        } = Parents::start(netns, kernel.snapshot(), &settings)?;
        let clients = match Clients::bind(&settings.runtime_dir) {
            Ok(clients) => clients,
            Err(failure) => {
                parents.rollback();
                return Err(system("create the status socket")(failure));
            }
        };
        let mut schedule = Schedule::new(Instant::now());
        schedule.set_share(settings.quotas.time);
        schedule.charge(Instant::now(), &first, None);
        let mut agent = Self {
            configuration: Configuration::new(source, &files),
            settings,
            netns,
            started_ms: status_view::milliseconds(SystemTime::now()),
            signals,
            kernel,
            parents,
            schedule,
            syncs: Syncs::new(dumped + filled),
            _metrics: metrics.map(|bound| bound.serve(clients.sender())),
            clients,
            names: Names::new(Path::new("/")),
            streams: Streams::default(),
            health: Health::new(),
        };
        agent.parents.serving().for_each(Serving::log_start);
        reload::log_note(&agent.settings);
        trim_heap();
        if complete {
            agent.health.synced(true);
            agent.report();
        } else {
            agent.schedule.add_model();
            agent.schedule.add_everything();
        }
        Ok(agent)
    }

    /// Runs until SIGINT or SIGTERM, or until the terminal is closed that it was started from, then detaches.
    pub async fn run(mut self) -> Result<(), AgentError> {
        let mut audit = ticks(self.settings.audit);
        let mut watchdog = self.health.watchdog().map(ticks);
        // When to restore pins that another process has removed.
        let mut repin: Option<Instant> = None;
        loop {
            let notes = self.syncs.take_notes();
            self.streams
                .report(&self.parents, self.kernel.snapshot(), notes);
            let sync_due = self.schedule.next_due();
            let liveness_due = self.syncs.liveness_due(self.settings.stale_after);
            // A full scan that is due anyway moves the deadline.
            let liveness_due = liveness_due.filter(|_| !self.schedule.is_whole());
            let gives_up = self.kernel.gives_up();
            let answer_due = self.clients.next_due();
            let next = [self.parents.next_due(), self.health.next_due()];
            let next = next.into_iter().flatten().min();
            tokio::select! {
                biased;
                request = self.signals.received() => match request {
                    Request::Stop => break,
                    Request::Reload => if self.reload() {
                        audit = ticks(self.settings.audit);
                    },
                },
                () = at(sync_due), if sync_due.is_some() => self.do_due(),
                () = at(next), if next.is_some() => {
                    self.health.send();
                    if self.parents.tick() {
                        self.schedule.add_model();
                    }
                }
                (index, event) = self.parents.next_event() => match event {
                    ParentEvent::Events(events) => {
                        if self.parents.on_events(index, &events) {
                            self.schedule.add_model();
                        }
                    }
                    // The process that removes pins may not have finished.
                    ParentEvent::Unpinned => repin = repin.or(Some(Instant::now() + MAX_GAP)),
                },
                () = at(repin), if repin.is_some() => {
                    repin = self.parents.repin().then(|| Instant::now() + MAX_GAP);
                }
                () = at(liveness_due), if liveness_due.is_some() => self.schedule.add_everything(),
                () = at(gives_up), if gives_up.is_some() => {
                    self.kernel.give_up_unread();
                    self.schedule.add_model();
                }
                wake = self.kernel.wake() => {
                    let wake = wake?;
                    self.syncs.wake(&wake);
                    self.schedule.add(Instant::now(), self.kernel.dirty(&wake));
                }
                _ = audit.tick() => {
                    self.audit();
                    self.schedule.add_model();
                    self.schedule.add_everything();
                }
                () = tick(&mut watchdog) => {
                    if !self.feed_watchdog() {
                        self.schedule.add_everything();
                    }
                }
                () = at(answer_due), if answer_due.is_some() => self.answer_clients(Clients::answer_known),
                () = self.streams.released() => {
                    self.streams.follow(&mut self.parents, self.kernel.snapshot());
                }
                request = self.clients.next() => if self.serve(request) {
                    audit = ticks(self.settings.audit);
                },
            }
        }
        if self.parents.serving().any(Serving::is_pinned) {
            info!(
                "stopping; the pinned datapath keeps answering (remove it with `ipvlan cleanup`)"
            );
        } else {
            info!("stopping");
        }
        self.health.stopping();
        match self.parents.stop() {
            0 => Ok(()),
            count => Err(AgentError::Detach { count }),
        }
    }

    /// Does what a client requests. Returns whether the settings were reloaded.
    fn serve(&mut self, request: runtime::Request) -> bool {
        let snapshot = self.kernel.snapshot();
        match self.clients.add(request) {
            Asked::Nothing => {}
            Asked::Scan => self.schedule.ask(Instant::now()),
            Asked::Explain(question, reply) => {
                let policy = &self.settings.policy;
                let explanation = explain::explain(&question, &self.parents, &self.kernel, policy);
                // A client that has gone needs no answer.
                let _gone = reply.send(explanation);
            }
            Asked::Stream(request) => self.streams.begin(request, &mut self.parents, snapshot),
            Asked::Reload(reply) => {
                let reloaded = self.reload();
                let _gone = reply.send(self.configuration.sources());
                return reloaded;
            }
        }
        false
    }

    /// Does what is due.
    fn do_due(&mut self) {
        let started = Instant::now();
        let snapshot = self.kernel.snapshot();
        let has_child = |id| !snapshot.children_of(id).is_empty();
        let Some(refresh) = self.schedule.take(started, has_child) else {
            return;
        };
        match self.sync(&refresh) {
            Synced::Failed => {
                self.schedule.failed(Instant::now());
                // Clients learn what failed.
                self.clients.begin_scan();
                self.answer_clients(Clients::answer_scanned);
            }
            Synced::InPart => self.schedule.chunk_done(started, Instant::now()),
            Synced::Done if refresh == Refresh::Chunk => {
                self.schedule.scan_done(started, Instant::now());
                for serving in self.parents.serving_mut() {
                    serving.datapath.check_order();
                }
                self.report();
                self.answer_clients(Clients::answer_scanned);
            }
            Synced::Done => self.schedule.done(started, Instant::now()),
        }
    }

    /// Syncs, records the outcome, and reports it to the service manager.
    fn sync(&mut self, refresh: &Refresh) -> Synced {
        let started = Instant::now();
        let result = self.read_and_apply(refresh);
        let outcome = *result.as_ref().unwrap_or(&Synced::Failed);
        self.syncs.took(refresh, outcome, started.elapsed());
        let synced = match result {
            Ok(Synced::Done) => {
                self.syncs.succeed(refresh);
                Synced::Done
            }
            Ok(other) => return other,
            Err(failure) => {
                self.syncs.fail(&*failure);
                Synced::Failed
            }
        };
        self.health.synced(synced == Synced::Done);
        self.report();
        synced
    }

    /// Reads what is asked for and applies it to every parent.
    fn read_and_apply(&mut self, refresh: &Refresh) -> Result<Synced, Box<dyn std::error::Error>> {
        let started = Instant::now();
        self.syncs.begin(refresh);
        let renewed = match self.kernel.read(refresh, &self.settings)? {
            Read::Renewed(renewed) => renewed,
            Read::InPart => return Ok(Synced::InPart),
            Read::Begun { new, renamed } => {
                self.clients.begin_scan();
                self.schedule.keep(Instant::now(), new);
                if renamed {
                    self.schedule.add_model();
                }
                return Ok(Synced::InPart);
            }
        };
        let failure = self.parents.update(
            self.kernel.snapshot(),
            &renewed.changed,
            *refresh != Refresh::Model,
            &self.settings,
        );
        self.streams
            .follow(&mut self.parents, self.kernel.snapshot());
        let ended = Instant::now();
        // The rest of a sync of the agent's own netns, or of everything, is not done for these netns.
        let is_for_them =
            matches!(refresh, Refresh::Parts(parts) if !parts.contains_key(&NetnsId::Own));
        let took = is_for_them.then(|| ended - started);
        self.schedule.charge(ended, &renewed, took);
        if let Some(failure) = failure {
            return Err(failure);
        }
        if *refresh == Refresh::Chunk {
            trim_heap();
        }
        debug!(?refresh, dirty = ?renewed.dirty, "synced");
        Ok(Synced::Done)
    }

    /// Compares the maps with what was written to them. The sync that follows repairs them.
    fn audit(&mut self) {
        let (entries, failure) = self.parents.audit();
        self.syncs.count_repaired(entries);
        if let Some(failure) = failure {
            self.syncs.fail(&failure);
        }
    }

    /// Feeds the watchdog if there was a sync since it was fed last, or if one that is made for the
    /// purpose succeeds; but not while one that failed has to be made good. Returns whether it was fed.
    fn feed_watchdog(&mut self) -> bool {
        if self.schedule.has_failed() {
            return false;
        }
        if !self.health.is_proven() {
            let own = BTreeMap::from([(NetnsId::Own, Part::Addresses)]);
            self.sync(&Refresh::Parts(own));
        }
        self.health.feed()
    }

    /// Reads the configuration again and schedules a sync. A failure changes nothing. Returns whether it succeeded.
    fn reload(&mut self) -> bool {
        self.health.reloading();
        let reloaded = self.configuration.reload(&mut self.settings);
        if reloaded {
            self.parents.configure(&self.settings.parents);
            info!(files = self.configuration.files(), "settings reloaded");
            self.kernel.set_quota(&self.settings);
            self.schedule.set_share(self.settings.quotas.time);
            self.schedule.add_model();
            self.schedule.add(Instant::now(), Dirty::everything());
        } else {
            self.health.not_reloaded();
            self.report();
        }
        reloaded
    }

    /// Reports the state to the service manager.
    fn report(&mut self) {
        let (sync, reload) = (self.syncs.error(), self.configuration.error());
        self.health.report(&self.parents, sync, reload);
    }
}
