//! `cargo xtask cost`: guest instructions per answer, ours beside the kernel's.

use crate::{
    instrument::{Instrument, LIMIT, NOTHING},
    lab::Findings,
    vm::{kernels::Kernel, machine::Machine},
};

/// Fails if an answer costs too much. Not on 6.1: the lab's own programs take TCX, which it has not.
pub(crate) const COST: Instrument = Instrument {
    verb: "cost",
    options: |_| &[],
    limit: LIMIT,
    prepare: NOTHING,
    machine: Machine::COUNTING,
    kernels: &[Kernel::V6_12, Kernel::Latest],
    judge,
};

fn judge(findings: &Findings) -> Vec<String> {
    let release = &findings.kernel;
    let numbers = findings.numbers.iter().filter(|number| !number.met);
    let failures = numbers.map(|number| {
        let (name, value, limit) = (&number.name, number.value, number.limit);
        format!("Linux {release}: {name} {value:.3}, at most {limit:.3}")
    });
    failures.chain(findings.without_numbers()).collect()
}
