//! Conflicts and incidents in the types of the protocol.

use super::netns;
use crate::{
    agent::serving::Serving,
    facts::Snapshot,
    lan::{frame::colons, incidents::Entry},
    model::{ChildKey, Conflict, Rival},
    protocol::{self, ConflictKind},
};

pub(super) fn conflict(of: &Conflict, snapshot: &Snapshot) -> protocol::Conflict {
    let link = |ifindex| snapshot.link(ifindex).map(|link| link.name.to_string());
    let child = |key: ChildKey| protocol::Rival {
        interface: Some(child_name(key, snapshot)),
        netns: Some(netns(key.netns, snapshot)),
        ..protocol::Rival::default()
    };
    protocol::Conflict {
        kind: of.kind().into(),
        address: of.address.to_string(),
        child: child_name(of.child, snapshot),
        netns: netns(of.child.netns, snapshot),
        rival: match of.rival {
            Rival::Host { ifindex } => protocol::Rival {
                interface: link(ifindex),
                ..protocol::Rival::default()
            },
            Rival::Gateway | Rival::NextHop => protocol::Rival::default(),
            Rival::Sibling(key) => child(key),
            Rival::OtherParent { child: key, parent } => protocol::Rival {
                parent: link(parent),
                ..child(key)
            },
            Rival::Peer(peer) => protocol::Rival {
                peer: Some(peer.to_string()),
                ..protocol::Rival::default()
            },
        },
    }
}

/// Returns the addresses of children that a station on the LAN claims.
pub(super) fn stations(
    serving: &Serving,
    snapshot: &Snapshot,
) -> impl Iterator<Item = protocol::Conflict> {
    serving
        .lan
        .duplicates()
        .map(|(address, child, station)| protocol::Conflict {
            kind: ConflictKind::LanStation.into(),
            address: address.to_string(),
            child: child_name(child, snapshot),
            netns: netns(child.netns, snapshot),
            rival: protocol::Rival {
                mac: Some(colons(station)),
                ..protocol::Rival::default()
            },
        })
}

pub(in crate::agent) fn event(of: &Entry, parent: &str, snapshot: &Snapshot) -> protocol::Event {
    let incident = &of.incident;
    let child = incident.child.as_ref();
    protocol::Event {
        time_ms: super::milliseconds(of.last),
        kind: incident.kind.into(),
        address: incident.address.map(|address| address.to_string()),
        mac: incident.mac.map(colons),
        parent: parent.to_owned(),
        child: child.map(|(_, name)| name.clone()),
        netns: child.map(|(key, _)| netns(key.netns, snapshot)),
        action: incident.action.into(),
        detail: incident.detail.clone(),
        count: of.times,
    }
}

/// Returns the name of a child; empty for one that is not in the snapshot.
fn child_name(key: ChildKey, snapshot: &Snapshot) -> String {
    let child = snapshot.child(key.netns, key.ifindex);
    child.map_or_else(String::new, |child| child.name.to_string())
}
