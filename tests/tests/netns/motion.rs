//! The agent follows what happens to its parents and to the host, by itself and soon.
//!
//! `ipvlan status` takes a snapshot of its own: what is to happen without a request is looked
//! for in the kernel, in the counters or in the agent's log, and only then in the status.

use std::{
    net::Ipv4Addr,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use ipvlan_tests::{agent::Agent, hooks};
use ipvlan_user::protocol::ParentState;
use nix::sys::signal::Signal;

use crate::common::{
    ATTACHED, HOST_IP, LAN, LAN_IP, Node, OTHER, PARENT, PATIENCE, Reports as _, SOON, hooks_of,
    wait_until,
};

/// Options of agents that attach in different ways.
const WAYS: [&[&str]; 3] = [
    &["--attach", "tcx"],
    &["--attach", "clsact"],
    &["--xdp", "generic"],
];
const GONE: &str = "detaching: the interface is gone";
const MOMENT: Duration = Duration::from_millis(200);

#[track_caller]
fn wait_attached(node: &Node, lines: usize) {
    let patience = if lines == 0 { SOON } else { ATTACHED };
    let attached = || node.attached(&[PARENT]);
    wait_until(patience, "attached", attached, |it| it.len() == lines);
}

#[track_caller]
fn wait_ready(agent: &Agent, patience: Duration, index: usize) {
    let state = || agent.parent(index).state;
    wait_until(patience, "ready", state, |state| {
        *state == ParentState::Ready
    });
}

#[test]
fn deleted_parent_is_waited_for_and_served_again_when_it_is_back() {
    for options in WAYS {
        println!("{options:?}");
        let node = Node::new();
        let agent = node.start(options);
        let (before, lines) = (agent.parent(0), node.attached(&[PARENT]).len());
        let descriptors = agent.descriptors();
        for round in 1..=3 {
            node.on_host(&format!("link delete {PARENT}"));
            agent.logs_times(GONE, round);
            agent.assert_waiting(0, "there is no interface `ens34`");

            let started = Instant::now();
            node.cable(PARENT, LAN);
            wait_attached(&node, lines);
            println!("served again after {:?}", started.elapsed());
            agent.assert_ready();
            let back = agent.parent(0);
            assert_ne!(back.ifindex, before.ifindex);
            assert_eq!(hooks_of(&back), hooks_of(&before));
        }
        assert_eq!(agent.descriptors(), descriptors);
        agent.assert_no_sync_failed();
        node.stops(agent);
    }
}

#[test]
fn renamed_parent_stays_served_and_is_let_go_under_its_new_name() {
    for options in [WAYS[0], WAYS[1]] {
        let node = Node::new();
        let agent = node.start(options);
        let before = agent.parent(0);
        node.on_host(&format!("link set {PARENT} name uplink0"));
        agent.logs("parent renamed");
        agent.assert_ready();
        let after = agent.parent(0);
        assert_eq!(after.name, "uplink0");
        assert_eq!(after.ifindex, before.ifindex);
        assert_eq!(after.hooks, before.hooks, "{options:?}: attached anew");
        node.arp(HOST_IP, PATIENCE).unwrap();
        assert!(agent.ingress("host_address") > 0);
        agent.stop().unwrap();
        node.assert_nothing_attached(&["uplink0"]);
    }
}

#[test]
fn parent_that_is_down_is_reported_and_stays_served() {
    let node = Node::new();
    let agent = node.start(&[]);
    for (state, up) in [("down", false), ("up", true)] {
        node.on_host(&format!("link set {PARENT} {state}"));
        agent.assert_ready();
        let shown = agent.parent(0);
        assert_eq!(shown.up, up);
        let warning = "the parent is down: nothing is answered";
        let is_noted = shown.notes.iter().any(|it| it == warning);
        assert_eq!(is_noted, !up, "{shown:?}");
        assert_eq!(node.attached(&[PARENT]).len(), 2);
    }
    assert!(node.arp(HOST_IP, PATIENCE).is_some());
    agent.stop().unwrap();
}

#[test]
fn parent_that_becomes_a_bridge_port_is_let_go_until_it_is_released() {
    for options in WAYS {
        let node = Node::new();
        node.on_host("link add br0 type bridge");
        let agent = node.start(options);
        let lines = node.attached(&[PARENT]).len();
        node.on_host(&format!("link set {PARENT} master br0"));
        wait_attached(&node, 0);
        agent.assert_waiting(0, "`ens34` is a port of bridge `br0`");

        node.on_host(&format!("link set {PARENT} nomaster"));
        wait_attached(&node, lines);
        agent.assert_ready();
        node.stops(agent);
    }
}

#[test]
fn address_of_the_host_is_known_as_soon_as_it_is_added_and_until_it_is_removed() {
    let address = Ipv4Addr::new(192, 0, 2, 77);
    let node = Node::new();
    let agent = node.start(&[]);
    let mac = node.mac();
    let counts = || (agent.ingress("host_address"), agent.ingress("not_ours"));
    assert_eq!(node.arp(address, MOMENT), None);
    let (host, unowned) = counts();
    assert!(host == 0 && unowned > 0);

    for round in 0..3 {
        node.on_host(&format!("address add {address}/24 dev {PARENT}"));
        agent.logs_times("addresses changed", 2 * round + 2);
        let (host, _) = counts();
        // By the kernel itself.
        assert_eq!(node.arp(address, PATIENCE), Some(mac));
        assert!(counts().0 > host, "round {round}");

        node.on_host(&format!("address delete {address}/24 dev {PARENT}"));
        agent.logs_times("addresses changed", 2 * round + 3);
        let (host, unowned) = counts();
        assert_eq!(node.arp(address, MOMENT), None);
        assert_eq!(counts().0, host, "round {round}");
        assert!(counts().1 > unowned, "round {round}");
    }
    agent.stop().unwrap();
}

#[test]
fn new_mac_of_the_parent_is_guarded_at_once() {
    const NEW: [u8; 6] = [2, 0, 0, 0, 0, 0x77];
    let node = Node::new();
    let agent = node.start(&[]);
    let ask = || node.arp_from(NEW, HOST_IP, Duration::from_millis(100));
    let _answer = ask();
    assert_eq!(agent.ingress("own_sender"), 0);
    node.on_host(&format!("link set {PARENT} address 02:00:00:00:00:77"));
    let deadline = Instant::now() + SOON;
    // No client asks for the status meanwhile.
    while Instant::now() < deadline {
        let _answer = ask();
    }
    assert!(agent.ingress("own_sender") > 0, "{:?}", agent.parent(0));
    assert_eq!(agent.parent(0).mac.as_deref(), Some("02:00:00:00:00:77"));
    agent.stop().unwrap();
}

#[test]
fn default_gateway_is_followed() {
    let node = Node::new();
    let agent = node.start(&[]);
    for (times, change) in [
        (2, "route add default via 192.0.2.254"),
        (3, "route replace default via 192.0.2.253"),
        (4, "route delete default"),
    ] {
        node.on_host(change);
        agent.logs_times("addresses changed", times);
    }
    agent.assert_no_sync_failed();
    agent.stop().unwrap();
}

#[test]
fn parent_that_is_gone_or_cannot_be_attached_to_does_no_harm_to_the_others() {
    const SERVED: &str = "is already served by another agent";
    let node = Node::new();
    node.cable(OTHER, "lan1");
    let agent = node.start_on(&[PARENT, OTHER], &[]);
    let before = agent.parent(0);
    node.on_host(&format!("link delete {OTHER}"));
    agent.logs(GONE);
    agent.assert_ready();
    assert_eq!(agent.parent(0).hooks, before.hooks);
    agent.assert_waiting(1, "");
    assert!(node.arp(HOST_IP, PATIENCE).is_some());
    assert!(agent.ingress("host_address") > 0);
    // It comes back with another agent.
    node.cable("new0", "lan1");
    let other = node.start_on(&["new0"], &[]);
    node.on_host("link set new0 down");
    node.on_host(&format!("link set new0 name {OTHER}"));
    node.on_host(&format!("link set {OTHER} up"));
    // Long enough for the pause between two tries to have grown to seconds.
    thread::sleep(Duration::from_secs(4));
    assert_eq!(agent.logged(SERVED), 1, "{}", agent.said());
    for last in 60..65 {
        let before = agent.logged("addresses changed");
        node.on_host(&format!("address add 192.0.2.{last}/24 dev {PARENT}"));
        agent.logs_times("addresses changed", before + 1);
    }
    agent.assert_waiting(1, SERVED);

    other.signal(Signal::SIGTERM).unwrap();
    wait_ready(&agent, PATIENCE, 1);
    // Its files are gone before those of the agent that stops last.
    drop(other);
    agent.stop().unwrap();
    node.assert_nothing_attached(&[PARENT, OTHER]);
}

#[test]
fn parent_moved_to_another_netns_is_let_go() {
    for options in [WAYS[0], WAYS[1]] {
        let node = Node::new();
        let elsewhere = node.lab.netns("elsewhere").unwrap();
        let agent = node.start(options);
        let (there, back) = (elsewhere.reference(), node.host.reference());
        node.on_host(&format!("link set {PARENT} netns {there}"));
        agent.logs(GONE);
        agent.assert_waiting(0, "");
        // A link is the agent's; a filter belongs to its device, out of reach in that netns.
        if options == WAYS[0] {
            let left = hooks::attached(&elsewhere, &[PARENT]).unwrap();
            assert_eq!(left, [""; 0]);
        }
        let command = format!("link set {PARENT} netns {back}");
        elsewhere.ip(&command).unwrap();
        wait_ready(&agent, ATTACHED, 0);
        node.stops(agent);
    }
}

#[test]
fn churn_of_a_hundred_netns_costs_nothing_that_lasts() {
    let node = Node::new();
    let agent = node.start(&[]);
    let failed = || agent.report().sync.failed;
    // Until it has seen a netns come and go once.
    drop(node.lab.netns("first").unwrap());
    assert_eq!(failed(), 0);
    let resources = || (agent.descriptors(), agent.process_status("VmRSS"));
    let before = resources();
    for round in 0..10 {
        let names = (0..10).map(|number| format!("churn{round}-{number}"));
        let netnses: Vec<_> = names.map(|name| node.lab.netns(&name).unwrap()).collect();
        node.on_host(&format!(
            "link add churn{round} type veth peer name churn netns {}",
            netnses[9].reference()
        ));
    }
    let during = failed();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(failed(), during, "it still fails: {}", agent.said());
    assert!(during <= 10, "{during} failures: {}", agent.said());
    let after = resources();
    println!("churn: {during} syncs failed; descriptors and RSS {before:?} kB → {after:?} kB");
    assert_eq!(after.0, before.0, "file descriptors");
    assert!(after.1 < before.1 + 8 * 1024, "RSS: {before:?} → {after:?}");
    agent.assert_ready();
    assert!(node.pings(HOST_IP, PATIENCE));
    agent.stop().unwrap();
}

#[test]
fn traffic_is_never_interrupted_by_what_happens_elsewhere() {
    let node = Node::new();
    let agent = node.start(&[]);
    let ping = thread::scope(|scope| {
        let ping = scope.spawn(|| {
            let mut ping = Command::new("ping");
            ping.args(["-q", "-i", "0.01", "-c", "100", "-W", "1"]);
            node.lan.command(ping.arg(HOST_IP.to_string()), "")
        });
        for last in 100..120 {
            node.on_host(&format!("address add 192.0.2.{last}/24 dev {PARENT}"));
        }
        ping.join().unwrap()
    });
    // Where there is no ping, the same is asked once.
    if let Ok(said) = ping {
        assert!(said.contains(" 0% packet loss"), "{said}");
    }
    assert!(node.pings(HOST_IP, PATIENCE), "{LAN_IP} → {HOST_IP}");
    agent.stop().unwrap();
}
