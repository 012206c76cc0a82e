use super::*;
use crate::{
    facts::{Child, Kind, Mode, Netns, PortFlag},
    model::{
        Policy, desired,
        tests::{HOST, child, cidr, snapshot},
    },
};

/// A snapshot that tests change, and its comparison with the last one.
struct World {
    start: Instant,
    snapshot: Snapshot,
    conflicts: Conflicts,
}

impl World {
    /// Returns one with children ipvlan7 in netns c7 and ipvlan8 in c8.
    fn new() -> Self {
        let netns = |id, name: &str| Netns {
            id,
            names: vec![name.to_owned()],
            ..Netns::default()
        };
        let netnses = vec![
            netns(NetnsId::Own, "host"),
            netns(NetnsId::Nsid(7), "/run/netns/c7"),
            netns(NetnsId::Nsid(8), "/run/netns/c8"),
        ];
        let mut world = Self {
            start: Instant::now(),
            snapshot: Snapshot {
                netnses,
                ..snapshot(vec![child(7, &[]), child(8, &[])])
            },
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
    let (own, c8) = (NetnsId::Own, NetnsId::Nsid(8));
    // Where it is seen next, after how long, whether its first netns is still there.
    let rows = [
        ("at once", c8, 7, 0, true, true),
        ("a moment later", c8, 7, 1_500, true, true),
        ("too late", c8, 7, 2_500, true, false),
        ("another one", c8, 9, 0, true, false),
        ("its netns is gone", c8, 7, 0, false, false),
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
        world.snapshot.children.push(Child {
            netns,
            ..child(ifindex, &[])
        });
        let expected = match netns {
            _ if !moved => &[][..],
            NetnsId::Own => &["child_moved, child ipvlan7: from netns c7"],
            NetnsId::Nsid(_) => &["child_moved, child ipvlan7 in netns c8: from netns c7"],
        };
        assert_eq!(world.lines(1 + after), expected, "{what}");
        assert_eq!(world.lines(2 + after), [""; 0], "{what}");
    }
}

#[test]
fn a_conflict_is_reported_when_it_is_new_also_at_start() {
    let mut world = World::new();
    let of_host = cidr(&format!("{HOST}/24"));
    world.snapshot.children[0].addresses.push(of_host);
    let reported = [format!(
        "host_address of {HOST}, child ipvlan7 in netns c7: the host has it, held_back"
    )];
    assert_eq!(world.lines(1), reported);
    assert_eq!(world.lines(2), [""; 0]);
    world.conflicts = Conflicts::default();
    assert_eq!(world.lines(3), reported);
    // Over, and there again.
    let held = std::mem::take(&mut world.snapshot.host.addresses);
    assert_eq!(world.lines(4), [""; 0]);
    world.snapshot.host.addresses = held;
    assert_eq!(world.lines(5), reported);
}
