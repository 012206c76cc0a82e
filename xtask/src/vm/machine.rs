//! Kinds of virtual machines.

use super::{hardware::Hardware, qemu::Clock};

/// What a job needs of its virtual machine, whatever the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    /// What its clock counts.
    pub clock: Clock,
    /// What it has besides processor and memory.
    pub hardware: &'static Hardware,
    /// How its kernel is set up.
    pub setup: Setup,
}

/// How the kernel of a machine is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    /// As the distribution ships it: for measurements, and for what the verifier follows.
    Shipped,
    /// So that a start of the agent takes an emulator half as long: without mitigations of the processor's flaws, and
    /// without the kernel's BTF, which aya reads at each start although the object has no CO-RE relocations.
    Lean,
}

impl Machine {
    /// A kernel as shipped.
    pub(crate) const SHIPPED: Self = Self {
        clock: Clock::Any,
        hardware: &Hardware::NONE,
        setup: Setup::Shipped,
    };
    /// A kernel as shipped, and a clock that counts instructions.
    pub(crate) const COUNTING: Self = Self {
        clock: Clock::Instructions,
        ..Self::SHIPPED
    };
    /// For suites that start the agent often.
    pub(crate) const LEAN: Self = Self {
        setup: Setup::Lean,
        ..Self::SHIPPED
    };
}

impl Setup {
    /// Returns the words that are appended to the kernel's command line.
    pub(crate) const fn command_line(self) -> &'static str {
        match self {
            Self::Shipped => "",
            Self::Lean => "mitigations=off lab.btf=off",
        }
    }
}
