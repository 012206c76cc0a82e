//! Kinds of virtual machines.

use super::{kernels::Flavour, qemu::Clock};

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

/// Network cards, their drivers, and the kernel that has these.
#[derive(Debug)]
pub(crate) struct Hardware {
    /// The build of the kernel.
    pub flavour: Flavour,
    /// QEMU's names of the cards. Each has a cable of its own to a virtio card, and nothing else is on that.
    pub cards: &'static [&'static str],
    /// The kernel's modules for them.
    pub drivers: &'static [&'static str],
}

impl Hardware {
    /// No card.
    pub(crate) const NONE: Self = Self {
        flavour: Flavour::Cloud,
        cards: &[],
        drivers: &[],
    };

    /// Returns what QEMU has to be told. The MAC of card N is `02:4e:00:00:NN:01`, and that of the
    /// card at the other end of its cable `02:4e:00:00:NN:02`; the lab finds them by these.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        for (number, card) in self.cards.iter().enumerate() {
            for (end, card) in [(1, *card), (2, "virtio-net-pci")] {
                arguments.extend([
                    "-netdev".to_owned(),
                    format!("hubport,id=end{number}{end},hubid={number}"),
                    "-device".to_owned(),
                    // Nobody boots from it.
                    format!(
                        "{card},netdev=end{number}{end},mac=02:4e:00:00:{number:02x}:{end:02x},romfile="
                    ),
                ]);
            }
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_card_has_a_cable_to_another() {
        let hardware = Hardware {
            cards: &["e1000", "vmxnet3"],
            ..Hardware::NONE
        };
        let arguments = hardware.arguments();
        assert_eq!(
            arguments[4..],
            [
                "-netdev",
                "hubport,id=end02,hubid=0",
                "-device",
                "virtio-net-pci,netdev=end02,mac=02:4e:00:00:00:02,romfile=",
                "-netdev",
                "hubport,id=end11,hubid=1",
                "-device",
                "vmxnet3,netdev=end11,mac=02:4e:00:00:01:01,romfile=",
                "-netdev",
                "hubport,id=end12,hubid=1",
                "-device",
                "virtio-net-pci,netdev=end12,mac=02:4e:00:00:01:02,romfile=",
            ]
        );
        assert!(Hardware::NONE.arguments().is_empty());
    }
}
