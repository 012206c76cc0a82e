//! Conflicts and changes that the agent finds in its own snapshots, by comparison with the last one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    time::{Duration, Instant},
};

use super::incidents::{Action, Incident, Kind};
use crate::{
    facts::{NetnsId, Port, Snapshot},
    model::{ChildKey, Conflict, Desired, Rival},
};

/// How long a child may be missing while it moves from one netns to another.
const MOVE: Duration = Duration::from_secs(2);

/// The state of a parent at the last comparison.
#[derive(Debug, Default)]
pub struct Conflicts {
    /// The conflicts of the last call.
    known: BTreeSet<Conflict>,
    port: Option<Port>,
    children: BTreeMap<ChildKey, String>,
    gone: Vec<(Instant, ChildKey)>,
}

impl Conflicts {
    /// Returns what is new: conflicts, another mode or flag of the port, children in other netns. The first call
    /// returns only conflicts.
    pub fn compare(
        &mut self,
        now: Instant,
        desired: &Desired,
        snapshot: &Snapshot,
    ) -> Vec<Incident> {
        let children: BTreeMap<ChildKey, String> = desired
            .children
            .iter()
            .map(|child| (child.key, child.name.to_string()))
            .collect();
        let mut incidents = Vec::new();

        let conflicts = desired.conflicts.clone();
        incidents.extend(
            conflicts
                .difference(&self.known)
                .map(|conflict| incident_of(conflict, &children, snapshot)),
        );
        self.known = conflicts;

        if let (Some(before), Some(now)) = (self.port, desired.port) {
            if before.mode != now.mode {
                incidents.push(of_port(Kind::ModeChanged, before.mode, now.mode));
            }
            if before.flag != now.flag {
                incidents.push(of_port(Kind::FlagChanged, before.flag, now.flag));
            }
        }
        self.port = desired.port.or(self.port);

        self.gone
            .retain(|(at, _)| now.saturating_duration_since(*at) <= MOVE);
        let gone = self
            .children
            .keys()
            .filter(|key| !children.contains_key(key));
        self.gone.extend(gone.map(|&key| (now, key)));
        for (&key, name) in &children {
            if self.children.contains_key(&key) {
                continue;
            }
            // Its ifindex goes with it unless it is taken there (`dev_change_net_namespace`). Where
            // the netns is gone the child did not leave it, but went with it.
            let from = self.gone.iter().position(|(_, from)| {
                from.ifindex == key.ifindex && snapshot.netns(from.netns).is_some()
            });
            if let Some(from) = from {
                let (_, from) = self.gone.swap_remove(from);
                incidents.push(Incident {
                    kind: Kind::ChildMoved,
                    address: None,
                    mac: None,
                    child: Some((key, name.clone())),
                    action: Action::None,
                    detail: Some(format!("from {}", place(from.netns, snapshot))),
                });
            }
        }
        self.children = children;
        incidents
    }
}

fn incident_of(
    conflict: &Conflict,
    children: &BTreeMap<ChildKey, String>,
    snapshot: &Snapshot,
) -> Incident {
    let key = conflict.child;
    let named = |key: ChildKey| {
        let name = children.get(&key).map_or("a child", String::as_str);
        format!("{name} in {}", place(key.netns, snapshot))
    };
    let detail = match conflict.rival {
        Rival::Host { .. } => "the host has it".to_owned(),
        Rival::Gateway => "a gateway has it".to_owned(),
        Rival::NextHop => "a route of the host has it as a next hop".to_owned(),
        Rival::Sibling(key) => format!("{} has it", named(key)),
        Rival::OtherParent { .. } => "a child of another parent has it, too".to_owned(),
        Rival::Peer(peer) => format!("the driver delivers its peer's, {peer}"),
    };
    Incident {
        kind: Kind::Conflict(conflict.kind()),
        address: Some(conflict.address),
        mac: None,
        child: Some((key, children.get(&key).cloned().unwrap_or_default())),
        action: match conflict.rival {
            Rival::OtherParent { .. } | Rival::NextHop => Action::None,
            _ => Action::Withheld,
        },
        detail: Some(detail),
    }
}

fn of_port<T: Display>(kind: Kind, from: T, to: T) -> Incident {
    Incident {
        kind,
        address: None,
        mac: None,
        child: None,
        action: Action::None,
        detail: Some(format!("from {from} to {to}")),
    }
}

fn place(id: NetnsId, snapshot: &Snapshot) -> String {
    match id {
        NetnsId::Own => "the host's netns".to_owned(),
        NetnsId::Nsid(_) => format!("netns {}", snapshot.netns_label(id)),
    }
}

#[cfg(test)]
mod tests;
