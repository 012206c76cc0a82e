//! Fills one half of the table.

use std::{collections::BTreeMap, thread};

use anyhow::{Context, Result, anyhow, ensure};

use super::{
    ask::{Phase, ask},
    cell::{Cell, Round},
    world::World,
};

/// What one cell said.
#[derive(Debug)]
pub enum Answer {
    /// It works or it does not.
    Works(bool),
    /// With an agent, what the cell needs to begin with is not there.
    Unasked(String),
}

/// Asks every cell; answers in their order.
///
/// Without an agent a cell that cannot be asked is a mistake of the lab, with one it is a result.
pub fn fill(world: &World, cells: &[Cell], phase: Phase<'_>) -> Result<Vec<Answer>> {
    let mut answers = BTreeMap::new();
    for round in Round::ALL {
        let places: Vec<_> = (0..cells.len())
            .filter(|place| cells[*place].round() == round)
            .collect();
        let at_once = if round == Round::Alone {
            1
        } else {
            cells.len()
        };
        for places in places.chunks(at_once.max(1)) {
            answers.extend(ask_at_once(world, cells, places, phase)?);
            world.flush_neighbours()?;
        }
    }
    ensure!(answers.len() == cells.len(), "a cell is in no round");
    Ok(answers.into_values().collect())
}

fn ask_at_once(
    world: &World,
    cells: &[Cell],
    places: &[usize],
    phase: Phase<'_>,
) -> Result<Vec<(usize, Answer)>> {
    thread::scope(|scope| {
        let probes: Vec<_> = places
            .iter()
            .map(|place| {
                let cell = &cells[*place];
                (*place, scope.spawn(move || ask(world, cell, phase)))
            })
            .collect();
        probes
            .into_iter()
            .map(|(place, probe)| {
                let name = || cells[place].to_string();
                let answer = probe
                    .join()
                    .map_err(|_| anyhow!("the probe panicked"))
                    .with_context(name)?;
                Ok((
                    place,
                    match (answer, phase) {
                        (Ok(works), _) => Answer::Works(works),
                        (Err(error), Phase::After(_)) => Answer::Unasked(format!("{error:#}")),
                        (Err(error), Phase::Before) => return Err(error).with_context(name),
                    },
                ))
            })
            .collect()
    })
}

impl Answer {
    /// Does it work? What could not be asked counts as the opposite of what is expected.
    pub fn works(&self, expected: bool) -> bool {
        match self {
            Self::Works(works) => *works,
            Self::Unasked(_) => !expected,
        }
    }
}
