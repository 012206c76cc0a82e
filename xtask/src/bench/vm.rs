//! `bench vm`: guest instructions of a packet, in machines whose clock counts them.

use std::time::Duration;

use anyhow::{Result, bail};

use super::report::Report;
use crate::{
    build, lab,
    vm::{kernels::Kernel, machine::Machine},
};

pub(super) const NAME: &str = "vm";
/// Not 6.1: the lab's own programs take TCX, which it has not.
pub(super) const KERNELS: [Kernel; 2] = [Kernel::V6_12, Kernel::Latest];
const LIMIT: Duration = Duration::from_mins(20);

/// Measures on one kernel. Rows that came before something failed are told too.
pub(super) fn measure(
    kernel: Kernel,
    quick: bool,
    only: &[String],
) -> Result<(Report, Option<String>)> {
    if kernel == Kernel::V6_1 {
        bail!("6.1 has no TCX, which the lab's own programs take");
    }
    build::release()?;
    let mut words = vec!["bench"];
    if quick {
        words.push("--quick");
    }
    for part in only {
        words.extend(["--only", part]);
    }
    let findings = lab::in_machine(Machine::COUNTING, kernel, &words, LIMIT)?;
    let report = Report::new(NAME, &findings.kernel, findings.rows);
    Ok((report, findings.failure))
}
