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

/// All of them.
pub(crate) const SETTINGS: [Setting; 7] = [
    Setting {
        name: "l3",
        mode: Mode::L3,
        options: &[],
        traits: PLAIN,
    },
    Setting {
        name: "l3s",
        mode: Mode::L3s,
        options: &[],
        traits: PLAIN,
    },
    Setting {
        name: "l2",
        mode: Mode::L2,
        options: &[],
        traits: PLAIN,
    },
    Setting {
        name: "l3, xdp native",
        mode: Mode::L3,
        options: NATIVE,
        traits: PLAIN,
    },
    Setting {
        name: "l3, xdp generic",
        mode: Mode::L3,
        options: &["--xdp", "generic"],
        traits: PLAIN,
    },
    Setting {
        name: "l3, a router",
        mode: Mode::L3,
        options: &[],
        traits: Traits {
            router: true,
            ..PLAIN
        },
    },
    Setting {
        name: "l2, optimistic addresses",
        mode: Mode::L2,
        options: &[],
        traits: Traits {
            optimistic: true,
            ..PLAIN
        },
    },
];

impl Setting {
    /// What `ipvlan run` is given: it says nothing unasked, and every frame that leaves is an answer.
    #[must_use]
    pub(crate) fn agent_options(&self) -> Vec<&'static str> {
        [self.options, &QUIET].concat()
    }

    /// How many pings follow each frame to our children: see [`Wire`](super::wire::Wire).
    #[must_use]
    pub(crate) fn pings(&self) -> usize {
        if self.mode == Mode::L2 || self.options == NATIVE {
            2
        } else {
            1
        }
    }

    /// The frames to send; the same ones wherever the traits are the same.
    #[must_use]
    pub(crate) fn cases(&self) -> Vec<Case> {
        let mut cases = Cases::default();
        match self.traits {
            PLAIN => {
                arp::add(&mut cases);
                framing::add(&mut cases, &framing::ARP);
                ndp::add(&mut cases);
                framing::add(&mut cases, &framing::ND);
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
