//! Options of the agent that the table is filled with.

use std::{fmt, str::FromStr};

use clap::ValueEnum;

use super::{mode::Mode, reload};

/// One way to start the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Variant {
    /// Without any option: the full table.
    Default,
    /// Broadcast ARP is left to the children.
    Flood,
    /// A program in generic XDP as well.
    Xdp,
    /// Packets to children in the host's own netns are redirected.
    Redirect,
    /// No address is answered for before nobody else was found to have it.
    Enforce,
    /// Nothing is announced.
    Silent,
    /// Children's addresses outside of the host's subnets attract what the host routes to its gateway.
    Allowed,
    /// Answers for some addresses alone.
    Narrow,
    /// The same, as a configuration file says at the time.
    Reloaded,
}

impl Variant {
    /// All but the default.
    pub const OTHERS: [Self; 8] = [
        Self::Flood,
        Self::Xdp,
        Self::Redirect,
        Self::Enforce,
        Self::Silent,
        Self::Allowed,
        Self::Narrow,
        Self::Reloaded,
    ];

    /// What the results call it; the default has no name.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Default => None,
            Self::Flood => Some("l2-broadcast flood"),
            Self::Xdp => Some("xdp generic"),
            Self::Redirect => Some("deliver redirect"),
            Self::Enforce => Some("dad enforce"),
            Self::Silent => Some("announce off"),
            Self::Allowed => Some("allow all"),
            Self::Narrow => Some("allow, deny"),
            Self::Reloaded => Some("allow, deny, reloaded"),
        }
    }

    /// What `ipvlan run` is given.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Self::Default => &[],
            Self::Flood => &["--l2-broadcast", "flood"],
            Self::Xdp => &["--xdp", "generic"],
            Self::Redirect => &["--deliver", "redirect"],
            Self::Enforce => &["--dad", "enforce"],
            Self::Silent => &["--announce", "off"],
            Self::Allowed => &["--allow", "0.0.0.0/0", "--allow", "::/0"],
            Self::Narrow => &[
                "--allow",
                "172.16.91.0/24",
                "--allow",
                "2001:db8:91::/64",
                "--deny",
                "172.16.91.102",
                "--deny",
                "2001:db8:91::102",
            ],
            Self::Reloaded => &["--config", reload::FILE],
        }
    }

    /// Is it asked about in `mode`? Not where it makes no difference, nor where another mode or kernel
    /// has shown the same: Linux 6.1 has nothing but clsact, in any mode.
    pub fn concerns(self, mode: Mode) -> bool {
        match self {
            Self::Default => true,
            // Nothing else floods.
            Self::Flood => mode == Mode::L2,
            // Programs and agent treat l3 and l3s children alike.
            Self::Xdp | Self::Allowed | Self::Enforce | Self::Silent | Self::Redirect => {
                mode != Mode::L3s
            }
            // In l2 the child's own kernel answers whatever we do.
            Self::Narrow | Self::Reloaded => mode == Mode::L3,
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name().unwrap_or("default options"))
    }
}

/// Variants to choose from: one, or `others` for all but the default.
#[derive(Clone, Debug)]
pub struct Variants(pub Vec<Variant>);

impl FromStr for Variants {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "others" => Variant::OTHERS.to_vec(),
            text => vec![ValueEnum::from_str(text, false)?],
        }))
    }
}
