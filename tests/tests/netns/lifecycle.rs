//! What a running agent attaches, and that nothing of it is left when it has ended.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use ipvlan_tests::{agent::Agent, lab::receive_xdp};
use nix::sys::signal::Signal;

use crate::common::{
    Dir, Ended, PATIENCE, SOON, World, foreign, ipvlan, wait_until,
    world::{HOST_IP, LAN, PARENT, counted, hooks_of, parent},
};

/// The foreign filter of these tests: passes every ARP frame.
const FOREIGN_FILTER: &[&str] = &[
    "filter", "add", "dev", PARENT, "ingress", "protocol", "arp", "prio", "7", "u32", "match",
    "u32", "0", "0", "classid", "1:7",
];

fn tc(world: &World, words: &[&str]) -> String {
    world
        .host
        .command(Command::new("tc").args(words), "")
        .unwrap()
}

fn add_clsact(world: &World) {
    tc(world, &["qdisc", "add", "dev", PARENT, "clsact"]);
}

fn clsact(world: &World) -> bool {
    tc(world, &["qdisc", "show", "dev", PARENT]).contains("clsact")
}

fn filters(world: &World) -> String {
    tc(world, &["filter", "show", "dev", PARENT, "ingress"])
        + &tc(world, &["filter", "show", "dev", PARENT, "egress"])
}

#[test]
fn options_choose_the_hooks_and_every_stop_leaves_nothing() {
    const TCX: [&str; 2] = ["ingress by tcx", "egress by tcx"];
    const CLSACT: [&str; 2] = ["ingress by clsact", "egress by clsact"];
    let rows: [(&[&str], &[&str]); 8] = [
        (&[], &TCX),
        (&["--attach", "auto"], &TCX),
        (&["--attach", "tcx"], &TCX),
        (&["--attach", "clsact"], &CLSACT),
        (&["--no-host-access"], &TCX[..1]),
        (&["--no-host-access", "--attach", "clsact"], &CLSACT[..1]),
        (
            &["--xdp", "generic"],
            &[TCX[0], TCX[1], "xdp by xdp-generic"],
        ),
        (&["--xdp", "native"], &[TCX[0], TCX[1], "xdp by xdp-native"]),
    ];
    let world = World::new();
    let _receives = receive_xdp(&world.lan, LAN).unwrap();
    for (options, expected) in rows {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let agent = world.start(&[PARENT], options);
            let shown = parent(&agent, 0);
            assert_eq!(shown["state"], "ready", "{options:?}");
            assert_eq!(hooks_of(&shown), expected, "{options:?}");
            let attached = world.attached(&[PARENT]).join("\n");
            for hook in expected {
                let (name, mechanism) = hook.split_once(" by ").unwrap();
                assert!(
                    match mechanism {
                        "tcx" => attached.contains(&format!("{PARENT}: 1 TCX programs on {name}")),
                        "clsact" => filters(&world).contains(&format!("parent_{name}")),
                        "xdp-generic" => attached.contains("xdpgeneric"),
                        _ => attached.contains(" xdp "),
                    },
                    "{options:?}: {hook} is not in:\n{attached}"
                );
            }
            assert!(world.pings(HOST_IP, PATIENCE), "{options:?}");
            let said = agent.said();
            assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
            agent.stop_by(signal).unwrap();
            world.assert_nothing_attached(&[PARENT]);
        }
    }
}

#[test]
fn clsact_of_somebody_else_stays_with_its_filter() {
    for with_filter in [false, true] {
        let world = World::new();
        add_clsact(&world);
        if with_filter {
            tc(&world, FOREIGN_FILTER);
        }
        let before = filters(&world);
        let agent = world.start(&[PARENT], &["--attach", "clsact"]);
        assert_ne!(filters(&world), before);
        agent.stop().unwrap();
        assert!(clsact(&world), "with a filter: {with_filter}");
        assert_eq!(filters(&world), before);
    }
}

#[test]
fn clsact_that_somebody_else_began_to_use_stays() {
    let world = World::new();
    let agent = world.start(&[PARENT], &["--attach", "clsact"]);
    tc(&world, FOREIGN_FILTER);
    agent.stop().unwrap();
    assert!(clsact(&world));
    let left = filters(&world);
    assert!(left.contains("u32") && !left.contains("bpf"), "{left}");
}

#[test]
fn killed_agent_with_links_leaves_only_stale_files_and_the_next_one_cleans_up() {
    let world = World::new();
    let dir = Dir::new();
    let options = ["--xdp", "generic"];
    world.start_in(&dir, &[PARENT], &options).kill().unwrap();
    world.assert_nothing_attached(&[PARENT]);
    assert_eq!(
        dir.files().len(),
        2,
        "a lock and a socket: {:?}",
        dir.files()
    );

    let agent = world.start_in(&dir, &[PARENT], &options);
    assert_eq!(parent(&agent, 0)["state"], "ready");
    // The status command has removed the stale socket.
    agent.stop().unwrap();
    world.assert_nothing_attached(&[PARENT]);
}

#[test]
fn filters_of_a_killed_agent_are_removed_by_the_next_one() {
    // Which way the next one attaches does not matter.
    for next in ["clsact", "tcx", "auto"] {
        let world = World::new();
        let dir = Dir::new();
        world
            .start_in(&dir, &[PARENT], &["--attach", "clsact"])
            .kill()
            .unwrap();
        assert!(filters(&world).contains("parent_ingress"));
        assert!(filters(&world).contains("parent_egress"));

        let agent = world.start_in(&dir, &[PARENT], &["--attach", next]);
        let ours = filters(&world).matches("direct-action").count();
        assert_eq!(ours, if next == "clsact" { 2 } else { 0 }, "then {next}");
        let shown = parent(&agent, 0);
        assert_eq!(shown["state"], "ready");
        assert!(world.arp(HOST_IP, PATIENCE).is_some());
        assert!(counted(&parent(&agent, 0), "ingress", "host_address") > 0);
        agent.stop().unwrap();
        world.assert_nothing_attached(&[PARENT]);
    }
}

#[test]
fn foreign_filter_survives_a_killed_agent_and_the_next_one() {
    let world = World::new();
    let dir = Dir::new();
    let agent = world.start_in(&dir, &[PARENT], &["--attach", "clsact"]);
    tc(&world, FOREIGN_FILTER);
    agent.kill().unwrap();
    let agent = world.start_in(&dir, &[PARENT], &["--attach", "clsact"]);
    agent.stop().unwrap();
    let left = filters(&world);
    assert!(left.contains("u32") && !left.contains("bpf"), "{left}");
}

#[test]
fn status_after_a_kill_says_that_no_agent_is_running_and_removes_the_socket() {
    let world = World::new();
    let dir = Dir::new();
    world.start_in(&dir, &[PARENT], &[]).kill().unwrap();
    let sockets = || {
        let mut files = dir.files();
        files.retain(|name| name.strip_suffix(".sock").is_some());
        files
    };
    assert_eq!(sockets().len(), 1);
    let ended = Ended::status(&world, dir.path(), &[]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert_eq!(ended.stdout, "no agent is running\n");
    assert_eq!(sockets(), [""; 0]);
}

#[test]
fn stop_in_the_middle_of_a_start_leaves_nothing() {
    let world = World::new();
    let dir = Dir::new();
    // From before anything is attached to after everything is.
    for microseconds in (0..24).map(|step| step * 4_000) {
        let mut command = ipvlan_tests::agent::run(&ipvlan(), dir.path(), &[PARENT]);
        command.args(["--attach", "clsact"]);
        let path = dir.path().to_owned();
        let mut agent = Agent::spawn(command, &ipvlan(), path, &world.host).unwrap();
        std::thread::sleep(Duration::from_micros(microseconds));
        agent.signal(Signal::SIGTERM).unwrap();
        agent.wait(PATIENCE).unwrap();
        assert_eq!(
            world.attached(&[PARENT]),
            [""; 0],
            "stopped after {microseconds} µs\n{}",
            agent.said()
        );
    }
}

/// The kernel verifies no further when the thread that asks for it has a signal.
#[test]
fn stopped_again_and_again_while_its_programs_are_verified_an_agent_starts() {
    let world = World::new();
    for milliseconds in [20, 50, 80, 110] {
        let dir = Dir::new();
        let command = ipvlan_tests::agent::run(&ipvlan(), dir.path(), &[PARENT]);
        let path = dir.path().to_owned();
        let mut agent = Agent::spawn(command, &ipvlan(), path, &world.host).unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        for _ in 0..8 {
            agent.signal(Signal::SIGSTOP).unwrap();
            agent.signal(Signal::SIGCONT).unwrap();
            std::thread::sleep(Duration::from_millis(8));
        }
        agent.wait_ready(&[PARENT]).unwrap();
        agent.stop().unwrap();
    }
}

#[test]
fn foreign_xdp_program_beside_tc_hooks_is_left_alone() {
    let world = World::new();
    let _foreign = foreign::Xdp::attach(&world.host, PARENT);
    let before = world.attached(&[PARENT]);
    let agent = world.start(&[PARENT], &[]);
    assert_eq!(
        hooks_of(&parent(&agent, 0)),
        ["ingress by tcx", "egress by tcx"]
    );
    agent.stop().unwrap();
    assert_eq!(world.attached(&[PARENT]), before);
    assert_eq!(before.len(), 1);
}

#[test]
fn foreign_tcx_program_works_before_beside_and_after_ours() {
    let patience = Duration::from_millis(200);
    let world = World::new();
    for attach in ["tcx", "clsact"] {
        let mut foreign = Some(foreign::Tcx::attach(&world.host, PARENT));
        assert!(!world.pings(HOST_IP, patience), "it drops everything");
        if attach == "clsact" {
            // It runs before all filters: the agent would not be ready.
            foreign = None;
        }
        let agent = world.start(&[PARENT], &["--attach", attach]);
        let waits = if foreign.is_some() {
            patience
        } else {
            PATIENCE
        };
        assert_eq!(world.pings(HOST_IP, waits), foreign.is_none(), "{attach}");
        drop(foreign);
        assert!(world.pings(HOST_IP, PATIENCE), "{attach}");
        let foreign = foreign::Tcx::attach(&world.host, PARENT);
        agent.stop().unwrap();
        assert_eq!(
            world.attached(&[PARENT]),
            ["ens34: 1 TCX programs on ingress"],
            "{attach}"
        );
        assert!(!world.pings(HOST_IP, patience), "{attach}");
        drop(foreign);
        assert!(world.pings(HOST_IP, PATIENCE), "{attach}");
    }
}

#[test]
fn several_agents_share_a_runtime_directory() {
    let world = World::new();
    world.cable("ens35", "lan1");
    let dir = Dir::new();
    let first = world.start_in(&dir, &[PARENT], &[]);
    let second = world.start_in(&dir, &["ens35"], &["--attach", "clsact"]);
    let shown = Ended::status(&world, dir.path(), &[]).stdout;
    assert!(
        shown.contains("ens34: ready") && shown.contains("ens35: ready"),
        "{shown}"
    );
    // `stop` would insist on the directory being gone.
    first.signal(Signal::SIGTERM).unwrap();
    wait_until(
        SOON,
        "only the second agent's files are there",
        || dir.files(),
        |files| files.len() == 2,
    );
    assert_eq!(parent(&second, 0)["state"], "ready");
    second.stop().unwrap();
    world.assert_nothing_attached(&[PARENT, "ens35"]);
}

/// Prints what an idle agent costs; only what is far off fails.
#[test]
fn idle_agent_sleeps() {
    let world = World::new();
    let started = Instant::now();
    let agent = world.start(&[PARENT], &[]);
    let ready = started.elapsed();
    let status = || std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let field = |name: &str| -> u64 {
        let status = status();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let (mut quietest, mut wakes) = (u64::MAX, 0);
    // Other tests change netns that this agent watches too: take the quietest second.
    for _ in 0..5 {
        let before = field("voluntary_ctxt_switches");
        std::thread::sleep(SOON);
        let woken = field("voluntary_ctxt_switches") - before;
        quietest = quietest.min(woken);
        wakes += woken;
    }
    println!(
        "start to ready {ready:?} (polled every 50 ms), RSS {} kB, wake-ups in 5 s: {wakes}, in \
         the quietest second: {quietest}",
        field("VmRSS")
    );
    assert!(field("VmRSS") < 64 * 1024);
    agent.stop().unwrap();
}
