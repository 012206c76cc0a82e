//! A parent, its programs and its children.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zlink::{
    idl,
    introspect::{CustomType, Type},
};

use super::{
    AddressState, ChildState, Conflict, Delivery, Event, Flag, Hook, Mechanism, Mode, Netns,
    ParentState, Word,
};

/// Frames by hook and reason. Reasons are the words of [`ipvlan_common::Reason`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Counters(pub BTreeMap<Word<Hook>, BTreeMap<String, u64>>);

/// As the description has it: not every parser knows maps of maps (`sd-varlink-idl.c` of systemd 257 does not).
mod described {
    use std::collections::BTreeMap;

    use zlink::introspect::CustomType;

    /// Frames by hook and reason: none of a hook without a program.
    #[derive(CustomType)]
    #[allow(dead_code, reason = "only its description is used")]
    pub(super) struct HookCounters {
        /// At TC egress.
        egress: Option<BTreeMap<String, u64>>,
        /// At TC ingress.
        ingress: Option<BTreeMap<String, u64>>,
        /// At XDP.
        xdp: Option<BTreeMap<String, u64>>,
    }
}

impl Type for Counters {
    const TYPE: &'static idl::Type<'static> = described::HookCounters::TYPE;
}

impl CustomType for Counters {
    const CUSTOM_TYPE: &'static idl::CustomType<'static> = described::HookCounters::CUSTOM_TYPE;
}

/// A parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct Parent {
    /// Its name.
    pub name: String,
    /// Its ifindex; none while there is no such interface.
    pub ifindex: Option<u32>,
    /// Its MAC.
    pub mac: Option<String>,
    /// Administratively up.
    pub up: bool,
    /// Mode of its children; none without children.
    pub mode: Option<Word<Mode>>,
    /// Isolation flag of its children; none without children.
    pub flag: Option<Word<Flag>>,
    /// Its state.
    pub state: Word<ParentState>,
    /// The cause, if it is not ready.
    pub reason: Option<String>,
    /// Where its programs and maps are pinned, so that they outlive the agent; none if they do not.
    #[serde(default)]
    pub pinned: Option<String>,
    /// The attached programs.
    pub hooks: Vec<Program>,
    /// Frames by hook and reason.
    pub counters: Counters,
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
    /// State of its datapath.
    #[serde(default)]
    pub datapath: DatapathState,
    /// How many events there were since it was attached.
    #[serde(default)]
    pub totals: EventTotals,
    /// Its children.
    pub children: Vec<Child>,
}

/// State of the datapath of a parent; zero if nothing is attached.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema,
)]
pub struct DatapathState {
    /// IPv4 addresses in its map.
    pub addresses_v4: u64,
    /// IPv6 addresses in its map.
    pub addresses_v6: u64,
    /// Most addresses of each family.
    pub addresses_capacity: u64,
    /// Children with counters.
    pub children: u64,
    /// Most children with counters.
    pub children_capacity: u64,
    /// When its programs stop answering if no sync succeeds before, in milliseconds since 1970; none without limit.
    pub deadline_ms: Option<u64>,
    /// How many programs of other processes run before those of the agent.
    pub foreign: u64,
}

/// How many events about the addresses of a parent there were since it was attached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct EventTotals {
    /// Events by [`EventKind`](super::EventKind).
    pub kinds: BTreeMap<String, u64>,
    /// How often an address was defended (RFC 5227 §2.4(b)).
    pub defended: u64,
}

/// An attached program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct Program {
    /// The hook it is attached to.
    pub hook: Word<Hook>,
    /// Its name.
    pub program: String,
    /// Its id in the kernel.
    pub program_id: u32,
    /// How it is attached.
    pub attach: Word<Mechanism>,
}

/// A child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct Child {
    /// Its name, in its netns.
    pub name: String,
    /// Its label: the alias of the link, escaped and capped. Its netns can set it to any text.
    #[serde(default)]
    pub label: Option<String>,
    /// Its ifindex, in its netns.
    pub ifindex: u32,
    /// Where it is.
    pub netns: Netns,
    /// Mode of its port.
    pub mode: Word<Mode>,
    /// Administratively up.
    pub up: bool,
    /// Forwards IPv6: its advertisements are a router's.
    #[serde(default)]
    pub forwarding: bool,
    /// How packets get to it.
    pub delivery: Word<Delivery>,
    /// Where the rule is written that applies to it, `FILE:LINE`; none if no rule does.
    #[serde(default)]
    pub rule: Option<String>,
    /// Its state.
    pub state: Word<ChildState>,
    /// Why it is refused: as [`Address::reason`].
    pub reason: Option<String>,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// When a request was last answered for it, in milliseconds since 1970-01-01 00:00 UTC; none if none was.
    #[serde(default)]
    pub asked_ms: Option<u64>,
    /// Frames to it.
    pub counters: ChildCounters,
    /// The kernel's own counters of the link.
    pub link: LinkStats,
}

/// Frames to a child, by what the programs did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
#[serde(default)]
pub struct ChildCounters {
    /// Requests answered for it.
    pub answered: u64,
    /// Packets of the host that were hairpinned to it.
    pub hairpinned: u64,
    /// Packets redirected to it.
    pub redirected: u64,
    /// Requests and packets that were refused.
    pub refused: u64,
}

/// The kernel's counters of a link (`IFLA_STATS64`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
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

/// An address of a child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct Address {
    /// In CIDR notation.
    pub address: String,
    /// The other end of a point-to-point address.
    #[serde(default)]
    pub peer: Option<String>,
    /// Its state.
    pub state: Word<AddressState>,
    /// Why it is not answered: a word of [`ipvlan_common::Reason`], or `map_full` for one without room in the map.
    pub reason: Option<String>,
}
