//! Where `ipvlan status` looks, and what it finds that no agent reports.

use std::fs;

use nix::sys::signal::Signal;

use crate::common::{Config, Dir, Ended, Node, OTHER, PARENT, as_user, ends, ipvlan};

fn asked(node: &Node, config: &Config, options: &[&str]) -> Ended {
    let mut command = std::process::Command::new(ipvlan());
    command.arg("status").args(config.options()).args(options);
    node.ended(command)
}

#[test]
fn configuration_file_says_where_to_look() {
    let node = Node::pinned();
    let config = Config::of_directories(&node, "iface = [\"ens34\"]\n");
    let agent = node.start(&[]);
    let status = asked(&node, &config, &["--json"])
        .exits_silently(0)
        .status();
    assert_eq!(status.agents[0].pid, agent.pid());
    assert_eq!(status.unserved, Some(Vec::new()));
    // The command line takes precedence. The lock of the parent is seen.
    let elsewhere = Dir::new();
    let elsewhere = elsewhere.path().to_str().unwrap();
    let absent =
        format!("no agent is running: there is no directory {elsewhere}\nhint: start one: ");
    let ended = asked(&node, &config, &["--runtime-dir", elsewhere]);
    ended.exits(3).prints(&absent);

    // One that is named must be right.
    config.write("config.toml", "iface = [\"ens34\"]\nruntime-dir = 1\n");
    let ended = asked(&node, &config, &[]).exits(2);
    ended.reports(":2:15: `runtime-dir`");
    agent.stop().unwrap();
}

#[test]
fn parent_that_answers_without_an_agent_is_mentioned() {
    let node = Node::pinned();
    let config = Config::of_directories(&node, "");
    node.cable(OTHER, "lan1");
    let status_of = |code, options: &[&str]| {
        let ended = asked(&node, &config, &[&["--json"], options].concat());
        ended.exits_silently(code).status()
    };
    let unserved = |code, options: &[&str]| -> Vec<String> {
        let unserved = status_of(code, options).unserved.unwrap();
        unserved.into_iter().map(|parent| parent.name).collect()
    };
    ends(node.start(&[]), Signal::SIGKILL);
    let agent = node.start_on(&[OTHER], &[]);
    let found = status_of(0, &[]);
    assert_eq!(found.agents[0].parents[0].name, OTHER);
    let [parent] = &found.unserved.unwrap()[..] else {
        panic!("one parent has an agent, one has none");
    };
    assert_eq!(parent.name, PARENT);
    assert!(fs::metadata(&parent.pinned).unwrap().is_dir());
    assert!(parent.pinned.starts_with(node.pin_dir().to_str().unwrap()));
    let mention = format!(
        "\n\n{PARENT} (ifindex {} in netns {}): no agent; what is pinned in {} answers until it is stale.",
        parent.ifindex, parent.netns, parent.pinned
    );
    asked(&node, &config, &[]).prints(&mention);
    // By the name that it has now.
    node.on_host(&format!("link set {PARENT} down"));
    node.on_host(&format!("link set {PARENT} name uplink0"));
    assert_eq!(unserved(0, &[]), ["uplink0"]);
    node.on_host(&format!("link set uplink0 name {PARENT}"));
    ends(agent, Signal::SIGTERM);
    // Pins alone are no agent.
    assert_eq!(unserved(3, &[]).len(), 2);
    assert_eq!(unserved(3, &["--iface", OTHER]), [OTHER]);
    assert_eq!(unserved(3, &["--iface", "ens99"]), [""; 0]);
    let elsewhere = node.pins().root().join("elsewhere");
    let elsewhere = ["--pin-dir", elsewhere.to_str().unwrap()];
    assert_eq!(unserved(3, &elsewhere), [""; 0]);
    let shown = asked(&node, &config, &[]).exits(3).stdout;
    assert!(shown.starts_with("no agent is running\nhint: "), "{shown}");

    let _agent = node.start(&[]);
    assert_eq!(unserved(0, &[]).len(), 1);
}

#[test]
fn a_user_who_may_not_read_pins_gets_no_report_that_there_are_none() {
    let mut node = Node::pinned();
    ends(node.start(&[]), Signal::SIGKILL);
    // No agent, rather than one that may not be asked.
    node.dir = Dir::new();
    let status = node.command("status", &["--json"]);
    let mut command = as_user(65534);
    command.arg(status.get_program()).args(status.get_args());
    let status = node.ended(command).exits_silently(3).status();
    assert_eq!(status.unserved, None);
}
