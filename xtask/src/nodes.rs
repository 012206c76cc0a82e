//! `cargo xtask nodes`: nodes as people have them, without and with the agent.

use crate::{cases, instrument::Instrument, tools::clients};

/// Every row once on every kernel.
pub(crate) const NODES: Instrument = Instrument {
    prepare: || clients::install_dhcp().map(drop),
    ..cases::suite("nodes")
};

/// Every row once; on every kernel if the kernel has a part in it.
pub(crate) const SHORT: Instrument = Instrument {
    options: cases::share,
    ..NODES
};
