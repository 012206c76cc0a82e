//! The switches of a parent, and what the user should know about them.

use std::net::IpAddr;

use ipvlan_common::ConfigFlags;

use super::{EgressProgram, L2Broadcast, Policy};
use crate::discover::snapshot::{Host, Link, Mode, PortFlag};

/// The switches of a parent with a port like this.
pub(super) fn config_flags(
    host: &Host,
    parent: &Link,
    policy: &Policy,
    port: Option<(Mode, PortFlag)>,
    egress: EgressProgram,
    notes: &mut Vec<&'static str>,
) -> ConfigFlags {
    let mut flags = ConfigFlags::READY;
    let Some((mode, flag)) = port else {
        return flags;
    };
    if flag == PortFlag::Vepa {
        flags = flags | ConfigFlags::VEPA | ConfigFlags::CHECK_SOURCE;
    }
    if mode != Mode::L2 {
        return flags;
    }
    flags = flags | ConfigFlags::L2;
    if egress == EgressProgram::Routed {
        flags = flags | ConfigFlags::CHECK_SOURCE;
    }
    if policy.l2_broadcast == L2Broadcast::Flood {
        return flags | ConfigFlags::L2_FLOOD;
    }
    // A request may be dropped only if it is certain that the host would not have answered it.
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
    } else {
        flags = flags | ConfigFlags::L2_DROP_FOREIGN_ND;
    }
    flags
}
