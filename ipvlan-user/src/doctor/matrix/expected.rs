//! Which paths are expected to work, from the mode, the links and the state of the agent.

use std::net::IpAddr;

use super::{
    super::{
        node::{Child, Node, Parent},
        report::word,
    },
    Place, child,
};
use crate::{
    facts::{Mode, PortFlag},
    protocol::{AddressState, Hook},
};

/// What is expected of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// It works.
    Works(&'static str),
    /// It does not, and is not meant to.
    Closed(&'static str),
    /// It does not: why, and what mends it.
    Broken(String, String),
}

/// Returns what is expected between the host and an address of a child.
pub(super) fn host_access(parent: &Parent, child: &Child, address: IpAddr) -> Expected {
    if let Some(down) = down(parent, child) {
        return down;
    }
    let name = word(parent.name());
    let Some((_, served)) = &parent.served else {
        return Expected::Broken(
            "without the agent the driver sends the host's packets for a child out of the parent, and those of a \
             child for the host likewise"
                .to_owned(),
            format!("ipvlan run --iface {name}"),
        );
    };
    if !served.hooks.iter().any(|hook| hook.hook == Hook::Egress) {
        return Expected::Broken(
            "no program of the agent is at egress of the parent".to_owned(),
            format!("ipvlan run --iface {name} --host-access"),
        );
    }
    refusal(child, address).unwrap_or(Expected::Works("hairpinned at egress"))
}

/// Returns what is expected between the LAN and an address of a child.
pub(super) fn lan_access(parent: &Parent, child: &Child, address: IpAddr) -> Expected {
    if let Some(down) = down(parent, child) {
        return down;
    }
    match (child.mode, &parent.served) {
        (Some(Mode::L2), _) => Expected::Works("an l2 child answers by itself"),
        (_, Some(_)) => {
            refusal(child, address).unwrap_or(Expected::Works("the agent's programs answer for it"))
        }
        (_, None) => Expected::Broken(
            "no one answers ARP requests and solicitations for an l3 child".to_owned(),
            format!("ipvlan run --iface {}", word(parent.name())),
        ),
    }
}

pub(super) fn siblings(parent: &Parent, from: &Child, to: &Child) -> Expected {
    if let Some(down) = down(parent, from).or_else(|| down(parent, to)) {
        return down;
    }
    match parent.flag() {
        PortFlag::Bridge => Expected::Works("the driver switches between children"),
        PortFlag::Private => Expected::Closed("the port is private"),
        PortFlag::Vepa => Expected::Closed("the port is vepa: the switch outside decides"),
    }
}

pub(super) fn other_parent(node: &Node, from: (Place, IpAddr), to: (Place, IpAddr)) -> Expected {
    for (place, address) in [from, to] {
        let expected = lan_access(&node.parents[place.0], child(node, place), address);
        if !matches!(expected, Expected::Works(_)) {
            return expected;
        }
    }
    Expected::Works("over the LAN")
}

fn down(parent: &Parent, child: &Child) -> Option<Expected> {
    if !parent.link.up || !parent.link.carrier {
        return Some(Expected::Broken(
            "the parent is down or without carrier".to_owned(),
            format!("ip link set dev {} up", word(parent.name())),
        ));
    }
    // The command is in its own line.
    (!child.up).then(|| Expected::Broken("the child is down".to_owned(), String::new()))
}

/// Returns whether the agent refuses an address.
fn refusal(child: &Child, address: IpAddr) -> Option<Expected> {
    let served = child.served.as_ref()?;
    let mut addresses = served.addresses.iter();
    let found = addresses.find(|it| {
        let bare = it.address.split_once('/').map(|(bare, _)| bare.parse());
        bare == Some(Ok(address))
    })?;
    if found.state == AddressState::Answered {
        return None;
    }
    let reason = found.reason.as_deref().unwrap_or("unknown");
    Some(Expected::Broken(
        format!("the agent refuses the address: {reason}"),
        String::new(),
    ))
}
