//! Conflicts about addresses of children, and events.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zlink::introspect::CustomType;

use super::{Action, ConflictKind, EventKind, Netns, Word};

/// An address of a child that another owner claims as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct Conflict {
    /// The kind.
    pub kind: Word<ConflictKind>,
    /// The address.
    pub address: String,
    /// Name of the child, in its netns.
    pub child: String,
    /// Where the child is.
    pub netns: Netns,
    /// The other owner.
    pub rival: Rival,
}

/// The other owner of an address; fields that do not apply are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct Rival {
    /// The link of the host, or the other child.
    pub interface: Option<String>,
    /// Where the other child is.
    pub netns: Option<Netns>,
    /// The other child's parent.
    pub parent: Option<String>,
    /// The address that the driver delivers instead.
    pub peer: Option<String>,
    /// MAC of the station on the LAN.
    #[serde(default)]
    pub mac: Option<String>,
}

/// An event about a child or one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct Event {
    /// When it happened last, in milliseconds since 1970-01-01 00:00 UTC.
    pub time_ms: u64,
    /// The kind.
    pub kind: Word<EventKind>,
    /// The address it is about.
    pub address: Option<String>,
    /// MAC of the station.
    pub mac: Option<String>,
    /// Name of the parent.
    pub parent: String,
    /// Name of the child, in its netns; none for an address of the host.
    pub child: Option<String>,
    /// Where the child is.
    pub netns: Option<Netns>,
    /// The action of the agent.
    pub action: Word<Action>,
    /// Further details.
    #[serde(default)]
    pub detail: Option<String>,
    /// How often it happened.
    pub count: u64,
}
