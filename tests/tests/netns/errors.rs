//! How a start that cannot succeed fails: exit code, what it says, what to do, and nothing left.

use ipvlan_tests::{agent, agent::Agent};

use crate::common::{
    Dir, Ended, PATIENCE, World, foreign, ipvlan,
    world::{HOST_IP, PARENT, counted, hooks_of, parent},
};

/// A start that fails.
struct Row {
    parents: &'static [&'static str],
    options: &'static [&'static str],
    code: i32,
    says: &'static str,
    /// Empty: there is no hint.
    hint: &'static str,
}

#[test]
fn start_that_cannot_succeed_says_why_and_what_to_do() {
    let world = World::new();
    world.cable("ens35", "lan1");
    world.cable("port0", "lan2");
    world.on_host("link add br0 type bridge");
    world.on_host("link set port0 master br0");
    let rows = [
        Row {
            parents: &["ens99"],
            options: &[],
            code: 1,
            says: "error: there is no interface `ens99` in this network namespace\n",
            hint: "hint: interfaces here: ",
        },
        Row {
            parents: &["port0"],
            options: &[],
            code: 1,
            says: "error: `port0` is a port of bridge `br0`\n",
            hint: "hint: ipvlan cannot have it as its parent: take it out of the master",
        },
        Row {
            parents: &["lo"],
            options: &[],
            code: 1,
            says: "error: `lo` is not an Ethernet interface (hardware type 772)\n",
            hint: "hint: children of it need no neighbours answered\n",
        },
        Row {
            parents: &["sixteen-letters!"],
            options: &[],
            code: 2,
            says: "longer than 15 bytes",
            hint: "",
        },
        Row {
            parents: &["a/b"],
            options: &[],
            code: 2,
            says: "'/' cannot be in an interface name",
            hint: "",
        },
        Row {
            parents: &[""],
            options: &[],
            code: 2,
            says: "invalid value '' for '--iface <NAME>': not an interface name",
            hint: "",
        },
        Row {
            parents: &[],
            // A machine that the agent is installed on has a file of its own.
            options: &["--config", "/dev/null"],
            code: 2,
            says: "error: no parent is named, neither on the command line nor in /dev/null ",
            hint: "hint: name the parent interface of the children: `--iface eth0`, or ",
        },
        // None of several.
        Row {
            parents: &["ens99", "port0"],
            options: &[],
            code: 1,
            says: "error: there is no interface `ens99`",
            hint: "hint: interfaces here: ",
        },
        Row {
            parents: &["port0", "ens99"],
            options: &["--attach", "clsact", "--xdp", "generic"],
            code: 1,
            says: "`port0` is a port of bridge `br0`",
            hint: "hint: ",
        },
    ];
    for row in rows {
        let shown = format!("{:?} {:?}", row.parents, row.options);
        let dir = Dir::new();
        let ended = Ended::run(&world, &dir, row.parents, row.options);
        assert_eq!(ended.code, Some(row.code), "{shown}: {ended:?}");
        assert!(ended.stderr.contains(row.says), "{shown}: {ended:?}");
        assert!(ended.stderr.contains(row.hint), "{shown}: {ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{shown}: {ended:?}");
        assert_eq!(ended.stdout, "", "{shown}");
        assert!(!dir.path().exists(), "{shown}: {:?}", dir.files());
        world.assert_nothing_attached(&[PARENT, "ens35", "port0"]);
    }
}

#[test]
fn parent_that_cannot_be_served_waits_while_another_one_is() {
    let world = World::new();
    // Its driver runs no XDP.
    world.on_host("link add ens35 type bridge");
    world.cable("port0", "lan2");
    world.on_host("link add br0 type bridge");
    world.on_host("link set port0 master br0");
    let dir = Dir::new();
    // Before and behind the one that can.
    let parents = ["ens99", "port0", PARENT, "ens35"];
    let mut command = agent::run(&ipvlan(), dir.path(), &parents);
    command.args(["--xdp", "native"]);
    let path = dir.path().to_owned();
    let mut agent = Agent::spawn(command, &ipvlan(), path, &world.host).unwrap();
    agent.wait_ready(&[PARENT]).unwrap();
    let shown = agent.status().unwrap();
    assert_eq!(shown["parents"][2]["state"], "ready", "{shown}");
    let rows = [
        (0, "there is no interface `ens99` in this network namespace"),
        (1, "`port0` is a port of bridge `br0`"),
        (
            3,
            "attach to `ens35`: `ens35` does not run the XDP program in mode xdp-native: ",
        ),
    ];
    for (index, reason) in rows {
        let parent = &shown["parents"][index];
        assert_eq!(parent["name"], parents[index]);
        assert_eq!(parent["state"], "waiting", "{parent}");
        assert!(
            parent["reason"].as_str().unwrap().starts_with(reason),
            "{parent}"
        );
        let said = agent.said();
        let times = said.matches(&format!("waiting: {reason}")).count();
        assert_eq!(times, 1, "{said}");
    }
    assert_eq!(shown["sync"]["failed"], 0, "{}", agent.said());
    world.arp(HOST_IP, PATIENCE).unwrap();

    // Each as soon as it can.
    world.cable("ens99", "lan3");
    world.on_host("link set port0 nomaster");
    world.on_host("link delete ens35");
    world.cable("ens35", "lan1");
    agent.wait_ready(&parents).unwrap();
    agent.stop().unwrap();
    world.assert_nothing_attached(&parents);
}

#[test]
fn options_that_cannot_be_are_refused_with_what_can() {
    let world = World::new();
    let rows: [(&[&str], &str); 6] = [
        (
            &["--stale-after", "1"],
            "the smallest value is 2, or 0 without limit",
        ),
        (&["--max-addresses", "0"], "0 is not in 1..=1048576"),
        (&["--attach", "xdp"], "[possible values: auto, tcx, clsact]"),
        (
            &["--dad", "maybe"],
            "[possible values: off, optimistic, strict]",
        ),
        (
            &["--allow", "192.0.2.0/24", "--deny", "192.0.2.7/28"],
            "`192.0.2.7/28` has bits set behind the prefix: 192.0.2.0/28 is meant",
        ),
        (
            &["--allow", "2001:db8::/129"],
            "`129` is not a length from 0 to 128",
        ),
    ];
    for (options, says) in rows {
        let dir = Dir::new();
        let ended = Ended::run(&world, &dir, &[PARENT], options);
        assert_eq!(ended.code, Some(2), "{options:?}: {ended:?}");
        assert!(ended.stderr.contains(says), "{options:?}: {ended:?}");
        assert!(!dir.path().exists(), "{options:?}");
        world.assert_nothing_attached(&[PARENT]);
    }
}

#[test]
fn second_agent_on_a_parent_ends_with_75_and_names_the_first() {
    let world = World::new();
    world.cable("ens35", "lan1");
    let dir = Dir::new();
    let first = world.start_in(&dir, &[PARENT], &[]);
    let before = world.attached(&[PARENT, "ens35"]);
    for parents in [&[PARENT][..], &["ens35", PARENT]] {
        let ended = Ended::run(&world, &dir, parents, &[]);
        assert_eq!(ended.code, Some(75), "{ended:?}");
        let says = format!(
            "error: `{PARENT}` is already served by another agent (pid {})\n",
            first.pid()
        );
        assert!(ended.stderr.contains(&says), "{ended:?}");
        assert!(
            ended.stderr.contains("hint: see `ipvlan status`"),
            "{ended:?}"
        );
        assert_eq!(world.attached(&[PARENT, "ens35"]), before);
    }
    assert_eq!(parent(&first, 0)["state"], "ready");
    first.stop().unwrap();
}

#[test]
fn of_two_agents_started_at_the_same_moment_exactly_one_serves() {
    let world = World::new();
    for round in 0..10 {
        let dir = Dir::new();
        let options: &[&str] = if round % 2 == 0 {
            &[]
        } else {
            &["--attach", "clsact"]
        };
        let start = || {
            let mut command = agent::run(&ipvlan(), dir.path(), &[PARENT]);
            command.args(options);
            Agent::spawn(command, &ipvlan(), dir.path().to_owned(), &world.host).unwrap()
        };
        let mut agents = [start(), start()];
        let loser = crate::common::wait_until(
            PATIENCE,
            "one of them has ended",
            || agents.iter_mut().position(Agent::has_ended),
            Option::is_some,
        )
        .unwrap();
        let [first, second] = agents;
        let (mut lost, mut won) = if loser == 0 {
            (first, second)
        } else {
            (second, first)
        };
        let code = lost.wait(PATIENCE).unwrap().code();
        assert_eq!(code, Some(75), "round {round}: {}", lost.said());
        won.wait_ready(&[PARENT]).unwrap();
        let says = format!("(pid {})", won.pid());
        crate::common::wait_until(
            PATIENCE,
            "the winner is named",
            || lost.said(),
            |said| said.contains(&says),
        );
        won.stop().unwrap();
        world.assert_nothing_attached(&[PARENT]);
    }
}

#[test]
fn foreign_xdp_program_is_named_and_stays_and_the_tc_programs_serve() {
    let world = World::new();
    let foreign = foreign::Xdp::attach(&world.host, PARENT);
    let before = world.attached(&[PARENT]);
    assert_eq!(before.len(), 1);
    for mode in ["generic", "native"] {
        for attach in ["tcx", "clsact"] {
            let options = ["--xdp", mode, "--attach", attach];
            let agent = world.start(&[PARENT], &options);
            let shown = parent(&agent, 0);
            let tc = [
                format!("ingress by {attach}"),
                format!("egress by {attach}"),
            ];
            assert_eq!(hooks_of(&shown), tc, "{options:?}");
            let says = format!(
                "another XDP program (id {}) is attached to `{PARENT}`: it stays, and the TC programs answer",
                foreign.program_id()
            );
            assert!(
                shown["notes"].to_string().contains(&says),
                "{options:?}: {}",
                shown["notes"]
            );
            assert!(
                agent.said().contains(&says),
                "{options:?}: {}",
                agent.said()
            );
            assert!(world.arp(HOST_IP, PATIENCE).is_some());
            assert!(counted(&parent(&agent, 0), "ingress", "host_address") > 0);
            agent.stop().unwrap();
            assert_eq!(world.attached(&[PARENT]), before, "{options:?}");
        }
    }
}

#[test]
fn unusable_runtime_directory_is_named_and_nothing_stays_attached() {
    let world = World::new();
    let dir = Dir::new();
    std::fs::write(dir.path(), "a file").unwrap();
    let ended = Ended::run(&world, &dir, &[PARENT], &[]);
    std::fs::remove_file(dir.path()).unwrap();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains(&dir.path().display().to_string()),
        "{ended:?}"
    );
    world.assert_nothing_attached(&[PARENT]);
}
