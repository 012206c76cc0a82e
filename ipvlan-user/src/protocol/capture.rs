//! Captured frames.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zlink::introspect::{CustomType, Type};

use super::{Hook, Netns, Verdict, Word};

/// Parameters of `Capture`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(deny_unknown_fields)]
pub struct CaptureParameters {
    /// Only frames of this parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Only frames that concern this child, by the name of its interface, of its netns or of both
    /// (`NETNS/INTERFACE`), or frames from, to or about this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Most bytes of a frame that are captured: 256 unless given, at most 2048.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
}

/// A reply of `Capture`. The first one has no frames: the programs capture from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct CaptureReply {
    /// Frames in the order in which a CPU handled them.
    #[serde(default)]
    pub frames: Vec<Frame>,
    /// Frames that were not sent since the capture began, because they came faster than they were read.
    #[serde(default)]
    pub dropped: u64,
}

/// A frame that a program has counted: as it leaves, if the program answered it, else as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct Frame {
    /// Name of the parent.
    pub parent: String,
    /// Hook of the program.
    pub hook: Word<Hook>,
    /// What became of the frame.
    pub verdict: Word<Verdict>,
    /// Why.
    pub reason: String,
    /// Interface of the child that the frame concerns.
    pub child: Option<String>,
    /// Its ifindex, in its own netns.
    pub ifindex: Option<u32>,
    /// Its netns.
    pub netns: Option<Netns>,
    /// When the verdict was given, in nanoseconds since 1970.
    pub time_ns: u64,
    /// Length of the frame, in bytes.
    pub length: u32,
    /// The first bytes of the frame, in Base64.
    pub data: String,
}
