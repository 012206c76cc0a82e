//! What a newcomer reads when a command cannot do what was meant: message, hint and exit code of each verb, in each
//! situation. The snapshots `messages_*.snap` are the table; the exit codes are those of `docs/service.md`.

mod situation;

use std::{
    collections::BTreeSet,
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Stdio,
};

use ipvlan_common::maps;
use ipvlan_tests::command;
use nix::sys::signal::Signal;

use self::situation::{Situation, documented_codes};
use crate::common::{Config, Dir, Node, PARENT, PATIENCE, copied_to, ends};

/// A user without privileges.
const NOBODY: u32 = 65_534;

/// The verbs that ask agents. What they are about does not exist.
const ASKING: [&str; 10] = [
    "status",
    "status --brief",
    "children",
    "children show web",
    "counters",
    "explain 192.0.2.9",
    "capture",
    "monitor",
    "reload",
    "top --once --interval=100ms",
];

#[test]
fn every_documented_exit_code_is_that_of_a_case() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/netns/snapshots");
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("messages_")
        {
            let text = fs::read_to_string(path).unwrap();
            let codes = text
                .lines()
                .filter_map(|line| line.strip_prefix("exit code "));
            seen.extend(codes.map(|code| code.parse::<i32>().unwrap()));
        }
    }
    assert_eq!(seen, documented_codes());
}

#[test]
fn without_an_agent() {
    let node = Node::new();
    let mut of = Situation::new(&node);
    of.titled("No agent has run");
    of.run(&ASKING);
    of.run(&[
        "status --iface ens99",
        "status --wait=200ms",
        "cleanup",
        "cleanup --iface ens34",
        "cleanup --iface ens99",
    ]);
    of.titled("The agent was killed: its socket is left");
    ends(node.start(&[]), Signal::SIGKILL);
    of.run(&["counters", "cleanup", "status"]);
    of.assert_as_in("no_agent");
}

#[test]
fn beside_an_agent() {
    let node = Node::new();
    let agent = node.start(&[]);
    let mut of = Situation::new(&node);
    of.titled("Wrong name of an interface");
    of.run(&[
        "status --iface ens99",
        "children --iface ens99",
        "counters --iface ens99",
        "capture --iface ens99",
        "monitor --iface ens99",
        "explain 192.0.2.9 --parent ens99",
        "top --once --interval=100ms --iface ens99",
        "cleanup --iface ens99",
        "run --iface ens99",
    ]);
    of.titled("Wrong name of a child, wrong address");
    of.run(&[
        "children show web",
        "children show 192.0.2.99",
        "capture web",
        "capture 192.0.2.99 -c 0",
    ]);
    of.titled("Another agent serves the parent");
    of.run(&["run --iface ens34", "cleanup", "cleanup --iface ens34"]);
    of.assert_as_in("beside_agent");
    agent.stop().unwrap();
}

#[test]
fn usage() {
    let node = Node::new();
    let mut of = Situation::new(&node);
    of.run(&[
        "statsu",
        "status --ifcae ens34",
        "status -o xml",
        "status --wait=soon",
        "status --iface sixteen-letters!",
        "status -4 -6",
        "children show",
        "counters --watch=0s",
        "explain",
        "explain 192.0.2",
        "explain 192.0.2.0/24",
        "explain 192.0.2.9 --from 2001:db8::1",
        "capture -c many",
        "monitor weather",
        "top",
        "top -o json",
        "top --once --interval=1ms",
        "run --iface a/b",
        "config",
        "doctor ens34",
        "completions tcsh",
        "man /no/such/directory",
    ]);
    of.assert_as_in("usage");
}

#[test]
fn wrong_configuration() {
    let node = Node::new();
    let mut of = Situation::new(&node);
    for (title, text) in [
        ("Syntax", "iface = [\"ens34\"\n"),
        ("Unknown key", "ifaces = [\"ens34\"]\n"),
        ("Wrong value", "iface = [\"ens34\"]\ndad = \"maybe\"\n"),
        ("Wrong type", "iface = \"ens34\"\n"),
        ("No parent", ""),
    ] {
        of.titled(title);
        let config = Config::new(text);
        let file = config.path();
        let verbs = ["config check", "run", "status"];
        // The directories of a file without an error are those of this machine.
        let verbs = &verbs[..if text.is_empty() { 2 } else { 3 }];
        for verb in verbs {
            of.run(&[&format!("{verb} --config {file}")]);
        }
    }
    of.titled("No such file");
    of.run(&[
        "config check --config /no/such/file",
        "status --config /no/such/file",
    ]);
    of.titled("A directory");
    of.run(&["config check --config /etc"]);
    of.titled("A file that the user cannot read");
    let config = Config::new("iface = [\"ens34\"]\n");
    let files = Dir::created();
    fs::set_permissions(files.path(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(config.path(), Permissions::from_mode(0o600)).unwrap();
    of.program = copied_to(&files);
    of.user = Some(NOBODY);
    for verb in ["config check", "status"] {
        of.run(&[&format!("{verb} --config {}", config.path())]);
    }
    of.assert_as_in("configuration");
}

#[test]
fn without_privileges() {
    let files = Dir::created();
    fs::set_permissions(files.path(), Permissions::from_mode(0o755)).unwrap();
    let node = Node::new();
    let agent = node.start(&[]);
    let mut of = Situation::new(&node);
    of.program = copied_to(&files);
    of.user = Some(NOBODY);
    let others = ["cleanup", "run --iface ens34"];
    of.titled("The user is not in the group of the socket");
    of.run(&ASKING);
    of.run(&others);
    of.titled("The user may not enter the runtime directory");
    fs::set_permissions(node.dir.path(), Permissions::from_mode(0o750)).unwrap();
    of.run(&ASKING);
    of.run(&others);
    of.titled("The socket was left by an agent that was killed");
    fs::set_permissions(node.dir.path(), Permissions::from_mode(0o755)).unwrap();
    ends(agent, Signal::SIGKILL);
    of.run(&["status", "children"]);
    of.assert_as_in("no_privileges");
}

#[test]
fn agent_that_does_not_answer() {
    let node = Node::new();
    let agent = node.start(&[]);
    agent.signal(Signal::SIGSTOP).unwrap();
    let mut of = Situation::new(&node);
    of.run_together(&ASKING);
    of.run_together(&["cleanup", "run --iface ens34"]);
    of.assert_as_in("no_answer");
    agent.signal(Signal::SIGCONT).unwrap();
    agent.stop().unwrap();
}

#[test]
fn pins() {
    let node = Node::pinned();
    let mut of = Situation::new(&node);
    of.titled("Nothing is pinned");
    of.run(&["status", "cleanup"]);
    of.titled("An agent was killed: what it pinned keeps answering");
    ends(node.start(&[]), Signal::SIGKILL);
    of.run(&[
        "status",
        "children",
        "explain 192.0.2.1",
        "top --once --interval=100ms",
        "capture",
    ]);
    of.run(&["cleanup", "status"]);
    of.titled("An agent was killed, and a map that it pinned was removed");
    ends(node.start(&[]), Signal::SIGKILL);
    fs::remove_file(node.pins().maps().join(maps::COUNTERS)).unwrap();
    of.run(&["status", "cleanup"]);
    of.titled("No BPF filesystem");
    let dir = Dir::created();
    let path = dir.path().display();
    of.run(&[
        &format!("status --pin-dir {path}"),
        &format!("cleanup --pin-dir {path}"),
        "cleanup --pin-dir /no/such/directory",
    ]);
    of.assert_as_in("pins");
    node.assert_nothing_attached(&[PARENT]);
}

/// How a command ends whose output goes there.
#[track_caller]
fn ended_to(node: &Node, line: &str, stdout: impl Into<Stdio>) -> (Option<i32>, String) {
    let mut command = Situation::new(node).command(line);
    command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The command still holds the output.
    drop(command);
    assert!(
        command::wait(&mut child, PATIENCE).unwrap().is_some(),
        "{line}"
    );
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), stderr)
}

#[test]
fn output_that_cannot_be_written() {
    let node = Node::pinned();
    let agent = node.start(&[]);
    let lines = [
        "status",
        "status --json",
        "children",
        "children -o json",
        "counters --all",
        "counters -o jsonl --all",
        "explain 192.0.2.1",
        "reload",
        "top --once --interval=100ms -o json",
        "config show --iface ens34",
        "completions bash",
        "man",
    ];
    let mut of = Situation::new(&node);
    of.titled("Nothing reads the pipe: no error");
    for line in lines {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (code, stderr) = ended_to(&node, line, writer);
        let code = code.unwrap();
        of.parts.push(format!(
            "$ ipvlan {line} | true
{stderr}exit code {code}
"
        ));
        assert_eq!((code, &*stderr), (0, ""), "{line}");
    }
    of.titled("The disk is full");
    for line in lines {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (code, stderr) = ended_to(&node, line, full);
        let code = code.unwrap();
        of.parts.push(format!(
            "$ ipvlan {line} > /dev/full
{stderr}exit code {code}
"
        ));
    }
    of.run(&[
        "capture -w /dev/full",
        "capture -w /no/such/directory/x.pcapng",
    ]);
    of.assert_as_in("output");
    agent.stop().unwrap();
}
