//! `cargo xtask numbers`: what was promised of the agent, measured on real ipvlan devices.

use std::time::Duration;

use crate::{
    instrument::{Instrument, NOTHING},
    lab::Findings,
    vm::{kernels::Kernel, machine::Machine},
};

/// Fails if something is beyond its limit.
pub(crate) const NUMBERS: Instrument = Instrument {
    verb: "numbers",
    options,
    limit: Duration::from_hours(1),
    prepare: NOTHING,
    machine: Machine::SHIPPED,
    kernels: &Kernel::ALL,
    judge,
};

/// The same in minutes: 10 000 addresses at most, on one kernel, as kernels do not differ there; floods on all.
pub(crate) const SHORT: Instrument = Instrument {
    options: |kernel| match kernel {
        Kernel::V6_1 | Kernel::Latest => &["--floods"],
        Kernel::V6_12 => &[],
    },
    ..NUMBERS
};

/// The kernel takes long to add 65 000 addresses (each is compared with all of the parent's), twenty minutes where it
/// is emulated, for numbers in which kernels do not differ.
fn options(kernel: Kernel) -> &'static [&'static str] {
    match kernel {
        Kernel::V6_1 | Kernel::Latest => &[],
        Kernel::V6_12 => &["--many"],
    }
}

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
