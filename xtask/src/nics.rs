//! `cargo xtask nics`: network cards that QEMU emulates as parents, with the drivers that real ones have.

use std::time::Duration;

use crate::{
    cases,
    instrument::Instrument,
    vm::{
        hardware::Hardware,
        kernels::{Flavour, Kernel},
        machine::Machine,
    },
};

/// The cards, in the order of the table `CARDS` of the lab (`tests/src/nics/card.rs`). Debian's kernels for the
/// cloud have no driver of the first two.
static CARDS: Hardware = Hardware {
    flavour: Flavour::Generic,
    cards: &["e1000", "e1000e", "vmxnet3", "virtio-net-pci"],
    drivers: &["virtio_pci", "virtio_net", "e1000", "e1000e", "vmxnet3"],
};

/// Every card once; without being asked for, on one kernel.
pub(crate) const NICS: Instrument = Instrument {
    limit: Duration::from_mins(10),
    machine: Machine {
        hardware: &CARDS,
        ..Machine::LEAN
    },
    kernels: &[Kernel::V6_12],
    ..cases::suite("nics")
};
