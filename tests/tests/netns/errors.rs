//! Starts that cannot succeed: exit code, error, hint, and nothing left.

use ipvlan_tests::{agent::Agent, bpf::Program};
use ipvlan_user::protocol::{Parent, ParentState};

use crate::common::{
    Config, HOST_IP, Node, OTHER, PARENT, PATIENCE, Reports as _, TCX, wait_until,
};

/// Options, and the error; a hint behind it, if there is one.
const STARTS: &str = r"
--iface ens99 | error: there is no interface `ens99` in this network namespace\n
              | hint: interfaces here:
--iface port0 | error: `port0` is a port of bridge `br0`\n
              | hint: ipvlan cannot have it as its parent: take it out of the master
--iface lo    | error: `lo` is not an Ethernet interface (hardware type 772)
              | hint: children of it need no neighbours answered\n
--iface ens99 --iface port0 | error: there is no interface `ens99`
              | hint: interfaces here:
--iface port0 --iface ens99 --attach clsact --xdp generic | `port0` is a port of bridge `br0`
              | hint:
";

/// Options that are wrong in themselves, and the error. A machine that the agent is installed on has a configuration
/// file of its own.
const OPTIONS: &str = "
--iface sixteen-letters!        | longer than 15 bytes
--iface a/b                     | '/' cannot be in an interface name
--iface=                        | invalid value '' for '--iface <NAME>': not an interface name
--config /dev/null              | error: no parent is named, neither on the command line nor in /dev/null
                                | hint: name the parent interface of the children: `--iface eth0`, or
--iface ens34 --stale-after 1   | the smallest value is 2, or 0 without limit
--iface ens34 --max-addresses 0 | 0 is not in 1..=1048576
--iface ens34 --attach xdp      | [possible values: auto, tcx, clsact]
--iface ens34 --metrics 192.0.2.1:9469 | 192.0.2.1:9469 is not a loopback address: give 127.0.0.1:PORT or [::1]:PORT
--iface ens34 --metrics ens34   | give off, unix:PATH, 127.0.0.1:PORT or [::1]:PORT
--iface ens34 --dad maybe       | [possible values: off, optimistic, strict]
--iface ens34 --allow 192.0.2.0/24 --deny 192.0.2.7/28 | `192.0.2.7/28` has bits set behind the prefix: 192.0.2.0/28 is meant
--iface ens34 --allow 2001:db8::/129                   | `129` is not a length from 0 to 128
";

/// Texts of a file, and the error with its place; `config/file/tests/invalid.rs` has more.
const FILES: &str = r#"
iface = ["ens34"]\nifaces = []     | :2:1: `ifaces`: unknown field
iface = "ens34"                    | :1:9: `iface`: invalid type: string
iface = ["ens34"]\n[[rule]]\nnetns = ["a["] | :3:10: `rule.netns`: `a[`: invalid range pattern
iface = [                          | :1:10:
audit = 1                          | no parent is named
"#;

/// The rows of a table: what is left of the bars, and what is right of them.
fn rows(table: &str) -> Vec<(String, Vec<String>)> {
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for line in table.trim().lines() {
        let cells = line.split('|').map(|cell| cell.trim().replace("\\n", "\n"));
        match <[String; 2]>::try_from(cells.collect::<Vec<_>>()).unwrap() {
            [left, right] if left.is_empty() => rows.last_mut().unwrap().1.push(right),
            [left, right] => rows.push((left, vec![right])),
        }
    }
    rows
}

#[test]
fn start_that_cannot_succeed_says_why_and_what_to_do() {
    let node = Node::new();
    node.cable(OTHER, "lan1");
    node.cable("port0", "lan2");
    node.on_host("link add br0 type bridge");
    node.on_host("link set port0 master br0");
    for (code, table) in [(1, STARTS), (2, OPTIONS)] {
        for (options, errors) in rows(table) {
            let options: Vec<_> = options.split_whitespace().collect();
            let mut ended = node.fails(&[], &options).exits(code).prints_only("");
            for error in errors {
                ended = ended.reports(&error);
            }
            assert!(!ended.stderr.contains("panicked"), "{ended:?}");
            assert!(!node.dir.path().exists(), "{ended:?}");
            node.assert_nothing_attached(&[PARENT, OTHER, "port0"]);
        }
    }
}

#[test]
fn an_error_in_a_file_is_reported_with_its_place_and_nothing_is_attached() {
    let node = Node::new();
    let mut rows = rows(FILES);
    let long = "# a comment\n".repeat(100_000);
    rows.push((long, vec![":21846:1: more than 262144 bytes".to_owned()]));
    for (text, errors) in rows {
        let config = Config::new(&text);
        let ended = node.fails(&[], &config.options()).exits(2);
        assert!(ended.stderr.starts_with("error: "), "{ended:?}");
        let ended = ended.reports(&errors[0]).reports(config.path());
        assert!(!node.dir.path().exists(), "{ended:?}");
        node.assert_nothing_attached(&[PARENT]);
    }
    let absent = node.fails(&[PARENT], &["--config", "/no/such/file"]);
    absent.exits(2).reports("/no/such/file");
}

#[test]
fn parent_that_cannot_be_served_waits_while_another_one_is() {
    let node = Node::new();
    // Its driver runs no XDP.
    node.on_host("link add ens35 type bridge");
    node.cable("port0", "lan2");
    node.on_host("link add br0 type bridge");
    node.on_host("link set port0 master br0");
    // Before and behind the one that can.
    let parents = ["ens99", "port0", PARENT, OTHER];
    let mut agent = node.spawn(node.run(&parents, &["--xdp", "native"]));
    agent.wait_ready(&[PARENT]).unwrap();
    let rows = [
        (0, "there is no interface `ens99` in this network namespace"),
        (1, "`port0` is a port of bridge `br0`"),
        (
            3,
            "attach to `ens35`: `ens35` does not run the XDP program in mode xdp-native: ",
        ),
    ];
    assert_eq!(agent.parent(2).state, ParentState::Ready);
    for (index, reason) in rows {
        agent.assert_waiting(index, reason);
        let Parent {
            name,
            reason: shown,
            ..
        } = agent.parent(index);
        assert_eq!(name, parents[index]);
        assert!(shown.unwrap().starts_with(reason));
        let times = agent.logged(&format!("waiting: {reason}"));
        assert_eq!(times, 1, "{}", agent.said());
    }
    agent.assert_no_sync_failed();
    node.arp(HOST_IP, PATIENCE).unwrap();

    // Each as soon as it can.
    node.cable("ens99", "lan3");
    node.on_host("link set port0 nomaster");
    node.on_host("link delete ens35");
    node.cable(OTHER, "lan1");
    agent.wait_ready(&parents).unwrap();
    agent.stop().unwrap();
    node.assert_nothing_attached(&parents);
}

#[test]
fn second_agent_on_a_parent_ends_with_75_and_names_the_first() {
    let node = Node::new();
    node.cable(OTHER, "lan1");
    let first = node.start(&[]);
    let before = node.attached(&[PARENT, OTHER]);
    let pid = first.pid();
    let error = format!("error: `{PARENT}` is already served by another agent (pid {pid})\n");
    for parents in [&[PARENT][..], &[OTHER, PARENT]] {
        let ended = node.fails(parents, &[]).exits(75);
        ended.reports(&error).reports("hint: see `ipvlan status`");
        assert_eq!(node.attached(&[PARENT, OTHER]), before);
    }
    first.assert_ready();
    first.stop().unwrap();
}

#[test]
fn of_two_agents_started_at_the_same_moment_exactly_one_serves() {
    let node = Node::new();
    for round in 0..10 {
        let options: &[&str] = [&[][..], &["--attach", "clsact"]][round % 2];
        let start = || node.spawn(node.run(&[PARENT], options));
        let mut agents = [start(), start()];
        let ended = || agents.iter_mut().position(Agent::has_ended);
        let loser = wait_until(PATIENCE, "one has ended", ended, Option::is_some);
        if loser == Some(1) {
            agents.reverse();
        }
        let [mut lost, mut won] = agents;
        let code = lost.wait(PATIENCE).unwrap().code();
        assert_eq!(code, Some(75), "round {round}: {}", lost.said());
        won.wait_ready(&[PARENT]).unwrap();
        let winner = format!("(pid {})", won.pid());
        let is_named = |said: &String| said.contains(&winner);
        wait_until(PATIENCE, "the winner is named", || lost.said(), is_named);
        won.stop().unwrap();
        node.assert_nothing_attached(&[PARENT]);
    }
}

#[test]
fn foreign_xdp_program_is_named_and_stays_and_the_tc_programs_serve() {
    let node = Node::new();
    let foreign = Program::xdp_pass().unwrap();
    let warning = format!(
        "another XDP program (id {}) is attached to `{PARENT}`: it stays, and the TC programs answer",
        foreign.id().unwrap()
    );
    let _foreign = node.host.run(|| foreign.attach_generic(PARENT)).unwrap();
    let before = node.attached(&[PARENT]);
    assert_eq!(before.len(), 1);
    let agent = node.start(&[]);
    assert_eq!(agent.hooks(), TCX);
    agent.stop().unwrap();
    assert_eq!(node.attached(&[PARENT]), before);
    for mode in ["generic", "native"] {
        for attach in ["tcx", "clsact"] {
            println!("{mode}, {attach}");
            let agent = node.start(&["--xdp", mode, "--attach", attach]);
            let tc = ["ingress", "egress"].map(|hook| format!("{hook} by {attach}"));
            assert_eq!(agent.hooks(), tc);
            assert!(agent.notes().contains(&warning), "{}", agent.notes());
            agent.assert_logged(&warning);
            assert!(node.arp(HOST_IP, PATIENCE).is_some());
            assert!(agent.ingress("host_address") > 0);
            agent.stop().unwrap();
            assert_eq!(node.attached(&[PARENT]), before);
        }
    }
}

#[test]
fn unusable_runtime_directory_is_named_and_nothing_stays_attached() {
    let node = Node::new();
    std::fs::write(node.dir.path(), "a file").unwrap();
    let ended = node.fails(&[PARENT], &[]);
    std::fs::remove_file(node.dir.path()).unwrap();
    ended.exits(1).reports(node.dir.path().to_str().unwrap());
    node.assert_nothing_attached(&[PARENT]);
}
