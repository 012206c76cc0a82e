//! A situation of the table: command lines, and how they ended.

use std::{collections::BTreeSet, path::PathBuf, process::Command, thread};

use insta::assert_snapshot;

use crate::{
    common::{Ended, Node, as_user, ipvlan},
    verbs::settings,
};

/// Command lines of one situation, and how they ended.
pub(super) struct Situation<'a> {
    pub(super) node: &'a Node,
    /// The program, and the user that runs it.
    pub(super) program: PathBuf,
    pub(super) user: Option<u32>,
    /// The parts of the table.
    pub(super) parts: Vec<String>,
}

impl<'a> Situation<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self {
            node,
            program: ipvlan(),
            user: None,
            parts: Vec::new(),
        }
    }

    /// Begins a part of the table.
    pub(super) fn titled(&mut self, title: &str) {
        self.parts.push(format!("# {title}\n"));
    }

    /// The command of a line: verbs that have directories get those of the node.
    pub(super) fn command(&self, line: &str) -> Command {
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
    pub(super) fn run(&mut self, lines: &[&str]) {
        for line in lines {
            let ended = self.node.ended(self.command(line));
            self.add(line, &ended);
        }
    }

    /// Runs lines beside each other: each of them waits.
    #[track_caller]
    pub(super) fn run_together(&mut self, lines: &[&str]) {
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
    pub(super) fn add(&mut self, line: &str, ended: &Ended) {
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
    pub(super) fn assert_as_in(self, name: &str) {
        let mut settings = settings();
        settings.set_snapshot_path("../snapshots");
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
pub(super) fn documented_codes() -> BTreeSet<i32> {
    let documents = include_str!("../../../../docs/service.md");
    let (_, section) = documents.split_once("## Exit codes\n").unwrap();
    let (table, _) = section.split_once("\n\n").unwrap();
    let rows = table
        .lines()
        .filter_map(|line| line.split('|').nth(1)?.trim().parse().ok());
    rows.collect()
}
