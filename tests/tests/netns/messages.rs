//! What a newcomer reads when a command cannot do what was meant: message, hint and exit code of each verb, in each
//! situation. The snapshots `messages_*.snap` are the table; the exit codes are those of `docs/service.md`.

use std::{
    collections::BTreeSet,
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use insta::assert_snapshot;
use ipvlan_common::maps;
use ipvlan_tests::command;
use nix::sys::signal::Signal;

use crate::{
    common::{Config, Dir, Ended, Node, PARENT, PATIENCE, as_user, copied_to, ends, ipvlan},
    verbs::settings,
};

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

/// Command lines of one situation, and how they ended.
struct Situation<'a> {
    node: &'a Node,
    /// The program, and the user that runs it.
    program: PathBuf,
    user: Option<u32>,
    /// The parts of the table.
    parts: Vec<String>,
}

impl<'a> Situation<'a> {
    fn new(node: &'a Node) -> Self {
        Self {
            node,
            program: ipvlan(),
            user: None,
            parts: Vec::new(),
        }
    }

    /// Begins a part of the table.
    fn titled(&mut self, title: &str) {
        self.parts.push(format!("# {title}\n"));
    }

    /// The command of a line: verbs that have directories get those of the node.
    fn command(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap_or_default();
        let options: Vec<_> = words.collect();
        let is_of_node = !matches!(verb, "" | "config" | "completions" | "man" | "doctor");
        let of_node = match verb {
            "run" if !line.contains("--pin-dir") => self.node.run(&[], &options),
            _ if is_of_node && verb.chars().all(char::is_alphabetic) => {
                let mut command = Command::new(ipvlan());
                command.arg(verb);
                // A verb of its own comes before the options.
                let (sub, options) = match options.split_first() {
                    Some((sub, rest)) if verb == "children" && !sub.starts_with('-') => {
                        (Some(sub), rest)
                    }
                    _ => (None, &options[..]),
                };
                command.args(sub);
                // A file can have both directories.
                if !line.contains("--config") {
                    command.arg("--runtime-dir").arg(self.node.dir.path());
                }
                if !line.contains("--config") && !line.contains("--pin-dir") {
                    command.arg("--pin-dir").arg(self.node.pin_dir());
                }
                command.args(options);
                command
            }
            _ => {
                let mut command = Command::new(ipvlan());
                command.args(line.split_whitespace());
                command
            }
        };
        let mut command = match self.user {
            Some(user) => as_user(user),
            None => Command::new(&self.program),
        };
        if self.user.is_some() {
            command.arg(&self.program);
        }
        command.args(of_node.get_args());
        command
    }

    /// Runs lines one after the other.
    #[track_caller]
    fn run(&mut self, lines: &[&str]) {
        for line in lines {
            let ended = self.node.ended(self.command(line));
            self.add(line, &ended);
        }
    }

    /// Runs lines beside each other: each of them waits.
    #[track_caller]
    fn run_together(&mut self, lines: &[&str]) {
        let ended: Vec<_> = thread::scope(|scope| {
            let this = &*self;
            let run = |line| scope.spawn(move || this.node.ended(this.command(line)));
            let started: Vec<_> = lines.iter().copied().map(run).collect();
            let ended = started.into_iter().map(|of| of.join().unwrap());
            ended.collect()
        });
        for (line, ended) in lines.iter().zip(&ended) {
            self.add(line, ended);
        }
    }

    #[track_caller]
    fn add(&mut self, line: &str, ended: &Ended) {
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
        let code = ended.code.unwrap();
        assert!(documented_codes().contains(&code), "{code}: {ended:?}");
        let output = format!("{}{}", ended.stdout, ended.stderr);
        self.parts.push(format!(
            "$ ipvlan {line}
{output}exit code {code}
"
        ));
    }

    /// The table is that of the snapshot.
    #[track_caller]
    fn assert_as_in(self, name: &str) {
        let mut settings = settings();
        for (pattern, text) in [
            (r"pid \d+", "pid PID"),
            (r"agent with pid PID", "agent with pid PID"),
            (r"\d+\.sock", "PID.sock"),
            (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
            (r"/run/ipvlan-lab-[0-9-]+\.bpf", "BPFFS"),
            (r"\b\d+-\d+\.lock", "NETNS-IFINDEX.lock"),
            (r"\bid \d+", "id ID"),
            (r"in netns \d+", "in netns INODE"),
            (r"inode \d+", "inode INODE"),
            (r"(ens34-)\d+-\d+", "${1}NETNS-IFINDEX"),
        ] {
            settings.add_filter(pattern, text);
        }
        settings.bind(|| assert_snapshot!(format!("messages_{name}"), self.parts.join("\n")));
    }
}

/// The exit codes of the table in the documents.
fn documented_codes() -> BTreeSet<i32> {
    let documents = include_str!("../../../docs/service.md");
    let (_, section) = documents.split_once("## Exit codes\n").unwrap();
    let (table, _) = section.split_once("\n\n").unwrap();
    let rows = table
        .lines()
        .filter_map(|line| line.split('|').nth(1)?.trim().parse().ok());
    rows.collect()
}

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
