//! What the commands print as JSON.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Child, Hook, SCHEMA, Sources, Word};

/// Output of `ipvlan children -o json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Children {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The children.
    pub children: Vec<ShownChild>,
}

/// A child, its parent and the agent that serves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShownChild {
    /// Process id of the agent.
    pub agent: u32,
    /// Name of the parent.
    pub parent: String,
    /// The child.
    pub child: Child,
}

/// Output of `ipvlan counters -o json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CountersDocument {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The counters.
    pub counters: Vec<Counter>,
}

/// The frames of one reason at one hook of a parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counter {
    /// Name of the parent.
    pub parent: String,
    /// The hook.
    pub hook: Word<Hook>,
    /// The reason: a word of [`ipvlan_common::Reason`].
    pub reason: String,
    /// What it means.
    pub description: String,
    /// How many frames since the programs were attached.
    pub frames: u64,
    /// How many frames per second since the last document; none in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u64>,
}

/// Output of `ipvlan reload -o json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The agents.
    pub agents: Vec<ReloadedAgent>,
}

/// An agent that has read its configuration again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadedAgent {
    /// Its process id.
    pub agent: u32,
    /// Sources of its settings.
    pub config: Sources,
}

/// A document of one line of `-o jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line<T> {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What the line is about.
    #[serde(flatten)]
    pub of: T,
}

impl<T> From<T> for Line<T> {
    fn from(of: T) -> Self {
        Self { schema: SCHEMA, of }
    }
}
