//! The answers of all agents, and what an agent returns of itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zlink::introspect::CustomType;

use super::{Netns, Parent, QuotaKind, Word};

/// Output of `ipvlan status --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct Status {
    /// [`SCHEMA`](super::SCHEMA).
    pub schema: u32,
    /// The running agents.
    pub agents: Vec<Agent>,
    /// Sockets of the runtime directory without an answer.
    #[serde(default)]
    pub unanswered: Vec<Unanswered>,
    /// Parents with a pinned datapath and without an agent; none if the caller may not read the directory.
    #[serde(default)]
    pub unserved: Option<Vec<Unserved>>,
}

/// A status socket without an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct Unanswered {
    /// The process id in its name; none if this is about several sockets.
    pub pid: Option<u32>,
    /// Its path.
    pub socket: String,
    /// The error.
    pub error: String,
}

/// A parent whose datapath answers without an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct Unserved {
    /// Its name; if there is no such interface any more, or not here, the one it had, with `_` for dots.
    pub name: String,
    /// Inode of its netns.
    pub netns: u64,
    /// Its ifindex there.
    pub ifindex: u32,
    /// Where its programs and maps are pinned.
    pub pinned: String,
}

/// A running agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct Agent {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Inode of the netns it serves.
    pub netns: u64,
    /// When it started, in milliseconds since 1970.
    #[serde(default)]
    pub started_ms: u64,
    /// Counters of its syncs.
    pub sync: SyncStats,
    /// Sources of its settings.
    #[serde(default)]
    pub config: Sources,
    /// Quotas that network namespaces have exceeded.
    #[serde(default)]
    pub quotas: Vec<ExceededQuota>,
    /// What one network namespace can use.
    #[serde(default)]
    pub limits: Limits,
    /// The parents it serves.
    pub parents: Vec<Parent>,
    /// The network namespaces that cannot be read, and why. The entries of their children stay as they were.
    #[serde(default)]
    pub unreadable: Vec<String>,
}

/// Counters of the syncs of an agent since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct SyncStats {
    /// Times something changed somewhere and a sync followed.
    pub wakes: u64,
    /// Syncs, those of the audit included.
    pub syncs: u64,
    /// Those that read everything anew.
    #[serde(default)]
    pub whole: u64,
    /// Time that the first one took, from before the first dump to the last entry of a map, in
    /// microseconds.
    #[serde(default)]
    pub first_us: u64,
    /// Netlink events lost to a full receive buffer; each is followed by a full sync.
    pub overruns: u64,
    /// Syncs that failed and changed nothing.
    pub failed: u64,
    /// The error of the last one; none if it succeeded.
    pub error: Option<String>,
    /// Map entries that another process changed and an audit repaired.
    pub mended: u64,
    /// Time that the last one took, in microseconds. Full scans are read in chunks; they take the sum of these.
    #[serde(default)]
    pub last_us: u64,
    /// Time that the longest one took, in microseconds.
    #[serde(default)]
    pub longest_us: u64,
    /// End of the last one that read the kernel and succeeded, in milliseconds since 1970.
    #[serde(default)]
    pub last_ms: u64,
}

/// What one network namespace can use, where no rule sets another limit.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema,
)]
pub struct Limits {
    /// Addresses.
    pub addresses: u64,
    /// Events per second.
    pub events: u64,
    /// Announcements and probes per second.
    pub announcements: u64,
    /// Solicited-node groups.
    pub groups: u64,
    /// Percent of one processor.
    pub time: u64,
}

/// Sources of the settings of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct Sources {
    /// The configuration files, in the order of reading; later files override earlier ones.
    pub files: Vec<String>,
    /// Times they were reloaded.
    pub reloads: u64,
    /// The error of the last reload, which changed nothing; none if it succeeded.
    pub error: Option<String>,
    /// Keys that changed and take effect after a restart.
    pub at_next_start: Vec<String>,
}

/// A quota that a network namespace has exceeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct ExceededQuota {
    /// The network namespace.
    pub netns: Netns,
    /// The quota.
    pub quota: Word<QuotaKind>,
    /// How much it can use: a number of addresses or groups, a rate per second, or a percentage of one
    /// processor.
    pub limit: u64,
    /// How many addresses exceed it now; of the others, how often it was exceeded since the netns appeared.
    pub exceeded: u64,
    /// The option that sets the limit; `[[rule]] addresses` if a rule does.
    pub option: String,
}
