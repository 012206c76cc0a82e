//! Notes about settings that cannot be mended.

use super::*;
use crate::model::note_of_mode;

const SHIM: u32 = 30;

/// Returns how many notes have this text.
fn noted(snapshot: &Snapshot, policy: &Policy, text: &str) -> usize {
    let desired = decide(snapshot, policy);
    let notes = desired.notes.iter();
    notes.filter(|note| note.contains(text)).count()
}

#[test]
fn routes_to_children_through_an_own_child_are_noted() {
    for (oif, prefix, expected) in [
        (SHIM, "172.16.91.96/28", 1),
        (SHIM, "172.16.91.101/32", 1),
        (SHIM, "2001:db8:91::/64", 1),
        (SHIM, "172.16.91.128/28", 0),
        (SHIM, "fe80::/64", 0),
        (PARENT, "172.16.91.96/28", 0),
    ] {
        let addresses = [CHILD, CHILD_V6, "fe80::101/64"];
        let own = own_child(SHIM, &["172.16.91.110/32"]);
        let mut snapshot = snapshot(vec![own, child(7, &addresses)]);
        snapshot.host.routes_on_link.push(on_link(prefix, oif));
        let found = noted(&snapshot, &Policy::default(), "child of its own");
        assert_eq!(found, expected, "{oif} {prefix}");
        // Without another child it routes none.
        snapshot.children.truncate(1);
        let found = noted(&snapshot, &Policy::default(), "child of its own");
        assert_eq!(found, 0, "{prefix}");
    }
}

#[test]
fn child_that_forwards_is_noted_unless_it_inherited_that() {
    for (v4, v6, host_v4, up, expected) in [
        (false, false, false, true, 0),
        (true, false, false, true, 1),
        (true, false, true, true, 0),
        (false, true, true, true, 1),
        (true, true, false, false, 0),
    ] {
        let mut child = child(7, &[CHILD]);
        (child.forwarding_v4, child.forwarding, child.up) = (v4, v6, up);
        let mut snapshot = snapshot(vec![child]);
        snapshot.links[0].forwarding_v4 = host_v4;
        let found = noted(&snapshot, &Policy::default(), "forwards packets");
        assert_eq!(found, expected, "{v4} {v6} {host_v4}");
        snapshot.children[0].parent_ifindex = PARENT + 1;
        assert_eq!(noted(&snapshot, &Policy::default(), "forwards"), 0);
    }
}

#[test]
fn child_without_an_address_is_noted() {
    for (addresses, up, over_quota, expected) in [
        (&[][..], true, false, 1),
        (&["fe80::101/64"], true, false, 1),
        (&["169.254.3.4/16"], true, false, 0),
        (&["172.16.91.101/24"], true, false, 0),
        (&["2001:db8:91::101/64"], true, false, 0),
        (&[], false, false, 0),
        (&[], true, true, 0),
    ] {
        let mut child = child(7, addresses);
        (child.up, child.over_quota) = (up, over_quota);
        let found = noted(
            &snapshot(vec![child]),
            &Policy::default(),
            "without an address",
        );
        assert_eq!(found, expected, "{addresses:?}");
    }
}

#[test]
fn allowed_off_link_address_without_any_route_is_noted() {
    let policy = allowing(&["10.0.0.0/8", "2001:db8::/32"]);
    // Each family alone.
    for (text, gateway_of_family, prefix) in [
        ("10.0.1.10/24", GATEWAY, "10.0.0.0/16"),
        ("2001:db8:7::101/64", GATEWAY_V6, "2001:db8::/16"),
    ] {
        let mut snapshot = snapshot(vec![child(7, &[text])]);
        assert_eq!(noted(&snapshot, &policy, "no route"), 0, "{text}");
        assert_eq!(noted(&snapshot, &Policy::default(), "no route"), 0);
        snapshot.host.gateways.clear();
        assert_eq!(noted(&snapshot, &policy, "no route"), 1, "{text}");
        snapshot.host.gateways = [gateway(gateway_of_family, PARENT)].into();
        assert_eq!(noted(&snapshot, &policy, "no route"), 0, "{text}");
        snapshot.host.gateways.clear();
        // By another link it is reached elsewhere.
        snapshot
            .host
            .routes_on_link
            .push(on_link(prefix, PARENT + 1));
        assert_eq!(noted(&snapshot, &policy, "no route"), 0, "{text}");
    }
}

#[test]
fn each_mode_has_its_own_limit() {
    let notes = [Mode::L2, Mode::L3, Mode::L3s].map(note_of_mode);
    for (note, mode) in notes.iter().zip(["l2: ", "l3: ", "l3s: "]) {
        assert!(note.starts_with(mode), "{note}");
    }
}
