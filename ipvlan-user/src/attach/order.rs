//! The order of the programs at a hook of the parent: ours run first unless `--order after`, and what runs before
//! them is named.
//!
//! A TCX program or a filter that does not pass a frame on ends the chain: programs behind it never see the frame.
//! Whether a foreign program does that is not known, so with `--order first` any program before ours is reported.

use std::{
    fmt, io,
    time::{Duration, Instant},
};

use ipvlan_common::Hook;
use tracing::{debug, info, warn};

use super::{
    AttachError, Datapath,
    chain::{self, Entry},
    mprog,
    tc::{TcHook, TcMechanism},
};
use crate::{model::HookPoint, pins::Pins, text};

/// Where the TC programs run among those of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Before all other programs. What they answer, other programs do not see.
    #[default]
    First,
    /// After the programs that are attached when the agent starts.
    After,
}

/// How often the programs are attached again at once: another agent may want to be first as well.
const MOVES: u32 = 6;
/// After this time one more is allowed.
const EVERY: Duration = Duration::from_mins(10);

/// Limits how often programs are attached again.
#[derive(Debug)]
pub(super) struct Moves {
    left: u32,
    since: Option<Instant>,
}

impl Default for Moves {
    fn default() -> Self {
        Self {
            left: MOVES,
            since: None,
        }
    }
}

impl Moves {
    /// Returns whether one more is allowed, and counts it.
    fn take(&mut self, now: Instant) -> bool {
        let mut since = self.since.unwrap_or(now);
        while self.left < MOVES && now.duration_since(since) >= EVERY {
            self.left += 1;
            since += EVERY;
        }
        if self.left == MOVES {
            since = now;
        }
        self.since = Some(since);
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

/// A foreign program at a hook of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// A TCX program, by its id in the kernel: its name takes `CAP_SYS_ADMIN`.
    Tcx(u32),
    /// A filter.
    Filter(Entry),
}

impl Other {
    /// Whether it certainly passes no frame on to the programs behind it.
    pub(super) fn ends_the_chain(&self) -> bool {
        matches!(self, Self::Filter(entry) if entry.ends_the_chain())
    }
}

impl fmt::Display for Other {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcx(id) => write!(formatter, "TCX program {id}"),
            Self::Filter(entry) => entry.fmt(formatter),
        }
    }
}

/// The place of a program of ours at its hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Whether it is attached at all.
    pub(super) here: bool,
    /// The programs before it that may keep frames from it, in their order.
    pub(super) before: Vec<Other>,
    /// How many are behind it.
    pub(super) after: usize,
    /// Whether it could be attached before all of them.
    pub(super) can_be_first: bool,
}

impl Place {
    /// Returns the place of the TCX program with this id.
    pub(super) fn of_program(id: u32, ifindex: u32, hook: Hook) -> io::Result<Self> {
        let programs = mprog::programs(ifindex, hook)?;
        let at = programs.iter().position(|&other| other == id);
        let (before, after) = programs.split_at(at.unwrap_or(programs.len()));
        Ok(Self {
            here: at.is_some(),
            before: before.iter().copied().map(Other::Tcx).collect(),
            after: after.len().saturating_sub(1),
            can_be_first: true,
        })
    }

    /// Returns the place of the filter of ours with this priority and handle. TCX programs run before all filters.
    pub(super) fn of_filter(
        priority: u16,
        handle: u32,
        ifindex: u32,
        hook: Hook,
    ) -> io::Result<Self> {
        let tcx = mprog::programs(ifindex, hook)?;
        let entries = chain::entries(ifindex, hook)?;
        Ok(Self::among(&tcx, &entries, (priority, handle), hook))
    }

    fn among(tcx: &[u32], entries: &[Entry], ours: (u16, u32), hook: Hook) -> Self {
        let filters: Vec<&Entry> = entries.iter().filter(|entry| entry.is_filter()).collect();
        let at = filters
            .iter()
            .position(|entry| entry.is_for(hook) && (entry.priority, entry.handle) == ours);
        let (before, after) = filters.split_at(at.unwrap_or(filters.len()));
        let before = before
            .iter()
            .filter(|entry| !entry.is_ours() && entry.concerns(hook));
        let others: Vec<&Entry> = entries.iter().filter(|entry| !entry.is_ours()).collect();
        let first = chain::first(&others, hook);
        Self {
            here: at.is_some(),
            before: tcx
                .iter()
                .copied()
                .map(Other::Tcx)
                .chain(before.map(|&entry| Other::Filter(entry.clone())))
                .collect(),
            after: after.len().saturating_sub(1),
            can_be_first: tcx.is_empty() && first.is_some(),
        }
    }

    /// Whether the program of an earlier agent has the place that it would be given now.
    pub(super) fn is_right(&self, order: Order) -> bool {
        let is_right = match order {
            Order::First => self.before.is_empty() || !self.can_be_first,
            Order::After => self.after == 0,
        };
        self.here && is_right
    }

    fn names(&self) -> String {
        let names: Vec<String> = self.before.iter().map(ToString::to_string).collect();
        names.join(", ")
    }
}

impl Datapath {
    /// Checks that the programs are attached and run in the order that was asked for, and attaches them again
    /// where they do not. What is left is in [`Self::degraded`] and in [`Self::notes`].
    pub fn check_order(&mut self) {
        if self.ingress.is_none() {
            return;
        }
        let before = self.degraded();
        self.impeded.clear();
        self.behind.clear();
        self.foreign = 0;
        for hook in [Hook::Ingress, Hook::Egress] {
            if let Err(failure) = self.check_hook(hook) {
                let failure = text::chain(&failure);
                self.impeded
                    .push(format!("{} cannot be attached: {failure}", hook.word()));
            }
        }
        match (before, self.degraded()) {
            (before, Some(now)) if before.as_ref() != Some(&now) => {
                warn!(parent = self.name, "{now}");
            }
            (Some(_), None) => info!(parent = self.name, "programs attached as asked for"),
            _ => {}
        }
    }

    /// Returns why frames may not reach the programs; none if they run as they should.
    #[must_use]
    pub fn degraded(&self) -> Option<String> {
        (!self.impeded.is_empty()).then(|| self.impeded.join("; "))
    }

    fn check_hook(&mut self, hook: Hook) -> Result<(), AttachError> {
        if self.hook(hook).is_none() && !(hook == Hook::Egress && self.attach_egress()?) {
            return Ok(());
        }
        let Some(place) = self.place(hook) else {
            return Ok(());
        };
        let is_wrong = !place.here
            || (self.options.order == Order::First
                && !place.before.is_empty()
                && place.can_be_first);
        let place = if is_wrong && self.moves.take(Instant::now()) {
            info!(
                parent = self.name,
                hook = hook.word(),
                before = place.names(),
                gone = !place.here,
                "attaching again"
            );
            self.attach_again(hook, place.here)?;
            match self.place(hook) {
                Some(place) => place,
                None => return Ok(()),
            }
        } else {
            place
        };
        let word = hook.word();
        if !place.here {
            self.impeded
                .push(format!("another process detached the {word} program"));
        }
        self.foreign += place.before.len();
        let names = place.names();
        let ends = place.before.iter().any(Other::ends_the_chain);
        match self.options.order {
            _ if place.before.is_empty() => {}
            Order::After if !ends => self.behind.push(format!(
                "--order after: {names} runs before the {word} program, which sees only what that passes on"
            )),
            Order::First | Order::After => self.impeded.push(format!(
                "{names} runs before the {word} program, which may not see every frame"
            )),
        }
        Ok(())
    }

    const fn hook(&self, hook: Hook) -> Option<&TcHook> {
        match hook {
            Hook::Egress => self.egress.as_ref(),
            Hook::Ingress | Hook::Xdp => self.ingress.as_ref(),
        }
    }

    /// Returns the place of a program of ours; none if there is none, or if it cannot be read.
    fn place(&self, hook: Hook) -> Option<Place> {
        match self.hook(hook)?.place(self.ifindex) {
            Ok(place) => Some(place),
            Err(error) => {
                debug!(parent = self.name, %error, "cannot read the order of programs");
                None
            }
        }
    }

    /// Attaches the egress program where that was not possible before. Returns whether it is attached.
    fn attach_egress(&mut self) -> Result<bool, AttachError> {
        let Some(program) = self.egress_program.filter(|_| self.options.host_access) else {
            return Ok(false);
        };
        let mechanism = self.ingress.as_ref().map(TcHook::mechanism);
        self.egress = self.attach_tc(Hook::Egress, program, mechanism)?;
        Ok(self.egress.is_some())
    }

    /// Attaches a program anew, before the one that is attached, if it is, is detached.
    fn attach_again(&mut self, hook: Hook, is_here: bool) -> Result<(), AttachError> {
        let old = match hook {
            Hook::Egress => self.egress.take(),
            Hook::Ingress | Hook::Xdp => self.ingress.take(),
        };
        let Some(old) = old else { return Ok(()) };
        match self.attach_beside(&old, hook) {
            Ok(Some(new)) => {
                self.put(hook, new);
                // What is not there may have had the place that the new one has.
                if is_here { old.detach() } else { Ok(()) }
            }
            Ok(None) => Ok(()),
            Err(error) => {
                self.put(hook, old);
                Err(error)
            }
        }
    }

    fn put(&mut self, hook: Hook, attached: TcHook) {
        match hook {
            Hook::Egress => self.egress = Some(attached),
            Hook::Ingress | Hook::Xdp => self.ingress = Some(attached),
        }
    }

    fn attach_beside(&mut self, old: &TcHook, hook: Hook) -> Result<Option<TcHook>, AttachError> {
        if old.mechanism() == TcMechanism::Clsact && !self.ensure_qdisc(hook)? {
            return Ok(None);
        }
        let mut new = old.beside(&mut self.objects, self.ifindex, self.options.order)?;
        if let (Some(pinned), Pins::Keep(dir)) = (&mut self.pinned, &self.pins) {
            pinned.replace(&HookPoint::Parent(hook).pin_name(), new.pin(dir)?);
        }
        Ok(Some(new))
    }
}

#[cfg(test)]
mod tests;
