//! The three modes of ipvlan.

use std::{fmt, str::FromStr};

use clap::ValueEnum;
use serde::Serialize;

/// The mode of a parent and all its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Children speak ARP themselves.
    L2,
    /// Children have no ARP; the parent's netns routes for them.
    L3,
    /// As l3, and packets to children pass the parent's netfilter hooks.
    L3s,
}

impl Mode {
    /// Every mode, in the order of the tables.
    pub const ALL: [Self; 3] = [Self::L2, Self::L3, Self::L3s];

    /// What `ip link … mode` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::L3 => "l3",
            Self::L3s => "l3s",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Modes to choose from: one, or `all`.
#[derive(Clone, Debug)]
pub struct Modes(pub Vec<Mode>);

impl FromStr for Modes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "all" => Mode::ALL.to_vec(),
            text => vec![ValueEnum::from_str(text, false)?],
        }))
    }
}
