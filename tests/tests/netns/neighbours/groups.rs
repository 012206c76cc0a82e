//! Solicited-node groups: what the parent receives, and what switches are told.

use std::{collections::BTreeSet, fs, net::Ipv6Addr, process::Command, time::Instant};

use ipvlan_user::lan::{frame::solicited_node, groups::Groups};
use nix::net::if_::if_nametoindex;

use crate::common::{
    World, wait_until,
    world::{LAN, PARENT},
};

use super::{
    SECOND, SILENT,
    capture::{Capture, ETH_P_IPV6, Said},
    rig::Rig,
};

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
fn is_member(world: &World, of: &str) -> bool {
    let digits = format!("{:032x}", group(of).to_bits());
    let path = "/proc/thread-self/net/igmp6";
    let shown = world.host.run(|| Ok(fs::read_to_string(path)?)).unwrap();
    shown
        .lines()
        .any(|line| line.contains(PARENT) && line.contains(&digits))
}

/// Whether the parent's NIC lets frames for the group through.
fn is_received(world: &World, of: &str) -> bool {
    let [.., a, b, c] = group(of).octets();
    let mac = format!("33:33:ff:{a:02x}:{b:02x}:{c:02x}");
    let mut command = Command::new("ip");
    command.args(["maddress", "show", "dev", PARENT]);
    let shown = world.host.command(&mut command, "").unwrap();
    shown.contains(&mac)
}

fn reported(heard: &[(Instant, Said)], kind: u8, of: &str) -> bool {
    heard.iter().any(|(_, said)| match said {
        Said::Listener(records) => records.contains(&(kind, group(of))),
        _ => false,
    })
}

#[test]
fn switches_see_groups_joined_kept_and_left() {
    let world = World::new();
    let listen = || Capture::start(&world.lan, LAN, ETH_P_IPV6);
    let mut rig = Rig::new(&world, SILENT);
    let capture = listen();
    rig.update(&[PAIR[0], PAIR[1], SINGLE]);
    assert_eq!(rig.groups(), 2, "two addresses share a group");
    assert_eq!(rig.notes(), [""; 0]);
    assert!(is_member(&world, SHARED) && is_member(&world, OTHER));
    assert!(is_received(&world, SHARED) && is_received(&world, OTHER));
    rig.run(SECOND * 3);
    let heard = capture.stop();
    for of in [SHARED, OTHER] {
        assert!(reported(&heard, JOINED, of), "{of}: {heard:?}");
    }

    // One of the pair goes, and the other group's only address.
    let capture = listen();
    rig.update(&[PAIR[1]]);
    assert_eq!(rig.groups(), 1);
    rig.run(SECOND * 2);
    let heard = capture.stop();
    assert!(reported(&heard, LEFT, OTHER), "{heard:?}");
    assert!(!reported(&heard, LEFT, SHARED), "{heard:?}");
    assert!(is_member(&world, SHARED) && !is_member(&world, OTHER));

    // Down and up: what switches may have forgotten is told again, by the kernel.
    let capture = listen();
    world.on_host(&format!("link set {PARENT} down"));
    world.on_host(&format!("link set {PARENT} up"));
    rig.run(SECOND * 4);
    let heard = capture.stop();
    assert!(
        reported(&heard, IS_MEMBER, SHARED) || reported(&heard, JOINED, SHARED),
        "{heard:?}"
    );
    assert!(is_member(&world, SHARED));

    // However the agent ends, its memberships end with it.
    let capture = listen();
    drop(rig);
    wait_until(SECOND, "left", || is_member(&world, SHARED), |is| !is);
    std::thread::sleep(SECOND * 2);
    assert!(reported(&capture.stop(), LEFT, SHARED));
}

#[test]
fn thousands_of_groups_are_joined_by_as_many_sockets_as_it_takes() {
    const GROUPS: u16 = 5000;
    let world = World::new();
    let wanted: BTreeSet<Ipv6Addr> = (0..GROUPS)
        .map(|low| solicited_node(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, low)))
        .collect();
    world
        .host
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
    assert!(!is_member(&world, "ff02::1:ff01:1"), "closed with it");
}

#[test]
fn a_parent_without_ipv6_receives_the_groups_all_the_same_and_says_so() {
    let world = World::new();
    let mut rig = Rig::new(&world, SILENT);
    rig.update(&[SINGLE]);
    assert!(is_member(&world, OTHER));
    // Below this there is no IPv6: the kernel forgets what was joined.
    world.on_host(&format!("link set {PARENT} mtu 1000"));
    rig.update_with(&[SINGLE], 1000);
    assert!(!is_member(&world, OTHER) && is_received(&world, OTHER));
    assert_eq!(rig.groups(), 1);
    let notes = rig.notes();
    assert!(notes[0].contains("IPv6 is off"), "{notes:?}");
    // A second address, and the first one gone.
    rig.update_with(&[SINGLE, PAIR[0]], 1000);
    assert!(is_received(&world, SHARED));
    rig.update_with(&[PAIR[0]], 1000);
    assert!(is_received(&world, SHARED) && !is_received(&world, OTHER));

    world.on_host(&format!("link set {PARENT} mtu 1500"));
    rig.update(&[PAIR[0]]);
    assert!(is_member(&world, SHARED));
    assert_eq!((rig.groups(), rig.notes()), (1, Vec::new()));
    rig.update(&[]);
    assert!(!is_received(&world, SHARED), "received by nobody's wish");
    assert_eq!(rig.groups(), 0);
}

#[test]
fn disabled_ipv6_is_no_error() {
    let world = World::new();
    let switch = format!("ipv6/conf/{PARENT}/disable_ipv6");
    world.host.sysctl(&switch, "1").unwrap();
    let mut rig = Rig::new(&world, SILENT);
    rig.update(&[SINGLE]);
    assert_eq!(rig.groups(), 1);
    println!("notes while IPv6 is disabled: {:?}", rig.notes());
    assert!(is_received(&world, OTHER));
    let capture = Capture::start(&world.lan, LAN, ETH_P_IPV6);
    world.host.sysctl(&switch, "0").unwrap();
    rig.update(&[SINGLE]);
    assert!(is_received(&world, OTHER) && is_member(&world, OTHER));
    rig.run(SECOND * 4);
    let heard = capture.stop();
    assert!(
        reported(&heard, IS_MEMBER, OTHER) || reported(&heard, JOINED, OTHER),
        "{heard:?}"
    );
}
