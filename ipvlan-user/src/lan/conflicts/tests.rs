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
    /// Returns one with children ipvl7 in netns c1 and ipvl8 in c2.
    fn new() -> Self {
        let netns = |id, name: &str| Netns {
            id,
            names: vec![name.to_owned()],
            ..Netns::default()
        };
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
            netnses: vec![
                netns(NetnsId::Own, "host"),
                netns(NetnsId::Nsid(1), "/run/netns/c1"),
                netns(NetnsId::Nsid(2), "/run/netns/c2"),
            ],
            children: vec![child(NetnsId::Nsid(1), 7), child(NetnsId::Nsid(2), 8)],
            ..Snapshot::default()
        };
        let mut world = Self {
            start: Instant::now(),
            snapshot,
            conflicts: Conflicts::default(),
        };
        assert_eq!(world.lines(0), [""; 0]);
        world
    }

    /// Log lines of what is new.
    fn lines(&mut self, millis: u64) -> Vec<String> {
        let snapshot = &self.snapshot;
        let (link, policy) = (&snapshot.links[0], Policy::default());
        let desired = desired(snapshot, link, &policy, &BTreeMap::new());
        let now = self.start + Duration::from_millis(millis);
        let incidents = self.conflicts.compare(now, &desired, snapshot);
        let shown = |of: &Incident| of.line(&|netns| snapshot.netns_label(netns));
        incidents.iter().map(shown).collect()
    }

    fn set_port(&mut self, mode: Mode, flag: PortFlag) {
        for child in &mut self.snapshot.children {
            child.kind = Kind::Ipvlan(Port { mode, flag });
        }
    }
}

fn child(netns: NetnsId, ifindex: u32) -> Child {
    Child {
        ifindex,
        name: format!("ipvl{ifindex}").into(),
        netns,
        parent_ifindex: PARENT,
        up: true,
        ..Child::default()
    }
}

#[test]
fn mode_and_flag_of_the_port_are_reported_when_they_change() {
    let mut world = World::new();
    world.set_port(Mode::L2, PortFlag::Bridge);
    assert_eq!(world.lines(1), ["mode_changed: from l3 to l2"]);
    world.set_port(Mode::L2, PortFlag::Private);
    assert_eq!(world.lines(2), ["flag_changed: from bridge to private"]);
    assert_eq!(world.lines(3), [""; 0]);
    // The port is made anew with its first child: it is still another mode than before.
    let children = std::mem::take(&mut world.snapshot.children);
    world.lines(4);
    world.snapshot.children = children;
    world.set_port(Mode::L3s, PortFlag::Private);
    assert_eq!(world.lines(10_000), ["mode_changed: from l2 to l3s"]);
}

#[test]
fn a_child_that_is_elsewhere_with_the_same_ifindex_has_moved() {
    let (own, c2) = (NetnsId::Own, NetnsId::Nsid(2));
    // Where it is seen next, after how long, whether its first netns is still there.
    let rows = [
        ("at once", c2, 7, 0, true, true),
        ("a moment later", c2, 7, 1_500, true, true),
        ("too late", c2, 7, 2_500, true, false),
        ("another one", c2, 9, 0, true, false),
        ("its netns is gone", c2, 7, 0, false, false),
        ("to the host", own, 7, 0, true, true),
    ];
    for (what, netns, ifindex, after, netns_stays, moved) in rows {
        let mut world = World::new();
        world.snapshot.children.remove(0);
        if !netns_stays {
            world.snapshot.netnses.remove(1);
        }
        if after > 0 {
            assert_eq!(world.lines(1), [""; 0], "{what}");
        }
        world.snapshot.children.push(child(netns, ifindex));
        let expected = match netns {
            _ if !moved => &[][..],
            NetnsId::Own => &["child_moved, child ipvl7: from netns c1"],
            NetnsId::Nsid(_) => &["child_moved, child ipvl7 in netns c2: from netns c1"],
        };
        assert_eq!(world.lines(1 + after), expected, "{what}");
        assert_eq!(world.lines(2 + after), [""; 0], "{what}");
    }
}

#[test]
fn a_conflict_is_reported_when_it_is_new_also_at_start() {
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    let mut world = World::new();
    let of_host = HostAddress {
        address,
        prefix_len: 24,
        ifindex: PARENT,
        flags: 0,
        scope: 0,
    };
    world.snapshot.host.addresses.push(of_host.clone());
    world.snapshot.children[0].addresses.push(ChildAddress {
        local: address,
        peer: None,
        prefix_len: 24,
        scope: 0,
        flags: 0,
    });
    let reported =
        ["host_address of 192.0.2.7, child ipvl7 in netns c1: the host has it, held_back"];
    assert_eq!(world.lines(1), reported);
    assert_eq!(world.lines(2), [""; 0]);
    world.conflicts = Conflicts::default();
    assert_eq!(world.lines(3), reported);
    // Over, and there again.
    world.snapshot.host.addresses.clear();
    assert_eq!(world.lines(4), [""; 0]);
    world.snapshot.host.addresses.push(of_host);
    assert_eq!(world.lines(5), reported);
}
