//! Settings of the kernel on a parent that hurt its children.

use std::{fs, net::IpAddr, path::Path};

use super::{
    node::{Node, Parent},
    report::{Check, word},
};
use crate::{
    discover::view::route_to,
    facts::{LinkName, Mode},
};

/// Addresses of children whose routes are looked up.
const LOOKUPS: usize = 64;

/// Settings of a parent, each combined with that of `all` as the kernel does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// `rp_filter`: the greater of both.
    rp_filter: u8,
    /// `arp_ignore`: the greater of both.
    arp_ignore: u8,
    /// `proxy_arp` or `proxy_arp_pvlan`, with the name of the one that is set.
    proxy_arp: Option<&'static str>,
    /// `disable_ipv6`.
    disable_ipv6: bool,
    /// IPv4 addresses of children, and the link by which the host sends to each.
    routes: Vec<(IpAddr, Option<u32>)>,
}

/// Reads them.
pub(super) fn read(parent: &Parent) -> Settings {
    let name = &parent.link.name;
    let all = LinkName::from("all");
    let greater = |key| {
        [&all, name]
            .map(|of| value("ipv4", of, key))
            .into_iter()
            .max()
    };
    let proxy = ["proxy_arp", "proxy_arp_pvlan"];
    let addresses = parent.child_addresses().filter(IpAddr::is_ipv4);
    Settings {
        rp_filter: greater("rp_filter").unwrap_or_default(),
        arp_ignore: greater("arp_ignore").unwrap_or_default(),
        proxy_arp: proxy
            .into_iter()
            .find(|key| greater(key).unwrap_or_default() > 0),
        disable_ipv6: [&all, name]
            .iter()
            .any(|of| value("ipv6", of, "disable_ipv6") > 0),
        routes: addresses
            .take(LOOKUPS)
            .filter_map(|address| Some((address, route_to(address).ok()?.and_then(|it| it.oif()))))
            .collect(),
    }
}

/// Returns a setting; 0 if the kernel does not have it.
fn value(family: &str, link: &LinkName, key: &str) -> u8 {
    let conf = Path::new("/proc/sys/net").join(family).join("conf");
    let path = conf.join(link.as_os_str()).join(key);
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}

/// Judges them.
pub(super) fn judge(node: &Node, parent: &Parent, settings: &Settings) -> Vec<Check> {
    vec![
        rp_filter(node, parent, settings),
        arp_ignore(node, parent, settings),
        proxy_arp(parent, settings),
        disable_ipv6(parent, settings),
    ]
}

/// `fib_validate_source`: a packet is dropped if the route to its source leaves by another link (1), or if there is
/// none (1 and 2). What l3 children send to the host has its route already when it arrives (`ip_rcv_finish_core`).
fn rp_filter(node: &Node, parent: &Parent, settings: &Settings) -> Check {
    let id = "sysctl.rp_filter";
    let (name, filter) = (parent.name(), settings.rp_filter);
    let ok = || Check::ok(id, name, format!("rp_filter = {filter}"));
    let has_address = node
        .addresses_of(parent.link.ifindex)
        .any(|(address, _)| address.is_ipv4());
    if parent.mode() != Some(Mode::L2) || !has_address {
        return ok();
    }
    let refused = settings
        .routes
        .iter()
        .find(|(_, oif)| match (&filter, oif) {
            (1, Some(oif)) => *oif != parent.link.ifindex,
            (filter, oif) => *filter > 0 && oif.is_none(),
        });
    let Some((address, oif)) = refused else {
        return ok();
    };
    let by = match oif {
        Some(oif) => format!("leaves by `{}`", node.link_name(*oif)),
        None => "does not exist".to_owned(),
    };
    let check = Check::fail(
        id,
        name,
        format!("rp_filter = {filter}, and the host's route to the child {address} {by}"),
        "the host drops what the child sends to its address on this parent (fib_validate_source)",
    );
    check.mend(match oif {
        Some(_) => format!("sysctl -w net.ipv4.conf.{}.rp_filter=2", key(name)),
        None => format!("ip route add {address}/32 dev {}", word(name)),
    })
}

/// `arp_ignore` in `net/ipv4/arp.c`. The programs answer l2 children for the host as its kernel would.
fn arp_ignore(node: &Node, parent: &Parent, settings: &Settings) -> Check {
    let id = "sysctl.arp_ignore";
    let (name, ignore) = (parent.name(), settings.arp_ignore);
    let found = format!("arp_ignore = {ignore}");
    let is_single = node
        .addresses_of(parent.link.ifindex)
        .any(|(address, length)| address.is_ipv4() && length == 32);
    let why = match ignore {
        8 => "the host answers no ARP request: children do not reach its addresses",
        2 if is_single => {
            "the host compares the sender with the prefix of its own address, which has 32 bits: requests of \
             children are not answered"
        }
        _ => return Check::ok(id, name, found),
    };
    if parent.mode() != Some(Mode::L2) {
        return Check::ok(id, name, found);
    }
    Check::fail(id, name, found, why).mend(format!(
        "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.{}.arp_ignore=1",
        key(name)
    ))
}

/// `arp_process`: the host may answer for any address, so no request can be dropped as unowned.
fn proxy_arp(parent: &Parent, settings: &Settings) -> Check {
    let id = "sysctl.proxy_arp";
    let name = parent.name();
    let Some(setting) = settings.proxy_arp else {
        return Check::ok(id, name, "proxy_arp = 0");
    };
    let found = format!("{setting} = 1");
    if parent.mode() != Some(Mode::L2) {
        return Check::ok(id, name, found);
    }
    Check::warn(
        id,
        name,
        found,
        "the host may answer for any address, so requests for unowned addresses are cloned to every l2 child \
         (ipvlan_multicast_enqueue) and not dropped",
    )
    .mend(format!("sysctl -w net.ipv4.conf.all.{setting}=0 net.ipv4.conf.{}.{setting}=0", key(name)))
}

/// `ipvlan_process_v6_outbound` looks up the routes of l3 children in the host, which has none out of a link without
/// IPv6.
fn disable_ipv6(parent: &Parent, settings: &Settings) -> Check {
    let id = "sysctl.disable_ipv6";
    let name = parent.name();
    let found = format!("disable_ipv6 = {}", u8::from(settings.disable_ipv6));
    let has_ipv6 = parent.child_addresses().any(|address| address.is_ipv6());
    if !settings.disable_ipv6 || !has_ipv6 {
        return Check::ok(id, name, found);
    }
    let mend = format!("sysctl -w net.ipv6.conf.{}.disable_ipv6=0", key(name));
    match parent.mode() {
        Some(Mode::L3 | Mode::L3s) => Check::fail(
            id,
            name,
            found,
            "the routes of l3 children are looked up in the host, which has no IPv6 route out of this parent \
             (ipvlan_process_v6_outbound)",
        ),
        _ => Check::warn(
            id,
            name,
            found,
            "the host has no IPv6 address on this parent: it and its children do not reach each other in IPv6",
        ),
    }
    .mend(mend)
}

/// Returns a name as `sysctl` takes it in a key: dots separate the parts of a key, slashes those of a path.
fn key(name: &str) -> String {
    word(&name.replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{report::Status, samples::node},
        *,
    };

    const CHILD: [u8; 4] = [172, 16, 91, 101];

    fn settings() -> Settings {
        Settings {
            rp_filter: 1,
            routes: vec![(CHILD.into(), Some(2))],
            ..Settings::default()
        }
    }

    #[test]
    fn settings_of_a_node_that_is_well_are_ok() {
        for mode in [Mode::L2, Mode::L3, Mode::L3s] {
            let node = node(mode);
            let checks = judge(&node, &node.parents[0], &settings());
            assert_eq!(checks.len(), 4);
            assert!(
                checks.iter().all(|it| it.status == Status::Ok),
                "{checks:?}"
            );
        }
    }

    #[test]
    fn settings_that_hurt_are_named_in_the_modes_that_they_hurt() {
        use Status::{Fail, Ok, Warn};
        let routed = |filter, oif| Settings {
            rp_filter: filter,
            routes: vec![(CHILD.into(), oif)],
            ..Settings::default()
        };
        let of = |change: fn(&mut Settings)| {
            let mut settings = settings();
            change(&mut settings);
            settings
        };
        for (settings, id, l2, l3) in [
            (routed(1, Some(1)), "sysctl.rp_filter", Fail, Ok),
            (routed(2, Some(1)), "sysctl.rp_filter", Ok, Ok),
            (routed(0, Some(1)), "sysctl.rp_filter", Ok, Ok),
            (routed(1, None), "sysctl.rp_filter", Fail, Ok),
            (routed(2, None), "sysctl.rp_filter", Fail, Ok),
            (routed(0, None), "sysctl.rp_filter", Ok, Ok),
            (of(|it| it.arp_ignore = 8), "sysctl.arp_ignore", Fail, Ok),
            (of(|it| it.arp_ignore = 2), "sysctl.arp_ignore", Ok, Ok),
            (of(|it| it.arp_ignore = 1), "sysctl.arp_ignore", Ok, Ok),
            (
                of(|it| it.proxy_arp = Some("proxy_arp")),
                "sysctl.proxy_arp",
                Warn,
                Ok,
            ),
            (
                of(|it| it.disable_ipv6 = true),
                "sysctl.disable_ipv6",
                Warn,
                Fail,
            ),
        ] {
            for (mode, expected) in [(Mode::L2, l2), (Mode::L3, l3)] {
                let node = node(mode);
                let checks = judge(&node, &node.parents[0], &settings);
                let line = checks.iter().find(|it| it.id == id).unwrap();
                assert_eq!(line.status, expected, "{mode} {line:?}");
                assert_eq!(line.mend.is_some(), expected > Ok, "{line:?}");
            }
        }
    }

    #[test]
    fn a_single_address_with_arp_ignore_2_is_named() {
        let mut node = node(Mode::L2);
        node.own.addresses[0].prefix_len = 32;
        let mut settings = settings();
        settings.arp_ignore = 2;
        let checks = judge(&node, &node.parents[0], &settings);
        assert_eq!(checks[1].status, Status::Fail, "{checks:?}");
    }

    #[test]
    fn a_host_without_an_address_on_the_parent_needs_no_route_by_it() {
        let mut node = node(Mode::L2);
        node.own.addresses.clear();
        let mut settings = settings();
        settings.routes[0].1 = Some(1);
        let checks = judge(&node, &node.parents[0], &settings);
        assert_eq!(checks[0].status, Status::Ok, "{checks:?}");
    }

    #[test]
    fn dots_of_a_name_are_not_those_of_a_key() {
        assert_eq!(key("eth0.5"), "eth0/5");
    }
}
