//! The link of a parent, and the other links of the host.

use std::net::IpAddr;

use super::{
    node::{Node, Parent, is_in},
    report::{Check, word},
};
use crate::{
    discover::view::LinkView,
    facts::Mode,
    protocol::{Hook, Word},
    text::counted,
};

/// The loopback, which every netns has.
const LOOPBACK: u32 = 1;
/// Buckets of the address table of a port (`IPVLAN_HASH_SIZE`, drivers/net/ipvlan/ipvlan.h).
const BUCKETS: usize = 256;
/// Addresses per bucket at which receiving costs about a tenth more (measured on Linux 6.12).
const CHAIN: usize = 32;

/// Judges the links of the host that matter to every parent.
pub(super) fn judge_host(node: &Node) -> Vec<Check> {
    let mut checks: Vec<Check> = node
        .missing
        .iter()
        .map(|name| {
            Check::fail(
                "link.present",
                name,
                "there is no such interface in this network namespace",
                "an agent waits for it, and it has no children",
            )
            .mend("ip link show")
        })
        .collect();
    let mut links = node.own.links.iter();
    let is_down = links.any(|link| link.ifindex == LOOPBACK && !link.up);
    let routed = |mode| matches!(mode, Some(Mode::L3 | Mode::L3s));
    if is_down && node.parents.iter().any(|parent| routed(parent.mode())) {
        checks.push(
            Check::fail(
                "link.loopback",
                "lo",
                "down",
                "what l3 and l3s children send to the host passes the host's loopback (ipvlan_process_v4_outbound)",
            )
            .mend("ip link set dev lo up"),
        );
    }
    checks
}

/// Judges the link of a parent.
pub(super) fn judge(node: &Node, parent: &Parent) -> Vec<Check> {
    let mut checks = vec![state(parent)];
    checks.extend(port(node, parent));
    checks.extend(vlan(node, parent));
    checks.extend(second(node, parent));
    checks.extend(multicast(parent));
    checks.extend(buckets(parent));
    checks
}

fn state(parent: &Parent) -> Check {
    let name = parent.name();
    if !parent.link.up {
        return Check::fail(
            "link.up",
            name,
            "down",
            "nothing is received for its children, and nothing they send leaves",
        )
        .mend(format!("ip link set dev {} up", word(name)));
    }
    if !parent.link.carrier {
        return Check::fail(
            "link.carrier",
            name,
            "up, without carrier",
            "the cable or the switch port is dead: the LAN does not reach its children",
        )
        .mend(format!("ethtool {}", word(name)));
    }
    Check::ok("link.up", name, "up, with carrier")
}

fn port(node: &Node, parent: &Parent) -> Option<Check> {
    let link = &parent.link;
    let master = node.link_name(link.master?);
    let name = parent.name();
    let kind = link.master_kind.as_deref().unwrap_or("another link");
    let found = format!("is a port of `{master}` ({kind})");
    match kind {
        "vrf" => Some(Check::ok("link.port", name, found)),
        "bond" | "team" => Some(
            Check::fail(
                "link.port",
                name,
                found,
                "frames are received by the bond: children behind a port receive nothing while another port is active",
            )
            .mend(format!("ip link add link {} type ipvlan mode l3", word(&master))),
        ),
        _ => Some(
            Check::fail(
                "link.port",
                name,
                found,
                "a link has one receive handler: the bridge takes its frames, and the kernel refuses children \
                 (EBUSY, netdev_rx_handler_register)",
            )
            .mend(format!("ip link set dev {} nomaster", word(name))),
        ),
    }
}

/// Tagged frames are those of VLAN devices.
fn vlan(node: &Node, parent: &Parent) -> Option<Check> {
    let name = parent.name();
    let on_it = node
        .own
        .links
        .iter()
        .filter(|link| is_vlan_on(link, parent));
    let devices: Vec<&str> = on_it.map(|link| link.name.as_str()).collect();
    let tagged = parent.served.as_ref().map_or(0, |(_, served)| {
        let at_ingress = served.counters.0.get(&Word::Known(Hook::Ingress));
        let tagged = at_ingress.and_then(|counters| counters.get("tagged"));
        tagged.copied().unwrap_or_default()
    });
    let plural = |frames: u64| format!("{frames} VLAN-tagged frames received");
    match (tagged, devices.is_empty()) {
        (0, true) => None,
        (frames, false) => Some(Check::ok(
            "link.vlan",
            name,
            format!("{}, VLAN devices: {}", plural(frames), devices.join(", ")),
        )),
        (frames, true) => Some(
            Check::warn(
                "link.vlan",
                name,
                format!("{}, and no VLAN device takes them", plural(frames)),
                "children of this parent are in the untagged network: tagged requests for them are not answered",
            )
            .mend(format!(
                "ip link add link {0} name {0}.VLAN type vlan id VLAN",
                word(name)
            )),
        ),
    }
}

fn is_vlan_on(link: &LinkView, parent: &Parent) -> bool {
    let is_on = link.lower == Some((parent.link.ifindex, None));
    is_on && link.kind.as_deref() == Some("vlan")
}

/// Returns a line for each other link of the host with an address in a subnet of the children or of the parent.
fn second(node: &Node, parent: &Parent) -> Vec<Check> {
    let on_parent: Vec<_> = node.addresses_of(parent.link.ifindex).collect();
    let of_children = parent.children.iter().flat_map(|child| &child.addresses);
    let subnets: Vec<(IpAddr, u8)> = of_children
        .copied()
        .chain(on_parent)
        .filter(|(address, length)| !is_single(*address, *length))
        .collect();
    let mut checks = Vec::new();
    for link in &node.own.links {
        let is_other = link.ifindex != parent.link.ifindex
            && link.ifindex != LOOPBACK
            && link.up
            && link.lower.is_none_or(|(lower, nsid)| {
                nsid.is_some() || lower != parent.link.ifindex || is_vlan_on(link, parent)
            })
            && link.kind.as_deref() != Some("dummy");
        let mut addresses = node.addresses_of(link.ifindex);
        let same = addresses.find(|(address, length)| {
            !is_single(*address, *length) && subnets.iter().any(|subnet| is_in(*address, *subnet))
        });
        if let Some(same) = same.filter(|_| is_other) {
            checks.push(second_line(parent, link, same));
        }
    }
    checks
}

fn second_line(parent: &Parent, link: &LinkView, (address, length): (IpAddr, u8)) -> Check {
    let (name, other) = (parent.name(), link.name.as_str());
    let why = match parent.mode() {
        Some(Mode::L3 | Mode::L3s) => {
            "replies of the host to children leave by that link, and l3 children do not reach an IPv4 address on it: \
             the driver looks up their routes with the parent as output interface (fib_lookup_good_nhc)"
        }
        _ => {
            "the host sends to children by either link: with rp_filter = 1 it drops what arrives by the other one, \
             and both links answer ARP requests for its addresses"
        }
    };
    Check::warn(
        "link.second",
        name,
        format!("`{other}` has {address}/{length}, in the same subnet"),
        why,
    )
    .mend(format!(
        "ip address del {address}/{length} dev {}; ip address add {address}/{length} dev {}",
        word(other),
        word(name)
    ))
}

const fn is_single(address: IpAddr, length: u8) -> bool {
    match address {
        IpAddr::V4(_) => length >= 32,
        IpAddr::V6(_) => length >= 128,
    }
}

/// Solicitations for l3 children arrive by multicast, for which the agent joins groups.
fn multicast(parent: &Parent) -> Option<Check> {
    let (_, served) = parent.served.as_ref()?;
    let name = parent.name();
    let mut counters = parent
        .children
        .iter()
        .flat_map(|child| &child.addresses)
        .filter(|(address, _)| address.is_ipv6());
    let wants = counters.next().is_some();
    let groups = usize::try_from(served.groups).unwrap_or(usize::MAX);
    let joined = counted(groups, "solicited-node group", "solicited-node groups");
    if groups == 0 && wants && parent.mode() != Some(Mode::L2) && !parent.link.all_multicast {
        return Some(
            Check::warn(
                "multicast.groups",
                name,
                format!("{joined} joined"),
                "the filter of the card and MLD snooping of the switch may discard solicitations for IPv6 children",
            )
            .mend(format!("ip link set dev {} allmulticast on", word(name))),
        );
    }
    if groups == 0 {
        return None;
    }
    let all = if parent.link.all_multicast {
        "; the card receives all groups"
    } else {
        ""
    };
    Some(Check::ok(
        "multicast.groups",
        name,
        format!("{joined} joined{all}"),
    ))
}

/// The driver searches the addresses of all children of a parent in one table.
fn buckets(parent: &Parent) -> Option<Check> {
    let addresses = parent.child_addresses().count();
    if addresses == 0 {
        return None;
    }
    let found = format!(
        "{} of children in the driver's {BUCKETS} buckets",
        counted(addresses, "address", "addresses")
    );
    if addresses <= BUCKETS * CHAIN {
        return Some(Check::ok("driver.buckets", parent.name(), found));
    }
    Some(Check::warn(
        "driver.buckets",
        parent.name(),
        found,
        "the driver compares a packet with every address of a bucket (ipvlan_ht_addr_lookup): put children behind \
         several parents, for example VLAN devices",
    ))
}

#[cfg(test)]
mod tests;
