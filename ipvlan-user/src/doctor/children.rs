//! The children: state, addresses, routes.

use std::net::IpAddr;

use super::{
    node::{Child, Node, Parent},
    report::{Check, word},
};
use crate::{
    facts::Mode,
    protocol::{AddressState, MAP_FULL},
    text::counted,
};

/// Children that have a line of their own even if nothing is wrong.
const LINES: usize = 32;

/// Judges the children of a parent.
pub(super) fn judge(node: &Node, parent: &Parent) -> Vec<Check> {
    let mut checks = Vec::new();
    if parent.children.is_empty() {
        let hidden = node.others.hidden > 0 && parent.served.is_none();
        checks.push(if hidden {
            Check::skip(
                "child.list",
                parent.name(),
                "no child was found, and some network namespaces could not be read: run as root",
            )
        } else {
            Check::ok("child.list", parent.name(), "no children")
        });
    }
    let mut well = 0;
    for child in &parent.children {
        let before = checks.len();
        checks.extend(link(child));
        checks.extend(addresses(child));
        checks.extend(routes(parent, child));
        checks.extend(refused(child));
        if checks.len() == before {
            well += 1;
            if well <= LINES {
                checks.push(Check::ok("child.state", &child.label(), summary(child)));
            }
        }
    }
    if let Some(more) = well.checked_sub(LINES).filter(|more| *more > 0) {
        let found = format!(
            "{} more without a fault",
            counted(more, "child", "children")
        );
        checks.push(Check::ok("child.state", parent.name(), found));
    }
    checks
}

fn summary(child: &Child) -> String {
    let addresses = child.addresses.iter();
    let addresses: Vec<String> = addresses
        .map(|(address, length)| format!("{address}/{length}"))
        .collect();
    let mode = child.mode.map(|mode| format!("mode {mode}, "));
    format!("up, {}{}", mode.unwrap_or_default(), addresses.join(", "))
}

/// Returns the start of a command of `ip` in the netns of a child.
fn ip(child: &Child) -> String {
    match child.pid {
        _ if child.own => "ip".to_owned(),
        Some(pid) => format!("nsenter --net=/proc/{pid}/ns/net ip"),
        None => format!("ip -n {}", word(&child.netns)),
    }
}

fn link(child: &Child) -> Option<Check> {
    (!child.up).then(|| {
        Check::fail(
            "child.up",
            &child.label(),
            "down",
            "the driver delivers nothing to a child that is down (ipvlan_ht_addr_add upon ipvlan_open)",
        )
        .mend(format!("{} link set dev {} up", ip(child), word(&child.name)))
    })
}

fn addresses(child: &Child) -> Option<Check> {
    if !child.up || !child.addresses.is_empty() {
        return None;
    }
    let why = match child.mode {
        Some(Mode::L2) => {
            "nothing is delivered to it. A DHCP client in an l2 child needs a client identifier (all children share \
             one MAC) and the broadcast flag, or --dhcp auto of the agent"
        }
        _ => {
            "nothing is delivered to it. The driver drops broadcasts of l3 children: a DHCP client gets no offer; use \
             mode l2, or addresses from the runtime"
        }
    };
    Some(
        Check::warn(
            "child.address",
            &child.label(),
            "up, without an address",
            why,
        )
        .mend(format!(
            "{} address add ADDRESS/LENGTH dev {}",
            ip(child),
            word(&child.name)
        )),
    )
}

/// A child answers a station outside of its prefixes by its default route.
fn routes(parent: &Parent, child: &Child) -> Option<Check> {
    let routes = child.routes.as_ref()?;
    if !child.up || child.own {
        return None;
    }
    let families = [
        ("IPv4", "-4", IpAddr::is_ipv4 as fn(&IpAddr) -> bool),
        ("IPv6", "-6", IpAddr::is_ipv6),
    ];
    let mut lacking = families.into_iter().filter(|(_, _, is)| {
        let has_address = child.addresses.iter().any(|(address, _)| is(address));
        let has_default = routes
            .iter()
            .any(|route| is(&route.prefix) && route.prefix_len == 0);
        has_address && !has_default
    });
    let (family, option, _) = lacking.next()?;
    let via = match (child.mode, &parent.served) {
        (Some(Mode::L2), _) => " via GATEWAY",
        _ => "",
    };
    Some(
        Check::warn(
            "child.route",
            &child.label(),
            format!("no default route in {family}"),
            "its replies to stations outside of its own subnet have no way out of its network namespace",
        )
        .mend(format!(
            "{} {option} route add default{via} dev {}",
            ip(child),
            word(&child.name)
        )),
    )
}

fn refused(child: &Child) -> Vec<Check> {
    let Some(served) = child.served.as_ref().filter(|_| child.up) else {
        return Vec::new();
    };
    let addresses = served.addresses.iter();
    addresses
        .filter(|address| address.state == AddressState::Refused)
        .map(|address| {
            let reason = address.reason.as_deref().unwrap_or("unknown");
            if reason == "tentative" {
                let found = format!("{} is not answered yet: {}", address.address, why(reason));
                return Check::skip("child.refused", &child.label(), found);
            }
            let check = Check::warn(
                "child.refused",
                &child.label(),
                format!("{} is refused: {reason}", address.address),
                why(reason),
            );
            match mend(reason, &address.address) {
                Some(command) => check.mend(command),
                None => check,
            }
        })
        .collect()
}

/// Returns why an address with this reason is not answered (docs/guard.md).
fn why(reason: &str) -> &'static str {
    match reason {
        MAP_FULL => "the address map has no entry left for it",
        "denied" | "not_allowed" => "the operator's --allow, --deny or a rule excludes it",
        "host_address" => "the host has the same address: its packets are the host's",
        "gateway_address" => {
            "a route of the host leads through this address: the child would receive what the host sends there"
        }
        "duplicate" | "dad_failed" => "a station on the LAN has the same address",
        "tentative" | "probing" => "duplicate address detection is not complete",
        "over_quota" => "its netns has more addresses than its quota",
        "silent" => "the child's own arp_ignore or `arp off` forbids answers",
        "peer_address" => {
            "it is a point-to-point address: the driver delivers packets for the peer's address in its place"
        }
        "target_link_local" => {
            "link-local IPv4 addresses are answered with --answer-link-local only"
        }
        "parent_down" => "its parent is down",
        _ => "docs/guard.md has the rule",
    }
}

fn mend(reason: &str, address: &str) -> Option<String> {
    let bare = address.split_once('/').map_or(address, |(bare, _)| bare);
    let bare = word(bare);
    match reason {
        MAP_FULL => Some("ipvlan run --max-addresses NUMBER".to_owned()),
        "not_allowed" => Some(format!("ipvlan run --allow {bare}")),
        "denied" => Some("ipvlan config show".to_owned()),
        "host_address" => Some(format!("ip address show to {bare}")),
        "gateway_address" => Some("ip route show table all".to_owned()),
        "duplicate" | "dad_failed" => Some(format!("arping -D -I PARENT {bare}")),
        "over_quota" => Some("ipvlan run --netns-addresses NUMBER".to_owned()),
        "target_link_local" => Some("ipvlan run --answer-link-local".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            report::Status,
            samples::{child, node},
        },
        *,
    };
    use crate::protocol::{self, Address, ChildCounters, ChildState, Delivery, LinkStats, Netns};

    fn lines(change: impl Fn(&mut Child)) -> Vec<Check> {
        let mut node = node(Mode::L3);
        change(&mut node.parents[0].children[0]);
        judge(&node, &node.parents[0])
    }

    fn served(state: AddressState, reason: Option<&str>) -> protocol::Child {
        protocol::Child {
            name: "ipvlan1".to_owned(),
            ifindex: 7,
            netns: Netns::default(),
            label: None,
            mode: Mode::L3.into(),
            up: true,
            forwarding: false,
            delivery: Delivery::Pass.into(),
            rule: None,
            state: ChildState::Refused.into(),
            reason: None,
            addresses: vec![Address {
                address: "172.16.91.101/24".to_owned(),
                peer: None,
                state: state.into(),
                reason: reason.map(str::to_owned),
            }],
            asked_ms: None,
            counters: ChildCounters::default(),
            link: LinkStats::default(),
        }
    }

    #[test]
    fn a_child_that_is_well_has_one_line() {
        let checks = lines(|_| {});
        assert_eq!(checks.len(), 1, "{checks:?}");
        assert_eq!(checks[0].status, Status::Ok);
        assert_eq!(checks[0].subject, "ns01/ipvlan1");
        let many = {
            let mut node = node(Mode::L3);
            node.parents[0].children = vec![child(Mode::L3); LINES + 3];
            judge(&node, &node.parents[0])
        };
        assert_eq!(many.len(), LINES + 1);
        assert!(
            many[LINES].found.starts_with("3 children more"),
            "{:?}",
            many[LINES]
        );
    }

    #[test]
    fn faults_of_a_child_are_named_with_a_command() {
        type Change = fn(&mut Child);
        let rows: [(Change, &str, Status, &str); 6] = [
            (
                |it| it.up = false,
                "child.up",
                Status::Fail,
                "ip -n ns01 link set dev ipvlan1 up",
            ),
            (
                |it| it.addresses.clear(),
                "child.address",
                Status::Warn,
                "ip -n ns01 address add",
            ),
            (
                |it| it.routes = Some(Vec::new()),
                "child.route",
                Status::Warn,
                "ip -n ns01 -4 route add default dev ipvlan1",
            ),
            (
                |it| {
                    it.routes
                        .as_mut()
                        .unwrap()
                        .retain(|route| route.prefix.is_ipv4());
                    it.pid = Some(12);
                    it.mode = Some(Mode::L2);
                },
                "child.route",
                Status::Warn,
                "nsenter --net=/proc/12/ns/net ip -6 route add default via GATEWAY dev ipvlan1",
            ),
            (
                |it| it.served = Some(served(AddressState::Refused, Some("not_allowed"))),
                "child.refused",
                Status::Warn,
                "ipvlan run --allow 172.16.91.101",
            ),
            (
                |it| it.served = Some(served(AddressState::Refused, Some("map_full"))),
                "child.refused",
                Status::Warn,
                "--max-addresses",
            ),
        ];
        for (change, id, status, mend) in rows {
            let checks = lines(change);
            let line = checks.iter().find(|it| it.id == id);
            let line = line.unwrap_or_else(|| panic!("no {id} in {checks:?}"));
            assert_eq!(line.status, status, "{line:?}");
            let command = line.mend.as_deref().unwrap();
            assert!(command.contains(mend), "{line:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_judged() {
        let unread = lines(|it| it.routes = None);
        assert_eq!(unread[0].status, Status::Ok, "{unread:?}");
        let answered = lines(|it| it.served = Some(served(AddressState::Answered, None)));
        assert_eq!(answered[0].status, Status::Ok, "{answered:?}");
        let mut node = node(Mode::L3);
        node.parents[0].children.clear();
        assert_eq!(judge(&node, &node.parents[0])[0].status, Status::Ok);
        node.parents[0].served = None;
        node.others.hidden = 1;
        assert_eq!(judge(&node, &node.parents[0])[0].status, Status::Skip);
    }

    #[test]
    fn every_reason_of_the_guard_has_an_explanation() {
        for reason in [
            "denied",
            "not_allowed",
            "host_address",
            "gateway_address",
            "duplicate",
            "dad_failed",
            "tentative",
            "over_quota",
            "silent",
            "peer_address",
            "target_link_local",
            "parent_down",
            MAP_FULL,
        ] {
            assert_ne!(why(reason), why("of_the_future"), "{reason}");
        }
    }
}
