//! The closed sets of words. Each word is written once: in the name of its variant.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zlink::{idl, introspect::Type};

/// A word of the set `T`, or one that a newer agent has added to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Word<T> {
    /// A word of this version.
    Known(T),
    /// Any other word.
    Other(String),
}

/// A string: the language of Varlink interfaces has no words with a hyphen, and no sets that grow.
impl<T> Type for Word<T> {
    const TYPE: &'static idl::Type<'static> = String::TYPE;
}

impl<T> From<T> for Word<T> {
    fn from(known: T) -> Self {
        Self::Known(known)
    }
}

impl<T: Default> Default for Word<T> {
    fn default() -> Self {
        Self::Known(T::default())
    }
}

impl<T: PartialEq> PartialEq<T> for Word<T> {
    fn eq(&self, known: &T) -> bool {
        matches!(self, Self::Known(word) if word == known)
    }
}

/// Writes the word as it is in JSON, without quotes.
impl<T: Serialize> fmt::Display for Word<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

/// Writes known words as they are in JSON, without quotes.
macro_rules! displayed {
    ($($set:ty),*) => {$(
        impl fmt::Display for $set {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.serialize(formatter)
            }
        }
    )*};
}

displayed!(
    Mode,
    Flag,
    Mechanism,
    Runtime,
    QuotaKind,
    EventKind,
    Action,
    AnsweredBy,
    OwnerKind,
    FrameKind,
    Verdict,
    Hook,
    ParentState,
    Topic,
    SyncKind
);

/// State of a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParentState {
    /// Attached, in step with the kernel.
    Ready,
    /// Attached, but something is missing or has failed.
    Degraded,
    /// Not attached.
    Waiting,
}

/// State of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChildState {
    /// At least one of its addresses is answered.
    Answering,
    /// None of its addresses is answered.
    Refused,
    /// It has no address.
    NoAddress,
}

/// State of an address of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddressState {
    /// Requests for it are answered.
    Answered,
    /// It is being probed for on the LAN and not answered meanwhile.
    Probing,
    /// Requests for it are not answered.
    Refused,
}

/// Mode of an ipvlan port, as `ip link` calls it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Switches by destination address; children do ARP themselves.
    L2,
    /// Routes in the parent's netns; children do no ARP. The kernel's default.
    #[default]
    L3,
    /// As l3, and received packets pass the host's INPUT hook.
    L3s,
}

/// Isolation flag of an ipvlan port, as `ip link` calls it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// Children reach each other.
    #[default]
    Bridge,
    /// Children do not reach each other.
    Private,
    /// Children reach each other through the switch outside.
    Vepa,
}

/// How packets for a child get to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The driver delivers them.
    Pass,
    /// The ingress program redirects them.
    Redirect,
}

/// A hook of a parent. In the order of the words.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// TC egress.
    Egress,
    /// TC ingress.
    Ingress,
    /// XDP.
    Xdp,
}

/// How a program is attached to its hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// A TCX link (`BPF_LINK_TYPE_TCX`, Linux 6.6, commit e420bed02507).
    Tcx,
    /// A direct-action filter of the clsact qdisc.
    Clsact,
    /// An XDP link, in the driver.
    XdpNative,
    /// An XDP link, in the network stack.
    XdpGeneric,
}

/// What runs a container or service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// containerd, for Kubernetes or nerdctl.
    Containerd,
    /// CRI-O.
    CriO,
    /// Kubernetes, with a runtime that the control group does not show.
    Kubernetes,
    /// LXC or Incus.
    Lxc,
    /// systemd-machined: systemd-nspawn and others that register machines.
    Machined,
    /// systemd: a service.
    Systemd,
}

/// What a quota limits. The word is the end of the option that sets it: `--netns-WORD`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum QuotaKind {
    /// Addresses that are kept.
    Addresses,
    /// Events that are handled.
    Events,
    /// Announcements and probes that are sent.
    Announcements,
    /// Solicited-node groups that are joined.
    Groups,
    /// Time that reading the netns takes.
    Time,
}

/// Kind of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConflictKind {
    /// The host has the address.
    HostAddress,
    /// The host's routes have the address as a next hop, and had it before the child.
    GatewayAddress,
    /// The host's routes have the address as a next hop; the child had it before.
    NextHop,
    /// Another child of the same parent has the address.
    SiblingAddress,
    /// A child of another parent has the address.
    OtherParent,
    /// The driver delivers the peer of a point-to-point address in its place.
    PeerAddress,
    /// A station on the LAN has the address.
    LanStation,
}

/// Kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A station on the LAN claims an address with a MAC of its own.
    Claim,
    /// A station on the LAN probes for an address.
    Probe,
    /// A station answers for every address and owns none.
    NoOwner,
    /// The mode of the port changed. Any child can change it for all; the kernel does not report which did.
    ModeChanged,
    /// The isolation flag of the port changed.
    FlagChanged,
    /// A child moved to another netns.
    ChildMoved,
    /// A conflict appeared.
    #[serde(untagged)]
    Conflict(ConflictKind),
}

/// Action of the agent upon an event. Later variants take precedence.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The event was reported, nothing else.
    None,
    /// The programs answered the station, which gives the address up.
    Answered,
    /// The address is withheld: not answered, not announced, not defended.
    #[serde(rename = "held_back")]
    Withheld,
    /// The address was announced once more (RFC 5227 §2.4(b)).
    Defended,
    /// The conflict went on: the address is neither announced nor defended any more.
    Yielded,
}

/// Who answers a request for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    /// The programs.
    Programs,
    /// The kernel of the host or of the child.
    Kernel,
    /// None of this host.
    None,
}

/// Kind of the owner of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OwnerKind {
    /// A child.
    Child,
    /// The other end of a child's point-to-point address: the driver delivers packets for it to the child.
    Peer,
    /// The host.
    Host,
    /// A next hop of a route of the host.
    Gateway,
    /// A station on the LAN, by its answer to a probe or by a claim.
    Station,
    /// No station should: the agent probes for the address to recognise stations that answer for every address.
    Control,
}

/// What events that are shown as they happen are about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// ARP messages about addresses of children and of the host.
    Arp,
    /// Solicitations about them.
    Ndp,
    /// Frames that are not answered, or not brought to a child, because of a rule.
    Guard,
    /// Claims, probes and conflicts about addresses of children, and changes of children that others notice.
    Conflict,
    /// Syncs, and states of parents.
    Sync,
}

/// Kind of an event of a sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyncKind {
    /// A sync is complete.
    #[default]
    Synced,
    /// A sync failed; what was installed stays.
    Failed,
    /// Netlink events were lost: everything is read.
    Overrun,
    /// An audit found entries that another process changed: they are repaired.
    Repaired,
    /// The state of a parent is another one.
    Parent,
}

/// Kind of a frame that a program is run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FrameKind {
    /// An ARP request.
    Arp,
    /// A neighbour solicitation.
    Nd,
    /// An IP packet.
    Ip,
}

/// Verdict of a program on a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Answered.
    Answered,
    /// Hairpinned to the ingress of the parent.
    Hairpinned,
    /// Redirected to the child.
    Redirected,
    /// Dropped.
    Dropped,
    /// Passed on to the driver, to the kernel, or to the LAN.
    Passed,
}
