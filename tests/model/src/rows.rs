//! Rows of a table: description, program, maps, frame in → verdict, reason, frame out.

use std::{net::IpAddr, panic::Location, time::Duration};

use ipvlan_common::{
    AddressEntry, COUNTERS, ChildCounters, ConfigFlags, EventKind, Hook, Reason, ReasonClass,
    counter_index,
};
use ipvlan_user::maps::deadline;

use super::{
    datapath::{Act, Counts, Datapath, Origin, Program},
    message::Message,
    world::{self, Entries, Mac},
};

/// Mark that every frame comes with.
pub const MARK: u32 = 0xfeed;
/// Ticks that a run takes at most: a second, on kernels with 1000 in one.
const TICKS: u64 = 1000;

/// A row, and what is expected of it.
#[derive(Clone, Debug)]
pub struct Row {
    name: String,
    programs: &'static [Program],
    config: [ipvlan_common::Config; 2],
    entries: Entries,
    deadline: u64,
    frame: Vec<u8>,
    origin: Origin,
    act: Act,
    reason: Option<Reason>,
    becomes: Option<Vec<u8>>,
    slot: Option<u32>,
    keeps_mark: bool,
    reported: Option<Reported>,
}

/// An event for the agent, but for its hook.
#[derive(Clone, Copy, Debug)]
struct Reported {
    kind: EventKind,
    mac: Mac,
    address: IpAddr,
    slot: u32,
}

/// Why a row is not as expected.
enum Failure {
    /// The rate of events suppressed it: the same row is to be tried with programs that have reported nothing.
    Suppressed,
    Other(String),
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Other(text)
    }
}

/// A frame that each of these programs is expected to pass without looking at it, until another
/// expectation is given.
pub fn row(name: impl Into<String>, programs: &'static [Program], frame: Vec<u8>) -> Row {
    Row {
        name: name.into(),
        programs,
        config: world::config(world::L3),
        entries: world::entries(),
        deadline: u64::MAX,
        frame,
        origin: Origin::default(),
        act: Act::Pass,
        reason: None,
        becomes: None,
        slot: None,
        keeps_mark: true,
        reported: None,
    }
}

impl Row {
    pub fn flags(self, flags: ConfigFlags) -> Self {
        self.config(world::config(flags))
    }

    pub fn config(self, config: [ipvlan_common::Config; 2]) -> Self {
        Self { config, ..self }
    }

    /// Refused for the child in `slot` if there is one, else passed: both for this reason.
    pub fn withheld(self, reason: Reason, slot: Option<u32>) -> Self {
        Self {
            slot,
            ..self.passes(reason)
        }
    }

    /// Where the frame comes from; else the host sent it.
    pub fn origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// The last agent was alive at this time (in ticks), plus what it allowed for.
    pub fn deadline(self, deadline: u64) -> Self {
        Self { deadline, ..self }
    }

    /// Adds an entry to those of [`world::entries`].
    pub fn entry(mut self, address: impl Into<IpAddr>, entry: AddressEntry) -> Self {
        self.entries.insert(address.into(), entry);
        self
    }

    /// Passed unchanged; counted for no child.
    pub fn passes(self, reason: Reason) -> Self {
        Self {
            reason: Some(reason),
            ..self
        }
    }

    /// Passed unchanged; counted as refused for the child in `slot`.
    pub fn refused(self, reason: Reason, slot: u32) -> Self {
        Self {
            slot: Some(slot),
            ..self.passes(reason)
        }
    }

    /// Dropped.
    pub fn dropped(self, reason: Reason) -> Self {
        Self {
            act: Act::Drop,
            ..self.passes(reason)
        }
    }

    /// Turned into the reply and sent back; counted for the child in `slot`, if it is a child's.
    pub fn answered(self, reply: Vec<u8>, slot: impl Into<Option<u32>>) -> Self {
        Self {
            act: Act::Send,
            becomes: Some(reply),
            slot: slot.into(),
            ..self.passes(Reason::ArpAnswered)
        }
    }

    /// Turned into the advertisement and sent back; counted as above.
    pub fn advertised(self, advertisement: Vec<u8>, slot: impl Into<Option<u32>>) -> Self {
        Self {
            reason: Some(Reason::NdAnswered),
            ..self.answered(advertisement, slot)
        }
    }

    /// Turned into [`Message::reply`] and sent back; counted as above.
    pub fn replied(self, asked: &Message, slot: impl Into<Option<u32>>) -> Self {
        match asked {
            Message::Arp(_) => self.answered(asked.reply(), slot),
            Message::Nd(_) => self.advertised(asked.reply(), slot),
        }
    }

    /// The programs report that the station with this MAC did this with an address of the child in
    /// `slot` (`None`: of the host).
    pub fn reports(
        self,
        kind: EventKind,
        mac: Mac,
        address: impl Into<IpAddr>,
        slot: impl Into<Option<u32>>,
    ) -> Self {
        Self {
            reported: Some(Reported {
                kind,
                mac,
                address: address.into(),
                slot: slot.into().unwrap_or(AddressEntry::NO_SLOT),
            }),
            ..self
        }
    }

    /// Redirected as it is.
    pub fn sent(self, reason: Reason, slot: impl Into<Option<u32>>) -> Self {
        Self {
            act: Act::Send,
            slot: slot.into(),
            ..self.passes(reason)
        }
    }

    /// Turned around to the child in `slot` without the host's mark.
    pub fn hairpinned(self, slot: impl Into<Option<u32>>) -> Self {
        Self {
            keeps_mark: false,
            ..self.sent(Reason::Hairpinned, slot)
        }
    }

    /// The frame that goes on, where it is not the one that came.
    pub fn becomes(self, frame: Vec<u8>) -> Self {
        Self {
            becomes: Some(frame),
            ..self
        }
    }

    fn expected_children(&self) -> Vec<ChildCounters> {
        let mut children = vec![ChildCounters::default(); world::SLOTS as usize];
        if let (Some(slot), Some(reason)) = (self.slot, self.reason) {
            *child_counter(&mut children[slot as usize], reason) += 1;
        }
        children
    }

    fn check(&self, datapath: &mut Datapath, program: Program) -> Result<(), Failure> {
        datapath.install(self.config, &self.entries);
        datapath.set_deadline(self.deadline);
        let before = datapath.counts();
        let outcome = datapath
            .run_from(program, &self.frame, MARK, self.origin)
            .map_err(|error| format!("not run: {error:?}"))?;
        let after = datapath.counts();
        let events = datapath.events();
        datapath.assert_maps_untouched();

        let code = self.act.code(program);
        if outcome.code != code {
            return Err(format!("verdict {}, expected {code}", outcome.code))?;
        }
        let frame = self.becomes.as_ref().unwrap_or(&self.frame);
        if outcome.frame != *frame {
            return Err(format!(
                "frame of {} bytes, expected {}\n  {:02x?}, expected\n  {frame:02x?}",
                outcome.frame.len(),
                frame.len(),
                outcome.frame
            ))?;
        }
        let mark = if self.keeps_mark { MARK } else { 0 };
        if program != Program::Xdp && outcome.mark != mark {
            return Err(format!("mark {:#x}, expected {mark:#x}", outcome.mark))?;
        }
        self.check_counts(program.hook(), &before, &after)?;
        let expected: Vec<_> = self
            .reported
            .into_iter()
            .map(|reported| {
                world::event(
                    reported.kind,
                    program.hook(),
                    reported.mac,
                    reported.address,
                    reported.slot,
                )
            })
            .collect();
        if events != expected {
            return Err(format!("reported {events:?}, expected {expected:?}"))?;
        }
        Ok(())
    }

    fn check_counts(&self, hook: Hook, before: &Counts, after: &Counts) -> Result<(), Failure> {
        let mut reasons = before.reasons.clone();
        if let Some(reason) = self.reason {
            reasons[counter_index(hook, reason as u8) as usize] += 1;
        }
        let suppressed = counter_index(hook, Reason::EventSuppressed as u8) as usize;
        if self.reported.is_some() && after.reasons[suppressed] != reasons[suppressed] {
            return Err(Failure::Suppressed);
        }
        if after.reasons != reasons {
            return Err(format!(
                "counted {}, expected {:?} on {}",
                counted(&reasons, &after.reasons),
                self.reason,
                hook.word()
            ))?;
        }
        let moved: Vec<_> = before
            .children
            .iter()
            .zip(&after.children)
            .map(|(before, after)| after.counters - before.counters)
            .collect();
        if moved != self.expected_children() {
            return Err(format!("child counters moved by {moved:?}"))?;
        }
        let is_answered = |reason: Reason| reason.class() == ReasonClass::Answered;
        let asked = self.slot.filter(|_| self.reason.is_some_and(is_answered));
        let now = deadline::after(Duration::ZERO);
        for (slot, (before, after)) in before.children.iter().zip(&after.children).enumerate() {
            let is_asked = asked.is_some_and(|asked| asked as usize == slot);
            // The clock of this process is behind by up to a tick of `times(2)`.
            if is_asked && after.asked.abs_diff(now) > TICKS
                || !is_asked && after.asked != before.asked
            {
                return Err(format!(
                    "slot {slot} asked at {}, before {}, now {now}",
                    after.asked, before.asked
                ))?;
            }
        }
        Ok(())
    }
}

/// Returns every row with the flags of each mode.
pub fn in_modes(
    modes: &[ConfigFlags],
    rows: impl IntoIterator<Item = Row>,
) -> impl Iterator<Item = Row> {
    let rows: Vec<Row> = rows.into_iter().collect();
    let each = |&flags| rows.iter().cloned().map(move |row| row.flags(flags));
    modes.iter().flat_map(each).collect::<Vec<_>>().into_iter()
}

/// The child's counter that a reason belongs to, for those that have one.
pub const fn child_counter(counters: &mut ChildCounters, reason: Reason) -> &mut u64 {
    match reason {
        Reason::ArpAnswered | Reason::NdAnswered => &mut counters.answered,
        Reason::Hairpinned => &mut counters.hairpinned,
        Reason::Redirected => &mut counters.redirected,
        _ => &mut counters.refused,
    }
}

/// Runs every row through each of its programs, which look addresses up in the indexes and then once more in
/// the maps alone, and reports all that fail. Prints how many runs there were.
#[track_caller]
pub fn check(rows: impl IntoIterator<Item = Row>) {
    let rows: Vec<Row> = rows.into_iter().collect();
    let mut runs = 0;
    let mut failures = Vec::new();
    for (by, load) in [
        ("index", Datapath::load as fn() -> Datapath),
        ("map", Datapath::without_index),
    ] {
        let mut datapath = load();
        for row in &rows {
            for &program in row.programs {
                if !datapath.has(program) {
                    continue;
                }
                runs += 1;
                let mut result = row.check(&mut datapath, program);
                if let Err(Failure::Suppressed) = result {
                    datapath = load();
                    result = row.check(&mut datapath, program);
                }
                let failure = match result {
                    Ok(()) => continue,
                    Err(Failure::Suppressed) => "suppressed the first event".to_owned(),
                    Err(Failure::Other(failure)) => failure,
                };
                let (program, row) = (program.name(), &row.name);
                failures.push(format!("{program} by {by}: {row}: {failure}"));
            }
        }
    }
    println!("{}: {runs} runs", Location::caller().file());
    assert!(runs > 0, "a table without rows");
    assert!(
        failures.is_empty(),
        "{} of {runs} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Counters that do not hold what was expected, as `difference reason on hook`.
fn counted(expected: &[u64], actual: &[u64]) -> String {
    let per_hook = COUNTERS as usize / Hook::ALL.len();
    let differences: Vec<_> = expected
        .iter()
        .zip(actual)
        .enumerate()
        .filter(|(_, (expected, actual))| expected != actual)
        .map(|(index, (expected, actual))| {
            let number = u8::try_from(index % per_hook).expect("fewer than 256 reasons");
            let difference = i128::from(*actual) - i128::from(*expected);
            format!(
                "{difference:+} {:?} on {}",
                Reason::from_number(number),
                Hook::ALL[index / per_hook].word()
            )
        })
        .collect();
    differences.join(", ")
}
