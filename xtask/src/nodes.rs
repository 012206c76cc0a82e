//! `cargo xtask nodes`: nodes as people have them, without and with the agent.

use crate::{cases, instrument::Instrument, tools::clients};

/// Every row once.
pub(crate) const NODES: Instrument = Instrument {
    prepare: || clients::install_dhcp().map(drop),
    ..cases::suite("nodes")
};
