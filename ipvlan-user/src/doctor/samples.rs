//! A healthy node, for tests of the checks.

use super::node::{Child, Node, Parent};
use crate::{
    discover::view::{LinkView, NetnsView, RouteView},
    facts::{HostAddress, Mode, PortFlag},
    protocol::{self, Agent, Counters, Hook, Mechanism, ParentState, Program, SyncStats},
};

/// Returns a link that is up.
pub(super) fn link(ifindex: u32, name: &str) -> LinkView {
    LinkView {
        ifindex,
        name: name.into(),
        hardware: 1,
        mtu: 1500,
        up: true,
        carrier: true,
        ..LinkView::default()
    }
}

/// Returns a child with an address of each family and a default route.
pub(super) fn child(mode: Mode) -> Child {
    let default = |prefix: &str| RouteView {
        prefix: prefix.parse().unwrap(),
        prefix_len: 0,
        table: 254,
        gateways: Vec::new(),
        links: vec![7],
        local: false,
    };
    Child {
        name: "ipvlan1".to_owned(),
        ifindex: 7,
        netns: "ns01".to_owned(),
        pid: None,
        inside: None,
        own: false,
        mode: Some(mode),
        flag: Some(PortFlag::Bridge),
        up: true,
        addresses: vec![
            ("172.16.91.101".parse().unwrap(), 24),
            ("2001:db8:91::65".parse().unwrap(), 64),
        ],
        routes: Some(vec![default("0.0.0.0"), default("::")]),
        served: None,
    }
}

/// Returns a node with a parent and a child, which an agent serves.
pub(super) fn node(mode: Mode) -> Node {
    let mut own = NetnsView::default();
    own.inode = 1;
    own.links = vec![link(1, "lo"), link(2, "ens34")];
    let addresses = [("172.16.91.14", 24), ("2001:db8:91::e", 64)];
    let addresses = addresses.map(|(address, prefix_len)| HostAddress {
        address: address.parse().unwrap(),
        prefix_len,
        ifindex: 2,
        flags: 0,
        scope: 0,
    });
    own.addresses = addresses.into();
    let program = |hook: Hook, program: &str, program_id| Program {
        hook: hook.into(),
        program: program.to_owned(),
        program_id,
        attach: Mechanism::Tcx.into(),
    };
    let served = protocol::Parent {
        name: "ens34".to_owned(),
        ifindex: Some(2),
        mac: None,
        up: true,
        mode: Some(mode.into()),
        flag: Some(PortFlag::Bridge.into()),
        state: ParentState::Ready.into(),
        reason: None,
        pinned: None,
        hooks: vec![
            program(Hook::Ingress, "parent_ingress", 40),
            program(Hook::Egress, "parent_egress", 41),
        ],
        counters: Counters::default(),
        notes: Vec::new(),
        conflicts: Vec::new(),
        events: Vec::new(),
        groups: 1,
        datapath: protocol::DatapathState::default(),
        totals: protocol::EventTotals::default(),
        children: Vec::new(),
    };
    let agent = Agent {
        pid: 9,
        version: "0.1.0".to_owned(),
        netns: 1,
        started_ms: 0,
        sync: SyncStats::default(),
        config: protocol::Sources::default(),
        quotas: Vec::new(),
        limits: protocol::Limits::default(),
        parents: vec![served.clone()],
        unreadable: Vec::new(),
    };
    Node {
        parents: vec![Parent {
            link: link(2, "ens34"),
            served: Some((9, served)),
            children: vec![child(mode)],
        }],
        own,
        agents: vec![agent],
        ..Node::default()
    }
}

/// Returns what the agent reports of the parent.
pub(super) fn served(node: &mut Node) -> &mut protocol::Parent {
    &mut node.parents[0].served.as_mut().unwrap().1
}
