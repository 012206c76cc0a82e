//! An attached parent: its maps and programs follow the snapshots.

mod attach;
mod lan;

use std::{
    collections::BTreeSet,
    net::IpAddr,
    task::{Context, Poll},
};

use ipvlan_common::{ConfigFlags, Event};
use tracing::{error, info, warn};

use super::{Settings, capture::Capture, monitor::Written};
use crate::{
    attach::{AttachError, Datapath},
    facts::{Link, NetnsId, Snapshot},
    lan::Lan,
    maps::apply::{Installed, Outcome},
    model::{ClaimedAddress, Desired, History, Policy, Revision, check_link, desired_after},
    quota::{self, Exceeded},
    runtime::Claim,
    text::{chain, counted},
};

/// An attached parent.
pub(super) struct Serving {
    pub(super) link: Link,
    pub(super) datapath: Datapath,
    pub(super) installed: Installed,
    pub(super) desired: Desired,
    /// What earlier decisions left.
    history: History,
    pub(super) lan: Lan,
    /// The capture of its frames, if a client wants them.
    pub(super) capture: Option<Capture>,
    /// What was written to its maps since it is served.
    pub(super) written: Written,
    /// Addresses that the map has no entry left for.
    pub(super) no_room: BTreeSet<IpAddr>,
    /// Why links or maps are not pinned, if they should be.
    pub(super) unpinned: Option<String>,
    /// Why the last sync was not complete.
    pub(super) failure: Option<String>,
    // Last: released when nothing is attached any more.
    _claim: Claim,
}

/// An event of an attached parent.
pub(super) enum ParentEvent {
    /// Events of the programs.
    Events(Vec<Event>),
    /// Another process may have removed pins.
    Unpinned,
}

impl Serving {
    /// Returns the current name of the interface.
    pub(super) fn name(&self) -> &str {
        self.link.name.as_str()
    }

    /// Returns whether maps and programs are as desired.
    pub(super) fn is_settled(&self) -> bool {
        self.failure.is_none() && self.no_room.is_empty() && !self.installed.is_short()
    }

    /// Returns whether the datapath survives the agent.
    pub(super) fn is_pinned(&self) -> bool {
        self.datapath.pin_directory().is_some()
    }

    /// Returns the quotas that netns exceed.
    pub(super) fn exceeded(&self) -> Exceeded {
        quota::merged([&self.desired.exceeded(), &self.lan.exceeded()])
    }

    /// Takes over the interface from a snapshot, by ifindex: a rename changes nothing. An error is the reason why it
    /// cannot be served any more.
    pub(super) fn update_link(&mut self, snapshot: &Snapshot) -> Result<(), String> {
        let link = snapshot
            .link(self.link.ifindex)
            .ok_or("the interface is gone")?;
        let link = check_link(&snapshot.links, link).map_err(|reason| reason.to_string())?;
        if link.name != self.link.name {
            info!(
                from = self.name(),
                to = link.name.as_str(),
                "parent renamed"
            );
        }
        self.link = link.clone();
        Ok(())
    }

    /// Applies a snapshot that differs from the last one in the children of these netns only. The steps are those
    /// of [`Self::update`].
    pub(super) fn revise(
        &mut self,
        snapshot: &Snapshot,
        netnses: &BTreeSet<NetnsId>,
        settings: &Settings,
    ) -> Result<(), AttachError> {
        if netnses.is_empty() {
            return Ok(());
        }
        let before = self.installed.answered();
        // 1. History.
        self.history.update_children(
            snapshot,
            &self.link,
            &settings.policy,
            &self.desired,
            self.installed.addresses(),
            Some(netnses),
        );
        // 2. Desired state.
        let mut revision = self.revision(snapshot, netnses, settings);
        // 3. LAN.
        if self.lan.revise(&self.desired, &revision, &self.no_room) {
            revision.extend(self.revision(snapshot, netnses, settings));
        }
        // 4. Marks.
        let marked = self.lan.mark_changed(&mut self.desired);
        revision.addresses.extend(marked);
        // 5. Maps.
        let outcome = self.installed.revise(&self.desired, &revision);
        // 6. Programs.
        let result = self.apply_programs(outcome, before);
        // 7. LAN again. Other addresses may have lost their entries.
        if !self.no_room.is_empty() {
            self.update_lan(snapshot);
        }
        self.lan.after_revision(&self.desired, &revision, snapshot);
        result
    }

    fn revision(
        &mut self,
        snapshot: &Snapshot,
        netnses: &BTreeSet<NetnsId>,
        settings: &Settings,
    ) -> Revision {
        self.desired.revise(
            &self.history,
            snapshot,
            &self.link,
            &settings.policy,
            netnses,
            self.lan.withheld(),
        )
    }

    /// Applies a snapshot, in an order in which no address is answered too early:
    ///
    /// 1. The history of the addresses, which decides between owners.
    /// 2. The desired state.
    /// 3. The LAN: a new address is withheld before it is answered. Step 2 is repeated if that changed what is
    ///    withheld.
    /// 4. The marks of addresses that are being probed for, before an answer to a probe can come.
    /// 5. The maps.
    /// 6. The programs that need these maps, then the host's own neighbour entries.
    /// 7. The LAN again, if other addresses than before have no entry in a map; then announcements and probes.
    pub(super) fn update(
        &mut self,
        snapshot: &Snapshot,
        settings: &Settings,
    ) -> Result<(), AttachError> {
        let before = self.installed.answered();
        self.lan.set_policy(settings.lan, settings.quotas);
        // 1. History.
        self.history.set_quota(settings.quotas.addresses as usize);
        self.history.update(
            snapshot,
            &self.link,
            &settings.policy,
            &self.desired,
            self.installed.addresses(),
        );
        // 2. Desired state. The last one is dropped first, so that memory holds only one.
        self.desired = Desired::default();
        self.desired = self.desire(snapshot, settings);
        // 3. LAN.
        if self.update_lan(snapshot) {
            self.desired = self.desire(snapshot, settings);
        }
        // 4. Marks.
        self.lan.mark(&mut self.desired);
        // 5. Maps.
        self.installed.keep_unclaimed(!snapshot.unread.is_empty());
        let mut outcome = self.installed.update(&self.desired);
        if self.datapath.hooks().is_empty() {
            let stamp = self.installed.stamp(settings.stale_after);
            outcome.errors.extend(stamp.err());
        }
        // 6. Programs.
        let no_room = self.no_room.clone();
        let result = self.apply_programs(outcome, before);
        // 7. LAN again.
        if no_room != self.no_room {
            self.update_lan(snapshot);
        }
        self.lan.after_update(&self.desired, snapshot);
        result
    }

    /// Sets the programs that the written maps need, logs the outcome, and records a failure.
    fn apply_programs(&mut self, outcome: Outcome, before: usize) -> Result<(), AttachError> {
        // Programs that rely on these maps come after the entries that they need.
        let programs = if outcome.errors.is_empty() {
            let isolated = self.desired.config.has(ConfigFlags::ISOLATED);
            let Desired {
                ingress, egress, ..
            } = self.desired;
            self.datapath.set_programs(ingress, egress, isolated)
        } else {
            Ok(())
        };
        let is_host_concerned = outcome.put + outcome.removed > 0 || outcome.reconfigured;
        self.written.put += outcome.put as u64;
        self.written.removed += outcome.removed as u64;
        if outcome.put + outcome.removed > 0 {
            info!(
                parent = self.name(),
                put = outcome.put,
                removed = outcome.removed,
                answered = self.installed.answered(),
                before,
                "addresses changed"
            );
        }
        // Once: the set may change with every sync.
        if !outcome.no_room.is_empty() && self.no_room.is_empty() {
            error!(
                parent = self.name(),
                addresses = outcome.no_room.len(),
                "address map full; raise --max-addresses"
            );
        }
        self.no_room = outcome.no_room;
        if is_host_concerned {
            self.update_host();
        }
        let mut errors = outcome.errors.into_iter();
        let first = errors.next().map(AttachError::from);
        for error in errors {
            error!(parent = self.name(), "{}", chain(&error));
        }
        let result = first.map_or(programs, Err);
        self.failure = result.as_ref().err().map(|error| chain(error));
        result
    }

    fn desire(&self, snapshot: &Snapshot, settings: &Settings) -> Desired {
        desired_after(
            &self.history,
            snapshot,
            &self.link,
            &settings.policy,
            self.lan.withheld(),
        )
    }

    /// Returns the children of this parent that have an address, with every rule that applies to it.
    pub(super) fn claims(
        &self,
        snapshot: &Snapshot,
        policy: &Policy,
        address: IpAddr,
    ) -> Vec<ClaimedAddress<'_>> {
        self.desired.claims(
            &self.history,
            snapshot,
            &self.link,
            policy,
            self.lan.withheld(),
            address,
        )
    }

    /// Polls for an event.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<ParentEvent> {
        if let Poll::Ready(events) = self.lan.poll(context) {
            return Poll::Ready(ParentEvent::Events(events));
        }
        match self.datapath.poll_pins(context) {
            Poll::Ready(Ok(())) => Poll::Ready(ParentEvent::Unpinned),
            Poll::Ready(Err(failure)) => {
                warn!(
                    parent = self.name(),
                    "pins are not watched any more: {failure}"
                );
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Attaches or detaches the XDP program where VLAN offload has changed.
    pub(super) fn check_xdp(&mut self) {
        if let Err(failure) = self.datapath.check_xdp() {
            let failure = chain(&failure);
            warn!(
                parent = self.name(),
                "XDP program not switched, the TC programs answer: {failure}"
            );
        }
    }

    /// Restores pins that another process has removed. Returns whether to try again soon.
    pub(super) fn repin(&mut self) -> bool {
        match self.datapath.repin() {
            Ok(objects) => {
                if objects > 0 {
                    warn!(
                        parent = self.name(),
                        objects, "another process removed pins; restored them"
                    );
                }
                if self.is_pinned() {
                    self.unpinned = None;
                }
                false
            }
            Err(failure) => {
                let note = format!("not everything is pinned: {}", chain(&failure));
                warn!(parent = self.name(), "{note}");
                let is_new = self.unpinned.as_ref() != Some(&note);
                self.unpinned = Some(note);
                is_new
            }
        }
    }

    /// Returns one line about it.
    pub(super) fn summary(&self) -> String {
        let hooks = self.datapath.hooks();
        let hooks: Vec<String> = hooks
            .iter()
            .map(|hook| format!("{} by {}", hook.point, hook.mechanism))
            .collect();
        format!(
            "{} (ifindex {}), {}; {}, {} answered",
            self.link.name,
            self.link.ifindex,
            hooks.join(", "),
            counted(self.desired.children.len(), "child", "children"),
            counted(self.installed.answered(), "address", "addresses"),
        )
    }

    /// Logs one line after the start.
    pub(super) fn log_start(&self) {
        if let Some(reason) = self.datapath.degraded() {
            warn!("degraded: {}; {reason}", self.summary());
        } else {
            info!("ready: {}", self.summary());
        }
    }

    /// Ends with the datapath, then releases the claim. Returns what failed.
    pub(super) fn end(self, end: impl FnOnce(Datapath) -> Vec<AttachError>) -> Vec<AttachError> {
        end(self.datapath)
    }
}
