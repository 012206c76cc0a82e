//! Where the datapath is pinned: whatever others do to it is mended, and nobody else gets at it.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
    process::Command,
};

use ipvlan_common::{LAYOUT, maps};
use nix::sys::signal::Signal;

use crate::common::{
    Dir, Ended, SOON, World, ipvlan,
    pins::{Bpffs, TCX},
    wait_until,
    world::{PARENT, ends, parent},
};

#[test]
fn pins_that_somebody_removes_are_back_within_a_second() {
    let rows = [
        format!("v{LAYOUT}/{}", maps::ADDRESSES_V4),
        format!("v{LAYOUT}"),
        "ingress".to_owned(),
        "egress".to_owned(),
        String::new(),
        "..".to_owned(),
    ];
    let (world, dir, pins) = (World::new(), Dir::new(), Bpffs::mount());
    let agent = pins.start(&world, &dir, &[]);
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
        wait_until(
            SOON,
            &format!("{row} is back"),
            || pins.tree(),
            |now| *now == tree,
        );
        assert_eq!(world.attached(&[PARENT]), TCX, "{row}");
        assert!(pins.looks(&world), "{row}");
    }
    ends(agent, Signal::SIGKILL);
    assert_eq!(world.attached(&[PARENT]), TCX);
    assert!(pins.looks(&world));
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
            let path = pins.maps().join(maps::ADDRESSES_V4);
            fs::remove_file(&path).unwrap();
            fs::rename(pins.maps().join(maps::ADDRESSES_V6), path).unwrap();
        }),
        ("a map stands where a link was", |pins| {
            let path = pins.parent().join("ingress");
            fs::remove_file(&path).unwrap();
            fs::rename(pins.maps().join(maps::ADDRESSES_V6), path).unwrap();
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
        let (world, dir, pins) = (World::new(), Dir::new(), Bpffs::mount());
        ends(pins.start(&world, &dir, &[]), Signal::SIGKILL);
        let tree = pins.tree();
        damage(&pins);
        let agent = pins.start(&world, &dir, &[]);
        assert_eq!(parent(&agent, 0)["state"], "ready", "{what}");
        assert_eq!(world.attached(&[PARENT]), TCX, "{what}");
        assert_eq!(pins.tree(), tree, "{what}");
        assert!(pins.looks(&world), "{what}");
        ends(agent, Signal::SIGKILL);
    }
}

#[test]
fn nobody_else_can_get_at_the_maps() {
    const NOBODY: &str = "65534";
    let (world, dir, pins) = (World::new(), Dir::new(), Bpffs::mount());
    // As loose as can be.
    fs::set_permissions(pins.root(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::create_dir(pins.pin_dir()).unwrap();
    fs::set_permissions(pins.pin_dir(), fs::Permissions::from_mode(0o777)).unwrap();
    let agent = pins.start(&world, &dir, &[]);
    for path in [pins.pin_dir(), pins.parent(), pins.maps()] {
        let mode = fs::metadata(&path).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o700, "{}", path.display());
    }
    let map = pins.maps().join(maps::CONFIG);
    fs::set_permissions(&map, fs::Permissions::from_mode(0o666)).unwrap();
    let mut ask = Command::new("setpriv");
    ask.args(["--reuid", NOBODY, "--clear-groups", "cat"])
        .arg(&map);
    let ended = Ended::of(ask, &world);
    assert!(ended.stderr.contains("Permission denied"), "{ended:?}");
    ends(agent, Signal::SIGTERM);
}

#[test]
fn without_a_filesystem_for_pins_it_serves_and_says_so() {
    type Prepare = fn(&Bpffs) -> PathBuf;
    let rows: [(&str, Prepare, &str); 3] = [
        (
            "no BPF filesystem",
            |_| std::env::temp_dir().join("ipvlan"),
            "is not on a BPF filesystem",
        ),
        (
            "nothing there",
            |pins| pins.root().join("a/b"),
            "No such file or directory",
        ),
        (
            "read-only",
            |pins| {
                pins.read_only();
                pins.pin_dir()
            },
            "Read-only file system",
        ),
    ];
    for (what, prepare, says) in rows {
        let (world, dir, pins) = (World::new(), Dir::new(), Bpffs::mount());
        let path = prepare(&pins);
        let mut command = ipvlan_tests::agent::run_pinned(&ipvlan(), dir.path(), &[PARENT]);
        command.arg("--pin-dir").arg(&path);
        let runtime = dir.path().to_owned();
        let mut agent =
            ipvlan_tests::agent::Agent::spawn(command, &ipvlan(), runtime, &world.host).unwrap();
        agent.wait_ready(&[PARENT]).unwrap();
        let notes = parent(&agent, 0)["notes"].to_string();
        assert!(
            notes.contains("nothing is pinned") && notes.contains(says),
            "{what}: {notes}"
        );
        ends(agent, Signal::SIGTERM);
        world.assert_nothing_attached(&[PARENT]);
    }
}

#[test]
fn second_agent_is_refused_though_its_runtime_directory_is_another() {
    let (world, dir, other, pins) = (World::new(), Dir::new(), Dir::new(), Bpffs::mount());
    let agent = pins.start(&world, &dir, &[]);
    let ended = Ended::of(pins.command(&other, PARENT, &[]), &world);
    assert_eq!(ended.code, Some(75), "{ended:?}");
    let says = format!("already served by another agent (pid {})", agent.pid());
    assert!(ended.stderr.contains(&says), "{ended:?}");
    assert_eq!(world.attached(&[PARENT]), TCX);
    ends(agent, Signal::SIGTERM);
}
