//! Asks a node without and with the agent, and makes a node that fails simpler.

use std::time::Duration;

use anyhow::Result;

use super::{
    build::{self, Foreigners},
    expected::{Expected, expected},
    node::{Node, When},
    traffic::{self, Cell},
};
use crate::rows::{row::Play, scene::Scene, suite::Plan};

/// For a question that may stay without an answer.
const PATIENCE: Duration = Duration::from_millis(700);
/// For one that has to be answered.
const AGAIN: Duration = Duration::from_secs(4);
/// How many simpler nodes are tried at most.
const TRIES: usize = 24;

/// What a node did.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// Cells that were asked.
    pub(super) asked: usize,
    /// Of these, how many the kernel alone answered.
    pub(super) alone: usize,
    /// And how many with the agent.
    pub(super) agent: usize,
    /// Answered without the agent, and not with it.
    pub(super) worse: Vec<Cell>,
    /// Not answered with the agent, and neither without it, though a person expects it.
    pub(super) missing: Vec<Cell>,
    /// Reasons of the limits that cells ran into.
    pub(super) limits: Vec<&'static str>,
}

impl Outcome {
    /// Returns whether nothing is worse and nothing expected is missing.
    pub(super) fn is_good(&self) -> bool {
        self.worse.is_empty() && self.missing.is_empty()
    }

    fn failed(&self) -> Vec<Cell> {
        self.worse.iter().chain(&self.missing).copied().collect()
    }

    /// Returns every failure in words.
    pub(super) fn problems(&self) -> Vec<String> {
        let worse = self.worse.iter().map(|cell| format!("worse: {cell}"));
        let missing = self.missing.iter().map(|cell| format!("missing: {cell}"));
        worse.chain(missing).collect()
    }
}

/// Asks `cells` on `node`, without and with the agent.
pub(super) fn compare(plan: &Plan, node: &Node, cells: &[Cell]) -> Result<Outcome> {
    let mut scene = Scene::on(&Play::of(plan), build::build(node)?);
    let foreign = Foreigners::attach(&scene.site.host, node.foreign)?;
    let alone = cells
        .iter()
        .map(|cell| cell.ask(&scene.site, node, PATIENCE))
        .collect::<Result<Vec<_>>>()?;
    let foreign = match node.foreign_comes {
        When::Before => Some(foreign),
        When::After => {
            foreign.detach(&scene.site.host)?;
            None
        }
    };
    if node.children_come == When::After {
        scene.site.remove_children()?;
    }
    scene.start(&[])?;
    let _foreign = match foreign {
        Some(foreign) => foreign,
        None => Foreigners::attach(&scene.site.host, node.foreign)?,
    };
    if node.children_come == When::After {
        scene.site.add_children()?;
    }
    let mut outcome = Outcome {
        asked: cells.len(),
        ..Outcome::default()
    };
    for (&cell, &worked) in cells.iter().zip(&alone) {
        let expected = expected(node, cell);
        let must = worked || matches!(expected, Expected::Works);
        let works = cell.ask(&scene.site, node, PATIENCE)?
            || (must && cell.ask(&scene.site, node, AGAIN)?);
        outcome.alone += usize::from(worked);
        outcome.agent += usize::from(works);
        match expected {
            _ if works => {}
            _ if worked => outcome.worse.push(cell),
            Expected::Works => outcome.missing.push(cell),
            Expected::Limited(limit) if !outcome.limits.contains(&limit.reason) => {
                outcome.limits.push(limit.reason);
            }
            Expected::Limited(_) | Expected::AsAlone => {}
        }
    }
    if !outcome.is_good() {
        println!("status: {:?}", scene.parent()?);
    }
    Ok(outcome)
}

/// Returns a simpler node that fails in some of the same cells, and what it did; `node` itself if there is none.
pub(super) fn simplest(plan: &Plan, node: &Node, outcome: Outcome) -> (Node, Outcome) {
    let (mut node, mut outcome) = (node.clone(), outcome);
    let mut tries = 0;
    'simpler: loop {
        for simpler in node.simpler() {
            let possible = traffic::cells(&simpler);
            let cells: Vec<_> = outcome
                .failed()
                .into_iter()
                .filter(|cell| possible.contains(cell))
                .collect();
            if cells.is_empty() {
                continue;
            }
            if tries == TRIES {
                return (node, outcome);
            }
            tries += 1;
            // A part of a node may need another one.
            let Ok(found) = compare(plan, &simpler, &cells) else {
                continue;
            };
            if !found.is_good() {
                (node, outcome) = (simpler, found);
                continue 'simpler;
            }
        }
        return (node, outcome);
    }
}
