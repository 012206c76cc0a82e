//! The table of the field notes: who reaches whom, before and after `ipvlan run`.

pub mod announced;
pub mod ask;
pub mod cell;
pub mod cells;
pub mod change;
pub mod client;
pub mod conflict;
pub mod detection;
pub mod mode;
pub mod reload;
pub mod spot;
pub mod table;
pub mod variant;
pub mod world;

use std::{path::PathBuf, time::Instant};

use anyhow::{Context, Result};

use self::{
    ask::Phase,
    cell::Cell,
    mode::Mode,
    spot::HOST,
    table::{Answer, fill},
    variant::Variant,
    world::{PARENTS, World},
};
use crate::{
    agent::Agent,
    family::Family,
    hooks,
    lab::Lab,
    results::{Line, Results},
};

/// Whether an address is announced is asked here, not how slowly many of them are by default.
const UNPACED: &[&str] = &["--announce-rate", "1000", "--netns-announcements", "1000"];

/// What to run.
#[derive(Debug)]
pub struct Demo {
    /// The agent.
    pub ipvlan: PathBuf,
    /// The modes, one after the other, each in a topology of its own.
    pub modes: Vec<Mode>,
    /// The options of the agent; anything but the default gets a shorter table.
    pub variants: Vec<Variant>,
    /// Where the cells go.
    pub results: Results,
}

impl Demo {
    /// Fills the tables; `true` if every cell is as expected.
    pub fn run(&self) -> Result<bool> {
        let mut met = true;
        for mode in &self.modes {
            met &= self
                .run_mode(*mode)
                .with_context(|| format!("mode {mode}"))?;
        }
        Ok(met)
    }

    fn run_mode(&self, mode: Mode) -> Result<bool> {
        let variants = self
            .variants
            .iter()
            .filter(|variant| variant.concerns(mode));
        if variants.clone().next().is_none() {
            return Ok(true);
        }
        let say = Progress::new(mode);
        say.line("building gateway, vm01, host and children");
        let world = World::build(&Lab::new()?, mode)?;
        if self.variants != [Variant::Default] {
            world.add_local_child()?;
        }
        let mut met = true;
        let mut before = Before::default();
        for variant in variants {
            before.fill(&world, cells::of(*variant, mode), &say)?;
            met &= self
                .run_variant(&world, *variant, &before, &say)
                .with_context(|| format!("with {variant}"))?;
        }
        Ok(met)
    }

    fn run_variant(
        &self,
        world: &World,
        variant: Variant,
        Before { cells, answers }: &Before,
        say: &Progress,
    ) -> Result<bool> {
        let host = world.at(HOST.netns)?;
        let clean_before = hooks::attached(host, &PARENTS)?.is_empty();
        world.flush_neighbours()?;
        announced::mislead(world)?;
        if variant == Variant::Reloaded {
            reload::prepare()?;
        }
        say.line(&format!("after: starting the agent with {variant}"));
        let options = [UNPACED, variant.options()].concat();
        let agent = Agent::start(&self.ipvlan, host, &PARENTS, &options)?;
        say.line("after: the agent is ready, asking again");
        let after = fill(world, cells, Phase::After(&agent))?;
        say.line(&format!(
            "after: {} of {} work",
            count(cells, &after),
            cells.len()
        ));
        let clean_after = stops_clean(agent, world, say)?;
        let report = Report {
            results: &self.results,
            mode: world.mode,
            variant,
        };
        let mut met = report.clean_stop(clean_before, clean_after)?;
        for ((cell, before), after) in cells.iter().zip(answers).zip(&after) {
            met &= report.cell(cell, before, after)?;
        }
        Ok(met)
    }
}

/// What the kernel alone does; variants that show the same cells share it.
#[derive(Debug, Default)]
struct Before {
    cells: Vec<Cell>,
    answers: Vec<Answer>,
}

impl Before {
    fn fill(&mut self, world: &World, cells: Vec<Cell>, say: &Progress) -> Result<()> {
        if self.cells == cells {
            return Ok(());
        }
        say.line(&format!("before: asking {} cells", cells.len()));
        self.answers = fill(world, &cells, Phase::Before)?;
        self.cells = cells;
        say.line(&format!(
            "before: {} of {} work",
            count(&self.cells, &self.answers),
            self.cells.len()
        ));
        Ok(())
    }
}

/// Stops the agent; is nothing of it left?
fn stops_clean(agent: Agent, world: &World, say: &Progress) -> Result<bool> {
    let stopped = agent.stop();
    let left = hooks::attached(world.at(HOST.netns)?, &PARENTS)?;
    let clean = stopped.is_ok() && left.is_empty();
    if let Err(error) = stopped {
        say.line(&format!("{error:#}"));
    }
    for left in left {
        say.line(&format!("left behind: {left}"));
    }
    Ok(clean)
}

/// Turns answers into results, and says what is not as expected.
struct Report<'a> {
    results: &'a Results,
    mode: Mode,
    variant: Variant,
}

impl Report<'_> {
    fn cell(&self, cell: &Cell, before: &Answer, after: &Answer) -> Result<bool> {
        let Cell {
            from,
            to,
            probe,
            family,
            seed,
            expected,
        } = *cell;
        if let Answer::Unasked(why) = after {
            let text = format!("{}, {}: {cell}: {why}", self.mode, self.variant);
            eprintln!("{text}");
            self.results.write(&Line::Note { text: &text })?;
        }
        self.write(
            from.label,
            to.label,
            probe.name(),
            Some(family),
            seed,
            [before.works(expected), after.works(expected), expected],
        )
    }

    fn clean_stop(&self, before: bool, after: bool) -> Result<bool> {
        self.write(
            HOST.label,
            HOST.label,
            "clean stop",
            None,
            None,
            [before, after, true],
        )
    }

    fn write(
        &self,
        from: &str,
        to: &str,
        probe: &str,
        family: Option<Family>,
        seed: Option<&str>,
        [before, after, expected]: [bool; 3],
    ) -> Result<bool> {
        let (mode, variant) = (self.mode, self.variant.name());
        if after != expected {
            let family = family
                .map(|family| format!(" {family}"))
                .unwrap_or_default();
            eprintln!("[{mode:>3}{family}] {from} -> {to}, {probe}: {after}, expected {expected}");
        }
        self.results.write(&Line::Cell {
            mode,
            variant,
            from,
            to,
            probe,
            family,
            seed,
            before,
            after,
            expected,
        })?;
        Ok(after == expected)
    }
}

struct Progress {
    mode: Mode,
    start: Instant,
}

impl Progress {
    fn new(mode: Mode) -> Self {
        Self {
            mode,
            start: Instant::now(),
        }
    }

    fn line(&self, text: &str) {
        let Self { mode, start } = self;
        eprintln!("[{mode:>3} {:5.1}s] {text}", start.elapsed().as_secs_f32());
    }
}

fn count(cells: &[Cell], answers: &[Answer]) -> usize {
    let works = cells.iter().zip(answers);
    works
        .filter(|(cell, answer)| answer.works(cell.expected))
        .count()
}
