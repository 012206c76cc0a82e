//! The owners of an address, on all links of the host that the agent reads.

use std::net::IpAddr;

use super::super::{parents::Parents, status_view};
use crate::{
    facts::{Child, Kind, NetnsId, Snapshot},
    lan::frame::colons,
    model::{ChildContext, DesiredEntry, Policy, Prefix},
    protocol::{AddressOwner, OwnerKind},
};

/// Returns the children, links of the host, routes and stations that have an address.
pub(super) fn of_address(
    address: IpAddr,
    parents: &Parents,
    snapshot: &Snapshot,
    policy: &Policy,
) -> Vec<AddressOwner> {
    let children = snapshot.children.iter();
    let mut owners: Vec<AddressOwner> = children
        .flat_map(|child| of_child(child, address, snapshot, policy))
        .collect();
    owners.extend(of_host(address, snapshot));
    let gateways = snapshot.host.gateways.iter();
    let gateways = gateways.filter(|gateway| gateway.address == address);
    owners.extend(gateways.map(|gateway| AddressOwner {
        name: gateway.oif.and_then(|oif| link_name(oif, snapshot)),
        ..owner(OwnerKind::Gateway)
    }));
    for serving in parents.serving() {
        let stations = serving.lan.duplicates();
        let stations = stations.filter(|(of, ..)| *of == address);
        owners.extend(stations.map(|(_, _, mac)| AddressOwner {
            mac: Some(colons(mac)),
            parent: Some(serving.link.name.to_string()),
            ..owner(OwnerKind::Station)
        }));
        if serving.desired.addresses.get(&address) == Some(&DesiredEntry::Control) {
            owners.push(AddressOwner {
                parent: Some(serving.link.name.to_string()),
                ..owner(OwnerKind::Control)
            });
        }
    }
    owners
}

fn owner(kind: OwnerKind) -> AddressOwner {
    AddressOwner {
        kind: Some(kind.into()),
        ..AddressOwner::default()
    }
}

fn link_name(ifindex: u32, snapshot: &Snapshot) -> Option<String> {
    snapshot.link(ifindex).map(|link| link.name.to_string())
}

/// Returns a child once for each time that it has the address, or that the driver delivers it to the child.
fn of_child(
    child: &Child,
    address: IpAddr,
    snapshot: &Snapshot,
    policy: &Policy,
) -> Vec<AddressOwner> {
    let addresses = child.addresses.iter();
    let own = addresses.filter(|it| it.local == address || it.registered() == address);
    own.map(|it| {
        let kind = if it.local == address {
            OwnerKind::Child
        } else {
            OwnerKind::Peer
        };
        let Kind::Ipvlan(port) = child.kind;
        let parent = link_name(child.parent_ifindex, snapshot);
        let netns = snapshot.netns(child.netns);
        let context = ChildContext {
            netns: netns.map_or(&[], |netns| &netns.files),
            name: child.name.as_str(),
            parent: parent.as_deref().unwrap_or_default(),
        };
        let rule = policy.of_child(&context).rule();
        AddressOwner {
            name: Some(child.name.to_string()),
            netns: Some(status_view::netns(child.netns, snapshot)),
            mode: Some(port.mode.into()),
            flag: Some(port.flag.into()),
            up: Some(child.up),
            prefix: Some(format!("{}/{}", it.local, it.prefix_len)),
            rule: rule
                .and_then(|index| policy.rules.get(index))
                .map(|rule| rule.place.clone()),
            parent,
            ..owner(kind)
        }
    })
    .collect()
}

/// Returns the links of the host that have the address, and the local routes and anycast groups that it is in.
fn of_host(address: IpAddr, snapshot: &Snapshot) -> impl Iterator<Item = AddressOwner> {
    let is_child = |ifindex| {
        let mut own = snapshot.children_of(NetnsId::Own).iter();
        own.any(|child| child.ifindex == ifindex)
    };
    let of_link = move |ifindex: u32, prefix: Option<String>| AddressOwner {
        name: link_name(ifindex, snapshot),
        up: snapshot.link(ifindex).map(|link| link.up),
        prefix,
        ..owner(OwnerKind::Host)
    };
    let host = &snapshot.host;
    let addresses = host
        .addresses
        .iter()
        .filter(move |it| it.address == address && !is_child(it.ifindex))
        .map(move |it| {
            of_link(
                it.ifindex,
                Some(format!("{}/{}", it.address, it.prefix_len)),
            )
        });
    let anycast = host.anycast.iter().filter(move |it| it.address == address);
    let anycast = anycast.map(move |it| of_link(it.ifindex, None));
    let local = host.local_prefixes.iter();
    let local = local.map(|&(first, len)| Prefix::of(first, len));
    let local = local.filter(move |prefix| prefix.contains(address));
    let local = local.map(|prefix| AddressOwner {
        prefix: Some(prefix.to_string()),
        ..owner(OwnerKind::Host)
    });
    addresses.chain(anycast).chain(local)
}
