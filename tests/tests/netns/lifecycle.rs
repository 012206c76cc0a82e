//! What a running agent attaches, and that nothing of it is left when it has ended.

use std::{
    thread,
    time::{Duration, Instant},
};

use ipvlan_tests::{
    bpf::{Attached, Hook, Program},
    lab::receive_xdp,
};
use nix::sys::signal::Signal;

use crate::common::{
    CLSACT, HOST_IP, LAN, Node, OTHER, PARENT, PATIENCE, Reports as _, SOON, TCX,
    tc::{FOREIGN_FILTER, filters, has_clsact, tc},
    wait_until,
};

#[test]
fn options_choose_the_hooks_and_every_stop_leaves_nothing() {
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
    let node = Node::new();
    let _receives = receive_xdp(&node.lan, LAN).unwrap();
    for (options, expected) in rows {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            println!("{options:?}, {signal}");
            let agent = node.start(options);
            agent.assert_ready();
            assert_eq!(agent.hooks(), expected);
            let attached = node.attached(&[PARENT]).join("\n");
            for hook in expected {
                let (name, mechanism) = hook.split_once(" by ").unwrap();
                let is_there = match mechanism {
                    "tcx" => attached.contains(&format!("{PARENT}: 1 TCX programs on {name}")),
                    "clsact" => filters(&node).contains(&format!("parent_{name}")),
                    "xdp-generic" => attached.contains("xdpgeneric"),
                    _ => attached.contains(" xdp "),
                };
                assert!(is_there, "{hook} is not in:\n{attached}");
            }
            assert!(node.pings(HOST_IP, PATIENCE));
            let said = agent.said();
            assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
            agent.stop_by(signal).unwrap();
            node.assert_nothing_attached(&[PARENT]);
        }
    }
}

#[test]
fn clsact_of_another_process_stays_with_its_filter() {
    for with_filter in [false, true] {
        let node = Node::new();
        tc(&node, &format!("qdisc add dev {PARENT} clsact"));
        if with_filter {
            tc(&node, FOREIGN_FILTER);
        }
        let before = filters(&node);
        let agent = node.start(&["--attach", "clsact"]);
        assert_ne!(filters(&node), before);
        agent.stop().unwrap();
        assert!(has_clsact(&node), "with a filter: {with_filter}");
        assert_eq!(filters(&node), before);
    }
}

/// An agent, and after a kill the next one, leave a filter that was added meanwhile, and its qdisc.
#[test]
fn foreign_filter_survives_a_stop_or_a_killed_agent_and_the_next_one() {
    for is_killed in [false, true] {
        let node = Node::new();
        let agent = node.start(&["--attach", "clsact"]);
        tc(&node, FOREIGN_FILTER);
        if is_killed {
            agent.kill().unwrap();
            node.start(&["--attach", "clsact"]).stop().unwrap();
        } else {
            agent.stop().unwrap();
        }
        assert!(has_clsact(&node));
        let left = filters(&node);
        assert!(left.contains("u32") && !left.contains("bpf"), "{left}");
    }
}

#[test]
fn killed_agent_with_links_leaves_only_stale_files_and_the_next_one_cleans_up() {
    let node = Node::new();
    let options = ["--xdp", "generic"];
    node.start(&options).kill().unwrap();
    node.assert_nothing_attached(&[PARENT]);
    let files = node.dir.files();
    assert_eq!(files.len(), 2, "a lock and a socket: {files:?}");

    let agent = node.start(&options);
    agent.assert_ready();
    // The status command has removed the stale socket.
    node.stops(agent);
}

#[test]
fn filters_of_a_killed_agent_are_removed_by_the_next_one() {
    // However the next one attaches.
    for (next, ours) in [("clsact", 2), ("tcx", 0), ("auto", 0)] {
        let node = Node::new();
        node.start(&["--attach", "clsact"]).kill().unwrap();
        let left = filters(&node);
        assert!(left.contains("parent_ingress"), "{left}");
        assert!(left.contains("parent_egress"), "{left}");

        let agent = node.start(&["--attach", next]);
        let found = filters(&node).matches("direct-action").count();
        assert_eq!(found, ours, "then {next}");
        agent.assert_ready();
        assert!(node.arp(HOST_IP, PATIENCE).is_some());
        assert!(agent.ingress("host_address") > 0);
        node.stops(agent);
    }
}

#[test]
fn status_after_a_kill_says_that_no_agent_is_running_and_removes_the_socket() {
    let node = Node::new();
    node.start(&[]).kill().unwrap();
    let sockets = || {
        let files = node.dir.files().into_iter();
        files.filter(|name| name.contains(".sock")).count()
    };
    assert_eq!(sockets(), 1);
    let ended = node.status(&[]).exits(3);
    ended.prints_only("no agent is running\nhint: start one: `systemctl start ipvlan`, or `ipvlan run --iface NAME`\n");
    assert_eq!(sockets(), 0);
}

#[test]
fn stop_in_the_middle_of_a_start_leaves_nothing() {
    let node = Node::new();
    // From before anything is attached to after everything is.
    for milliseconds in (0..24).map(|step| step * 4) {
        let mut agent = node.spawn(node.run(&[PARENT], &["--attach", "clsact"]));
        thread::sleep(Duration::from_millis(milliseconds));
        agent.signal(Signal::SIGTERM).unwrap();
        agent.wait(PATIENCE).unwrap();
        let left = node.attached(&[PARENT]);
        let said = agent.said();
        assert_eq!(left, [""; 0], "stopped after {milliseconds} ms\n{said}");
    }
}

/// The kernel verifies no further when the thread that asks for it has a signal.
#[test]
fn stopped_again_and_again_while_its_programs_are_verified_an_agent_starts() {
    let node = Node::new();
    for milliseconds in [20, 50, 80, 110] {
        let mut agent = node.spawn(node.run(&[PARENT], &[]));
        thread::sleep(Duration::from_millis(milliseconds));
        for _ in 0..8 {
            agent.signal(Signal::SIGSTOP).unwrap();
            agent.signal(Signal::SIGCONT).unwrap();
            thread::sleep(Duration::from_millis(8));
        }
        agent.wait_ready(&[PARENT]).unwrap();
        agent.stop().unwrap();
    }
}

#[test]
fn foreign_tcx_program_works_before_beside_and_after_ours() {
    let moment = Duration::from_millis(200);
    let node = Node::new();
    let foreign = || -> Attached {
        let attach = || Program::tc_drop(Hook::Tc)?.attach(PARENT);
        node.host.run(attach).unwrap()
    };
    for attach in ["tcx", "clsact"] {
        println!("{attach}");
        let before = foreign();
        assert!(!node.pings(HOST_IP, moment), "it drops everything");
        let agent = if attach == "tcx" {
            let agent = node.start(&["--attach", attach]);
            assert!(!node.pings(HOST_IP, moment));
            drop(before);
            agent
        } else {
            // It runs before all filters: the agent would not be ready.
            drop(before);
            node.start(&["--attach", attach])
        };
        assert!(node.pings(HOST_IP, PATIENCE));
        let beside = foreign();
        agent.stop().unwrap();
        let left = node.attached(&[PARENT]);
        assert_eq!(left, ["ens34: 1 TCX programs on ingress"]);
        assert!(!node.pings(HOST_IP, moment));
        drop(beside);
        assert!(node.pings(HOST_IP, PATIENCE));
    }
}

#[test]
fn several_agents_share_a_runtime_directory() {
    let node = Node::new();
    node.cable(OTHER, "lan1");
    let first = node.start(&[]);
    let second = node.start_on(&[OTHER], &["--attach", "clsact"]);
    let shown = node.status(&[]).prints("ens34: ready");
    shown.prints("ens35: ready");
    // `stop` would insist on the directory being gone.
    first.signal(Signal::SIGTERM).unwrap();
    let files = || node.dir.files();
    wait_until(SOON, "one agent's files", files, |files| files.len() == 2);
    second.assert_ready();
    second.stop().unwrap();
    node.assert_nothing_attached(&[PARENT, OTHER]);
}

/// Prints what an idle agent costs; only what is far off fails.
#[test]
fn idle_agent_sleeps() {
    let node = Node::new();
    let started = Instant::now();
    let agent = node.start(&[]);
    let ready = started.elapsed();
    let switches = || agent.process_status("voluntary_ctxt_switches");
    // Other tests change netns that this agent watches too: take the quietest second.
    let wakes = [0; 5].map(|_| {
        let before = switches();
        thread::sleep(SOON);
        switches() - before
    });
    let rss = agent.process_status("VmRSS");
    println!(
        "start to ready {ready:?} (polled every 50 ms), RSS {rss} kB, wake-ups in each second: {wakes:?}"
    );
    assert!(rss < 64 * 1024);
    agent.stop().unwrap();
}
