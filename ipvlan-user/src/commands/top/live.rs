//! The loop: asks the agents at the interval, takes keys, and draws when one of both has changed something.

use std::{
    fs, future, io, thread,
    time::{Duration, Instant},
};

use clap::ColorChoice;
use ratatui::crossterm::event::{self, Event};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
    time::{Interval, MissedTickBehavior},
};

use super::{
    Answered, Outcome, Query, TopError, has_colors,
    input::action,
    rates::{Counted, measure},
    state::{Notes, State},
    terminal::{Screen, is_terminal},
    view::{self, Theme},
};
use crate::{cli::FamilyArgs, commands::agents::failure, exit::Failure, text::printable};

/// Name of the host.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";
/// Keys that wait to be handled.
const KEYS: usize = 64;

/// Shows the screen until the user or a signal ends it.
pub(super) fn run(
    query: Query,
    interval: Duration,
    family: FamilyArgs,
    color: ColorChoice,
) -> Result<Outcome, Failure> {
    if !is_terminal() {
        return Err(TopError::NoTerminal.into());
    }
    let start = Instant::now();
    let first = query.ask()?;
    if first.asked.answers.is_empty() {
        // Nothing is shown: what is missing is the whole text.
        let text = first.asked.text(first.runs, "", &first.missing);
        super::screen::print(&text, color)?;
        first.asked.check()?;
        return Ok(Outcome::NotRunning);
    }
    let theme = if has_colors(color) {
        Theme::Colored
    } else {
        Theme::Plain
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::system("start the runtime"))?;
    let mut session = Session {
        state: State::new(family, query.links),
        query,
        host: host(),
        start,
        before: None,
    };
    let ended = runtime.block_on(session.run(first, interval, theme));
    // A question without an answer would be waited for.
    runtime.shutdown_background();
    ended.map_err(Failure::system("show children on the terminal"))?;
    Ok(Outcome::Well)
}

fn host() -> String {
    // A host without a name has none on the screen.
    let name = fs::read_to_string(HOSTNAME).unwrap_or_default();
    printable(name.trim_end()).to_string()
}

/// Signals that end the program.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn received(&mut self) {
        let Self([interrupt, terminate, hangup]) = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

struct Session {
    query: Query,
    state: State,
    host: String,
    start: Instant,
    before: Option<Counted>,
}

impl Session {
    async fn run(&mut self, first: Answered, interval: Duration, theme: Theme) -> io::Result<()> {
        let mut signals = Signals::new()?;
        let mut screen = Screen::new(theme)?;
        let mut events = events();
        self.take(Ok(first));
        let mut ticks = ticks(interval);
        let mut question: Option<JoinHandle<Result<Answered, Failure>>> = None;
        let mut is_changed = true;
        loop {
            if is_changed {
                screen
                    .terminal()
                    .draw(|frame| view::draw(frame, &self.state, theme))?;
            }
            let is_idle = question.is_none() && !self.state.is_paused;
            tokio::select! {
                biased;
                () = signals.received() => return Ok(()),
                event = events.recv() => match event {
                    Some(Ok(event)) => match self.handle(&event, &screen)? {
                        Handled::Ended => return Ok(()),
                        Handled::Changed => is_changed = true,
                        Handled::Unchanged => is_changed = false,
                    },
                    Some(Err(error)) => return Err(error),
                    None => return Ok(()),
                },
                answered = answer(&mut question) => {
                    question = None;
                    self.take(answered?);
                    is_changed = true;
                }
                _ = ticks.tick(), if is_idle => {
                    let query = self.query.clone();
                    question = Some(spawn_blocking(move || query.ask()));
                    is_changed = false;
                }
            }
        }
    }

    /// Handles an event of the terminal.
    fn handle(&mut self, event: &Event, screen: &Screen) -> io::Result<Handled> {
        match event {
            Event::Key(key) => {
                let has_filter = !self.state.filter.is_empty();
                let Some(action) = action(self.state.page, has_filter, *key) else {
                    return Ok(Handled::Unchanged);
                };
                let area = screen.area()?;
                let rows = view::rows(area, &self.state);
                if !self.state.apply(action, rows) {
                    return Ok(Handled::Ended);
                }
                let limit = view::details_limit(area, &self.state);
                self.state.limit_details(limit);
                Ok(Handled::Changed)
            }
            Event::Resize(..) => Ok(Handled::Changed),
            _ => Ok(Handled::Unchanged),
        }
    }

    /// Takes what the agents answered.
    fn take(&mut self, answered: Result<Answered, Failure>) {
        let at = self.start.elapsed();
        let mut notes = Notes {
            problems: Vec::new(),
            host: self.host.clone(),
        };
        let mut answers = Vec::new();
        match answered {
            Ok(answered) => {
                let Answered { asked, missing, .. } = answered;
                notes.problems.extend(asked.unanswered.iter().map(failure));
                notes.problems.extend(missing);
                answers = asked.answers;
            }
            Err(error) => notes.problems.push(error.to_string()),
        }
        let (measured, counted) = measure(answers, at, self.before.as_ref(), self.query.links);
        self.before = Some(counted);
        self.state.update(measured, notes, at);
    }
}

/// What an event of the terminal has changed.
enum Handled {
    Ended,
    Changed,
    Unchanged,
}

/// Returns the events of the terminal. They are read by a thread, which ends with the program.
fn events() -> mpsc::Receiver<io::Result<Event>> {
    let (sender, events) = mpsc::channel(KEYS);
    thread::spawn(move || {
        loop {
            let event = event::read();
            let is_last = event.is_err();
            if sender.blocking_send(event).is_err() || is_last {
                break;
            }
        }
    });
    events
}

/// Returns the moments at which the agents are asked, beginning one interval from now and never closer together.
fn ticks(interval: Duration) -> Interval {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Waits for the answer to a question; without one, for ever.
async fn answer(
    question: &mut Option<JoinHandle<Result<Answered, Failure>>>,
) -> io::Result<Result<Answered, Failure>> {
    match question {
        Some(question) => Ok(question.await?),
        None => future::pending().await,
    }
}
