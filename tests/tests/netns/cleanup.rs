//! What `ipvlan cleanup` removes, and what it leaves.

use std::{fs, process::Command};

use nix::sys::signal::Signal;

use crate::common::{
    Dir, Ended, World, foreign, ipvlan,
    pins::Bpffs,
    world::{PARENT, configuration, ends, hooks_of, parent},
};

#[test]
fn cleanup_removes_what_is_ours_and_nothing_else() {
    for attach in ["tcx", "clsact"] {
        let options = ["--attach", attach, "--xdp", "generic"];
        let (world, dir, pins) = (World::new(), Dir::new(), Bpffs::mount());
        let tc = |words: &[&str]| {
            let mut command = Command::new("tc");
            world.host.command(command.args(words), "").unwrap()
        };
        tc(&["qdisc", "add", "dev", PARENT, "clsact"]);
        tc(&[
            "filter", "add", "dev", PARENT, "ingress", "protocol", "arp", "prio", "7", "u32",
            "match", "u32", "0", "0", "classid", "1:7",
        ]);
        // With filters it would run before ours, and the agent would not be ready.
        let foreign = (attach == "tcx").then(|| foreign::Tcx::attach(&world.host, PARENT));
        let before = world.attached(&[PARENT]);
        let filters = tc(&["filter", "show", "dev", PARENT, "ingress"]);

        let agent = pins.start(&world, &dir, &options);
        let refused = pins.cleanup(&world, &dir, &[]);
        assert_eq!(refused.code, Some(75), "{refused:?}");
        let says = format!(
            "error: an agent serves `{PARENT}` (pid {}): nothing of it was removed\nhint: stop the agent first",
            agent.pid()
        );
        assert!(refused.stderr.contains(&says), "{refused:?}");
        assert_eq!(refused.stdout, "", "{refused:?}");
        assert_eq!(hooks_of(&parent(&agent, 0)).len(), 3);
        ends(agent, Signal::SIGKILL);
        assert_ne!(world.attached(&[PARENT]), before);

        let elsewhere = pins.cleanup(&world, &dir, &["--iface", "lo"]);
        assert_eq!(elsewhere.stdout, "nothing to clean up\n", "{elsewhere:?}");
        let ended = pins.cleanup(&world, &dir, &["--iface", PARENT]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.starts_with("removed ens34: "), "{ended:?}");
        assert_eq!(world.attached(&[PARENT]), before, "{attach}");
        assert_eq!(tc(&["filter", "show", "dev", PARENT, "ingress"]), filters);
        assert_eq!(pins.tree(), [""; 0]);
        let again = pins.cleanup(&world, &dir, &[]);
        assert_eq!(
            (again.code, again.stdout.as_str()),
            (Some(0), "nothing to clean up\n")
        );
        assert!(!dir.path().exists(), "{:?}", dir.files());
        drop(foreign);
    }
}

/// As root does for the agent of a service, which runs as a user of its own.
#[test]
fn cleanup_removes_what_another_user_pinned_and_follows_no_link_of_his() {
    const NOBODY: u32 = 65534;
    let (world, dir, pins) = (World::new(), Dir::new(), Bpffs::mount());
    ends(pins.start(&world, &dir, &[]), Signal::SIGKILL);
    let kept = Dir::new();
    fs::create_dir(kept.path()).unwrap();
    fs::write(kept.path().join("file"), "").unwrap();
    let parents: Vec<_> = fs::read_dir(pins.pin_dir()).unwrap().flatten().collect();
    let [parent] = &parents[..] else {
        panic!("{parents:?}")
    };
    std::os::unix::fs::symlink(kept.path(), parent.path().join("v0")).unwrap();
    let mut chown = Command::new("chown");
    chown
        .args(["--recursive", "--no-dereference", &NOBODY.to_string()])
        .arg(pins.pin_dir());
    assert!(chown.status().unwrap().success());

    let ended = pins.cleanup(&world, &dir, &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with("removed ens34: "), "{ended:?}");
    world.assert_nothing_attached(&[PARENT]);
    assert_eq!(pins.tree(), [""; 0]);
    assert_eq!(kept.files(), ["file"]);
}

#[test]
fn cleanup_of_an_interface_that_is_not_there_is_an_error() {
    let (world, dir, pins) = (World::new(), Dir::new(), Bpffs::mount());
    world.cable("ens35", "lan1");
    ends(pins.start(&world, &dir, &[]), Signal::SIGKILL);
    ends(pins.start_on(&world, &dir, "ens35", &[]), Signal::SIGKILL);
    let ended = pins.cleanup(&world, &dir, &["--iface", "nosuch", "--iface", PARENT]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.starts_with("removed ens34: "), "{ended:?}");
    let says = "error: there is no interface `nosuch` in this network namespace, and nothing is pinned for one\n\
                hint: interfaces here: ";
    assert!(ended.stderr.contains(says), "{ended:?}");
    // It is gone, its pins are not.
    world.on_host("link delete ens35");
    let ended = pins.cleanup(&world, &dir, &["--iface", "ens35"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with("removed ens35: "), "{ended:?}");
    let ended = pins.cleanup(&world, &dir, &["--iface", "ens35"]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(1), ""),
        "{ended:?}"
    );
    assert_eq!(pins.tree(), [""; 0]);
}

#[test]
fn cleanup_looks_where_the_configuration_says() {
    let (world, dir, pins) = (World::new(), Dir::new(), Bpffs::mount());
    let (_kept, file) = configuration(&format!(
        "runtime-dir = {:?}\npin-dir = {:?}\n",
        dir.path(),
        pins.pin_dir()
    ));
    ends(pins.start(&world, &dir, &[]), Signal::SIGKILL);
    let mut command = Command::new(ipvlan());
    command.args(["cleanup", "--config"]).arg(file);
    let ended = Ended::of(command, &world);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with("removed ens34: "), "{ended:?}");
    assert_eq!(pins.tree(), [""; 0]);
    assert!(!dir.path().exists(), "{:?}", dir.files());
}

#[test]
fn cleanup_removes_the_filters_of_a_killed_agent_that_did_not_pin() {
    let (world, dir, pins) = (World::new(), Dir::new(), Bpffs::mount());
    let options = ["--attach", "clsact"];
    world.start_in(&dir, &[PARENT], &options).kill().unwrap();
    let ended = pins.cleanup(&world, &dir, &[]);
    assert_eq!(ended.stdout, "removed ens34: 2 filters\n", "{ended:?}");
    world.assert_nothing_attached(&[PARENT]);
}
