//! `bench numbers`: how soon an agent follows a change, and what it needs, beside the goals of this project. On this
//! host if its kernel has ipvlan, else in machines.

use super::{
    Measured,
    vm::{parts, report, words},
};
use crate::{
    lab,
    vm::{kernels::Kernel, machine::Machine},
};

pub(super) const NAME: &str = "numbers";
pub(super) const PARTS: [&str; 2] = ["agent", "floods"];

/// What the project wants of a processor of one's own; the limits are those of an emulated one.
const GOALS: [(&str, f64); 3] = [
    ("address added to first ARP reply, p50", 1.0),
    ("address added to first ARP reply, p99", 5.0),
    ("cold sync of 65000 addresses", 300.0),
];

/// Measures on this host without a kernel, else in a machine. A quick run has no 65 000 addresses.
pub(super) fn measure(kernel: Option<Kernel>, quick: bool) -> Measured {
    let (variant, mut findings) = match kernel {
        None => ("agent", lab::natively(&words(quick, &PARTS))?),
        Some(kernel) => (
            "agent, emulated",
            parts(Machine::SHIPPED, kernel, quick, &PARTS)?,
        ),
    };
    for row in &mut findings.rows {
        variant.clone_into(&mut row.variant);
        if let Some((_, goal)) = GOALS.iter().find(|(path, _)| *path == row.path) {
            row.goal = Some(*goal);
            row.met = Some(row.value <= *goal);
        }
    }
    Ok(report(NAME, findings))
}
