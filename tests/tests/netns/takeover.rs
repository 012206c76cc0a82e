//! What outlives the agent, and how the next one takes it over.

use std::time::Duration;

use ipvlan_common::Reason;
use ipvlan_tests::lab::receive_xdp;
use nix::sys::signal::Signal;

use crate::common::{
    Dir, PATIENCE, World,
    pins::{Bpffs, TCX},
    wait_until,
    world::{HOST_IP, LAN, PARENT, counted, ends, hooks_of, parent},
};

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
                assert!(pins.looks(&world), "{shown}");
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
                agent.said().contains("taking over from an earlier agent"),
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
        let _receives = receive_xdp(&world.lan, LAN).unwrap();
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
        agent.said().contains("removed the pins of eth0_100"),
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
    let patience = Duration::from_secs(5);
    let ask = || {
        world.arp(HOST_IP, PATIENCE);
        (
            pins.counted(Reason::Stale),
            pins.counted(Reason::HostAddress),
        )
    };
    let agent = pins.start(&world, &dir, &["--stale-after", "2"]);
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
