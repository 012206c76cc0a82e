//! New addresses that wait for their first probe, and those that were given up before it went unanswered.
//!
//! With [`DadMode::Optimistic`](super::DadMode::Optimistic) a new address is answered before it is known whether a
//! station owns it. That is bounded by time, so that a netns cannot have addresses answered by adding more than its
//! pace probes for:
//! - A netns that uses up its own pace has [`PATIENCE`]. What still waits for its first probe then is withheld until
//!   that probe has gone unanswered for [`GRACE`](super::GRACE).
//! - If only the pace of the parent delays the probe, it is [`SHARED_PATIENCE`] times as long: other netns cause that,
//!   or the start of many children.
//! - An address that was given up before it was clean is withheld in the same way if a child takes it again within
//!   [`REMEMBER`]. Otherwise its time would begin anew each time, and a conflict would be forgotten.
//!
//! Addresses that were there when the agent started are exempt: many start at once then, and the netns may have
//! been reachable before.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    Dad, RETRY,
    check::{Check, Phase},
};
use crate::{facts::NetnsId, lan::turns::Turns};

/// How long a new address of a netns that exceeds its pace is answered before its first probe.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How many times as long it is while the netns does not exceed its pace.
pub const SHARED_PATIENCE: u8 = 5;
/// How long it is remembered that an address was given up.
pub const REMEMBER: Duration = RETRY;
/// How many such addresses of a netns are remembered. If it has more, all of its new addresses are treated like them.
const REMEMBERED: usize = 256;

impl Dad {
    /// Returns when it is decided whether an address that waits for its first probe is withheld.
    pub(super) fn patience_ends(&self, now: Instant, check: &Check) -> Option<Instant> {
        let since_before = check.due.filter(|_| check.phase == Phase::Queued);
        check
            .is_waiting(self.mode)
            .then(|| since_before.unwrap_or(now + PATIENCE))
    }

    /// An address has waited for its first probe for [`PATIENCE`]. Returns whether it is withheld from now on.
    pub(super) fn lose_patience(&mut self, now: Instant, turns: &Turns, address: IpAddr) -> bool {
        let mode = self.mode;
        let Some(check) = self.checks.get_mut(&address) else {
            return false;
        };
        if !check.is_waiting(mode) {
            return false;
        }
        check.patience = if turns.is_spent(now, check.netns) {
            0
        } else {
            check.patience - 1
        };
        let is_over = check.patience == 0;
        self.refresh(address);
        is_over
    }

    /// How many addresses are withheld because their first probe is late.
    #[must_use]
    pub fn unprobed(&self) -> usize {
        let checks = self.checks.values();
        checks.filter(|check| check.is_unprobed(self.mode)).count()
    }
}

/// Addresses that were given up before it was known whether a station owns them.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    /// Whose each was, and until when that is remembered.
    addresses: BTreeMap<IpAddr, (NetnsId, Instant)>,
    netnses: BTreeMap<NetnsId, OfNetns>,
    /// When those that are over are forgotten.
    forget_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct OfNetns {
    remembered: usize,
    /// Until when all of its new addresses are treated as given up.
    all_until: Option<Instant>,
}

impl GivenUp {
    /// An address of this netns was given up.
    pub(super) fn add(&mut self, now: Instant, address: IpAddr, netns: NetnsId) {
        self.forget(now);
        let until = now + REMEMBER;
        self.forget_at.get_or_insert(until);
        if let Some((of, before)) = self.addresses.get_mut(&address)
            && *of == netns
        {
            *before = until;
            return;
        }
        let share = self.netnses.entry(netns).or_default();
        if share.remembered >= REMEMBERED {
            share.all_until = Some(until);
            return;
        }
        share.remembered += 1;
        if let Some((of, _)) = self.addresses.insert(address, (netns, until))
            && let Some(share) = self.netnses.get_mut(&of)
        {
            share.remembered -= 1;
        }
    }

    /// Returns whether an address, which this netns takes, was given up lately.
    pub(super) fn contains(&mut self, now: Instant, address: IpAddr, netns: NetnsId) -> bool {
        self.forget(now);
        let of_address = self.addresses.get(&address).map(|&(_, until)| until);
        let of_netns = self.netnses.get(&netns).and_then(|it| it.all_until);
        let mut until = of_address.into_iter().chain(of_netns);
        until.any(|until| until > now)
    }

    /// Forgets what is over, at most once a second.
    fn forget(&mut self, now: Instant) {
        if self.forget_at.is_none_or(|at| now < at) {
            return;
        }
        self.addresses.retain(|_, &mut (_, until)| until > now);
        for share in self.netnses.values_mut() {
            share.remembered = 0;
        }
        for (netns, _) in self.addresses.values() {
            self.netnses.entry(*netns).or_default().remembered += 1;
        }
        self.netnses
            .retain(|_, it| it.remembered > 0 || it.all_until.is_some_and(|until| until > now));
        self.forget_at = (!self.netnses.is_empty()).then_some(now + PATIENCE);
    }
}
