//! What was to be expected when, and what became of it.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::source::Sent;

/// What was sent so shortly before a change may have met it on its way.
const IN_FLIGHT: Duration = Duration::from_millis(100);

/// What comes back for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Every packet and question is answered, by the parent's MAC.
    Answered,
    /// No question is.
    Silent,
    /// Whatever.
    Either,
}

/// Something that was done, and what it changes.
#[derive(Debug)]
struct Change {
    begun: Instant,
    done: Instant,
    expected: Vec<(IpAddr, Expect)>,
    mac: Option<[u8; 6]>,
}

/// The changes of a row, in their order.
#[derive(Debug)]
pub(super) struct Timeline {
    changes: Vec<Change>,
    /// How long after a change the old may still be true.
    grace: Duration,
}

/// What became of a packet or question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing was expected of it, or it is as old as the change.
    Unjudged,
    /// As it should be, `since` the last change for its address.
    Right(Option<Duration>),
    /// It should have been answered.
    Lost(Option<Duration>),
    /// It should not have been answered, or not with this MAC.
    Wrong(Option<Duration>),
}

/// What became of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// How many were judged.
    pub(crate) sent: u64,
    /// How many should have been answered and were not, later than a change explains.
    pub(crate) lost: u64,
    /// How many should not have been answered so, later than a change explains.
    pub(crate) wrong: u64,
    /// When all was as it should be, after the change that took longest.
    pub(crate) healed: Option<Duration>,
}

impl Timeline {
    /// From now on this is expected.
    pub(super) fn new(expected: Vec<(IpAddr, Expect)>, mac: [u8; 6], grace: Duration) -> Self {
        let now = Instant::now();
        let first = Change {
            // Nothing before it is judged.
            begun: now,
            done: now,
            expected,
            mac: Some(mac),
        };
        Self {
            changes: vec![first],
            grace,
        }
    }

    /// Forgets what was before.
    pub(super) fn restart(&mut self) {
        let now = Instant::now();
        for change in &mut self.changes {
            (change.begun, change.done) = (now, now);
        }
    }

    /// Notes a change.
    pub(super) fn add(
        &mut self,
        begun: Instant,
        expected: &[(IpAddr, Expect)],
        mac: Option<[u8; 6]>,
    ) {
        self.changes.push(Change {
            begun,
            done: Instant::now(),
            expected: expected.to_vec(),
            mac,
        });
    }

    /// What was expected at the start.
    pub(super) fn first(&self) -> &[(IpAddr, Expect)] {
        self.changes.first().map_or(&[], |change| &change.expected)
    }

    /// When the last change was done.
    pub(super) fn last(&self) -> Option<Instant> {
        self.changes.last().map(|change| change.done)
    }

    /// What became of `sent`.
    pub(super) fn fate(&self, sent: &Sent) -> Fate {
        let concerns = |change: &&Change| {
            change.mac.is_some()
                || change
                    .expected
                    .iter()
                    .any(|(address, _)| *address == sent.address)
        };
        let mut known = None;
        let mut mac = None;
        let mut since = None;
        for (place, change) in self.changes.iter().enumerate() {
            if sent.at + IN_FLIGHT < change.begun || !concerns(&change) {
                continue;
            }
            if sent.at < change.done {
                return Fate::Unjudged;
            }
            since = (place > 0).then(|| sent.at - change.done);
            mac = change.mac.or(mac);
            let expected = change.expected.iter();
            known = expected
                .rev()
                .find(|(address, _)| *address == sent.address)
                .map(|(_, expect)| *expect)
                .or(known);
        }
        let Some(known) = known else {
            return Fate::Unjudged;
        };
        match (known, sent.answer) {
            (Expect::Either, _) => Fate::Unjudged,
            (Expect::Answered, None) => Fate::Lost(since),
            (Expect::Silent, None) => Fate::Right(since),
            (Expect::Silent, Some(_)) => Fate::Wrong(since),
            (Expect::Answered, Some(answer)) => match answer.mac {
                Some(named) if Some(named) != mac => Fate::Wrong(since),
                _ => Fate::Right(since.map(|since| since + (answer.at - sent.at))),
            },
        }
    }

    /// What became of everything in a log.
    pub(super) fn tally(&self, log: &[Sent]) -> Tally {
        let mut tally = Tally::default();
        let mut healing: HashMap<IpAddr, Duration> = HashMap::new();
        for sent in log {
            let fate = self.fate(sent);
            let (count, since) = match fate {
                Fate::Unjudged => continue,
                Fate::Right(since) => {
                    if let Some(since) = since {
                        // The first one that is right after those that were not.
                        let healed = healing.entry(sent.address).or_insert(since);
                        *healed = if *healed == Duration::MAX {
                            since
                        } else {
                            *healed
                        };
                        tally.healed = tally.healed.max(Some(*healed));
                    }
                    tally.sent += 1;
                    continue;
                }
                Fate::Lost(since) => (&mut tally.lost, since),
                Fate::Wrong(since) => (&mut tally.wrong, since),
            };
            tally.sent += 1;
            if since.is_none_or(|since| since > self.grace) {
                *count += 1;
            }
            if since.is_some() {
                healing.insert(sent.address, Duration::MAX);
            }
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{super::source::Answer, *};

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const NEW: [u8; 6] = [2, 0, 0, 0, 0, 2];
    const GRACE: Duration = Duration::from_secs(1);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// A is answered for, B is not; after ten seconds it is the other way round.
    fn timeline() -> (Instant, Timeline) {
        let start = Instant::now();
        let changes = [
            (
                0,
                0,
                vec![(A, Expect::Answered), (B, Expect::Silent)],
                Some(OURS),
            ),
            (
                10_000,
                10_500,
                vec![(A, Expect::Silent), (B, Expect::Answered)],
                None,
            ),
            (20_000, 20_500, Vec::new(), Some(NEW)),
        ];
        let changes = changes.map(|(begun, done, expected, mac)| Change {
            begun: start + ms(begun),
            done: start + ms(done),
            expected,
            mac,
        });
        let changes = changes.into();
        let grace = GRACE;
        (start, Timeline { changes, grace })
    }

    fn sent(start: Instant, at: u64, address: IpAddr, mac: Option<[u8; 6]>) -> Sent {
        let at = start + ms(at);
        Sent {
            at,
            address,
            everybody: true,
            answer: mac.map(|mac| Answer {
                at: at + ms(5),
                mac: Some(mac),
            }),
        }
    }

    #[test]
    fn what_is_expected_changes_with_time() {
        let (start, timeline) = timeline();
        let rows = [
            (1, A, Some(OURS), Fate::Right(None)),
            (1, A, Some(NEW), Fate::Wrong(None)),
            (1, A, None, Fate::Lost(None)),
            (1, B, None, Fate::Right(None)),
            (1, B, Some(OURS), Fate::Wrong(None)),
            (9_950, A, None, Fate::Unjudged),
            (10_400, B, Some(OURS), Fate::Unjudged),
            (10_600, A, Some(OURS), Fate::Wrong(Some(ms(100)))),
            (10_600, A, None, Fate::Right(Some(ms(100)))),
            (10_700, B, Some(OURS), Fate::Right(Some(ms(205)))),
            (10_700, B, None, Fate::Lost(Some(ms(200)))),
            (20_600, B, Some(OURS), Fate::Wrong(Some(ms(100)))),
            (20_600, B, Some(NEW), Fate::Right(Some(ms(105)))),
        ];
        for (at, address, mac, fate) in rows {
            let sent = sent(start, at, address, mac);
            assert_eq!(timeline.fate(&sent), fate, "{at} ms, {address}, {mac:?}");
        }
        let other = sent(start, 1, Ipv4Addr::LOCALHOST.into(), None);
        assert_eq!(timeline.fate(&other), Fate::Unjudged);
    }

    #[test]
    fn what_a_change_explains_takes_time_to_heal_and_what_comes_too_late_is_lost_or_wrong() {
        let explained = [
            (1, B, None),
            (10_600, B, None),
            (11_000, B, None),
            (11_400, B, Some(OURS)),
            (12_000, B, Some(OURS)),
        ];
        let late = [
            (11_400, A, Some(OURS)),
            (11_600, A, Some(OURS)),
            (11_600, B, None),
            (11_700, B, Some(OURS)),
        ];
        for (log, lost, wrong, healed) in [(&explained[..], 0, 0, 905), (&late, 1, 1, 1_205)] {
            let (start, timeline) = timeline();
            let sent = |&(at, address, mac)| sent(start, at, address, mac);
            let tally = timeline.tally(&log.iter().map(sent).collect::<Vec<_>>());
            let expected = Tally {
                sent: u64::try_from(log.len()).unwrap(),
                lost,
                wrong,
                healed: Some(ms(healed)),
            };
            assert_eq!(tally, expected);
        }
    }
}
