//! The settings of the LAN room.

use std::time::Duration;

use super::{DadMode, Defending};

/// Default of `--announce-rate`, in frames per second: port security and ARP inspection of switches close
/// a port at 15 ARP packets per second, and the host's own come on top.
pub const DEFAULT_ANNOUNCE_RATE: u32 = 10;

/// Whether children's addresses are announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Announcing {
    /// No: nothing is sent unasked but the probes of `--dad`, and no address is defended.
    Off,
    /// Yes; each time three times, about a second apart.
    #[default]
    On,
}

/// How the agent behaves on the LAN behind a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanPolicy {
    /// Whether addresses are announced.
    pub announce: Announcing,
    /// Whether addresses are defended.
    pub defend: Defending,
    /// Time between two announcements of an address; none after the first ones without.
    pub refresh: Option<Duration>,
    /// Whether and how new addresses are probed for.
    pub dad: DadMode,
    /// Announcements and probes per second.
    pub rate: u32,
}

impl Default for LanPolicy {
    fn default() -> Self {
        Self {
            announce: Announcing::default(),
            defend: Defending::default(),
            refresh: None,
            dad: DadMode::default(),
            rate: DEFAULT_ANNOUNCE_RATE,
        }
    }
}
