//! The pinned datapath: what another process does to it is repaired, and no other user gets at it.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
};

use ipvlan_common::{LAYOUT, maps};
use ipvlan_tests::agent;
use nix::sys::signal::Signal;

use crate::common::{
    ATTACHED_TCX, Bpffs, Dir, Node, PARENT, Reports as _, SOON, as_user, ends, ipvlan, wait_until,
};

#[test]
fn pins_that_another_process_removes_are_back_within_a_second() {
    let rows = [
        format!("v{LAYOUT}/{}", maps::ADDRESSES_V4),
        format!("v{LAYOUT}"),
        "ingress".to_owned(),
        "egress".to_owned(),
        String::new(),
        "..".to_owned(),
    ];
    let node = Node::pinned();
    let pins = node.pins();
    let agent = node.start(&[]);
    let tree = pins.tree();
    for row in rows {
        let path = if row == ".." {
            pins.pin_dir()
        } else {
            pins.parent().join(&row)
        };
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        wait_until(SOON, &row, || pins.tree(), |now| *now == tree);
        assert_eq!(node.attached(&[PARENT]), ATTACHED_TCX, "{row}");
        pins.assert_programs_run(&node);
    }
    ends(agent, Signal::SIGKILL);
    assert_eq!(node.attached(&[PARENT]), ATTACHED_TCX);
    pins.assert_programs_run(&node);
}

#[test]
fn whatever_became_of_the_pins_meanwhile_the_next_agent_is_ready() {
    type Damage = fn(&Bpffs);
    let rows: [(&str, Damage); 8] = [
        ("a map is gone", |pins| {
            fs::remove_file(pins.maps().join(maps::CONFIG)).unwrap();
        }),
        ("all maps are gone", |pins| {
            fs::remove_dir_all(pins.maps()).unwrap();
        }),
        ("a link is gone", |pins| {
            fs::remove_file(pins.parent().join("ingress")).unwrap();
        }),
        ("all is gone", |pins| {
            fs::remove_dir_all(pins.pin_dir()).unwrap();
        }),
        ("a map is another one", |pins| {
            replace(pins, pins.maps().join(maps::ADDRESSES_V4));
        }),
        ("a map stands where a link was", |pins| {
            replace(pins, pins.parent().join("ingress"));
        }),
        ("the layout is an old one", |pins| {
            fs::rename(pins.maps(), pins.parent().join("v1")).unwrap();
        }),
        ("an agent died before its maps were complete", |pins| {
            let staging = pins.parent().join(format!("v{LAYOUT}-new"));
            fs::create_dir(&staging).unwrap();
            fs::rename(pins.maps().join(maps::CONFIG), staging.join(maps::CONFIG)).unwrap();
        }),
    ];
    for (what, damage) in rows {
        println!("{what}");
        let node = Node::pinned();
        let pins = node.pins();
        ends(node.start(&[]), Signal::SIGKILL);
        let tree = pins.tree();
        damage(pins);
        let agent = node.start(&[]);
        agent.assert_ready();
        assert_eq!(node.attached(&[PARENT]), ATTACHED_TCX);
        assert_eq!(pins.tree(), tree);
        pins.assert_programs_run(&node);
        ends(agent, Signal::SIGKILL);
    }
}

/// Puts another map in the place of a pin.
fn replace(pins: &Bpffs, path: PathBuf) {
    fs::remove_file(&path).unwrap();
    fs::rename(pins.maps().join(maps::ADDRESSES_V6), path).unwrap();
}

#[test]
fn nobody_else_can_get_at_the_maps() {
    let set = |path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let node = Node::pinned();
    let pins = node.pins();
    // As loose as can be.
    set(pins.root().to_owned(), 0o777);
    fs::create_dir(pins.pin_dir()).unwrap();
    set(pins.pin_dir(), 0o777);
    let agent = node.start(&[]);
    for path in [pins.pin_dir(), pins.parent(), pins.maps()] {
        let mode = fs::metadata(&path).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o700, "{}", path.display());
    }
    let map = pins.maps().join(maps::CONFIG);
    set(map.clone(), 0o666);
    let mut read = as_user(65534);
    read.arg("cat").arg(&map);
    node.ended(read).reports("Permission denied");
    ends(agent, Signal::SIGTERM);
}

#[test]
fn without_a_filesystem_for_pins_it_serves_and_says_so() {
    let (node, pins) = (Node::new(), Bpffs::mount());
    let rows = [
        (
            std::env::temp_dir().join("ipvlan"),
            "is not on a BPF filesystem",
        ),
        (pins.root().join("a/b"), "No such file or directory"),
        (pins.pin_dir(), "Read-only file system"),
    ];
    for (path, reason) in rows {
        if path == pins.pin_dir() {
            pins.read_only();
        }
        let mut command = agent::run_pinned(&ipvlan(), node.dir.path(), &[PARENT]);
        command.arg("--pin-dir").arg(&path);
        let agent = node.ready(command, &[PARENT]);
        let notes = agent.notes();
        assert!(notes.contains("nothing is pinned"), "{reason}: {notes}");
        assert!(notes.contains(reason), "{reason}: {notes}");
        ends(agent, Signal::SIGTERM);
        node.assert_nothing_attached(&[PARENT]);
    }
}

#[test]
fn second_agent_is_refused_though_its_runtime_directory_is_another() {
    let mut node = Node::pinned();
    let agent = node.start(&[]);
    let first = std::mem::replace(&mut node.dir, Dir::new());
    let refusal = format!("already served by another agent (pid {})", agent.pid());
    node.fails(&[PARENT], &[]).exits(75).reports(&refusal);
    assert_eq!(node.attached(&[PARENT]), ATTACHED_TCX);
    ends(agent, Signal::SIGTERM);
    drop(first);
}
