//! In which settings the frames are compared.

use std::{fmt, fs};

use anyhow::{Context, Result};

use super::{
    arp,
    case::{Case, Cases},
    framing, ndp,
    world::Traits,
};
use crate::demo::mode::Mode;

/// One way to run the agent, beside the kernel with the same traits.
#[derive(Debug)]
pub(crate) struct Setting {
    name: &'static str,
    /// The mode of our children.
    pub mode: Mode,
    options: &'static [&'static str],
    /// What both sides have in common.
    pub traits: Traits,
}

const NATIVE: &[&str] = &["--xdp", "native"];
const QUIET: [&str; 4] = ["--announce", "off", "--dad", "off"];

const PLAIN: Traits = Traits {
    router: false,
    optimistic: false,
};

const ROUTER: Traits = Traits {
    router: true,
    ..PLAIN
};
const OPTIMISTIC: Traits = Traits {
    optimistic: true,
    ..PLAIN
};

/// All of them.
pub(crate) const SETTINGS: [Setting; 7] = [
    Setting::new("l3", Mode::L3, &[], PLAIN),
    Setting::new("l3s", Mode::L3s, &[], PLAIN),
    Setting::new("l2", Mode::L2, &[], PLAIN),
    Setting::new("l3, xdp native", Mode::L3, NATIVE, PLAIN),
    Setting::new("l3, xdp generic", Mode::L3, &["--xdp", "generic"], PLAIN),
    Setting::new("l3, a router", Mode::L3, &[], ROUTER),
    Setting::new("l2, optimistic addresses", Mode::L2, &[], OPTIMISTIC),
];

impl Setting {
    const fn new(
        name: &'static str,
        mode: Mode,
        options: &'static [&'static str],
        traits: Traits,
    ) -> Self {
        Self {
            name,
            mode,
            options,
            traits,
        }
    }

    /// What `ipvlan run` is given: it says nothing unasked, and every frame that leaves is an answer.
    pub(crate) fn agent_options(&self) -> Vec<&'static str> {
        [self.options, &QUIET].concat()
    }

    /// How many pings follow each frame to our children: see [`Wire`](super::wire::Wire).
    pub(crate) fn pings(&self) -> usize {
        if self.mode == Mode::L2 || self.options == NATIVE {
            2
        } else {
            1
        }
    }

    /// The frames to send; the same ones wherever the traits are the same.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let mut cases = Cases::default();
        match self.traits {
            PLAIN => {
                arp::add(&mut cases);
                framing::add_arp(&mut cases);
                ndp::add(&mut cases);
                framing::add_nd(&mut cases);
            }
            Traits { router: true, .. } => {
                ndp::add_flags(&mut cases);
                ndp::add_subnet_router(&mut cases);
                ndp::add_probes(&mut cases);
            }
            Traits { .. } => {
                ndp::add_flags(&mut cases);
                ndp::add_probes(&mut cases);
            }
        }
        cases.into_list()
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// Makes room for a neighbour entry per frame: with the kernel's limits it would drop some, and the
/// answers that need them.
pub(crate) fn prepare_machine() -> Result<()> {
    for family in ["ipv4", "ipv6"] {
        for threshold in ["gc_thresh3", "gc_thresh2", "gc_thresh1"] {
            let path = format!("/proc/sys/net/{family}/neigh/default/{threshold}");
            fs::write(&path, "200000").with_context(|| format!("cannot write {path}"))?;
        }
    }
    Ok(())
}
