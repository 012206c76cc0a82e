//! The table of the field notes: who reaches whom, before and after `ipvlan run`.

pub mod ask;
pub mod cell;
pub mod change;
pub mod mode;
pub mod spot;
pub mod world;

use std::{path::PathBuf, thread, time::Instant};

use anyhow::{Context, Result, anyhow};

use self::{
    ask::{Phase, ask},
    cell::{Cell, Round, cells},
    mode::Mode,
    spot::HOST,
    world::{PARENTS, World},
};
use crate::{
    agent::Agent,
    hooks,
    lab::Lab,
    results::{Line, Results},
};

/// What to run.
#[derive(Debug)]
pub struct Demo {
    /// The agent.
    pub ipvlan: PathBuf,
    /// The modes, each in a topology of its own.
    pub modes: Vec<Mode>,
    /// Where the cells go.
    pub results: Results,
}

impl Demo {
    /// Fills the table; `true` if every cell is as expected.
    pub fn run(&self) -> Result<bool> {
        let met = in_each(&self.modes, |mode| self.run_mode(mode))?;
        Ok(met.into_iter().all(|(_, met)| met))
    }

    fn run_mode(&self, mode: Mode) -> Result<bool> {
        let clock = Instant::now();
        let say = |text: &str| {
            eprintln!("[{mode:>3} {:5.1}s] {text}", clock.elapsed().as_secs_f32());
        };
        say("building gateway, vm01, host and children");
        let world = World::build(&Lab::new()?, mode)?;
        let host = world.at(HOST.netns)?;
        let cells = cells(mode);
        say(&format!("before: asking {} cells", cells.len()));
        let before = table(&world, &cells, Phase::Before)?;
        say(&format!(
            "before: {} of {} work",
            count(&before),
            cells.len()
        ));
        let clean_before = hooks::attached(host, &PARENTS)?.is_empty();
        world.flush_neighbours()?;
        let agent = Agent::start(&self.ipvlan, host, &PARENTS, &[])?;
        say("after: the agent is ready, asking again");
        let after = table(&world, &cells, Phase::After)?;
        let mut met = true;
        for ((cell, before), after) in cells.iter().zip(before).zip(after) {
            met &= self.tell(mode, cell, before, after)?;
        }
        let stopped = agent.stop();
        let left = hooks::attached(host, &PARENTS)?;
        let clean = stopped.is_ok() && left.is_empty();
        if let Err(error) = stopped {
            say(&format!("{error:#}"));
        }
        for left in left {
            say(&format!("left behind: {left}"));
        }
        self.results.write(&Line::Cell {
            mode,
            variant: None,
            from: HOST.label,
            to: HOST.label,
            probe: "clean stop",
            seed: None,
            before: clean_before,
            after: clean,
            expected: true,
        })?;
        say("done");
        Ok(met && clean)
    }

    fn tell(&self, mode: Mode, cell: &Cell, before: bool, after: bool) -> Result<bool> {
        let Cell {
            from,
            to,
            probe,
            seed,
            expected,
            ..
        } = *cell;
        let (from, to, probe) = (from.label, to.label, probe.name());
        if after != expected {
            eprintln!("[{mode:>3}] {cell}: {after}, expected {expected}");
        }
        self.results.write(&Line::Cell {
            mode,
            variant: None,
            from,
            to,
            probe,
            seed,
            before,
            after,
            expected,
        })?;
        Ok(after == expected)
    }
}

/// Prints what the kernel alone does in each of `modes`.
pub fn show_before(modes: &[Mode]) -> Result<()> {
    for (mode, works) in in_each(modes, |mode| {
        let world = World::build(&Lab::new()?, mode)?;
        table(&world, &cells(mode), Phase::Before)
    })? {
        for (cell, works) in cells(mode).iter().zip(works) {
            println!("{mode:>3} {} {}", if works { '✓' } else { '✗' }, cell);
        }
    }
    Ok(())
}

/// Runs `run` for every mode at the same time; results in their order.
fn in_each<T: Send>(
    modes: &[Mode],
    run: impl Fn(Mode) -> Result<T> + Sync,
) -> Result<Vec<(Mode, T)>> {
    let run = &run;
    thread::scope(|scope| {
        let runs: Vec<_> = modes
            .iter()
            .map(|mode| (*mode, scope.spawn(move || run(*mode))))
            .collect();
        runs.into_iter()
            .map(|(mode, run)| {
                let run = run
                    .join()
                    .map_err(|_| anyhow!("the run of {mode} panicked"))?;
                Ok((mode, run.with_context(|| format!("mode {mode}"))?))
            })
            .collect()
    })
}

/// Asks every cell; answers in their order.
fn table(world: &World, cells: &[Cell], phase: Phase) -> Result<Vec<bool>> {
    let mut works = vec![false; cells.len()];
    for round in Round::ALL {
        let asked = thread::scope(|scope| {
            let mut asked = Vec::new();
            for (place, cell) in cells
                .iter()
                .enumerate()
                .filter(|(_, cell)| cell.round == round)
            {
                asked.push((place, cell, scope.spawn(move || ask(world, cell, phase))));
            }
            asked
                .into_iter()
                .map(|(place, cell, answer)| {
                    let answer = answer.join().map_err(|_| anyhow!("a probe panicked"))?;
                    Ok((place, answer.with_context(|| cell.to_string())?))
                })
                .collect::<Result<Vec<_>>>()
        })?;
        for (place, answer) in asked {
            works[place] = answer;
        }
        world.flush_neighbours()?;
    }
    Ok(works)
}

fn count(works: &[bool]) -> usize {
    works.iter().filter(|works| **works).count()
}
