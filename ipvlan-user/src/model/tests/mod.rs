//! The model, as tables: what a snapshot and a policy ask for.

mod answers;
mod claimed;
mod conflicts;
mod flags;
mod history;
mod notes;
mod owners;
mod programs;
mod property;
mod refusal;
mod revise;

use ipvlan_common::{AddressEntry, ConfigFlags, Delivery};

use super::*;
use crate::facts::{
    Arp, ChildAddress, Gateway, Host, HostAddress, Kind, Lower, Mode, Netns, OnLinkRoute, ProxyArp,
    RouteInside,
};

const PARENT: u32 = 2;
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const HOST: &str = "172.16.91.14";
const GATEWAY: &str = "172.16.91.2";
const HOST_V6: &str = "2001:db8:91::14";
const HOST_LINK_LOCAL: &str = "fe80::14";
const GATEWAY_V6: &str = "fe80::2";
/// Addresses of the usual child.
const CHILD: &str = "172.16.91.101/24";
const CHILD_V6: &str = "2001:db8:91::101/64";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn cidr(text: &str) -> ChildAddress {
    let (local, prefix_len) = text.split_once('/').unwrap();
    ChildAddress {
        local: address(local),
        peer: None,
        prefix_len: prefix_len.parse().unwrap(),
        scope: 0,
        flags: 0,
    }
}

pub(crate) fn child(ifindex: u32, addresses: &[&str]) -> Child {
    Child {
        ifindex,
        name: format!("ipvlan{ifindex}").into(),
        netns: NetnsId::Nsid(i32::try_from(ifindex).unwrap()),
        parent_ifindex: PARENT,
        up: true,
        addresses: addresses.iter().map(|text| cidr(text)).collect(),
        ..Child::default()
    }
}

/// An ipvlan link whose port is not isolated.
pub(crate) fn ipvlan(mode: Mode) -> Kind {
    Kind::Ipvlan(Port {
        mode,
        ..Port::default()
    })
}

/// A child of this mode with an address of each family.
fn child_in(mode: Mode) -> Child {
    Child {
        kind: ipvlan(mode),
        ..child(7, &[CHILD, CHILD_V6])
    }
}

fn own_child(ifindex: u32, addresses: &[&str]) -> Child {
    Child {
        netns: NetnsId::Own,
        ..child(ifindex, addresses)
    }
}

fn key(ifindex: u32) -> ChildKey {
    ChildKey::from(&child(ifindex, &[]))
}

fn host_address(text: &str, ifindex: u32) -> HostAddress {
    let ChildAddress {
        local, prefix_len, ..
    } = cidr(text);
    HostAddress {
        address: local,
        prefix_len,
        ifindex,
        flags: 0,
        scope: 0,
    }
}

fn gateway(text: &str, oif: u32) -> Gateway {
    Gateway {
        address: address(text),
        oif: Some(oif),
    }
}

/// A route without a gateway, of the main table.
fn on_link(prefix: &str, oif: u32) -> OnLinkRoute {
    let ChildAddress {
        local, prefix_len, ..
    } = cidr(prefix);
    OnLinkRoute {
        prefix: local,
        prefix_len,
        oif,
        table: 254,
    }
}

fn allowing(prefixes: &[&str]) -> Policy {
    Policy {
        allow: prefixes.iter().map(|text| text.parse().unwrap()).collect(),
        ..Policy::default()
    }
}

/// The host of the seeds, and the same in IPv6: ens34 172.16.91.14/24, default via 172.16.91.2.
pub(crate) fn snapshot(children: Vec<Child>) -> Snapshot {
    Snapshot {
        host: Host {
            addresses: vec![
                host_address("127.0.0.1/8", 1),
                host_address("::1/128", 1),
                host_address(&format!("{HOST}/24"), PARENT),
                host_address(&format!("{HOST_V6}/64"), PARENT),
                host_address(&format!("{HOST_LINK_LOCAL}/64"), PARENT),
            ],
            gateways: [gateway(GATEWAY, PARENT), gateway(GATEWAY_V6, PARENT)].into(),
            routes_on_link: vec![
                on_link("172.16.91.0/24", PARENT),
                on_link("2001:db8:91::/64", PARENT),
                on_link("fe80::/64", PARENT),
            ],
            ..Host::default()
        },
        links: vec![Link {
            ifindex: PARENT,
            name: "ens34".into(),
            hardware: 1,
            mac: Some(MAC),
            up: true,
            carrier: true,
            ..Link::default()
        }],
        children,
        netnses: Vec::new(),
        unread: BTreeSet::new(),
        outdated: BTreeSet::new(),
    }
}

/// A link on top of the parent.
fn upper(ifindex: u32, kind: &str) -> Link {
    Link {
        ifindex,
        kind: Some(kind.to_owned()),
        lower: Some(Lower {
            ifindex: PARENT,
            netns: NetnsId::Own,
        }),
        ..Link::default()
    }
}

fn decide(snapshot: &Snapshot, policy: &Policy) -> Desired {
    desired(snapshot, &snapshot.links[0], policy, &BTreeMap::new())
}

/// What is decided without any policy.
fn usual(snapshot: &Snapshot) -> Desired {
    decide(snapshot, &Policy::default())
}

/// What the maps hold when this has been written.
fn written(desired: &Desired) -> BTreeMap<IpAddr, AddressEntry> {
    let addresses = desired.addresses.iter();
    addresses
        .map(|(&address, wanted)| (address, wanted.entry(|_| 0)))
        .collect()
}

/// What the map has of an address.
fn entry(desired: &Desired, text: &str) -> AddressEntry {
    desired.addresses[&address(text)].entry(|_| 0)
}

/// Why the first address of the first child is refused.
fn refusal(desired: &Desired) -> Option<Reason> {
    desired.children[0].addresses[0].refusal
}

const fn host() -> DesiredEntry {
    DesiredEntry::Host {
        router: false,
        optimistic: false,
        refusal: None,
        answered_to: AnsweredTo::All,
        watched: true,
    }
}
