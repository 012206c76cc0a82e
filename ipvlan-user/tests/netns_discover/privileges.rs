//! Root that has kept only what the agent needs sees what all of root sees.

use std::{fs, time::Instant};

use ipvlan_user::{
    facts::{NetnsId, Snapshot},
    runtime::privilege,
};

use super::lab::{
    PARENT, Unnamed, child_kind, child_names, discover, everything, in_fresh_netns, ip,
};

/// The netns that hold children: id, names, process.
fn netnses(snapshot: &Snapshot) -> Vec<(NetnsId, Vec<String>, Option<i32>)> {
    let of = |id| {
        let netns = snapshot.netns(id).expect("its netns");
        (id, netns.names.clone(), netns.pid)
    };
    snapshot.children.iter().map(|it| of(it.netns)).collect()
}

#[test]
fn children_and_netns_are_found_with_the_four_capabilities_alone() {
    in_fresh_netns(async || {
        // The mounts of this thread are its own: no other netns directory is touched.
        fs::create_dir_all("/run/netns").expect("/run/netns");
        let (tmpfs, flags) = (Some("tmpfs"), nix::mount::MsFlags::empty());
        nix::mount::mount(tmpfs, "/run/netns", tmpfs, flags, None::<&str>).expect("mount");
        ip("netns add named");
        let kind = child_kind();
        ip(&format!(
            "link add child0 link {PARENT} netns named type {kind}"
        ));
        ip(&format!("link add child1 link {PARENT} type {kind}"));
        let known = Unnamed::new();
        known.create_child("child2");
        let before = everything(&mut discover());
        assert_eq!(before.children.len(), 3);

        // One that has no nsid yet.
        let new = Unnamed::new();
        new.create_child("child3");

        privilege::check().expect("run this test as root");
        privilege::drop_others().expect("drop");
        let mut discover = discover();
        let started = Instant::now();
        let after = everything(&mut discover);
        println!("a snapshot with four capabilities: {:?}", started.elapsed());
        assert!(child_names(&after).contains("child3"));
        let mut without_new = after;
        without_new.children.retain(|child| child.name != "child3");
        assert_eq!(netnses(&without_new), netnses(&before));
        for (now, then) in without_new.children.iter().zip(&before.children) {
            assert_eq!((&now.name, now.netns), (&then.name, then.netns));
            assert_eq!(now.addresses, then.addresses);
        }
        drop((known, new));
    });
}
