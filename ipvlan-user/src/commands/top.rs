//! `ipvlan top`: children with their rates, on a screen that is renewed, or once.

mod column;
mod input;
mod live;
mod rates;
#[cfg(test)]
mod samples;
mod state;
mod terminal;
mod view;

use std::{
    env, mem, thread,
    time::{Duration, Instant},
};

use clap::ColorChoice;

use self::{
    column::Column,
    rates::{LinkCounters, Measured, measure},
};
use super::{
    Outcome,
    agents::{self, Asked},
    find_places, json,
    screen::{self, Rows, Screen},
};
use crate::{
    cli::{FamilyArgs, Format, ParentArgs, TopArgs},
    config::{InterfaceName, Places},
    exit::Failure,
    protocol::{Agent, Line, SCHEMA, Top},
    runtime::Client,
};

/// Why there is no screen.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// Standard input or output is a file or a pipe.
    #[error("`ipvlan top` needs a terminal on standard input and output")]
    NoTerminal,
}

impl TopError {
    /// Returns what the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoTerminal => {
                "`ipvlan top --once` prints the rates of one interval; with ssh, use `ssh -t`"
            }
        }
    }
}

/// What is asked for, and of which agents.
#[derive(Clone, Debug)]
struct Query {
    places: Places,
    interfaces: Vec<InterfaceName>,
    links: LinkCounters,
}

impl Query {
    /// Asks all agents. Returns their answers about the selected parents, the lines about those that no agent serves, and
    /// whether an agent runs.
    fn ask(&self) -> Result<Answered, Failure> {
        let fresh = self.links == LinkCounters::Fresh;
        let question = move |mut client: Client| async move { client.status(fresh).await };
        let mut asked = agents::ask_at(self.places.clone(), question)?;
        let runs = !asked.answers.is_empty();
        let missing = asked.select(&self.interfaces);
        Ok(Answered {
            asked,
            missing,
            runs,
        })
    }
}

/// What the agents answered.
#[derive(Debug)]
struct Answered {
    asked: Asked<Agent>,
    /// Lines about parents that no agent serves.
    missing: Vec<String>,
    runs: bool,
}

impl Answered {
    fn take(&mut self) -> Vec<(u32, Agent)> {
        mem::take(&mut self.asked.answers)
    }

    const fn outcome(&self) -> Outcome {
        Outcome::of(self.runs && self.missing.is_empty())
    }
}

/// Shows children with their rates.
pub fn top(args: TopArgs) -> Result<Outcome, Failure> {
    let TopArgs {
        interval,
        once,
        fresh,
        output,
        family,
        of: ParentArgs { iface, find },
    } = args;
    let query = Query {
        places: find_places(find)?,
        interfaces: iface,
        links: if fresh {
            LinkCounters::Fresh
        } else {
            LinkCounters::Kept
        },
    };
    if !once {
        return live::run(query, interval.0, family, output.color);
    }
    let start = Instant::now();
    let mut answered = query.ask()?;
    let mut measured = Measured::default();
    if answered.runs {
        let (_, before) = measure(answered.take(), start.elapsed(), None, query.links);
        thread::sleep(interval.0);
        answered = query.ask()?;
        (measured, _) = measure(answered.take(), start.elapsed(), Some(&before), query.links);
    }
    for of in &mut measured.children {
        of.child.addresses.retain(|of| family.has(&of.address));
    }
    let outcome = answered.outcome();
    match output.format() {
        Format::Json => json::print(&document(measured))?,
        Format::Jsonl => {
            let lines = measured.children.into_iter().map(Line::from);
            json::print_lines(&lines.collect::<Vec<_>>())?;
        }
        Format::Table => {
            let body = table(&measured);
            let text = answered.asked.text(answered.runs, &body, &answered.missing);
            screen::print(&text, output.color)?;
        }
    }
    answered.asked.check()?;
    Ok(outcome)
}

fn document(measured: Measured) -> Top {
    let Measured {
        interval,
        agents,
        children,
    } = measured;
    let milliseconds = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
    Top {
        schema: SCHEMA,
        interval_ms: interval.map(milliseconds),
        agents,
        children,
    }
}

/// Renders the children as a table with all columns, the busiest first.
fn table(measured: &Measured) -> String {
    let family = FamilyArgs::default();
    let mut children: Vec<_> = measured.children.iter().collect();
    children.sort_by(|one, other| {
        let order = Column::Answered.compare(one, other, family);
        order.then_with(|| Column::Netns.compare(one, other, family))
    });
    let mut rows = Rows::new(Column::ALL.map(Column::title));
    for child in children {
        rows.add(&Column::ALL.map(|column| column.cell(child, family)));
    }
    let mut screen = Screen::default();
    screen.plain_table(&rows);
    screen.into_text()
}

/// Returns whether colours are used on a terminal.
fn has_colors(choice: ColorChoice) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        // https://no-color.org: set and not empty.
        ColorChoice::Auto => {
            env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
                && env::var_os("TERM").is_none_or(|it| it != "dumb")
        }
    }
}
