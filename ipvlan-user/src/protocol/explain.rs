//! What the agent knows about one address, and what its programs do with frames for it.

use std::{fmt, net::IpAddr, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zlink::introspect::CustomType;

use super::{
    AnsweredBy, Delivery, Flag, FrameKind, Hook, Mode, Netns, OwnerKind, Unanswered, Verdict, Word,
};

/// Output of `ipvlan explain -o json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explained {
    /// [`SCHEMA`](super::SCHEMA).
    pub schema: u32,
    /// The answers of the agents.
    pub explanations: Vec<Explanation>,
    /// Sockets of the runtime directory without an answer.
    pub unanswered: Vec<Unanswered>,
}

/// Where a frame comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A station on the LAN whose address has no owner on this host.
    Lan,
    /// The host.
    Host,
    /// This address: of the host, of a child that sends out of the parent, or of a station.
    Address(IpAddr),
}

impl FromStr for Sender {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "lan" => Ok(Self::Lan),
            "host" => Ok(Self::Host),
            _ => match text.parse::<IpAddr>() {
                // A frame from it is a probe, which the agent takes for one of a station.
                Ok(address) if address.is_unspecified() => {
                    Err("the unspecified address sends no requests")
                }
                Ok(address) => Ok(Self::Address(address)),
                Err(_) => Err("it is neither `lan` nor `host` nor an address"),
            },
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lan => formatter.write_str("lan"),
            Self::Host => formatter.write_str("host"),
            Self::Address(address) => address.fmt(formatter),
        }
    }
}

/// A question about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The address.
    pub address: IpAddr,
    /// The sender of the frames; none for a station, then the host.
    pub from: Option<Sender>,
    /// The parent whose programs are run; none for that of the address.
    pub parent: Option<String>,
}

/// What applies to an address, and what the programs of a parent do with frames for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct Explanation {
    /// The address.
    pub address: String,
    /// The parent whose programs were run.
    pub parent: String,
    /// Who answers a request of the sender that was asked for; without one, of a station on the LAN.
    pub answered: Word<AnsweredBy>,
    /// The owners of the address.
    #[serde(default)]
    pub owners: Vec<AddressOwner>,
    /// The entry in the address map of the parent; none if there is none.
    pub entry: Option<MapEntry>,
    /// Every rule by which the address is not answered, or attracts no packets of the host. Rules about several
    /// children, or about the host, can apply at once.
    #[serde(default)]
    pub rules: Vec<AppliedRule>,
    /// The frames that the attached programs were run on. They are counted as any other frame.
    #[serde(default)]
    pub frames: Vec<TestedFrame>,
    /// Notes for the user.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// An owner of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct AddressOwner {
    /// What it is.
    pub kind: Option<Word<OwnerKind>>,
    /// Name of the child, of the host's link, or of the link that the route leaves by.
    pub name: Option<String>,
    /// Netns of the child.
    pub netns: Option<Netns>,
    /// Name of the parent of the child.
    pub parent: Option<String>,
    /// Mode of the child.
    pub mode: Option<Word<Mode>>,
    /// Isolation flag of the child.
    pub flag: Option<Word<Flag>>,
    /// Whether the child or the link of the host is administratively up.
    pub up: Option<bool>,
    /// The address with the length of its prefix.
    pub prefix: Option<String>,
    /// Where the rule is written that applies to the child, `FILE:LINE`.
    pub rule: Option<String>,
    /// MAC of the station.
    pub mac: Option<String>,
}

/// An entry of the address map.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent flags, each read by name"
)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct MapEntry {
    /// The owner: `child`, `host`, `gateway`.
    pub owner: String,
    /// Why it is not answered; none if it is.
    pub refusal: Option<String>,
    /// How packets get to the child.
    pub delivery: Word<Delivery>,
    /// Attracts no packets of the host.
    pub off_link: bool,
    /// Also attracts packets that the host sends to a gateway.
    pub routed: bool,
    /// The agent probes the LAN for it.
    pub probed: bool,
    /// Requests from the LAN are left to the kernel.
    pub by_kernel: bool,
}

/// A rule that applies to an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct AppliedRule {
    /// The reason: a word of [`ipvlan_common::Reason`], or one of `map_full`, `parent_waiting`, `sync_failed`,
    /// `foreign_program`, `netns_unreadable`, `other_parent`, `sibling_address`, `not_served`.
    pub reason: String,
    /// Whether the programs give this reason for the request.
    pub decides: bool,
    /// Name of the child that it is about; none if it is about the parent or the address itself.
    pub child: Option<String>,
    /// The rule in words, with the setting that it comes from.
    pub text: String,
    /// The command, the option or the action that changes it.
    pub mend: Option<String>,
}

/// A frame that an attached program was run on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomType, JsonSchema)]
pub struct TestedFrame {
    /// What it is.
    pub kind: Word<FrameKind>,
    /// Where it comes from: `lan`, `host`, or `child`.
    pub from: String,
    /// Its source address.
    pub sender: String,
    /// The hook.
    pub hook: Word<Hook>,
    /// The program.
    pub program: String,
    /// The id of the program in the kernel.
    pub program_id: u32,
    /// The verdict.
    pub verdict: Word<Verdict>,
    /// The reason by which it was counted; none if the program does not look at such frames, or if other frames were
    /// counted at the same time.
    pub reason: Option<String>,
    /// The MAC that the reply names.
    pub mac: Option<String>,
}
