//! Configuration files: what they say is done, at start and after SIGHUP.

use std::{fs, fs::File, process::Stdio};

use ipvlan_tests::{agent::Agent, command};
use ipvlan_user::protocol::{self, ParentState};
use nix::{
    pty::openpty,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::common::{Config, HOST_IP, Node, OTHER, PARENT, PATIENCE, Reports as _, wait_until};

fn names(agent: &protocol::Agent) -> Vec<&str> {
    let parents = agent.parents.iter();
    parents.map(|parent| parent.name.as_str()).collect()
}

/// Starts an agent that reads a file, and waits until it is ready on these parents.
fn start(node: &Node, config: &Config, options: &[&str], parents: &[&str]) -> Agent {
    let options = [&config.options(), options].concat();
    node.ready(node.run(&[], &options), parents)
}

/// Writes the file, signals a reload, and waits for its end.
fn reload(agent: &Agent, config: &Config, text: &str, end: End<'_>) -> protocol::Agent {
    config.write("config.toml", text);
    agent.signal(Signal::SIGHUP).unwrap();
    reloaded(agent, end)
}

/// How a reload ends.
#[derive(Clone, Copy)]
enum End<'a> {
    /// It is the successful one with this number.
    Success(u64),
    /// The error has this text.
    Failure(&'a str),
}

fn reloaded(agent: &Agent, end: End<'_>) -> protocol::Agent {
    let has_ended = |report: &protocol::Agent| match (end, &report.config.error) {
        (End::Success(number), None) => report.config.reloads == number,
        (End::Failure(text), Some(error)) => error.contains(text),
        _ => false,
    };
    wait_until(PATIENCE, "reloaded", || agent.report(), has_ended)
}

#[test]
fn files_name_the_parents_and_the_command_line_counts_more() {
    let node = Node::new();
    node.cable(OTHER, "lan1");
    let config = Config::new("iface = [\"ens34\"]\nattach = \"tcx\"\nhost-access = false\n");
    let clsact = config.write("config.d/50-clsact.toml", "attach = \"clsact\"\n");

    let agent = start(&node, &config, &[], &[PARENT]);
    let attached = node.attached(&[PARENT, OTHER]).join("\n");
    assert!(attached.contains("clsact"), "{attached}");
    assert!(!attached.contains("egress"), "{attached}");
    let files = [config.path(), clsact.to_str().unwrap()];
    let expected = protocol::Sources {
        files: files.map(str::to_owned).into(),
        ..protocol::Sources::default()
    };
    assert_eq!(agent.report().config, expected);
    node.stops(agent);

    let options = ["--iface", OTHER, "--attach", "tcx", "--host-access"];
    let agent = start(&node, &config, &options, &[OTHER]);
    let hooks = ["ingress", "egress"].map(|hook| format!("{OTHER}: 1 TCX programs on {hook}"));
    assert_eq!(node.attached(&[PARENT, OTHER]), hooks);
    agent.stop().unwrap();
}

#[test]
fn reload_changes_the_parents_and_names_what_waits_for_the_next_start() {
    let node = Node::new();
    node.cable(OTHER, "lan1");
    let config = Config::new("iface = [\"ens34\"]\n");
    let agent = start(&node, &config, &["--audit", "60"], &[PARENT]);

    // Another parent, and one that cannot be served.
    let text = "iface = [\"ens34\", \"ens35\", \"ens99\"]\nattach = \"clsact\"\nmax-addresses = 7\n\
                dad = \"enforce\"\nannounce = \"off\"\naudit = 1\n";
    let report = reload(&agent, &config, text, End::Success(1));
    assert_eq!(names(&report), [PARENT, OTHER, "ens99"]);
    for (parent, state) in
        report
            .parents
            .iter()
            .zip([ParentState::Ready, ParentState::Ready, ParentState::Waiting])
    {
        assert_eq!(parent.state, state, "{parent:?}");
    }
    assert_eq!(report.config.at_next_start, ["attach", "max-addresses"]);
    let line = "in effect from the next start on: attach, max-addresses\n";
    node.status(&[]).prints(line);
    let attached = node.attached(&[PARENT, OTHER]);
    assert!(!attached.concat().contains("clsact"), "{attached:?}");

    // A file that is wrong changes nothing.
    let wrong = "iface = [\"ens99\"]\nattach = 1\n";
    let failure = End::Failure(":2:10: `attach`: invalid type");
    let report = reload(&agent, &config, wrong, failure);
    assert_eq!(names(&report), [PARENT, OTHER, "ens99"]);
    let error = report.config.error.unwrap();
    let line = format!("last reload failed, settings are those from before: {error}");
    node.status(&[]).prints(&line);
    assert_eq!(node.attached(&[PARENT, OTHER]), attached);
    node.arp(HOST_IP, PATIENCE).unwrap();
    // Nor does one that names no parent.
    fs::remove_file(config.path()).unwrap();
    let report = reload(
        &agent,
        &config,
        "iface = []",
        End::Failure("no parent is named"),
    );
    assert_eq!(names(&report), [PARENT, OTHER, "ens99"]);

    // One is released. What was fixed is forgotten.
    let report = reload(&agent, &config, "iface = [\"ens35\"]\n", End::Success(2));
    assert_eq!(names(&report), [OTHER]);
    assert_eq!(report.config.at_next_start, [""; 0]);
    node.assert_nothing_attached(&[PARENT]);
    assert_eq!(node.attached(&[OTHER]).len(), 2);

    // The other one is attached again. One that has another name by then, which no sync has seen, stays attached.
    agent.signal(Signal::SIGSTOP).unwrap();
    node.on_host("link set ens35 name uplink0");
    config.write("config.toml", "iface = [\"uplink0\", \"ens34\"]\n");
    agent.signal(Signal::SIGHUP).unwrap();
    agent.signal(Signal::SIGCONT).unwrap();
    let report = reloaded(&agent, End::Success(3));
    assert_eq!(names(&report), ["uplink0", PARENT]);
    assert_eq!(node.attached(&["uplink0", PARENT]).len(), 4);
    assert_eq!(agent.logged("detaching"), 1, "{}", agent.said());
    agent.assert_no_sync_failed();
    agent.stop().unwrap();
    node.assert_nothing_attached(&["uplink0", PARENT]);
}

#[test]
fn an_allow_list_of_one_family_is_logged_and_noted_until_it_is_complete() {
    const NOTE: &str =
        "--allow names IPv4 prefixes only: IPv6 addresses other than link-local are not answered";
    let node = Node::new();
    let config = Config::new("iface = [\"ens34\"]\nallow = [\"192.0.2.0/24\"]\n");
    let agent = start(&node, &config, &[], &[PARENT]);
    assert!(agent.notes().contains(NOTE), "{}", agent.notes());
    assert_eq!(agent.logged(NOTE), 1, "{}", agent.said());

    let complete = "iface = [\"ens34\"]\nallow = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n";
    reload(&agent, &config, complete, End::Success(1));
    let is_complete = |notes: &String| !notes.contains(NOTE);
    wait_until(PATIENCE, "no note", || agent.notes(), is_complete);
    assert_eq!(agent.logged(NOTE), 1, "{}", agent.said());
    agent.stop().unwrap();
}

#[test]
fn hangup_of_the_terminal_it_was_started_at_stops_the_agent() {
    let node = Node::new();
    let terminal = openpty(None, None).unwrap();
    let mut command = node.run(&[PARENT], &[]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(File::from(terminal.slave));
    let mut agent = node.host.run(|| Ok(command.spawn()?)).unwrap();
    drop(command);
    let attached = || node.attached(&[PARENT]);
    wait_until(PATIENCE, "attached", attached, |it| it.len() == 2);
    let pid = Pid::from_raw(agent.id().try_into().unwrap());
    kill(pid, Signal::SIGHUP).unwrap();
    let ended = command::wait(&mut agent, PATIENCE).unwrap();
    let _reaped = agent.kill();
    assert!(ended.expect("it runs on").success());
    node.assert_nothing_attached(&[PARENT]);
}
