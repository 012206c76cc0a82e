//! Conflicts that a snapshot shows.

use super::*;
use crate::protocol::ConflictKind;

/// The conflicts of the child with ifindex 7, as address and rival.
fn rivals(snapshot: &Snapshot) -> Vec<(IpAddr, Rival)> {
    let conflicts = usual(snapshot).conflicts.into_iter();
    let rival = conflicts.map(|conflict| {
        assert_eq!(conflict.child, key(7), "{conflict:?}");
        (conflict.address, conflict.rival)
    });
    rival.collect()
}

fn behind_other_parent(ifindex: u32, addresses: &[&str]) -> Child {
    Child {
        parent_ifindex: PARENT + 1,
        ..child(ifindex, addresses)
    }
}

#[test]
fn addresses_of_host_and_gateways_are_conflicts_that_name_the_link() {
    let host = Rival::Host { ifindex: PARENT };
    for (text, rival, kind) in [
        (HOST, host, ConflictKind::HostAddress),
        (HOST_V6, host, ConflictKind::HostAddress),
        (HOST_LINK_LOCAL, host, ConflictKind::HostAddress),
        (GATEWAY, Rival::Gateway, ConflictKind::GatewayAddress),
        (GATEWAY_V6, Rival::Gateway, ConflictKind::GatewayAddress),
    ] {
        let cidr = format!("{text}/24");
        let snapshot = snapshot(vec![child(7, &[&cidr, "172.16.91.101/24"])]);
        assert_eq!(rivals(&snapshot), [(address(text), rival)]);
        assert_eq!(usual(&snapshot).conflicts.first().unwrap().kind(), kind);
    }
}

#[test]
fn of_two_live_siblings_the_second_is_in_conflict_with_the_first() {
    for text in [CHILD, "fe80::101/64"] {
        let (first, second) = (child(6, &[text]), child(7, &[text]));
        let mut both = snapshot(vec![first.clone(), second.clone()]);
        let conflict = (cidr(text).local, Rival::Sibling(key(6)));
        assert_eq!(rivals(&both), [conflict]);
        // It is answered all the same: there is one MAC for both.
        assert_eq!(usual(&both).children[1].addresses[0].refusal, None);

        both.children[0].up = false;
        assert_eq!(rivals(&both), [], "one that is down");
    }
}

#[test]
fn siblings_stay_in_conflict_while_both_are_withheld() {
    let text = CHILD;
    let snapshot = snapshot(vec![child(6, &[text]), child(7, &[text])]);
    let withheld = BTreeMap::from([(cidr(text).local, Reason::Duplicate)]);
    let desired = desired(&snapshot, &snapshot.links[0], &Policy::default(), &withheld);
    let rivals: Vec<Rival> = desired.conflicts.iter().map(|it| it.rival).collect();
    assert_eq!(rivals, [Rival::Sibling(key(6))]);
}

#[test]
fn an_address_behind_another_parent_is_a_conflict_and_answered() {
    for text in [CHILD, CHILD_V6] {
        let mut snapshot = snapshot(vec![child(7, &[text]), behind_other_parent(8, &[text])]);
        let rival = Rival::OtherParent {
            child: key(8),
            parent: PARENT + 1,
        };
        assert_eq!(rivals(&snapshot), [(cidr(text).local, rival)]);
        assert_eq!(refusal(&usual(&snapshot)), None);

        snapshot.children[1].up = false;
        assert_eq!(rivals(&snapshot), [], "the other is down");
        snapshot.children[1].up = true;
        snapshot.children[0].up = false;
        assert_eq!(rivals(&snapshot), [], "ours is down");
    }
}

#[test]
fn link_local_addresses_of_other_parents_are_other_addresses() {
    let policy = Policy {
        answer_link_local: true,
        ..Policy::default()
    };
    for text in ["fe80::101/64", "169.254.3.4/16"] {
        let snapshot = snapshot(vec![child(7, &[text]), behind_other_parent(8, &[text])]);
        let desired = decide(&snapshot, &policy);
        assert!(desired.conflicts.is_empty(), "{text}");
        assert_eq!(refusal(&desired), None);
    }
}

#[test]
fn a_peer_address_names_what_the_driver_delivers_instead() {
    let mut child = child(7, &["10.9.9.1/32"]);
    child.addresses[0].peer = Some(address("10.9.9.2"));
    let peer = Rival::Peer(address("10.9.9.2"));
    assert_eq!(
        rivals(&snapshot(vec![child])),
        [(address("10.9.9.1"), peer)]
    );
}

#[test]
fn children_in_peace_are_in_no_conflict() {
    let addresses = [CHILD, CHILD_V6, "fe80::101/64"];
    let others = ["172.16.91.102/24", "2001:db8:91::102/64", "fe80::102/64"];
    let snapshot = snapshot(vec![child(7, &addresses), child(8, &others)]);
    assert_eq!(rivals(&snapshot), []);
}
