//! `ipvlan monitor`: what happens beside a running agent, one line each.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use ipvlan_packet::arp::Arp;
use ipvlan_tests::probe::neighbour;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::common::{
    HOST_IP, LAN, Node, OTHER, PARENT, PATIENCE, Reports as _, Streaming, assert_documents,
    wait_until,
};

/// A station that claims an address of the host.
const STATION: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// Has a station claim an address, which nobody answers.
fn claim(node: &Node, address: Ipv4Addr) {
    let request = Arp::request(STATION, address, "192.0.2.200".parse().unwrap());
    let send = || neighbour::ask(LAN, &request, Duration::from_millis(1));
    node.lan.run(send).unwrap();
}

/// Monitors until there are as many events as the options say. Returns them. `happen` is done until then.
fn events(node: &Node, options: &[&str], happen: impl Fn()) -> Vec<Value> {
    let options = [options, &["-o", "jsonl"]].concat();
    let mut monitor = Streaming::start(node, "monitor", &options);
    // From here on events are shown.
    monitor.wait_for_stderr("monitoring 1 agent");
    let start = Instant::now();
    while !monitor.has_ended() {
        assert!(start.elapsed() < PATIENCE, "too few events");
        happen();
    }
    let (code, stdout, stderr) = monitor.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert_documents("monitor-line", &stdout, true);
    let lines = stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn each_topic_has_its_events() {
    let node = Node::pinned();
    let agent = node.start(&[]);

    let ask = || assert!(node.arp(HOST_IP, PATIENCE).is_some());
    for event in events(&node, &["arp", "-c", "3"], ask) {
        assert_eq!(event["topic"], "arp");
        let frame = &event["frame"];
        assert_eq!(
            (&frame["verdict"], &frame["parent"]),
            (&"passed".into(), &PARENT.into())
        );
    }

    // The sender claims the address of the host: the frame is refused, and it is a conflict.
    let claim = || claim(&node, HOST_IP);
    let guard = events(&node, &["guard", "-c", "1"], claim);
    assert_eq!(guard[0]["topic"], "guard");
    assert_eq!(guard[0]["frame"]["reason"], "sender_conflict");
    let conflict = events(&node, &["conflict", "-c", "1", "--iface", PARENT], claim);
    let conflict = &conflict[0]["conflict"];
    assert_eq!(
        (&conflict["kind"], &conflict["mac"]),
        (&"claim".into(), &"02:00:00:00:00:09".into())
    );
    assert_eq!(conflict["address"], HOST_IP.to_string());

    // An address of the host comes and goes: both are written to the maps.
    let change = || {
        node.on_host(&format!("address add 192.0.2.77/24 dev {PARENT}"));
        node.on_host(&format!("address del 192.0.2.77/24 dev {PARENT}"));
    };
    let syncs = events(&node, &["sync", "-c", "6"], change);
    for event in &syncs {
        assert_eq!(
            (&event["topic"], &event["sync"]["kind"]),
            (&"sync".into(), &"synced".into())
        );
        assert!(event["sync"]["took_us"].as_u64().is_some(), "{event}");
    }
    let sum = |field: &str| -> u64 {
        let of = syncs
            .iter()
            .filter_map(|event| event["sync"][field].as_u64());
        of.sum()
    };
    assert!(sum("put") > 0 && sum("removed") > 0, "{syncs:?}");
    agent.stop().unwrap();
}

#[test]
fn a_parent_that_comes_and_goes_is_an_event() {
    let node = Node::pinned();
    node.cable(OTHER, "lan1");
    let agent = node.start_on(&[PARENT, OTHER], &[]);
    let mut monitor = Streaming::start(&node, "monitor", &["sync", "--iface", OTHER]);
    monitor.wait_for_stderr("monitoring 1 agent");
    node.on_host(&format!("link del {OTHER}"));
    let waiting = || agent.parent(1).state;
    wait_until(PATIENCE, "the agent waits", waiting, |state| {
        state.to_string() == "waiting"
    });
    node.cable(OTHER, "lan1");
    wait_until(PATIENCE, "it is back", waiting, |state| {
        state.to_string() == "ready"
    });
    monitor.signal(Signal::SIGINT);
    let (code, stdout, stderr) = monitor.end();
    assert_eq!(code, Some(0), "{stderr}");
    for text in [
        " ens35 sync parent: waiting: ",
        " ens35 sync parent: ready\n",
    ] {
        assert!(stdout.contains(text), "{text}: {stdout}");
    }
    agent.stop().unwrap();
}

#[test]
fn frames_are_for_those_who_may_attach_programs() {
    let node = Node::pinned();
    node.ended(node.command("monitor", &[])).exits(3);
    let agent = node.start(&[]);
    let fails = |options: &[&str], code: i32, text: &str| {
        node.ended(node.command("monitor", options))
            .exits(code)
            .reports(text);
    };
    fails(&["--iface", "ens99"], 3, "no agent serves `ens99`");
    node.ended(node.command("monitor", &["weather"]))
        .exits(2)
        .reports("possible values: arp, ndp, guard, conflict, sync");
    agent.stop().unwrap();

    // Without pinned maps there are no frames, and everything else.
    let node = Node::new();
    let agent = node.start(&[]);
    node.ended(node.command("monitor", &["arp"]))
        .exits(1)
        .reports("its maps are not pinned");
    let claim = || claim(&node, HOST_IP);
    events(&node, &["conflict", "sync", "-c", "1"], claim);
    agent.stop().unwrap();
}
