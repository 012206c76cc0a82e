//! Never worse than without the agent: nodes by chance, the same questions without and with it.
//!
//! Whatever worked without the agent works with it, and what a person expects of a node works with it, except for the
//! cells of one table.

mod build;
mod compare;
mod expected;
mod generate;
mod node;
mod traffic;

use std::{path::PathBuf, time::Instant};

use anyhow::{Result, ensure};

use self::{
    compare::{Outcome, compare, simplest},
    node::Node,
};
use crate::{
    results::{Line, Results},
    rows::{
        row::Kind,
        suite::{self, Plan},
    },
};

/// What to run.
#[derive(Debug)]
pub struct Differential {
    /// The agent.
    pub ipvlan: PathBuf,
    /// The sequence of nodes.
    pub seed: u64,
    /// The first node of it.
    pub first: u64,
    /// How many nodes of it.
    pub nodes: u64,
    /// Where results go.
    pub results: Results,
}

const EXPECTED: &str =
    "what works without the agent works with it; children reach the LAN, the host and each other";

impl Differential {
    /// Builds every node and asks; returns whether all are as they have to be.
    pub fn run(&self) -> Result<bool> {
        suite::only_in_a_machine("generated nodes")?;
        ensure!(self.nodes > 0, "no node to build");
        let plan = Plan::of(&self.ipvlan, false);
        let mut good = true;
        for number in (self.first..).zip(0..self.nodes).map(|(number, _)| number) {
            let begun = Instant::now();
            let node = generate::node(self.seed, number);
            let result = compare(&plan, &node, &traffic::cells(&node));
            let problems = self.problems(&plan, &node, &result);
            good &= problems.is_empty();
            self.report(number, &node, &result.unwrap_or_default(), &problems)?;
            println!("node {number}: {:.1} s", begun.elapsed().as_secs_f32());
        }
        Ok(good)
    }

    /// Returns everything that is wrong, with a simpler node that has it, too.
    fn problems(&self, plan: &Plan, node: &Node, result: &Result<Outcome>) -> Vec<String> {
        let outcome = match result {
            Ok(outcome) if outcome.is_good() => return Vec::new(),
            Ok(outcome) => outcome,
            Err(error) => return vec![format!("seed {}: {error:#}", self.seed)],
        };
        let mut problems = outcome.problems();
        println!("seed {}: {node}: {}", self.seed, problems.join("; "));
        let (simple, found) = simplest(plan, node, outcome.clone());
        problems.push(format!(
            "seed {}; also with \"{simple}\": {}",
            self.seed,
            found.problems().join("; ")
        ));
        problems
    }

    fn report(
        &self,
        number: u64,
        node: &Node,
        outcome: &Outcome,
        problems: &[String],
    ) -> Result<()> {
        let Outcome {
            asked,
            alone,
            agent,
            worse,
            limits,
            ..
        } = outcome;
        let row = format!("{}/{number}", self.seed);
        let input = node.to_string();
        let alone = format!("{alone} of {asked}");
        let agent = format!(
            "{agent} of {asked}{}",
            limits
                .iter()
                .fold(String::new(), |text, limit| text + "; " + limit)
        );
        let problem = problems.join("; ");
        println!("{row} {input} -> kernel alone: {alone}; with the agent: {agent}; {problem}");
        self.results.write(&Line::Case {
            row: &row,
            kind: if worse.is_empty() {
                Kind::Held
            } else {
                Kind::Regression
            },
            input: &input,
            alone: &alone,
            agent: &agent,
            expected: EXPECTED,
            met: problems.is_empty(),
            problem: &problem,
        })
    }
}
