use std::net::IpAddr;

use super::*;
use crate::{
    facts::{Child, ChildAddress, HostAddress, Kind, Link, Mode, Netns, PortFlag},
    model::{Policy, desired},
};

const PARENT: u32 = 2;

/// A snapshot that tests change, and its comparison with the last one.
struct World {
    start: Instant,
    snapshot: Snapshot,
    conflicts: Conflicts,
}

impl World {
    fn new() -> Self {
        let snapshot = Snapshot {
            links: vec![Link {
                ifindex: PARENT,
                name: "ens34".into(),
                hardware: 1,
                mac: Some([2, 0, 0, 0, 0, 1]),
                up: true,
                carrier: true,
                ..Link::default()
            }],
            netnses: [NetnsId::Own, NetnsId::Nsid(1), NetnsId::Nsid(2)]
                .map(|id| Netns {
                    id,
                    names: vec![match id {
                        NetnsId::Own => "host".to_owned(),
                        NetnsId::Nsid(nsid) => format!("/run/netns/c{nsid}"),
                    }],
                    ..Netns::default()
                })
                .into(),
            children: vec![child(1, 7), child(2, 8)],
            ..Snapshot::default()
        };
        let mut world = Self {
            start: Instant::now(),
            snapshot,
            conflicts: Conflicts::default(),
        };
        assert_eq!(world.words(0), [""; 0]);
        world
    }

    fn compare(&mut self, millis: u64) -> Vec<Incident> {
        let desired = desired(
            &self.snapshot,
            &self.snapshot.links[0],
            &Policy::default(),
            &BTreeMap::new(),
        );
        let now = self.start + Duration::from_millis(millis);
        self.conflicts.compare(now, &desired, &self.snapshot)
    }

    fn set_port(&mut self, mode: Mode, flag: PortFlag) {
        for child in &mut self.snapshot.children {
            child.kind = Kind::Ipvlan(Port { mode, flag });
        }
    }

    /// Kind and detail of what is new.
    fn words(&mut self, millis: u64) -> Vec<String> {
        self.compare(millis)
            .into_iter()
            .map(|of| format!("{} {}", of.kind, of.detail.unwrap_or_default()))
            .collect()
    }
}

fn child(nsid: i32, ifindex: u32) -> Child {
    Child {
        ifindex,
        name: format!("ipvl{ifindex}").into(),
        netns: NetnsId::Nsid(nsid),
        parent_ifindex: PARENT,
        up: true,
        ..Child::default()
    }
}

#[test]
fn mode_and_flag_of_the_port_are_reported_when_they_change() {
    let mut world = World::new();
    world.set_port(Mode::L2, PortFlag::Bridge);
    assert_eq!(world.words(1), ["mode_changed from l3 to l2"]);
    world.set_port(Mode::L2, PortFlag::Private);
    assert_eq!(world.words(2), ["flag_changed from bridge to private"]);
    assert_eq!(world.words(3), [""; 0]);
    // The port is made anew with its first child: it is still another mode than before.
    let children = std::mem::take(&mut world.snapshot.children);
    world.words(4);
    world.snapshot.children = children;
    world.set_port(Mode::L3s, PortFlag::Private);
    let words = world.words(10_000);
    assert_eq!(words, ["mode_changed from l2 to l3s"]);
}

#[test]
fn a_child_that_is_elsewhere_with_the_same_ifindex_has_moved() {
    // Where it is seen next, after how long, whether its first netns is still there.
    let rows = [
        ("at once", 2, 7, Some(0), true, true),
        ("a moment later", 2, 7, Some(1_500), true, true),
        ("too late", 2, 7, Some(2_500), true, false),
        ("another one", 2, 9, Some(0), true, false),
        ("its netns is gone", 2, 7, Some(0), false, false),
        ("to the host", -1, 7, Some(0), true, true),
    ];
    for (what, nsid, ifindex, after, netns_stays, moved) in rows {
        let mut world = World::new();
        world.snapshot.children.remove(0);
        if !netns_stays {
            world.snapshot.netnses.remove(1);
        }
        let after = match after {
            Some(0) | None => 0,
            Some(after) => {
                assert_eq!(world.words(1), [""; 0], "{what}");
                after
            }
        };
        let mut there = child(nsid, ifindex);
        if nsid < 0 {
            there.netns = NetnsId::Own;
        }
        world.snapshot.children.push(there);
        let expected: &[&str] = if moved {
            &["child_moved from netns c1"]
        } else {
            &[]
        };
        assert_eq!(world.words(1 + after), expected, "{what}");
        assert_eq!(world.words(2 + after), [""; 0], "{what}");
    }
}

#[test]
fn a_conflict_is_reported_when_it_is_new_also_at_start() {
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    let mut world = World::new();
    world.snapshot.host.addresses.push(HostAddress {
        address,
        prefix_len: 24,
        ifindex: PARENT,
        flags: 0,
        scope: 0,
    });
    world.snapshot.children[0].addresses.push(ChildAddress {
        local: address,
        peer: None,
        prefix_len: 24,
        scope: 0,
        flags: 0,
    });
    let reported = ["host_address the host has it"];
    assert_eq!(world.words(1), reported);
    assert_eq!(world.words(2), [""; 0]);
    world.conflicts = Conflicts::default();
    let incidents = world.compare(3);
    let [incident] = &incidents[..] else {
        panic!("{incidents:?}");
    };
    assert_eq!(incident.address, Some(address));
    assert_eq!(incident.action, Action::Withheld);
    let key = ChildKey {
        netns: NetnsId::Nsid(1),
        ifindex: 7,
    };
    assert_eq!(incident.child, Some((key, "ipvl7".to_owned())));
    // Over, and there again.
    let held = world.snapshot.host.addresses.pop();
    assert_eq!(world.words(4), [""; 0]);
    world.snapshot.host.addresses.extend(held);
    assert_eq!(world.words(5), reported);
}
