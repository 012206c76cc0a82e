//! Events that are shown as they happen.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zlink::introspect::{CustomType, Type};

use super::{Event, Frame, SyncKind, Topic, Word};

/// Parameters of `Monitor`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(deny_unknown_fields)]
pub struct MonitorParameters {
    /// Only events about these; all if there are none. `arp`, `ndp` and `guard` are frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<Vec<Word<Topic>>>,
    /// Only events about this parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

/// A reply of `Monitor`. The first one has no events: those that happen from then on follow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct MonitorReply {
    /// The events.
    #[serde(default)]
    pub events: Vec<MonitorEvent>,
    /// Events that were not sent since the beginning, because they came faster than they were read.
    #[serde(default)]
    pub dropped: u64,
}

/// An event: the field of its topic is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct MonitorEvent {
    /// What it is about.
    pub topic: Word<Topic>,
    /// When it happened, in nanoseconds since 1970.
    pub time_ns: u64,
    /// Name of the parent; none for a sync that is about no single one.
    pub parent: Option<String>,
    /// Topics `arp`, `ndp` and `guard`: the frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<Frame>,
    /// Topic `conflict`: as the events of a parent in the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Event>,
    /// Topic `sync`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncEvent>,
}

/// A sync, or something that it found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct SyncEvent {
    /// What happened.
    pub kind: Word<SyncKind>,
    /// What was read, what failed, or the new state of the parent.
    pub what: String,
    /// How long the sync took from its first dump on, in microseconds.
    #[serde(default)]
    pub took_us: Option<u64>,
    /// Addresses that were written to the maps of the parent.
    #[serde(default)]
    pub put: u64,
    /// Addresses that were removed from them.
    #[serde(default)]
    pub removed: u64,
    /// Addresses of children that are answered since.
    #[serde(default)]
    pub answered: Option<u64>,
}

/// A text that is no topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no topic: arp, ndp, guard, conflict, sync")]
pub struct NoTopic;

impl Topic {
    /// All topics.
    pub const ALL: [Self; 5] = [
        Self::Arp,
        Self::Ndp,
        Self::Guard,
        Self::Conflict,
        Self::Sync,
    ];

    /// Returns its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Arp => "arp",
            Self::Ndp => "ndp",
            Self::Guard => "guard",
            Self::Conflict => "conflict",
            Self::Sync => "sync",
        }
    }

    /// Returns whether its events are frames, for which programs that capture are attached.
    #[must_use]
    pub const fn is_frames(self) -> bool {
        matches!(self, Self::Arp | Self::Ndp | Self::Guard)
    }
}

impl FromStr for Topic {
    type Err = NoTopic;

    fn from_str(text: &str) -> Result<Self, NoTopic> {
        let mut all = Self::ALL.into_iter();
        all.find(|of| of.word() == text).ok_or(NoTopic)
    }
}
