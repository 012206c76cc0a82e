//! What outlives the agent, and how the next one takes it over.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests panic, and so do their parts outside of `#[test]` functions"
)]

mod netns;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use ipvlan_common::{LAYOUT, Reason, maps};
use nix::sys::signal::Signal;

use self::netns::{
    Dir, Ended, PATIENCE, SOON, World, foreign, ipvlan,
    pins::Bpffs,
    wait_until,
    world::{HOST_IP, PARENT, counted, hooks_of, parent},
};

const TCX: [&str; 2] = [
    "ens34: 1 TCX programs on ingress",
    "ens34: 1 TCX programs on egress",
];

fn ends(agent: ipvlan_tests::agent::Agent, signal: Signal) {
    let mut agent = agent;
    agent.signal(signal).unwrap();
    agent.wait(PATIENCE).unwrap();
}

/// Whether the programs look at what the LAN asks.
fn looks(world: &World, pins: &Bpffs) -> bool {
    let before = pins.counted(Reason::HostAddress);
    assert!(world.arp(HOST_IP, PATIENCE).is_some());
    pins.counted(Reason::HostAddress) > before
}

#[test]
fn datapath_outlives_its_agent_and_the_next_one_takes_it_over() {
    let rows: [(&[&str], &[&str]); 4] = [
        (&["--attach", "tcx"], &["ens34/egress", "ens34/ingress"]),
        (&["--attach", "clsact"], &["ens34/clsact"]),
        (&["--no-host-access"], &["ens34/ingress"]),
        (
            &["--xdp", "generic"],
            &["ens34/egress", "ens34/ingress", "ens34/xdp-generic"],
        ),
    ];
    for (options, expected) in rows {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            let shown = format!("{options:?}, {signal}");
            let (world, dir, pins) = (World::new(), Dir::new(), Bpffs::mount());
            let agent = pins.start(&world, &dir, options);
            let status = parent(&agent, 0);
            let path = pins.parent().display().to_string();
            assert_eq!(status["pinned"], path.as_str(), "{shown}");
            let attached = world.attached(&[PARENT]);
            let tree: Vec<String> = pins.tree();
            let beside_maps = tree.iter().filter(|path| !path.contains("/v"));
            let beside_maps: Vec<&str> = beside_maps.map(String::as_str).skip(1).collect();
            assert_eq!(beside_maps, expected, "{shown}");
            ends(agent, signal);
            assert_eq!(
                without_ids(&world.attached(&[PARENT])),
                without_ids(&attached),
                "{shown}"
            );
            assert_eq!(pins.tree(), tree, "{shown}");
            if !options.contains(&"--xdp") {
                assert!(looks(&world, &pins), "{shown}");
            }

            let links: Vec<u32> = expected
                .iter()
                .filter_map(|name| name.strip_prefix("ens34/"))
                .filter(|name| *name != "clsact")
                .map(|name| pins.link_id(name))
                .collect();
            let before = pins.counted(Reason::HostAddress);
            let agent = pins.start(&world, &dir, options);
            assert!(
                agent.said().contains("taking over from an agent before"),
                "{shown}"
            );
            assert_eq!(hooks_of(&parent(&agent, 0)), hooks_of(&status), "{shown}");
            let now: Vec<u32> = expected
                .iter()
                .filter_map(|name| name.strip_prefix("ens34/"))
                .filter(|name| *name != "clsact")
                .map(|name| pins.link_id(name))
                .collect();
            assert_eq!(now, links, "{shown}: the links are the same");
            assert_ne!(
                program_ids(&parent(&agent, 0)),
                program_ids(&status),
                "{shown}"
            );
            assert!(
                counted(&parent(&agent, 0), "ingress", "host_address") >= before,
                "{shown}"
            );
            assert_eq!(
                without_ids(&world.attached(&[PARENT])),
                without_ids(&attached),
                "{shown}"
            );
            ends(agent, Signal::SIGKILL);
        }
    }
}

/// Ids of programs in what `tc` and `ip` show change with every agent.
fn without_ids(attached: &[String]) -> Vec<String> {
    let is_id = |word: &&str| !word.bytes().all(|byte| byte.is_ascii_digit());
    let strip = |line: &String| line.split(' ').filter(is_id).collect::<Vec<_>>().join(" ");
    attached.iter().map(strip).collect()
}

fn program_ids(parent: &serde_json::Value) -> Vec<u64> {
    let hooks = parent["hooks"].as_array().unwrap();
    hooks
        .iter()
        .map(|hook| hook["program_id"].as_u64().unwrap())
        .collect()
}

#[test]
fn next_agent_may_want_it_otherwise() {
    let clsact = ["--attach", "clsact"];
    let rows: [(&[&str], &[&str], &[&str]); 7] = [
        (&[], &clsact, &["ingress by clsact", "egress by clsact"]),
        (&clsact, &[], &["ingress by tcx", "egress by tcx"]),
        (&[], &["--no-host-access"], &["ingress by tcx"]),
        (
            &clsact,
            &["--attach", "clsact", "--no-host-access"],
            &["ingress by clsact"],
        ),
        (
            &["--xdp", "generic"],
            &[],
            &["ingress by tcx", "egress by tcx"],
        ),
        (
            &["--xdp", "generic"],
            &["--xdp", "native"],
            &["ingress by tcx", "egress by tcx", "xdp by xdp-native"],
        ),
        // Maps of another size are other maps.
        (
            &[],
            &["--max-addresses", "99"],
            &["ingress by tcx", "egress by tcx"],
        ),
    ];
    for (first, second, expected) in rows {
        let shown = format!("{first:?}, then {second:?}");
        let (world, dir, pins) = (World::new(), Dir::new(), Bpffs::mount());
        ends(pins.start(&world, &dir, first), Signal::SIGKILL);
        let agent = pins.start(&world, &dir, second);
        assert_eq!(hooks_of(&parent(&agent, 0)), expected, "{shown}");
        // Nothing of the first is left beside it.
        let attached = world.attached(&[PARENT]).len();
        // The qdisc, and two lines for each filter.
        let lines = if second.contains(&"clsact") {
            1 + 2 * expected.len()
        } else {
            expected.len()
        };
        let shown_attached = world.attached(&[PARENT]);
        assert_eq!(attached, lines, "{shown}: {shown_attached:?}");
        assert!(
            !pins.tree().iter().any(|path| path.ends_with("-new")),
            "{shown}"
        );
        ends(agent, Signal::SIGTERM);
        assert_eq!(world.attached(&[PARENT]).len(), attached, "{shown}");
        let ended = pins.cleanup(&world, &dir, &[]);
        assert_eq!(ended.code, Some(0), "{shown}: {ended:?}");
        world.assert_nothing_attached(&[PARENT]);
        assert_eq!(pins.tree(), [""; 0], "{shown}");
    }
}

#[test]
fn agent_that_does_not_pin_takes_over_and_ends_with_all_of_it() {
    for attach in ["tcx", "clsact"] {
        let (world, dir, pins) = (World::new(), Dir::new(), Bpffs::mount());
        let options = ["--attach", attach];
        ends(pins.start(&world, &dir, &options), Signal::SIGKILL);
        let agent = pins.start(&world, &dir, &["--attach", attach, "--no-pin"]);
        assert_eq!(parent(&agent, 0)["pinned"], serde_json::Value::Null);
        assert_eq!(pins.tree(), [""; 0]);
        assert_eq!(hooks_of(&parent(&agent, 0)).len(), 2);
        ends(agent, Signal::SIGTERM);
        world.assert_nothing_attached(&[PARENT]);
    }
}

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
        assert!(looks(&world, &pins), "{row}");
    }
    ends(agent, Signal::SIGKILL);
    assert_eq!(world.attached(&[PARENT]), TCX);
    assert!(looks(&world, &pins));
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
        assert!(looks(&world, &pins), "{what}");
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
        let foreign = foreign::Tcx::attach(&world.host, PARENT);
        let before = world.attached(&[PARENT]);
        let filters = tc(&["filter", "show", "dev", PARENT, "ingress"]);

        let agent = pins.start(&world, &dir, &options);
        let refused = pins.cleanup(&world, &dir, &[]);
        assert_eq!(refused.code, Some(75), "{refused:?}");
        let pid = format!("(pid {})", agent.pid());
        assert!(refused.stderr.contains(&pid), "{refused:?}");
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

    // Root's own agent does not use it.
    let refused = Ended::of(pins.command(&dir, PARENT, &[]), &world);
    assert_eq!(refused.code, Some(77), "{refused:?}");
    assert!(
        refused.stderr.contains("belongs to uid 65534"),
        "{refused:?}"
    );
    assert_eq!(world.attached(&[PARENT]).len(), 2);

    let ended = pins.cleanup(&world, &dir, &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with("removed ens34: "), "{ended:?}");
    world.assert_nothing_attached(&[PARENT]);
    assert_eq!(pins.tree(), [""; 0]);
    assert_eq!(kept.files(), ["file"]);
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

#[test]
fn parent_that_changed_while_nobody_looked_is_found_again() {
    let (world, dir, pins) = (World::new(), Dir::new(), Bpffs::mount());
    ends(pins.start(&world, &dir, &[]), Signal::SIGKILL);
    world.on_host(&format!("link set {PARENT} down"));
    world.on_host(&format!("link set {PARENT} name eth0.100"));
    world.on_host("link set eth0.100 up");
    let link = pins.link_id("ingress");
    let agent = pins.start_on(&world, &dir, "eth0.100", &[]);
    assert_eq!(pins.link_id("ingress"), link);
    assert_eq!(pins.tree()[0], "eth0_100");
    ends(agent, Signal::SIGKILL);

    world.on_host("link delete eth0.100");
    world.cable(PARENT, "lan1");
    let agent = pins.start(&world, &dir, &[]);
    assert!(
        agent
            .said()
            .contains("removed what was pinned for eth0_100"),
        "{}",
        agent.said()
    );
    assert_eq!(pins.tree()[0], "ens34");
    assert_eq!(world.attached(&[PARENT]), TCX);
    ends(agent, Signal::SIGTERM);
}

#[test]
fn programs_stop_answering_when_no_agent_was_alive_for_long_enough() {
    let (world, dir, pins) = (World::new(), Dir::new(), Bpffs::mount());
    let patience = Duration::from_secs(4);
    let ask = || {
        world.arp(HOST_IP, PATIENCE);
        (
            pins.counted(Reason::Stale),
            pins.counted(Reason::HostAddress),
        )
    };
    let agent = pins.start(&world, &dir, &["--stale-after", "1"]);
    // An agent that has nothing to do says often enough that it lives.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(ask().0, 0);
    ends(agent, Signal::SIGKILL);
    let stale = wait_until(patience, "stale", ask, |(stale, _)| *stale > 0);
    assert_eq!(ask(), (stale.0 + 1, stale.1), "the host answers by itself");

    let agent = pins.start(&world, &dir, &["--stale-after", "0"]);
    ends(agent, Signal::SIGKILL);
    std::thread::sleep(Duration::from_secs(2));
    let alive = ask();
    assert_eq!(ask(), (alive.0, alive.1 + 1));
    // Time is counted from when the machine started.
    pins.set_deadline(1);
    assert_eq!(ask(), (alive.0 + 1, alive.1 + 1));
}
