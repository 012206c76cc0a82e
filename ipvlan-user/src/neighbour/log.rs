//! What happened between children and the LAN: the last of it for `status`, and log lines that no
//! station can make too many of.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::IpAddr,
    time::{Duration, Instant, SystemTime},
};

use super::{frame::Mac, pace::Pace};
use crate::{discover::snapshot::NetnsId, model::ChildKey};

/// How many are kept.
pub const KEPT: usize = 256;
/// Shortest time between two log lines about the same.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// Most log lines per second in the long run, and at once: stations can have many MACs.
const LINES: (u32, u32) = (5, 50);
/// The same about children of one netns.
const LINES_OF_NETNS: (u32, u32) = (1, 10);
/// How many netns are remembered whose lines are counted.
const GROUPS: usize = 256;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A station claims an address with a MAC of its own.
    Claim,
    /// A station probes for an address: it wants to take it.
    Probe,
    /// A station answers for every address, and owns none of them.
    NoOwner,
    /// A child has an address that somebody else has, too; by the word of
    /// [`Conflict`](crate::model::Conflict).
    Conflict(&'static str),
    /// The mode of the port is another one. Any child can change it for all; the kernel does not say
    /// which did.
    ModeChanged,
    /// The isolation flag of the port is another one.
    FlagChanged,
    /// A child is in another netns.
    ChildMoved,
}

impl Kind {
    /// The word for it in `status` and log lines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Probe => "probe",
            Self::NoOwner => "no_owner",
            Self::Conflict(word) => word,
            Self::ModeChanged => "mode_changed",
            Self::FlagChanged => "flag_changed",
            Self::ChildMoved => "child_moved",
        }
    }
}

/// What was done about it. The later ones say more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Nothing but to tell it.
    None,
    /// The programs answered the station: it will leave the address alone.
    Answered,
    /// The address is withheld: not answered, not announced, not defended.
    Withheld,
    /// The address was announced once more (RFC 5227 §2.4(c)).
    Defended,
}

impl Action {
    /// The word for it in `status` and log lines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Answered => "answered",
            Self::Withheld => "held_back",
            Self::Defended => "defended",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// What.
    pub kind: Kind,
    /// With this address.
    pub address: Option<IpAddr>,
    /// By the station with this MAC.
    pub mac: Option<Mac>,
    /// To this child, and its name.
    pub child: Option<(ChildKey, String)>,
    /// What was done.
    pub action: Action,
    /// What else is known.
    pub detail: Option<String>,
}

impl Incident {
    /// Whose share of the log it uses: the netns of the child; none if it is about the host or the parent.
    fn group(&self) -> Group {
        self.child.as_ref().map(|(key, _)| key.netns)
    }

    /// Whether both are the same thing, happening again.
    fn is_again(&self, other: &Self) -> bool {
        let key = |of: &Self| (of.kind, of.address, of.mac);
        let child = |of: &Self| of.child.as_ref().map(|(key, _)| *key);
        key(self) == key(other) && child(self) == child(other) && self.detail == other.detail
    }
}

/// Who shares the log: a netns, or the host.
type Group = Option<NetnsId>;

/// One line about it, as it is logged.
impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.word())?;
        if let Some(address) = self.address {
            write!(f, " of {address}")?;
        }
        if let Some((key, name)) = &self.child {
            match key.netns {
                NetnsId::Own => write!(f, ", child {name}")?,
                NetnsId::Nsid(nsid) => write!(f, ", child {name} in nsid {nsid}")?,
            }
        }
        if let Some(mac) = self.mac {
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            write!(f, ", by {mac}")?;
        }
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        if self.action != Action::None {
            write!(f, ", {}", self.action.word())?;
        }
        Ok(())
    }
}

/// An incident that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What happened; `action` is the most that was done about it.
    pub incident: Incident,
    /// When it happened first.
    pub first: SystemTime,
    /// When it happened last.
    pub last: SystemTime,
    /// How often it happened.
    pub times: u64,
    /// How often since the last log line about it.
    untold: u64,
    told: Option<Instant>,
}

/// The last [`KEPT`] incidents of a parent, each once however often it happens.
#[derive(Debug)]
pub struct Log {
    /// The one that happened last is at the back.
    entries: VecDeque<Entry>,
    lines: Pace,
    lines_of: BTreeMap<Group, Pace>,
}

impl Log {
    /// An empty one.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let (rate, burst) = LINES;
        Self {
            entries: VecDeque::new(),
            lines: Pace::new(now, rate, burst),
            lines_of: BTreeMap::new(),
        }
    }

    /// Keeps an incident. Returns how often it happened since it was last told, if it is to be told
    /// now.
    pub fn note(&mut self, now: Instant, at: SystemTime, incident: Incident) -> Option<u64> {
        let known = self
            .entries
            .iter()
            .rposition(|entry| entry.incident.is_again(&incident))
            .and_then(|index| self.entries.remove(index));
        let mut entry = match known {
            Some(mut entry) => {
                let action = entry.incident.action.max(incident.action);
                entry.incident = Incident { action, ..incident };
                entry
            }
            None => Entry {
                incident,
                first: at,
                last: at,
                times: 0,
                untold: 0,
                told: None,
            },
        };
        entry.last = at;
        entry.times += 1;
        entry.untold += 1;
        let recently = entry
            .told
            .is_some_and(|told| now.saturating_duration_since(told) < LINE_INTERVAL);
        let tell = !recently && take_line(&mut self.lines, &mut self.lines_of, now, &entry);
        let told = tell.then_some(entry.untold);
        if tell {
            entry.told = Some(now);
            entry.untold = 0;
        }
        if self.entries.len() == KEPT {
            self.make_room();
        }
        self.entries.push_back(entry);
        told
    }

    /// Removes the oldest entry of the netns that has the most: one cannot push out those of others.
    fn make_room(&mut self) {
        let mut counts = BTreeMap::<Group, usize>::new();
        for entry in &self.entries {
            *counts.entry(entry.incident.group()).or_default() += 1;
        }
        let most = counts.values().copied().max().unwrap_or_default();
        let oldest = self
            .entries
            .iter()
            .position(|entry| counts.get(&entry.incident.group()) == Some(&most));
        if let Some(oldest) = oldest {
            self.entries.remove(oldest);
        }
    }

    /// What is kept, oldest first.
    #[must_use]
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter()
    }
}

/// Whether one more line may be logged, of all and of the netns that it is about.
fn take_line(
    all: &mut Pace,
    of_each: &mut BTreeMap<Group, Pace>,
    now: Instant,
    entry: &Entry,
) -> bool {
    if of_each.len() >= GROUPS {
        of_each.retain(|_, pace| !pace.is_full(now));
    }
    let group = entry.incident.group();
    let (rate, burst) = LINES_OF_NETNS;
    let mut pace = of_each
        .remove(&group)
        .unwrap_or_else(|| Pace::new(now, rate, burst));
    let may = (group.is_none() || pace.has(now, 1)) && all.take(now);
    if group.is_some() && of_each.len() < GROUPS {
        if may {
            pace.spend(now, 1);
        }
        of_each.insert(group, pace);
    }
    may
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(mac: u8) -> Incident {
        Incident {
            kind: Kind::Claim,
            address: Some(IpAddr::from([192, 0, 2, 7])),
            mac: Some([2, 0, 0, 0, 0, mac]),
            child: None,
            action: Action::None,
            detail: None,
        }
    }

    fn second(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn the_same_again_is_one_entry_and_a_line_every_ten_seconds() {
        let (start, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
        let mut log = Log::new(start);
        let mut lines = Vec::new();
        for at in 0..25 {
            let mut incident = claim(1);
            if at == 3 {
                incident.action = Action::Defended;
            }
            let told = log.note(start + second(at), wall + second(at), incident);
            lines.extend(told.map(|times| (at, times)));
        }
        assert_eq!(lines, [(0, 1), (10, 10), (20, 10)]);
        let entries: Vec<&Entry> = log.entries().collect();
        let [entry] = entries[..] else {
            panic!("{entries:?}");
        };
        assert_eq!(entry.incident.action, Action::Defended);
        assert_eq!((entry.first, entry.last), (wall, wall + second(24)));
        assert_eq!(entry.times, 25);
    }

    #[test]
    fn what_differs_is_told_apart() {
        let child = |ifindex| {
            let netns = NetnsId::Nsid(1);
            Some((ChildKey { netns, ifindex }, "eth0".to_owned()))
        };
        let incidents = [
            claim(1),
            claim(2),
            Incident {
                kind: Kind::Probe,
                ..claim(1)
            },
            Incident {
                address: Some(IpAddr::from([192, 0, 2, 8])),
                ..claim(1)
            },
            Incident {
                child: child(1),
                ..claim(1)
            },
            Incident {
                child: child(2),
                ..claim(1)
            },
            Incident {
                detail: Some("from l3 to l2".to_owned()),
                ..claim(1)
            },
        ];
        let (start, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
        let mut log = Log::new(start);
        for incident in &incidents {
            assert_eq!(log.note(start, wall, incident.clone()), Some(1));
        }
        let kept: Vec<Incident> = log.entries().map(|entry| entry.incident.clone()).collect();
        assert_eq!(kept, incidents);
    }

    #[test]
    fn lines_say_what_is_known() {
        let child = ChildKey {
            netns: NetnsId::Nsid(3),
            ifindex: 2,
        };
        let rows = [
            (claim(1), "claim of 192.0.2.7, by 02:00:00:00:00:01"),
            (
                Incident {
                    child: Some((child, "eth0".to_owned())),
                    action: Action::Defended,
                    ..claim(1)
                },
                "claim of 192.0.2.7, child eth0 in nsid 3, by 02:00:00:00:00:01, defended",
            ),
            (
                Incident {
                    kind: Kind::ModeChanged,
                    address: None,
                    mac: None,
                    detail: Some("from l3 to l2".to_owned()),
                    ..claim(1)
                },
                "mode_changed: from l3 to l2",
            ),
        ];
        for (incident, line) in rows {
            assert_eq!(incident.to_string(), line);
        }
    }

    fn of_netns(nsid: i32, mac: u32) -> Incident {
        let [_, _, high, low] = mac.to_be_bytes();
        let netns = NetnsId::Nsid(nsid);
        Incident {
            mac: Some([2, 0, 0, 0, high, low]),
            child: Some((ChildKey { netns, ifindex: 2 }, "eth0".to_owned())),
            ..claim(0)
        }
    }

    #[test]
    fn one_netns_pushes_out_neither_entries_nor_lines_of_others() {
        let (start, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
        let mut log = Log::new(start);
        let mut lines = 0;
        let victim = of_netns(1, 1);
        assert_eq!(log.note(start, wall, victim.clone()), Some(1));
        assert_eq!(log.note(start, wall, claim(9)), Some(1));
        for number in 0..2_000 {
            let now = start + Duration::from_millis(u64::from(number));
            lines += usize::from(log.note(now, wall, of_netns(2, number)).is_some());
        }
        assert!((10..=13).contains(&lines), "{lines}");
        let kept: Vec<&Incident> = log.entries().map(|entry| &entry.incident).collect();
        assert_eq!(kept.len(), KEPT);
        assert!(kept.contains(&&victim) && kept.contains(&&claim(9)));
        // Another incident of the victim is logged at once.
        let now = start + second(2);
        assert_eq!(log.note(now, wall, of_netns(1, 2)), Some(1));
    }

    #[test]
    fn many_macs_neither_fill_the_memory_nor_the_log() {
        let (start, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
        let mut log = Log::new(start);
        let mut lines = 0;
        for number in 0..10_000_u32 {
            let [_, _, high, low] = number.to_be_bytes();
            let incident = Incident {
                mac: Some([2, 0, 0, 0, high, low]),
                ..claim(0)
            };
            let now = start + Duration::from_millis(u64::from(number));
            lines += usize::from(log.note(now, wall, incident).is_some());
        }
        assert_eq!(log.entries().len(), KEPT);
        assert!((90..=101).contains(&lines), "{lines}");
    }
}
