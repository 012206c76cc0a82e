//! An incident, and the words for it.

use std::net::IpAddr;

use crate::{
    facts::NetnsId,
    lan::frame::{Mac, colons},
    model::ChildKey,
};

/// The kind of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A station claims an address with a MAC of its own.
    Claim,
    /// A station probes for an address: it wants to take it.
    Probe,
    /// A station answers for every address, and owns none of them.
    NoOwner,
    /// An address of a child has another owner as well; by the word of
    /// [`Conflict`](crate::model::Conflict).
    Conflict(&'static str),
    /// The mode of the port is another one. Any child can change it for all; the kernel does not say
    /// which did.
    ModeChanged,
    /// The isolation flag of the port is another one.
    FlagChanged,
    /// A child is in another netns.
    ChildMoved,
}

impl Kind {
    /// The word for it in `status` and log lines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Probe => "probe",
            Self::NoOwner => "no_owner",
            Self::Conflict(word) => word,
            Self::ModeChanged => "mode_changed",
            Self::FlagChanged => "flag_changed",
            Self::ChildMoved => "child_moved",
        }
    }
}

/// The action of the agent. Later variants take precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It was reported, nothing else.
    None,
    /// The programs answered the station, which gives the address up.
    Answered,
    /// The address is withheld: not answered, not announced, not defended.
    Withheld,
    /// The address was announced once more (RFC 5227 §2.4(b)).
    Defended,
    /// The conflict went on: the address is neither announced nor defended any more.
    Yielded,
}

impl Action {
    /// The word for it in `status` and log lines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Answered => "answered",
            Self::Withheld => "held_back",
            Self::Defended => "defended",
            Self::Yielded => "yielded",
        }
    }
}

/// An event between a child and the LAN, or on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Its kind.
    pub kind: Kind,
    /// The address it is about.
    pub address: Option<IpAddr>,
    /// The MAC of the station that caused it.
    pub mac: Option<Mac>,
    /// The child it is about, and its name.
    pub child: Option<(ChildKey, String)>,
    /// The action of the agent.
    pub action: Action,
    /// Further details.
    pub detail: Option<String>,
}

impl Incident {
    /// Returns the owner of the share of the log that it uses: the netns of the child; none if it is about the host or
    /// the parent.
    pub(super) fn group(&self) -> Group {
        self.child.as_ref().map(|(key, _)| key.netns)
    }

    /// Returns one line about it, as it is logged; `netns` returns the short name of a netns.
    #[must_use]
    pub fn line(&self, netns: &dyn Fn(NetnsId) -> String) -> String {
        let mut parts = vec![self.kind.word().to_owned()];
        parts.extend(self.address.map(|address| format!(" of {address}")));
        parts.extend(self.child.as_ref().map(|(key, name)| match key.netns {
            NetnsId::Own => format!(", child {name}"),
            of @ NetnsId::Nsid(_) => format!(", child {name} in netns {}", netns(of)),
        }));
        parts.extend(self.mac.map(|mac| format!(", by {}", colons(mac))));
        parts.extend(self.detail.as_ref().map(|detail| format!(": {detail}")));
        let acted = (self.action != Action::None).then(|| format!(", {}", self.action.word()));
        parts.extend(acted);
        parts.concat()
    }

    /// Returns whether both are the same incident, happening again.
    pub(super) fn is_again(&self, other: &Self) -> bool {
        let key = |of: &Self| (of.kind, of.address, of.mac);
        let child = |of: &Self| of.child.as_ref().map(|(key, _)| *key);
        key(self) == key(other) && child(self) == child(other) && self.detail == other.detail
    }
}

/// The owner of a share of the log: a netns, or the host.
pub(super) type Group = Option<NetnsId>;
