//! The LAN behind one parent: what the agent sends there for children, and what stations do there.
//!
//! ```text
//! Desired ─► candidates ─┬─► dad ──────► probes ─────────┐
//!                        ├─► announce ─► announcements ──┼─► turns ─► socket ─► the parent's egress
//!                        └─► groups ───► the kernel: MLD │
//! EVENTS ─► claims and probes of stations ─► dad, defence ─┘ ─► incidents ─► status
//! Desired ─► conflicts on this host ─► incidents
//! Desired ─► answered addresses ─► host_table ─► the host's own neighbour table
//! ```
//!
//! [`announce`], [`dad`], [`defence`], [`incidents`], [`pace`] and [`turns`] are pure: time is an argument. [`Schedule`]
//! joins them for one parent and takes the time as well, so tests run it with a clock of their own. `Lan` gives it
//! the time, the events of the programs and the desired state. Neither has a timer: the caller asks when the next
//! step is due, and none is due while nothing changes.

pub mod announce;
mod candidate;
pub mod conflicts;
pub mod dad;
pub mod defence;
pub mod events;
mod follow;
pub mod frame;
pub mod groups;
mod host;
pub mod host_table;
pub mod incidents;
pub mod memberships;
pub mod pace;
mod policy;
pub mod random;
mod schedule;
pub mod socket;
pub mod turns;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    task::{Context, Poll},
    time::{Instant, SystemTime},
};

use ipvlan_common::{Event, EventKind, Reason};
use tracing::{debug, warn};

pub use self::{
    candidate::Candidate,
    dad::DadMode,
    defence::Defending,
    policy::{Announcing, DEFAULT_ANNOUNCE_RATE, LanPolicy},
    schedule::{Adopted, Moment, Schedule},
};
use self::{
    conflicts::Conflicts, dad::control::Neighbourhood, events::Events, frame::Mac,
    host_table::HostTable, incidents::Incidents,
};
use crate::{
    maps,
    model::{ChildKey, Desired, Prefix},
    quota::{Exceeded, Quotas},
};

/// The LAN behind one parent.
pub(crate) struct Lan {
    policy: LanPolicy,
    quotas: Quotas,
    schedule: Schedule,
    conflicts: Conflicts,
    /// None before [`Self::attach_ring`], and after a failure to read it.
    events: Option<Events>,
    /// MACs of the host's own links.
    own: BTreeSet<Mac>,
    /// Prefixes that are on-link for the host.
    on_link: Vec<Prefix>,
    host: HostTable,
    /// When the host's entries are to be updated because of frames of stations.
    host_due: Option<Instant>,
    host_updated: Option<Instant>,
}

impl Lan {
    /// Opens a packet socket on the parent, which needs `CAP_NET_RAW`.
    pub(crate) fn open(
        ifindex: u32,
        policy: LanPolicy,
        quotas: Quotas,
        host: HostTable,
    ) -> io::Result<Self> {
        Ok(Self {
            policy,
            quotas,
            schedule: Schedule::open(Instant::now(), ifindex, policy, &quotas)?,
            conflicts: Conflicts::default(),
            events: None,
            own: BTreeSet::new(),
            on_link: Vec::new(),
            host,
            host_due: None,
            host_updated: None,
        })
    }

    /// Takes over the decisions of previous agents. Called before the first [`Self::update`].
    pub(crate) fn adopt(&mut self, adopted: Adopted) {
        self.schedule.adopt(adopted);
    }

    /// Applies changed settings.
    pub(crate) fn set_policy(&mut self, policy: LanPolicy, quotas: Quotas) {
        if self.policy != policy || self.quotas != quotas {
            self.policy = policy;
            self.quotas = quotas;
            self.schedule.set_policy(Instant::now(), policy, &quotas);
        }
    }

    /// Reads events of the programs from `ring`. Must be called within a tokio runtime.
    pub(crate) fn attach_ring(&mut self, ring: Option<maps::Events>) -> io::Result<()> {
        self.events = ring.map(Events::new).transpose()?;
        Ok(())
    }

    /// Waits for events of the programs.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Vec<Event>> {
        let Some(events) = &mut self.events else {
            return Poll::Pending;
        };
        match events.poll(context) {
            Poll::Ready(Ok(events)) => Poll::Ready(events),
            Poll::Ready(Err(failure)) => {
                warn!("events of the programs are not read any more: {failure}");
                self.events = None;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Judges events of the programs. Returns as [`Self::update`] does.
    pub(crate) fn on_events(&mut self, events: &[Event], desired: &Desired) -> bool {
        let name = name_in(desired);
        let moment = Moment {
            now: Instant::now(),
            at: SystemTime::now(),
            name: &name,
        };
        let around = Neighbourhood {
            on_link: &self.on_link,
            is_owned: &|address| desired.addresses.contains_key(&address),
        };
        let mut changed = false;
        let mut claimed = false;
        for event in events {
            // The host itself, by another of its links to the same LAN: no station, whatever it claims.
            if self.own.contains(&event.mac()) {
                debug!(?event, "a MAC of the host");
                continue;
            }
            claimed |= event.kind() == Some(EventKind::Claim);
            changed |= self.schedule.on_event(moment, event, &around);
        }
        if claimed {
            self.schedule_host();
        }
        changed
    }

    /// Returns when to call [`Self::advance`], [`Self::send`], and [`Self::update_host`] if [`Self::is_host_due`].
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let lan = self.schedule.next_due(Instant::now());
        [lan, self.host.next_due(), self.host_due]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due except sending. The entries of [`Self::mark_changed`] are to be written before [`Self::send`].
    /// Returns as [`Self::update`] does.
    pub(crate) fn advance(&mut self, desired: &Desired, suppressed: u64) -> bool {
        let name = name_in(desired);
        let moment = Moment {
            now: Instant::now(),
            at: SystemTime::now(),
            name: &name,
        };
        let changed = self.schedule.advance(moment, suppressed);
        if self.schedule.take_no_owner() {
            self.schedule_host();
        }
        changed
    }

    /// Sends the frames that have their turn.
    pub(crate) fn send(&mut self) {
        self.schedule.send(Instant::now());
    }

    /// Returns the addresses that are withheld because of frames from the LAN, and the reason of each.
    pub(crate) const fn withheld(&self) -> &BTreeMap<IpAddr, Reason> {
        self.schedule.withheld()
    }

    /// Returns how often each netns exceeded its quotas of events, announcements and groups.
    pub(crate) fn exceeded(&self) -> Exceeded {
        self.schedule.exceeded()
    }

    /// Returns the addresses of children that a station owns as well.
    pub(crate) fn duplicates(&self) -> impl Iterator<Item = (IpAddr, ChildKey, Mac)> {
        self.schedule.duplicates()
    }

    /// Returns the number of solicited-node groups that the parent is a member of for its children.
    pub(crate) fn groups(&self) -> usize {
        self.schedule.groups()
    }

    /// Returns the notes for `status`.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.schedule.notes(Instant::now())
    }

    /// Returns the last incidents.
    pub(crate) const fn incidents(&self) -> &Incidents {
        self.schedule.incidents()
    }
}

/// Returns a function that names children as the desired state does.
fn name_in(desired: &Desired) -> impl Fn(ChildKey) -> String {
    move |key| {
        let child = desired.children.iter().find(|child| child.key == key);
        child.map_or_else(String::new, |child| child.name.to_string())
    }
}
