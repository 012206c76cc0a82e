//! `cargo xtask oracle`: the agent's answers beside the kernel's, frame by frame.

use crate::{
    instrument::{Instrument, LIMIT, NOTHING},
    vm::{kernels::Kernel, machine::Machine},
};

/// Fails if an answer differs that may not: it judges itself.
pub(crate) const ORACLE: Instrument = Instrument {
    verb: "oracle",
    options: |_| &[],
    limit: LIMIT,
    prepare: NOTHING,
    machine: Machine::LEAN,
    kernels: &Kernel::ALL,
    judge: |_| Vec::new(),
};
