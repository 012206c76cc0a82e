//! The state of the screen: what was measured, which rows are shown and in which order, and what the keys have changed.
//! Pure: measurements and actions in, state out.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{
    column::Column,
    rates::{ChildKey, LinkCounters, Measured},
};
use crate::{
    cli::FamilyArgs,
    commands::netns,
    protocol::{SyncStats, TopChild},
};

/// How many rates the sparkline keeps.
const HISTORY: usize = 600;
/// Longest filter, in characters.
const LONGEST_FILTER: usize = 64;

/// What is on the screen instead of the table, or below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// The table.
    Table,
    /// The table, while the filter is typed.
    Filter,
    /// The keys.
    Help,
    /// Everything about the selected child, from this line on.
    Details(u16),
}

/// A change that a key makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Ends the program.
    Quit,
    /// Sorts by a column; if it does already, in the other direction.
    Sort(Column),
    /// Sorts in the other direction.
    Reverse,
    /// Begins to type a filter.
    BeginFilter,
    /// Adds a character to the filter.
    Type(char),
    /// Removes the last character of the filter.
    Erase,
    /// Keeps the filter and ends typing.
    Keep,
    /// Removes the filter, or closes what covers the table.
    Back,
    /// Shows or hides the keys.
    Help,
    /// Shows everything about the selected child.
    Details,
    /// Stops asking the agents, or asks again.
    Pause,
    /// Moves the selection by so many rows, or the text by so many lines.
    Move(i16),
    /// Moves it by so many screens.
    Turn(i16),
    /// Moves it to the first row.
    First,
    /// Moves it to the last row.
    Last,
}

/// What is not measured but shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    /// Lines about agents that do not answer, and parents that no agent serves.
    pub(super) problems: Vec<String>,
    /// Name of the host.
    pub(super) host: String,
}

/// The state of the screen.
#[derive(Debug)]
pub(super) struct State {
    pub(super) family: FamilyArgs,
    pub(super) links: LinkCounters,
    pub(super) measured: Measured,
    pub(super) notes: Notes,
    pub(super) page: Page,
    pub(super) column: Column,
    pub(super) is_reversed: bool,
    pub(super) filter: String,
    pub(super) is_paused: bool,
    /// Indexes of the rows that the filter keeps, in their order.
    rows: Vec<usize>,
    /// The child that was selected; none while it is the first row, whichever that is.
    selected: Option<ChildKey>,
    history: VecDeque<u64>,
    syncs: BTreeMap<u32, SeenSync>,
    now: Duration,
}

/// When an agent was seen to have synced.
#[derive(Clone, Copy, Debug)]
struct SeenSync {
    syncs: u64,
    /// When the number was first seen.
    since: Duration,
    /// Whether it was seen to change, so that the sync was at that time.
    is_known: bool,
}

/// Health of the syncs of all agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SyncHealth {
    /// Syncs of all agents.
    pub(super) syncs: u64,
    /// Those that failed.
    pub(super) failed: u64,
    /// The error of a last sync that failed.
    pub(super) error: Option<String>,
    /// How long ago the last sync of the agent was whose last sync is oldest.
    pub(super) age: Option<Age>,
}

/// How long ago something was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// So long.
    Exactly(Duration),
    /// Longer.
    MoreThan(Duration),
}

impl State {
    pub(super) fn new(family: FamilyArgs, links: LinkCounters) -> Self {
        Self {
            family,
            links,
            measured: Measured::default(),
            notes: Notes::default(),
            page: Page::Table,
            column: Column::Answered,
            is_reversed: false,
            filter: String::new(),
            is_paused: false,
            rows: Vec::new(),
            selected: None,
            history: VecDeque::new(),
            syncs: BTreeMap::new(),
            now: Duration::ZERO,
        }
    }

    /// Takes a measurement of the moment `at`.
    pub(super) fn update(&mut self, measured: Measured, notes: Notes, at: Duration) {
        let row = self.position().unwrap_or(0);
        self.now = at;
        self.notes = notes;
        self.measured = measured;
        if self.measured.interval.is_some() {
            self.history.push_back(whole(self.answered()));
            let excess = self.history.len().saturating_sub(HISTORY);
            self.history.drain(..excess);
        }
        let mut syncs = BTreeMap::new();
        for agent in &self.measured.agents {
            let SyncStats { syncs: number, .. } = agent.sync;
            let seen = match self.syncs.get(&agent.pid) {
                Some(seen) if seen.syncs == number => *seen,
                earlier => SeenSync {
                    syncs: number,
                    since: at,
                    is_known: earlier.is_some(),
                },
            };
            syncs.insert(agent.pid, seen);
        }
        self.syncs = syncs;
        self.arrange(row);
    }

    /// Changes the state; `height` is the number of rows on the screen. Returns whether the program goes on.
    pub(super) fn apply(&mut self, action: Action, height: u16) -> bool {
        match action {
            Action::Quit => return false,
            Action::Sort(column) if column == self.column => self.is_reversed ^= true,
            Action::Sort(column) => {
                self.column = column;
                self.is_reversed = false;
            }
            Action::Reverse => self.is_reversed ^= true,
            Action::BeginFilter => self.page = Page::Filter,
            Action::Type(character) => {
                if self.filter.chars().count() < LONGEST_FILTER {
                    self.filter.push(character);
                }
            }
            Action::Erase => {
                self.filter.pop();
            }
            Action::Keep => self.page = Page::Table,
            Action::Back => {
                if matches!(self.page, Page::Table | Page::Filter) {
                    self.filter.clear();
                }
                self.page = Page::Table;
            }
            Action::Help if self.page == Page::Help => self.page = Page::Table,
            Action::Help => self.page = Page::Help,
            Action::Details => {
                if let Some(at) = self.position() {
                    self.select(at);
                    self.page = Page::Details(0);
                }
            }
            Action::Pause => self.is_paused ^= true,
            Action::Move(by) => self.scroll(i32::from(by)),
            Action::Turn(by) => self.scroll(i32::from(by) * i32::from(height.max(1))),
            Action::First => self.scroll(i32::MIN),
            Action::Last => self.scroll(i32::MAX),
        }
        let row = self.position().unwrap_or(0);
        self.arrange(row);
        true
    }

    /// Moves the selection, or the text that covers the table.
    fn scroll(&mut self, by: i32) {
        if let Page::Details(line) = &mut self.page {
            let moved = i32::from(*line).saturating_add(by).clamp(0, 0xffff);
            *line = u16::try_from(moved).unwrap_or_default();
            return;
        }
        if by == i32::MIN {
            self.selected = None;
            return;
        }
        let last = self.rows.len().saturating_sub(1);
        let distance = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
        let at = self.position().unwrap_or(0);
        let at = if by < 0 {
            at.saturating_sub(distance)
        } else {
            at.saturating_add(distance)
        };
        self.select(at.min(last));
    }

    /// Limits the lines that the text is scrolled by.
    pub(super) fn limit_details(&mut self, lines: u16) {
        if let Page::Details(line) = &mut self.page {
            *line = (*line).min(lines);
        }
    }

    /// Filters and sorts the rows, and keeps the selected child selected; if it is gone, the one that is at its row now.
    fn arrange(&mut self, row: usize) {
        let Self {
            family,
            measured,
            column,
            is_reversed,
            filter,
            ..
        } = self;
        let children = &measured.children;
        let wanted = filter.to_lowercase();
        let mut rows: Vec<usize> = (0..children.len()).collect();
        rows.retain(|row| matches(&children[*row], &wanted));
        rows.sort_by(|one, other| {
            let (one, other) = (&children[*one], &children[*other]);
            let ordered = column.compare(one, other, *family);
            let ordered = if *is_reversed {
                ordered.reverse()
            } else {
                ordered
            };
            // Rows with the same value stay in one order.
            let place = |of: &TopChild| (of.child.netns.inode, of.child.ifindex);
            ordered
                .then_with(|| Column::Netns.compare(one, other, *family))
                .then_with(|| Column::Child.compare(one, other, *family))
                .then_with(|| place(one).cmp(&place(other)))
        });
        self.rows = rows;
        if self.selected.is_some() && self.position().is_none() {
            self.select(row.min(self.rows.len().saturating_sub(1)));
        }
        if matches!(self.page, Page::Details(_)) && self.selected().is_none() {
            self.page = Page::Table;
        }
    }

    fn select(&mut self, at: usize) {
        self.selected = self.rows.get(at).map(|row| {
            let row = &self.measured.children[*row];
            ChildKey::of(&row.parent, &row.child)
        });
    }

    /// Returns where the selected row is; none if there are no rows, or if its child is gone.
    pub(super) fn position(&self) -> Option<usize> {
        let Some(selected) = &self.selected else {
            return (!self.rows.is_empty()).then_some(0);
        };
        self.shown()
            .position(|row| ChildKey::of(&row.parent, &row.child) == *selected)
    }

    /// Returns the selected child.
    pub(super) fn selected(&self) -> Option<&TopChild> {
        self.shown().nth(self.position()?)
    }

    /// Returns the rows that the filter keeps, in their order.
    pub(super) fn shown(&self) -> impl ExactSizeIterator<Item = &TopChild> {
        let row = |row: &usize| &self.measured.children[*row];
        self.rows.iter().map(row)
    }

    /// Returns how many requests per second the programs of all parents answered.
    pub(super) fn answered(&self) -> f64 {
        let parents = self.measured.agents.iter().flat_map(|of| &of.parents);
        let rates = parents.filter_map(|of| of.answered_per_second);
        // The sum of no numbers is -0.
        rates.fold(0.0, |sum, rate| sum + rate)
    }

    /// Returns the answered requests per second of the last measurements, the oldest first.
    pub(super) fn history(&self) -> impl DoubleEndedIterator<Item = u64> {
        self.history.iter().copied()
    }

    /// Returns the health of the syncs of all agents.
    pub(super) fn sync_health(&self) -> SyncHealth {
        let mut health = SyncHealth::default();
        for agent in &self.measured.agents {
            health.syncs = health.syncs.saturating_add(agent.sync.syncs);
            health.failed = health.failed.saturating_add(agent.sync.failed);
            health.error = health.error.or_else(|| agent.sync.error.clone());
        }
        let oldest = self.syncs.values().min_by_key(|seen| seen.since);
        health.age = oldest.map(|seen| {
            let age = self.now.saturating_sub(seen.since);
            if seen.is_known {
                Age::Exactly(age)
            } else {
                Age::MoreThan(age)
            }
        });
        health
    }
}

/// Returns whether a name, an address, the state or the parent of a row has this text, in lower case.
fn matches(row: &TopChild, wanted: &str) -> bool {
    let child = &row.child;
    let has = |text: &str| text.to_lowercase().contains(wanted);
    has(&netns::of_child(child))
        || [&child.name, &row.parent].into_iter().any(|of| has(of))
        || child.addresses.iter().any(|of| has(&of.address))
        || has(&Column::State.cell(row, FamilyArgs::default()))
        || has(&child.mode.to_string())
}

/// Returns a rate as a whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is not negative, and one that exceeds the number is its largest"
)]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

#[cfg(test)]
mod tests;
