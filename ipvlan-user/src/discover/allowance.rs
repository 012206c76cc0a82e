//! How many netns of unprivileged users get an nsid.
//!
//! Any user can make network namespaces and links in them. Each that is given an nsid stays known until it
//! is gone, and is read from then on. A child of ours can be in a user's netns as well (rootless containers,
//! user namespaces of container engines), so none is excluded: they are looked at in turn, fair over
//! users, a bounded number at a time. Netns of root and those with a name have no bound.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    os::unix::fs::MetadataExt as _,
    time::{Duration, Instant},
};

use super::walk::{Found, Identity};

/// Most nsids that are given at once.
const BURST: u32 = 256;
/// Time in which one more is allowed.
const EACH: Duration = Duration::from_secs(1);
/// Most netns of users that are looked at in one scan.
const LOOKS: usize = 256;

type Candidate = (Option<Identity>, Found);

/// A token bucket, and whose turn it is.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u32,
    filled: Instant,
    /// The last process of each user that was looked at.
    last: BTreeMap<u32, i32>,
}

impl Allowance {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            filled: now,
            last: BTreeMap::new(),
        }
    }

    /// Allows some more.
    pub(super) fn add(&mut self, more: u32) {
        self.left = self.left.saturating_add(more).min(BURST);
    }

    /// Takes one, if this netns is one of a user.
    pub(super) fn spend(&mut self, found: &Found) {
        if user_of(found, owner).is_some() {
            self.left = self.left.saturating_sub(1);
        }
    }

    /// Chooses the netns that may get an nsid now, by the owners of their processes.
    pub(super) fn choose(&mut self, now: Instant, candidates: Vec<Candidate>) -> Vec<Candidate> {
        self.choose_by(now, candidates, owner)
    }

    fn choose_by(
        &mut self,
        now: Instant,
        candidates: Vec<Candidate>,
        owner: impl Fn(i32) -> u32,
    ) -> Vec<Candidate> {
        self.fill(now);
        let mut chosen = Vec::new();
        let mut users: BTreeMap<u32, BTreeMap<i32, Candidate>> = BTreeMap::new();
        for candidate in candidates {
            match user_of(&candidate.1, &owner) {
                None => chosen.push(candidate),
                Some((user, pid)) => {
                    users.entry(user).or_default().insert(pid, candidate);
                }
            }
        }
        self.last.retain(|user, _| users.contains_key(user));
        let mut turns: Vec<(u32, VecDeque<(i32, Candidate)>)> = Vec::new();
        for (user, processes) in users {
            // Starts behind the process that was looked at last.
            let last = self.last.get(&user).copied().unwrap_or_default();
            let before = processes.range(..=last).count();
            let mut turn: VecDeque<_> = processes.into_iter().collect();
            turn.rotate_left(before);
            turns.push((user, turn));
        }
        let mut looks = if self.left == 0 { 0 } else { LOOKS };
        while looks > 0 && !turns.is_empty() {
            turns.retain_mut(|(user, turn)| {
                if looks > 0
                    && let Some((pid, candidate)) = turn.pop_front()
                {
                    looks -= 1;
                    self.last.insert(*user, pid);
                    chosen.push(candidate);
                }
                !turn.is_empty()
            });
        }
        chosen
    }

    /// Whether a netns may still get an nsid in this scan.
    pub(super) fn allows(&self, found: &Found) -> bool {
        self.left > 0 || user_of(found, owner).is_none()
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs() / EACH.as_secs();
        self.filled += EACH * u32::try_from(passed).unwrap_or(u32::MAX);
        self.add(u32::try_from(passed).unwrap_or(u32::MAX));
    }
}

/// Returns the unprivileged user that a netns may be of, and the process that led to it. Files are bound to a
/// netns by root alone.
fn user_of(found: &Found, owner: impl Fn(i32) -> u32) -> Option<(u32, i32)> {
    let pid = found.pids.lowest().filter(|_| found.names.is_empty())?;
    Some((owner(pid), pid)).filter(|&(user, _)| user != 0)
}

/// The effective user of a process. One that is gone has none, and leads to no netns any more.
fn owner(pid: i32) -> u32 {
    fs::metadata(format!("/proc/{pid}")).map_or(u32::MAX, |process| process.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(pids: impl IntoIterator<Item = i32>) -> Vec<Candidate> {
        let found = |pid: i32| Found {
            pids: pid.into(),
            ..Found::default()
        };
        pids.into_iter().map(|pid| (None, found(pid))).collect()
    }

    fn pids(chosen: &[Candidate]) -> Vec<i32> {
        chosen
            .iter()
            .filter_map(|(_, found)| found.pids.lowest())
            .collect()
    }

    /// Process 1 is root's, those below 1 000 are of users of their own, all others of one user.
    fn owner(pid: i32) -> u32 {
        match pid {
            1 => 0,
            _ => pid.cast_unsigned().min(1000),
        }
    }

    #[test]
    fn netns_of_root_and_named_ones_are_always_chosen() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        allowance.left = 0;
        let mut all = candidates([1, 2, 3, 1000]);
        all[2].1.names.insert("pod".to_owned());
        all.push((None, Found::default()));
        let chosen = allowance.choose_by(now, all, owner);
        assert_eq!(pids(&chosen), [1, 3]);
        assert_eq!(chosen.len(), 3);
    }

    #[test]
    fn a_user_with_many_processes_does_not_hold_up_one_with_few() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        let all = || candidates((1000..4000).chain([7, 8]));
        let chosen = pids(&allowance.choose_by(now, all(), owner));
        assert_eq!(chosen.len(), LOOKS);
        assert_eq!(chosen[..4], [7, 8, 1000, 1001]);
        // All of them have their turn.
        let mut seen: Vec<i32> = chosen;
        for _ in 0..3000 / LOOKS {
            seen.extend(pids(&allowance.choose_by(now, all(), owner)));
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 3002);
    }

    #[test]
    fn what_is_spent_comes_back_by_the_second_and_when_a_child_is_expected() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        allowance.left = 0;
        let chosen = |allowance: &mut Allowance, seconds| {
            let later = now + Duration::from_secs(seconds);
            allowance.choose_by(later, candidates([2]), owner).len()
        };
        assert_eq!(chosen(&mut allowance, 0), 0);
        assert_eq!((chosen(&mut allowance, 3), allowance.left), (1, 3));
        assert_eq!((chosen(&mut allowance, 4), allowance.left), (1, 4));
        allowance.left = 0;
        allowance.add(16);
        assert_eq!(chosen(&mut allowance, 4), 1);
        chosen(&mut allowance, 1_000_000);
        assert_eq!(allowance.left, BURST);
    }
}
