//! What outlives the agent, and how the next one adopts it.

use std::{collections::BTreeSet, thread, time::Duration};

use ipvlan_common::Reason;
use ipvlan_tests::lab::receive_xdp;
use ipvlan_user::protocol::Parent;
use nix::sys::signal::Signal;

use crate::common::{
    ATTACHED_TCX, CLSACT, HOST_IP, LAN, Node, PARENT, PATIENCE, Reports as _, TCX, ends, hooks_of,
    wait_until,
};

#[test]
fn datapath_outlives_its_agent_and_the_next_one_takes_it_over() {
    let rows: [(&[&str], &[&str]); 4] = [
        (&["--attach", "tcx"], &["egress", "ingress"]),
        (&["--attach", "clsact"], &["clsact"]),
        (&["--no-host-access"], &["ingress"]),
        (&["--xdp", "generic"], &["egress", "ingress", "xdp-generic"]),
    ];
    for (options, pinned) in rows {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            println!("{options:?}, {signal}");
            let node = Node::pinned();
            let pins = node.pins();
            let attached = || without_ids(&node.attached(&[PARENT]));
            let links = || -> Vec<u32> {
                let names = pinned.iter().filter(|name| **name != "clsact");
                names.map(|name| pins.link_id(name)).collect()
            };
            let agent = node.start(options);
            let first = agent.parent(0);
            assert_eq!(first.pinned.as_deref(), pins.parent().to_str());
            let (attached_first, tree) = (attached(), pins.tree());
            let beside_maps = tree.iter().filter(|path| !path.contains("/v")).skip(1);
            let expected = pinned.iter().map(|name| format!("ens34/{name}"));
            assert!(beside_maps.eq(&expected.collect::<Vec<_>>()), "{tree:?}");
            ends(agent, signal);
            assert_eq!((attached(), pins.tree()), (attached_first.clone(), tree));
            if !options.contains(&"--xdp") {
                pins.assert_programs_run(&node);
            }

            let (links_first, before) = (links(), pins.counted(Reason::HostAddress));
            let agent = node.start(options);
            agent.assert_logged("taking over from an earlier agent");
            let second = agent.parent(0);
            assert_eq!(hooks_of(&second), hooks_of(&first));
            assert_eq!(links(), links_first, "the links are the same");
            assert_ne!(program_ids(&second), program_ids(&first));
            assert!(agent.ingress("host_address") >= before);
            assert_eq!(attached(), attached_first);
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

fn program_ids(parent: &Parent) -> BTreeSet<u32> {
    parent.hooks.iter().map(|hook| hook.program_id).collect()
}

#[test]
fn next_agent_may_want_it_otherwise() {
    let clsact = ["--attach", "clsact"];
    let generic = ["--xdp", "generic"];
    let rows: [(&[&str], &[&str], &[&str]); 7] = [
        (&[], &clsact, &CLSACT),
        (&clsact, &[], &TCX),
        (&[], &["--no-host-access"], &TCX[..1]),
        (
            &clsact,
            &["--attach", "clsact", "--no-host-access"],
            &CLSACT[..1],
        ),
        (&generic, &[], &TCX),
        (
            &generic,
            &["--xdp", "native"],
            &[TCX[0], TCX[1], "xdp by xdp-native"],
        ),
        // Maps of another size are other maps.
        (&[], &["--max-addresses", "99"], &TCX),
    ];
    for (first, second, expected) in rows {
        println!("{first:?}, then {second:?}");
        let node = Node::pinned();
        let _receives = receive_xdp(&node.lan, LAN).unwrap();
        ends(node.start(first), Signal::SIGKILL);
        let agent = node.start(second);
        assert_eq!(agent.hooks(), expected);
        // Nothing of the first is left beside it: the qdisc, and two lines for each filter.
        let lines = if second.contains(&"clsact") {
            1 + 2 * expected.len()
        } else {
            expected.len()
        };
        let attached = node.attached(&[PARENT]);
        assert_eq!(attached.len(), lines, "{attached:?}");
        let tree = node.pins().tree();
        assert!(!tree.iter().any(|path| path.ends_with("-new")), "{tree:?}");
        ends(agent, Signal::SIGTERM);
        assert_eq!(node.attached(&[PARENT]).len(), lines);
        node.cleanup(&[]).exits(0);
        node.wait_nothing_attached(&[PARENT]);
        assert_eq!(node.pins().tree(), [""; 0]);
    }
}

#[test]
fn agent_that_does_not_pin_takes_over_and_ends_with_all_of_it() {
    for attach in ["tcx", "clsact"] {
        let node = Node::pinned();
        ends(node.start(&["--attach", attach]), Signal::SIGKILL);
        let agent = node.start(&["--attach", attach, "--no-pin"]);
        assert_eq!(agent.parent(0).pinned, None);
        assert_eq!(node.pins().tree(), [""; 0]);
        assert_eq!(agent.hooks().len(), 2);
        ends(agent, Signal::SIGTERM);
        node.assert_nothing_attached(&[PARENT]);
    }
}

#[test]
fn parent_that_changed_without_an_agent_is_found_again() {
    let node = Node::pinned();
    let pins = node.pins();
    ends(node.start(&[]), Signal::SIGKILL);
    node.on_host(&format!("link set {PARENT} down"));
    node.on_host(&format!("link set {PARENT} name eth0.100"));
    node.on_host("link set eth0.100 up");
    let link = pins.link_id("ingress");
    let agent = node.start_on(&["eth0.100"], &[]);
    assert_eq!(pins.link_id("ingress"), link);
    assert_eq!(pins.tree()[0], "eth0_100");
    ends(agent, Signal::SIGKILL);

    node.on_host("link delete eth0.100");
    node.cable(PARENT, "lan1");
    let agent = node.start(&[]);
    agent.assert_logged("removed the pins of eth0_100");
    assert_eq!(pins.tree()[0], "ens34");
    assert_eq!(node.attached(&[PARENT]), ATTACHED_TCX);
    ends(agent, Signal::SIGTERM);
}

#[test]
fn programs_stop_answering_when_no_agent_was_alive_for_long_enough() {
    let node = Node::pinned();
    let pins = node.pins();
    let ask = || {
        let _answer = node.arp(HOST_IP, PATIENCE);
        [Reason::Stale, Reason::HostAddress].map(|reason| pins.counted(reason))
    };
    let agent = node.start(&["--stale-after", "2"]);
    // An agent that has nothing to do says often enough that it lives.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(ask()[0], 0);
    ends(agent, Signal::SIGKILL);
    let patience = Duration::from_secs(5);
    let [stale, host] = wait_until(patience, "stale", ask, |[stale, _]| *stale > 0);
    assert_eq!(ask(), [stale + 1, host], "the host answers by itself");

    let agent = node.start(&["--stale-after", "0"]);
    ends(agent, Signal::SIGKILL);
    thread::sleep(Duration::from_secs(2));
    let [stale, host] = ask();
    assert_eq!(ask(), [stale, host + 1]);
    // Time is counted from when the machine started.
    pins.set_deadline(1);
    assert_eq!(ask(), [stale + 1, host + 1]);
}
