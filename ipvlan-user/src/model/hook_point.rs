//! Where the programs of a parent are attached.

use std::fmt;

use ipvlan_common::Hook;

/// A place where a program is attached. Its pin, its counters and its row in `status` go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HookPoint {
    /// A hook of the parent.
    Parent(Hook),
}

impl HookPoint {
    /// Returns the hook of the interface.
    #[must_use]
    pub const fn hook(self) -> Hook {
        match self {
            Self::Parent(hook) => hook,
        }
    }

    /// Returns the name of the pin of a TC link at this place.
    #[must_use]
    pub fn pin_name(self) -> String {
        match self {
            Self::Parent(hook) => hook.word().to_owned(),
        }
    }
}

/// As in messages.
impl fmt::Display for HookPoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parent(hook) => formatter.write_str(hook.word()),
        }
    }
}
