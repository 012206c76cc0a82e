//! The switches of a parent, and what the user should know about them.

use std::net::IpAddr;

use ipvlan_common::ConfigFlags;

use super::{Dhcp, EgressProgram, L2Broadcast, Policy};
use crate::facts::{Host, Link, Master, Mode, Port, PortFlag, Snapshot};

/// The switches of a parent with a port like this.
pub(super) fn config_flags(
    snapshot: &Snapshot,
    parent: &Link,
    policy: &Policy,
    port: Option<Port>,
    egress: EgressProgram,
    notes: &mut Vec<&'static str>,
) -> ConfigFlags {
    let mut flags = ConfigFlags::READY;
    let Some(Port { mode, flag }) = port else {
        return flags;
    };
    let isolated = flag != PortFlag::Bridge;
    if flag == PortFlag::Vepa {
        flags = flags | ConfigFlags::VEPA;
    }
    if isolated || (mode == Mode::L2 && egress == EgressProgram::Routed) {
        flags = flags | ConfigFlags::ISOLATED;
    }
    if parent.master.as_ref().is_some_and(is_vrf) {
        flags = flags | ConfigFlags::VRF;
    }
    if mode != Mode::L2 {
        return flags;
    }
    flags = flags | ConfigFlags::L2;
    if policy.dhcp == Dhcp::Auto {
        flags = flags | ConfigFlags::DHCP;
    }
    if isolated {
        flags = flags | ConfigFlags::CHILD_IIF;
    }
    if policy.l2_broadcast == L2Broadcast::Flood {
        return flags | ConfigFlags::L2_FLOOD;
    }
    // A request may be dropped only if it is certain that neither a child nor the host would have answered it.
    // Addresses beyond a quota do not count: a netns could thereby end the filter for all others.
    if snapshot.may_hold_more(parent.ifindex) {
        notes.push("a netns cannot be read: requests for unknown addresses still flood");
        return flags;
    }
    let host = &snapshot.host;
    if host.proxy_neighbours {
        notes.push("the host has proxy neighbours: requests for unknown addresses still flood");
        return flags;
    }
    let proxy_arp = host
        .proxy_arp
        .get(&parent.ifindex)
        .is_some_and(|proxy_arp| proxy_arp.any());
    let has_local = |of_family: fn(&IpAddr) -> bool| {
        host.local_prefixes
            .iter()
            .any(|(prefix, _)| of_family(prefix))
    };
    if proxy_arp {
        notes.push("the host does proxy ARP: requests for unknown addresses still flood");
    } else if has_local(IpAddr::is_ipv4) {
        notes.push("the host has local prefixes: requests for unknown addresses still flood");
    } else {
        flags = flags | ConfigFlags::L2_DROP_FOREIGN;
    }
    // `proxy_ndp` alone answers nothing: it takes a proxy neighbour (`pndisc_is_router`).
    if has_local(IpAddr::is_ipv6) {
        notes.push(
            "the host has local IPv6 prefixes: solicitations for unknown addresses still flood",
        );
    } else if answers_for_anycast(host, parent) {
        notes.push(
            "the host has anycast addresses: solicitations for unknown addresses still flood",
        );
    } else {
        flags = flags | ConfigFlags::L2_DROP_FOREIGN_ND;
    }
    flags
}

/// The only kind of master that a parent can have.
fn is_vrf(master: &Master) -> bool {
    master.kind.as_deref() == Some("vrf")
}

/// Whether the host answers for an anycast address that the programs do not know for one.
///
/// Those of the routers of a prefix of 64 bits they do know, by its zeros (RFC 4291 §2.6.1). None is
/// held by the host as its other addresses are: other routers on the LAN have it too, and are no
/// impostors.
fn answers_for_anycast(host: &Host, parent: &Link) -> bool {
    host.anycast.iter().any(|it| {
        it.ifindex == parent.ifindex
            && matches!(it.address, IpAddr::V6(v6) if v6.segments()[4..] != [0; 4])
    })
}
