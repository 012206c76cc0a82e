//! `bench converge`: how long until the agent has followed, and what it needs: what `cargo xtask numbers`
//! measures, beside the goals of this project. On this host if its kernel has ipvlan, else in a machine.

use std::time::Duration;

use anyhow::Result;

use super::report::Report;
use crate::{
    build, lab,
    results::{Number, Row},
    vm::{kernels::Kernel, machine::Machine},
};

pub(super) const NAME: &str = "converge";
/// The kernel takes long to add 65 000 addresses.
const LIMIT: Duration = Duration::from_hours(1);
/// Children of most measurements.
const CHILDREN: u32 = 1_000;

/// What the project wants of a processor of one's own; an emulated one has limits of its own.
const GOALS: [(&str, f64); 3] = [
    ("address added to first ARP reply, p50", 1.0),
    ("address added to first ARP reply, p99", 5.0),
    ("cold sync of 65000 addresses", 300.0),
];

/// Measures; quick is without 65 000 addresses.
pub(super) fn measure(kernel: Option<Kernel>, quick: bool) -> Result<(Report, Option<String>)> {
    build::release()?;
    let words: &[&str] = if quick {
        &["numbers"]
    } else {
        &["numbers", "--many"]
    };
    let native = kernel.is_none() && lab::host_has_ipvlan();
    let findings = if native {
        lab::natively(words)?
    } else {
        let kernel = kernel.unwrap_or(Kernel::V6_12);
        lab::in_machine(Machine::SHIPPED, kernel, words, LIMIT)?
    };
    let variant = if native { "agent" } else { "agent, emulated" };
    let rows = findings
        .numbers
        .iter()
        .map(|number| row(number, variant))
        .collect();
    let failure = findings
        .failure
        .clone()
        .or_else(|| findings.without_numbers());
    Ok((Report::new(NAME, &findings.kernel, rows), failure))
}

fn row(number: &Number, variant: &str) -> Row {
    let Number {
        name,
        value,
        unit,
        limit,
        met: _,
    } = number;
    let wanted = GOALS.iter().find(|(goal, _)| goal == name);
    let goal = wanted.map_or(*limit, |(_, goal)| *goal);
    Row {
        path: name.clone(),
        variant: variant.to_owned(),
        children: addresses(name).unwrap_or(CHILDREN),
        value: *value,
        unit: unit.clone(),
        ratio: None,
        goal: Some(goal),
        met: Some(*value <= goal),
    }
}

/// `65000` in `cold sync of 65000 addresses`.
fn addresses(name: &str) -> Option<u32> {
    let (before, _) = name.split_once(" addresses")?;
    before.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(name: &str, value: f64) -> Number {
        Number {
            name: name.to_owned(),
            value,
            unit: "ms".to_owned(),
            limit: 6000.0,
            met: true,
        }
    }

    #[test]
    fn goals_of_the_project_go_before_limits_of_emulation() {
        let cold = row(&number("cold sync of 65000 addresses", 301.0), "agent");
        assert_eq!(
            (cold.children, cold.goal, cold.met),
            (65_000, Some(300.0), Some(false))
        );
        let other = row(&number("cold sync of 10000 addresses", 301.0), "agent");
        assert_eq!((other.children, other.goal), (10_000, Some(6000.0)));
        let idle = row(&number("wake-ups of the idle agent in 10 s", 0.0), "agent");
        assert_eq!(idle.children, CHILDREN);
    }
}
