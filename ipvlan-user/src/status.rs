//! Output of `ipvlan status`: the agent serves it as JSON, the command renders it.
//!
//! Words and field names are stable within a `schema`. Fields are added to it; one that an older
//! agent does not have gets its default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of these structures.
pub const SCHEMA: u32 = 1;

/// Output of `ipvlan status --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`SCHEMA`].
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unanswered {
    /// The process id in its name; none if this is about several sockets.
    pub pid: Option<u32>,
    /// Its path.
    pub socket: String,
    /// What happened.
    pub error: String,
}

/// A parent whose datapath answers without an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Inode of the netns it serves.
    pub netns: u64,
    /// Counters of its syncs.
    pub sync: Sync,
    /// Sources of its settings.
    #[serde(default)]
    pub config: Config,
    /// Quotas that network namespaces have exceeded.
    #[serde(default)]
    pub quotas: Vec<Quota>,
    /// The parents it serves.
    pub parents: Vec<Parent>,
    /// The network namespaces that cannot be read, and why. Their children are answered for as they were.
    #[serde(default)]
    pub unreadable: Vec<String>,
}

/// Counters of the syncs of an agent since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
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
    /// Why the last one failed; none if it did not.
    pub error: Option<String>,
    /// Map entries that another process changed and an audit repaired.
    pub mended: u64,
}

/// Sources of the settings of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The configuration files, in the order of reading; later files override earlier ones.
    pub files: Vec<String>,
    /// Times they were reloaded.
    pub reloads: u64,
    /// Why the last reload failed, so that the settings stayed as they were; none if it did not.
    pub error: Option<String>,
    /// Keys that changed and take effect after a restart.
    pub at_next_start: Vec<String>,
}

/// A quota that a network namespace has exceeded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// The network namespace.
    pub netns: Netns,
    /// `addresses`, `events`, `announcements`, `groups` or `time`.
    pub quota: String,
    /// How much it can use: a number of addresses or groups, a rate per second, or a percentage of one
    /// processor.
    pub limit: u64,
    /// How many addresses exceed it now; of the others, how often it was exceeded since the netns appeared.
    pub exceeded: u64,
    /// The option that sets the limit; `[[rule]] addresses` if a rule does.
    pub option: String,
}

/// A parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its name.
    pub name: String,
    /// Its ifindex; none while there is no such interface.
    pub ifindex: Option<u32>,
    /// Its MAC.
    pub mac: Option<String>,
    /// Administratively up.
    pub up: bool,
    /// Mode of its children: `l2`, `l3`, `l3s`; none without children.
    pub mode: Option<String>,
    /// Isolation flag of its children: `bridge`, `private`, `vepa`.
    pub flag: Option<String>,
    /// `ready`, `degraded` or `waiting`.
    pub state: String,
    /// Why it is not `ready`.
    pub reason: Option<String>,
    /// Where its programs and maps are pinned, so that they outlive the agent; none if they do not.
    #[serde(default)]
    pub pinned: Option<String>,
    /// What is attached where.
    pub hooks: Vec<Hook>,
    /// Hook → reason → frames.
    pub counters: BTreeMap<String, BTreeMap<String, u64>>,
    /// Notes for the user.
    pub notes: Vec<String>,
    /// Addresses of its children that another owner claims as well.
    #[serde(default)]
    pub conflicts: Vec<Conflict>,
    /// Events about its children's addresses, the oldest first. Only the last ones are kept.
    #[serde(default)]
    pub events: Vec<Event>,
    /// How many solicited-node groups it has joined for its children (RFC 4291 §2.7.1).
    #[serde(default)]
    pub groups: u64,
    /// Its children.
    pub children: Vec<Child>,
}

/// An attached program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// `ingress`, `egress` or `xdp`.
    pub hook: String,
    /// Name of the program.
    pub program: String,
    /// Its id in the kernel.
    pub program_id: u32,
    /// `tcx`, `clsact`, `xdp-native` or `xdp-generic`.
    pub attach: String,
}

/// A child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// Its name, in its netns.
    pub name: String,
    /// Its ifindex, in its netns.
    pub ifindex: u32,
    /// Where it is.
    pub netns: Netns,
    /// Mode of its port.
    pub mode: String,
    /// Administratively up.
    pub up: bool,
    /// Forwards IPv6: its advertisements are a router's.
    #[serde(default)]
    pub forwarding: bool,
    /// `pass` or `redirect`.
    pub delivery: String,
    /// Where the rule is written that applies to it, `FILE:LINE`; none if no rule does.
    #[serde(default)]
    pub rule: Option<String>,
    /// `answering`, `refused` or `no-address`.
    pub state: String,
    /// Why, if refused.
    pub reason: Option<String>,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// Frames: `answered`, `hairpinned`, `redirected`, `refused`.
    pub counters: BTreeMap<String, u64>,
    /// The kernel's own counters of the link.
    pub link: LinkStats,
}

/// A network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Netns {
    /// Its number, seen from the agent's netns; none if it is the agent's own.
    pub nsid: Option<i32>,
    /// Its inode.
    pub inode: Option<u64>,
    /// Its names.
    pub names: Vec<String>,
    /// A process that lives in it.
    pub pid: Option<i32>,
}

/// An address of a child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// In CIDR notation.
    pub address: String,
    /// The other end of a point-to-point address.
    #[serde(default)]
    pub peer: Option<String>,
    /// `answered`, `probing` or `refused`.
    pub state: String,
    /// Why, if not answered.
    pub reason: Option<String>,
}

/// An address of a child that another owner claims as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// `host_address`, `gateway_address`, `next_hop`, `sibling_address`, `other_parent`, `peer_address` or
    /// `lan_station`.
    pub kind: String,
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since 1970-01-01 00:00 UTC. Of one that repeats, the last time.
    pub time_ms: u64,
    /// What: `claim` or `probe` of a station on the LAN, or a word of the agent's own.
    pub kind: String,
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
    /// What was done about it: `none`, `answered` (the station was told), `held_back` (the address
    /// is not answered for), `defended` (it was announced once more) or `yielded` (the claims went on: it
    /// is neither announced nor defended any more).
    pub action: String,
    /// What else is known.
    #[serde(default)]
    pub detail: Option<String>,
    /// How often it happened.
    pub count: u64,
}

/// The kernel's counters of a link (`IFLA_STATS64`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_an_older_agent_is_read() {
        let older = r#"{
            "name": "ens34", "ifindex": 2, "mac": null, "up": true, "mode": "l3", "flag": "bridge",
            "state": "ready", "reason": null, "hooks": [], "counters": {}, "notes": [],
            "children": [{
                "name": "ipvl0", "ifindex": 7, "mode": "l3", "up": true, "delivery": "pass",
                "netns": {"nsid": 1, "inode": null, "names": [], "pid": null},
                "state": "answering", "reason": null, "counters": {},
                "addresses": [{"address": "10.0.0.1/24", "state": "answered", "reason": null}],
                "link": {"rx_packets": 0, "rx_bytes": 0, "tx_packets": 0, "tx_bytes": 0}
            }]
        }"#;
        let parent: Parent = serde_json::from_str(older).unwrap();
        assert!(parent.conflicts.is_empty() && parent.events.is_empty());
        assert_eq!(parent.groups, 0);
        assert_eq!(parent.children[0].rule, None);
        assert!(!parent.children[0].forwarding);
        assert_eq!(parent.children[0].addresses[0].peer, None);
    }
}
