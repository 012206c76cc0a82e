//! What `ipvlan top` prints as JSON: agents, parents and children, with rates.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Child, Conflict, ParentState, SyncStats, Word};

/// Output of `ipvlan top --once -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Top {
    /// [`SCHEMA`](super::SCHEMA).
    pub schema: u32,
    /// Milliseconds between the two readings that the rates are from; none if no agent is running.
    pub interval_ms: Option<u64>,
    /// The agents.
    pub agents: Vec<TopAgent>,
    /// The children of all of them.
    pub children: Vec<TopChild>,
}

/// An agent and its parents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TopAgent {
    /// Its process id.
    pub pid: u32,
    /// Counters of its syncs.
    pub sync: SyncStats,
    /// The parents it serves.
    pub parents: Vec<TopParent>,
}

/// A parent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TopParent {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: Word<ParentState>,
    /// The cause, if it is not ready.
    pub reason: Option<String>,
    /// How many children it has.
    pub children: u64,
    /// How many of them are up.
    pub children_up: u64,
    /// How many conflicts there are about addresses of its children.
    pub conflicts: u64,
    /// Requests per second that its programs answered; none if it was not served by both readings.
    pub answered_per_second: Option<f64>,
}

/// A child, its parent, and its rates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TopChild {
    /// Process id of the agent.
    pub agent: u32,
    /// Name of the parent.
    pub parent: String,
    /// The child.
    pub child: Child,
    /// Conflicts about its addresses.
    pub conflicts: Vec<Conflict>,
    /// Its rates; none if it was not in both readings, or if its counters began anew in between.
    pub per_second: Option<Rates>,
}

/// Events of a child per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rates {
    /// Requests answered for it.
    pub answered: f64,
    /// Packets of the host that were hairpinned to it.
    pub hairpinned: f64,
    /// Packets redirected to it.
    pub redirected: f64,
    /// Requests and packets that were refused.
    pub refused: f64,
    /// Rates of its link; none without `--fresh`.
    pub link: Option<LinkRates>,
}

/// Packets and bytes of a link per second, from the kernel's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LinkRates {
    /// Packets received.
    pub rx_packets: f64,
    /// Bytes received.
    pub rx_bytes: f64,
    /// Packets sent.
    pub tx_packets: f64,
    /// Bytes sent.
    pub tx_bytes: f64,
}
