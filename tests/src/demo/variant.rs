//! Options of the agent that the table is filled with.

use std::fmt;

use super::mode::Mode;

/// One way to start the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Without any option: the full table.
    Default,
    /// Broadcast ARP is left to the children.
    Flood,
    /// TC programs in a clsact qdisc.
    Clsact,
    /// A program in generic XDP as well.
    Xdp,
    /// Packets to children in the host's own netns are redirected.
    Redirect,
}

impl Variant {
    /// All but the default.
    pub const OTHERS: [Self; 4] = [Self::Flood, Self::Clsact, Self::Xdp, Self::Redirect];

    /// What the results call it; the default has no name.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Default => None,
            Self::Flood => Some("l2-broadcast flood"),
            Self::Clsact => Some("attach clsact"),
            Self::Xdp => Some("xdp generic"),
            Self::Redirect => Some("deliver redirect"),
        }
    }

    /// What `ipvlan run` is given.
    #[must_use]
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Self::Default => &[],
            Self::Flood => &["--l2-broadcast", "flood"],
            Self::Clsact => &["--attach", "clsact"],
            Self::Xdp => &["--xdp", "generic"],
            Self::Redirect => &["--deliver", "redirect"],
        }
    }

    /// Does it make a difference in `mode`?
    #[must_use]
    pub fn concerns(self, mode: Mode) -> bool {
        match self {
            Self::Default | Self::Clsact | Self::Xdp => true,
            Self::Flood => mode == Mode::L2,
            Self::Redirect => mode != Mode::L3s,
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name().unwrap_or("default options"))
    }
}
