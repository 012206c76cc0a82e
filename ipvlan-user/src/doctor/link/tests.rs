use super::{
    super::{
        node::Child,
        report::Status,
        samples::{child, link, node, served},
    },
    *,
};
use crate::facts::{HostAddress, Port};

fn lines(node: &Node) -> Vec<Check> {
    let of_parents = node.parents.iter().flat_map(|parent| judge(node, parent));
    judge_host(node).into_iter().chain(of_parents).collect()
}

#[track_caller]
fn assert_line(node: &Node, id: &str, status: Status, text: &str) {
    let checks = lines(node);
    let line = checks.iter().find(|check| check.id == id);
    let line = line.unwrap_or_else(|| panic!("no {id} in {checks:?}"));
    assert_eq!(line.status, status, "{line:?}");
    assert!(line.found.contains(text), "{line:?}");
    assert_eq!(line.why.is_some(), status >= Status::Warn, "{line:?}");
}

fn address(ifindex: u32, address: &str, prefix_len: u8) -> HostAddress {
    HostAddress {
        address: address.parse().unwrap(),
        prefix_len,
        ifindex,
        flags: 0,
        scope: 0,
    }
}

#[test]
fn a_parent_that_is_well_is_ok() {
    let node = node(Mode::L3);
    let checks = lines(&node);
    let bad: Vec<_> = checks.iter().filter(|it| it.status != Status::Ok).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

#[test]
fn a_parent_that_is_down_dead_or_a_port_fails() {
    let mut down = node(Mode::L2);
    down.parents[0].link.up = false;
    assert_line(&down, "link.up", Status::Fail, "down");
    let mut dead = node(Mode::L2);
    dead.parents[0].link.carrier = false;
    assert_line(&dead, "link.carrier", Status::Fail, "without carrier");
    for (kind, status) in [
        ("bridge", Status::Fail),
        ("bond", Status::Fail),
        ("vrf", Status::Ok),
    ] {
        let mut port = node(Mode::L2);
        port.own.links.push(link(9, "master0"));
        port.parents[0].link.master = Some(9);
        port.parents[0].link.master_kind = Some(kind.to_owned());
        assert_line(&port, "link.port", status, "master0");
    }
    let mut gone = node(Mode::L2);
    gone.missing = vec!["ens99".to_owned()];
    assert_line(&gone, "link.present", Status::Fail, "no such interface");
    let mut without = node(Mode::L3);
    without.own.links[0].up = false;
    assert_line(&without, "link.loopback", Status::Fail, "down");
}

#[test]
fn tagged_frames_without_a_vlan_device_are_named() {
    let mut tagged = node(Mode::L3);
    let counters = &mut served(&mut tagged).counters.0;
    let at_ingress = counters.entry(Hook::Ingress.into()).or_default();
    at_ingress.insert("tagged".to_owned(), 5);
    assert_line(&tagged, "link.vlan", Status::Warn, "5 VLAN-tagged");
    tagged.own.links.push(LinkView {
        kind: Some("vlan".to_owned()),
        lower: Some((2, None)),
        ..link(8, "ens34.7")
    });
    assert_line(&tagged, "link.vlan", Status::Ok, "ens34.7");
}

#[test]
fn a_second_link_in_the_subnet_is_named_and_what_is_no_second_link_is_not() {
    for (of_second, prefix_len, is_named) in [
        ("172.16.91.15", 24, true),
        ("2001:db8:91::15", 64, true),
        ("10.0.0.1", 24, false),
        // A shim has single addresses.
        ("172.16.91.100", 32, false),
    ] {
        let mut two = node(Mode::L2);
        two.own.links.push(link(3, "m0"));
        two.own.addresses.push(address(3, of_second, prefix_len));
        let checks = lines(&two);
        let named = checks.iter().any(|check| check.id == "link.second");
        assert_eq!(named, is_named, "{of_second}");
        if named {
            assert_line(&two, "link.second", Status::Warn, "`m0` has");
        }
        // A link that is down, and a child of the parent, do not count.
        two.own.links.last_mut().unwrap().up = false;
        assert!(lines(&two).iter().all(|check| check.id != "link.second"));
        let last = two.own.links.last_mut().unwrap();
        (last.up, last.lower) = (true, Some((2, None)));
        last.port = Some(Port::default());
        assert!(lines(&two).iter().all(|check| check.id != "link.second"));
    }
}

#[test]
fn groups_and_buckets_are_judged() {
    let mut node = node(Mode::L3);
    served(&mut node).groups = 0;
    assert_line(
        &node,
        "multicast.groups",
        Status::Warn,
        "0 solicited-node groups",
    );
    node.parents[0].link.all_multicast = true;
    assert!(
        lines(&node)
            .iter()
            .all(|check| check.id != "multicast.groups")
    );
    served(&mut node).groups = 1;
    assert_line(&node, "multicast.groups", Status::Ok, "all groups");

    assert_line(&node, "driver.buckets", Status::Ok, "256 buckets");
    let many: Vec<(IpAddr, u8)> = (0..=8192_u32)
        .map(|number| (IpAddr::from((number + (10 << 24)).to_be_bytes()), 32))
        .collect();
    node.parents[0].children.push(Child {
        addresses: many,
        ..child(Mode::L3)
    });
    assert_line(&node, "driver.buckets", Status::Warn, "8195 addresses");
}
