//! An incident, and its log line.

use std::net::IpAddr;

use crate::{
    facts::NetnsId,
    lan::frame::{Mac, colons},
    model::ChildKey,
    protocol::{Action, EventKind},
};

/// An event between a child and the LAN, or on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Its kind.
    pub kind: EventKind,
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
        let mut parts = vec![self.kind.to_string()];
        parts.extend(self.address.map(|address| format!(" of {address}")));
        parts.extend(self.child.as_ref().map(|(key, name)| match key.netns {
            NetnsId::Own => format!(", child {name}"),
            of @ NetnsId::Nsid(_) => format!(", child {name} in netns {}", netns(of)),
        }));
        parts.extend(self.mac.map(|mac| format!(", by {}", colons(mac))));
        parts.extend(self.detail.as_ref().map(|detail| format!(": {detail}")));
        let acted = (self.action != Action::None).then(|| format!(", {}", self.action));
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
