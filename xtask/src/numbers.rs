//! `cargo xtask numbers`: what was promised of the agent, measured on real ipvlan devices.

use crate::{
    instrument::{Instrument, LIMIT, NOTHING},
    lab::Findings,
    vm::{kernels::Kernel, qemu::Clock},
};

/// Fails if something is far beyond its limit.
pub(crate) const NUMBERS: Instrument = Instrument {
    verb: "numbers",
    options: &[],
    limit: LIMIT,
    prepare: NOTHING,
    clock: Clock::Time,
    kernels: &Kernel::ALL,
    judge,
};

fn judge(findings: &Findings) -> Vec<String> {
    for number in &findings.numbers {
        println!(
            "Linux {}: {} {:.1} {} (at most {} {}){}",
            findings.kernel,
            number.name,
            number.value,
            number.unit,
            number.limit,
            number.unit,
            if number.met { "" } else { "  TOO MUCH" },
        );
    }
    findings.without_numbers().into_iter().collect()
}
