//! Where links and maps outlive the agent: one directory per parent on a BPF filesystem.
//!
//! ```text
//! /sys/fs/bpf/ipvlan/                     0700: the directories' mode is the only access control of maps
//!     ens34-4026531840-2/                 NAME-NETNS-IFINDEX; held by flock(2) while an agent serves it
//!         ingress egress xdp-native       links, whatever the layout of the maps
//!         clsact/                         nothing but a mark: the qdisc was added for us
//!         v4/ADDRESSES_V4 …               maps of a layout (`ipvlan_common::LAYOUT`)
//!         v4-new/                         maps that are not complete yet
//! ```
//!
//! The name is for people; netns and ifindex identify a parent, so a rename changes nothing and two netns
//! with parents of one name never meet. A BPF filesystem has no dots in names.
//!
//! The directory may belong to the user that the service runs as. Everything in it is opened relative to its
//! descriptor, with the identity of its owner ([`crate::directory`]).

mod error;
pub(crate) mod link;
mod name;
mod parent;
mod pinned;
mod private;
mod root;
mod watch;

pub use self::{error::PinError, name::PinName, parent::ParentPins, root::PinRoot};
pub(crate) use self::{parent::MapPins, pinned::Pinned};

/// Default of `--pin-dir`.
pub const PIN_DIR: &str = "/sys/fs/bpf/ipvlan";

/// Mode of every directory.
const PRIVATE: u32 = 0o700;

/// The directory of a parent's pins.
#[derive(Debug)]
pub enum Pins {
    /// Links and maps are pinned there and outlive the agent.
    Keep(ParentPins),
    /// Pins of a previous agent are adopted and removed: they no longer outlive the agent.
    Release(ParentPins),
    /// Nothing is pinned.
    None,
}

impl Pins {
    pub(crate) const fn dir(&self) -> Option<&ParentPins> {
        match self {
            Self::Keep(dir) | Self::Release(dir) => Some(dir),
            Self::None => None,
        }
    }
}
