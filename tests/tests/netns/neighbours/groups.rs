//! Solicited-node groups: what the parent receives, and what switches are told.

use std::{collections::BTreeSet, fs, net::Ipv6Addr, process::Command, time::Instant};

use ipvlan_packet::nd::group_mac;
use ipvlan_tests::netns::colons;
use ipvlan_user::lan::{frame::solicited_node, groups::Groups};
use nix::net::if_::if_nametoindex;

use crate::common::{PARENT, Topology, wait_until};

use super::{SECOND, SILENT, rig::Rig, stations::capture};

/// `MODE_IS_EXCLUDE`: a member, when asked or when the device comes up.
const IS_MEMBER: u8 = 2;
/// `CHANGE_TO_INCLUDE_MODE` with no source: a member no more.
const LEFT: u8 = 3;
/// `CHANGE_TO_EXCLUDE_MODE` with no source: a member from now on.
const JOINED: u8 = 4;

const SHARED: &str = "ff02::1:ff12:3456";
const OTHER: &str = "ff02::1:ff00:8";
const PAIR: [&str; 2] = ["2001:db8::1:12:3456", "fe80::2:12:3456"];
const SINGLE: &str = "2001:db8::8";

fn group(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// Whether the kernel counts the parent as a member.
fn is_member(net: &Topology, of: &str) -> bool {
    let digits = format!("{:032x}", group(of).to_bits());
    let read = || Ok(fs::read_to_string("/proc/thread-self/net/igmp6")?);
    let shown = net.host.run(read).unwrap();
    let mut lines = shown.lines();
    lines.any(|line| line.contains(PARENT) && line.contains(&digits))
}

/// Whether the parent's NIC lets frames for the group through.
fn is_received(net: &Topology, of: &str) -> bool {
    let mut command = Command::new("ip");
    command.args(["maddress", "show", "dev", PARENT]);
    let shown = net.host.command(&mut command, "").unwrap();
    shown.contains(&colons(group_mac(group(of))))
}

#[test]
fn switches_see_groups_joined_kept_and_left() {
    let net = Topology::new();
    let [shared, other] = [SHARED, OTHER].map(group);
    let mut rig = Rig::new(&net, SILENT);
    let first = capture(&net);
    rig.update(&[PAIR[0], PAIR[1], SINGLE]);
    assert_eq!(rig.groups(), 2, "two addresses share a group");
    assert_eq!(rig.notes(), [""; 0]);
    assert!(is_member(&net, SHARED) && is_member(&net, OTHER));
    assert!(is_received(&net, SHARED) && is_received(&net, OTHER));
    rig.run(SECOND * 3);
    let reported = first.stop_and_report();
    for of in [shared, other] {
        assert!(reported.contains(&(JOINED, of)), "{of}: {reported:?}");
    }

    // One of the pair goes, and the other group's only address.
    let second = capture(&net);
    rig.update(&[PAIR[1]]);
    assert_eq!(rig.groups(), 1);
    rig.run(SECOND * 2);
    let reported = second.stop_and_report();
    assert!(reported.contains(&(LEFT, other)), "{reported:?}");
    assert!(!reported.contains(&(LEFT, shared)), "{reported:?}");
    assert!(is_member(&net, SHARED) && !is_member(&net, OTHER));

    // Down and up: the kernel reports again what switches may have forgotten.
    let third = capture(&net);
    net.on_host(&format!("link set {PARENT} down"));
    net.on_host(&format!("link set {PARENT} up"));
    rig.run(SECOND * 4);
    assert_is_reported(&third.stop_and_report(), shared);
    assert!(is_member(&net, SHARED));

    // However the agent ends, its memberships end with it.
    let last = capture(&net);
    drop(rig);
    wait_until(SECOND, "left", || is_member(&net, SHARED), |is| !is);
    std::thread::sleep(SECOND * 2);
    assert!(last.stop_and_report().contains(&(LEFT, shared)));
}

/// A device that comes up reports its groups in either way.
#[track_caller]
fn assert_is_reported(reported: &[(u8, Ipv6Addr)], of: Ipv6Addr) {
    let is_one = |kind| reported.contains(&(kind, of));
    assert!(is_one(IS_MEMBER) || is_one(JOINED), "{reported:?}");
}

#[test]
fn thousands_of_groups_are_joined_by_as_many_sockets_as_it_takes() {
    const GROUPS: u16 = 5000;
    let net = Topology::new();
    let wanted: BTreeSet<Ipv6Addr> = (0..GROUPS)
        .map(|low| solicited_node(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, low)))
        .collect();
    net.host
        .run(|| {
            let mut groups = Groups::new(if_nametoindex(PARENT)?);
            let start = Instant::now();
            groups.update(&wanted, 1500);
            println!("{GROUPS} groups joined in {:?}", start.elapsed());
            assert_eq!((groups.len(), groups.note()), (wanted.len(), None));
            assert!(groups.sockets() > 1, "{}", groups.sockets());

            let few: BTreeSet<Ipv6Addr> = wanted.iter().take(3).copied().collect();
            let start = Instant::now();
            groups.update(&few, 1500);
            println!("all but three left in {:?}", start.elapsed());
            assert_eq!((groups.len(), groups.sockets()), (3, 1));
            groups.update(&wanted, 1500);
            assert_eq!((groups.len(), groups.note()), (wanted.len(), None));
            Ok(())
        })
        .unwrap();
    assert!(!is_member(&net, "ff02::1:ff01:1"), "closed with it");
}

#[test]
fn a_parent_without_ipv6_receives_the_groups_all_the_same_and_says_so() {
    let net = Topology::new();
    let mut rig = Rig::new(&net, SILENT);
    rig.update(&[SINGLE]);
    assert!(is_member(&net, OTHER));
    // Below this there is no IPv6: the kernel forgets what was joined.
    net.on_host(&format!("link set {PARENT} mtu 1000"));
    rig.update_with(&[SINGLE], 1000);
    assert!(!is_member(&net, OTHER) && is_received(&net, OTHER));
    assert_eq!(rig.groups(), 1);
    let notes = rig.notes();
    assert!(notes[0].contains("IPv6 is off"), "{notes:?}");
    // A second address, and the first one gone.
    rig.update_with(&[SINGLE, PAIR[0]], 1000);
    assert!(is_received(&net, SHARED));
    rig.update_with(&[PAIR[0]], 1000);
    assert!(is_received(&net, SHARED) && !is_received(&net, OTHER));

    net.on_host(&format!("link set {PARENT} mtu 1500"));
    rig.update(&[PAIR[0]]);
    assert!(is_member(&net, SHARED));
    assert_eq!((rig.groups(), rig.notes()), (1, Vec::new()));
    rig.update(&[]);
    assert!(!is_received(&net, SHARED), "received by nobody's wish");
    assert_eq!(rig.groups(), 0);
}

#[test]
fn disabled_ipv6_is_no_error() {
    let net = Topology::new();
    let switch = format!("ipv6/conf/{PARENT}/disable_ipv6");
    net.host.sysctl(&switch, "1").unwrap();
    let mut rig = Rig::new(&net, SILENT);
    rig.update(&[SINGLE]);
    assert_eq!(rig.groups(), 1);
    println!("notes while IPv6 is disabled: {:?}", rig.notes());
    assert!(is_received(&net, OTHER));
    let capture = capture(&net);
    net.host.sysctl(&switch, "0").unwrap();
    rig.update(&[SINGLE]);
    assert!(is_received(&net, OTHER) && is_member(&net, OTHER));
    rig.run(SECOND * 4);
    assert_is_reported(&capture.stop_and_report(), group(OTHER));
}
