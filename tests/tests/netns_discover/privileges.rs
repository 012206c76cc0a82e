//! Root that has kept only what the agent needs sees what all of root sees.

use std::time::Instant;

use ipvlan_user::{
    facts::{NetnsId, Snapshot},
    runtime::privilege,
};

use super::lab::{Container, Lab, child_in, child_names, create_child, ip, on_host, private_names};

/// The netns that hold children: id, names, process.
fn netnses(snapshot: &Snapshot) -> Vec<(NetnsId, Vec<String>, Option<i32>)> {
    let of = |id| {
        let netns = snapshot.netns(id).unwrap();
        (id, netns.names.clone(), netns.pids.lowest())
    };
    snapshot.children.iter().map(|it| of(it.netns)).collect()
}

#[test]
fn children_and_netns_are_found_with_the_four_capabilities_alone() {
    on_host(async |mut lab| {
        private_names();
        ip("netns add named");
        ip(&child_in("child0", "named"));
        create_child("child1");
        let known = Container::new();
        known.create_child("child2");
        let before = lab.everything();
        assert_eq!(before.children.len(), 3);

        // One that has no nsid yet.
        let new = Container::new();
        new.create_child("child3");

        privilege::check().expect("run this test as root");
        privilege::drop_others().unwrap();
        let mut lab = Lab::new();
        let started = Instant::now();
        let mut after = lab.everything();
        println!("a snapshot with four capabilities: {:?}", started.elapsed());
        assert!(child_names(&after).contains("child3"));
        after.children.retain(|child| child.name != "child3");
        assert_eq!(netnses(&after), netnses(&before));
        for (now, then) in after.children.iter().zip(&before.children) {
            assert_eq!((&now.name, now.netns), (&then.name, then.netns));
            assert_eq!(now.addresses, then.addresses);
        }
        drop((known, new));
    });
}
