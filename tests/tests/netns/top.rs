//! `ipvlan top` on a terminal of 80×24 and of 200×60, which tmux emulates: beside an agent, and beside a process that
//! answers like an agent with children, which this host's kernel need not have.

use std::{
    fs,
    os::unix::net::UnixListener,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::{
    common::{Dir, Node, PARENT, PATIENCE, Reports as _, assert_schema, wait_until},
    sockets::serve,
};

/// Process id of the process that answers like an agent: higher than that of any process.
const PID: u32 = 4_194_400;
/// Screens, as tmux takes them.
const SIZES: [(&str, &str); 2] = [("80", "24"), ("200", "60")];
/// What the shell prompts.
const PROMPT: &str = "before-and-after$";

/// A terminal with a shell, on a tmux server of its own, which is killed when this is dropped.
struct Terminal {
    dir: Dir,
}

impl Terminal {
    #[track_caller]
    fn new(width: &str, height: &str) -> Self {
        let terminal = Self {
            dir: Dir::created(),
        };
        let prompt = format!("PS1={PROMPT} ");
        terminal.tmux(&[
            "new-session",
            "-d",
            "-x",
            width,
            "-y",
            height,
            "env",
            "-u",
            "ENV",
            &prompt,
            "sh",
        ]);
        terminal.shows(PROMPT);
        terminal
    }

    /// Runs a command of tmux on this server. No server is shared: its socket is in a directory of its own.
    #[track_caller]
    fn tmux(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-u", "-f", "/dev/null", "-S"]);
        command.arg(self.dir.path().join("socket"));
        command.args(arguments).env_remove("TMUX");
        command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm");
        command
    }

    /// Types keys, as tmux names them.
    #[track_caller]
    fn types(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Types a command line.
    #[track_caller]
    fn runs(&self, command: &Command) {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
        self.tmux(&["send-keys", "-l", &words.join(" ")]);
        self.types(&["Enter"]);
    }

    #[track_caller]
    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The screen has this text soon.
    #[track_caller]
    fn shows(&self, text: &str) -> String {
        self.becomes(text, |screen| screen.contains(text))
    }

    #[track_caller]
    fn becomes(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        wait_until(PATIENCE, what, || self.screen(), |screen| is_so(screen))
    }

    /// The shell is back, with what was on its screen before, and its terminal is as it was.
    #[track_caller]
    fn is_restored(&self) {
        self.becomes("the shell's screen", |screen| {
            screen.contains("ipvlan top") && screen.trim_end().ends_with(PROMPT)
        });
        self.types(&[
            "stty -a | grep -c ' icanon.* echo ' ; echo mode $((40 + 2))",
            "Enter",
        ]);
        let screen = self.shows("mode 42");
        let lines: Vec<_> = screen.lines().collect();
        let at = lines.iter().position(|line| *line == "mode 42").unwrap();
        assert_eq!(lines[at - 1], "1", "{screen}");
        self.types(&["clear", "Enter"]);
        self.becomes("a clear screen", |screen| screen.trim_end() == PROMPT);
    }

    /// The process that the shell has started.
    #[track_caller]
    fn child(&self) -> Pid {
        let shell = self.tmux(&["list-panes", "-F", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        Pid::from_raw(children.trim().parse().unwrap())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _gone = self.command(&["kill-server"]).output();
    }
}

/// A child that was answered for so often.
fn child(number: u64, netns: &str, answered: u64) -> Value {
    json!({"parent": "ens99", "child": {
        "name": "eth0", "ifindex": 7, "mode": "l3", "up": true, "delivery": "pass",
        "state": "answering", "reason": null,
        "netns": {"nsid": number, "inode": 4_026_532_000 + number, "names": [netns]},
        "addresses": [{"address": format!("198.51.100.{number}/24"), "state": "answered", "reason": null}],
        "counters": {"answered": answered},
        "link": {"rx_packets": 0, "rx_bytes": 0, "tx_packets": 0, "tx_bytes": 0}
    }})
}

/// Answers like an agent whose children are asked for the more often the later they are in the list, until its socket
/// is removed.
fn serve_children(node: &Node) -> std::path::PathBuf {
    let socket = node.dir.path().join(format!("{PID}.sock"));
    let listener = UnixListener::bind(&socket).unwrap();
    let times = AtomicU64::new(0);
    serve(listener, move |stream| {
        let time = times.fetch_add(1, Ordering::Relaxed);
        let children: Vec<_> = (1..)
            .zip(["alpha", "beta", "gamma\u{1b}[2J"])
            .map(|(number, name)| child(number, name, time * number * 100))
            .collect();
        let agent = json!({
            "pid": PID, "version": "0.1.0", "netns": 1,
            "sync": {"wakes": 0, "syncs": time, "overruns": 0, "failed": 0, "error": null, "mended": 0},
            "parents": [{
                "name": "ens99", "ifindex": 2, "mac": null, "up": true, "mode": "l3", "flag": "bridge",
                "state": "ready", "reason": null, "hooks": [], "notes": [], "children": [],
                "counters": {"ingress": {"arp_answered": time * 600}}
            }]
        });
        let reply = json!({"parameters": {"agent": agent, "children": children}});
        std::io::Write::write_all(stream, format!("{reply}\0").as_bytes())
    });
    socket
}

/// The netns of the rows from top to bottom.
fn order(screen: &str) -> Vec<&str> {
    let names = screen
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let is_child = |name: &&str| {
        ["alpha", "beta", "gamma"]
            .iter()
            .any(|of| name.starts_with(of))
    };
    names
        .filter(is_child)
        .map(|name| name.split('\\').next().unwrap())
        .collect()
}

#[test]
fn top_shows_children_follows_keys_and_agents_and_restores_the_terminal() {
    let node = Node::new();
    let agent = node.start(&[]);
    agent.assert_ready();
    for (width, height) in SIZES {
        let socket = serve_children(&node);
        let terminal = Terminal::new(width, height);
        let mut top = node.command("top", &["--interval=200ms"]);
        // Its words are typed.
        top.stdin(std::process::Stdio::null());
        terminal.runs(&top);
        let screen = terminal.becomes("rates", |screen| {
            order(screen) == ["gamma", "beta", "alpha"]
        });
        for text in [
            "2 agents, 2 parents, 3 of 3 children up",
            PARENT,
            "ens99",
            "ANSWERED/s",
            "q quit",
        ] {
            assert!(screen.contains(text), "{text} in\n{screen}");
        }
        assert_eq!(screen.contains("MODE"), width == "200", "{screen}");
        assert_eq!(screen.lines().count(), height.parse::<usize>().unwrap());

        terminal.types(&["n"]);
        terminal.becomes("order of names", |screen| {
            order(screen) == ["alpha", "beta", "gamma"]
        });
        terminal.types(&["r"]);
        terminal.becomes("reversed", |screen| {
            order(screen) == ["gamma", "beta", "alpha"]
        });
        terminal.types(&["/", "bet"]);
        terminal.becomes("filtered", |screen| {
            screen.contains("filter: bet") && order(screen) == ["beta"]
        });
        terminal.types(&["Enter"]);
        terminal.shows("1 of 3 children match `bet`");
        terminal.types(&["Enter"]);
        terminal.shows("198.51.100.2/24  answered");
        terminal.types(&["Escape"]);
        terminal.becomes("the table", |screen| order(screen) == ["beta"]);
        terminal.types(&["Escape"]);
        terminal.becomes("no filter", |screen| order(screen).len() == 3);
        terminal.types(&["?"]);
        terminal.shows("sort in the other direction");
        terminal.types(&["?"]);
        terminal.becomes("the table", |screen| order(screen).len() == 3);
        terminal.types(&["p"]);
        terminal.shows(" paused");
        terminal.types(&["p"]);
        terminal.becomes("no pause", |screen| !screen.contains(" paused"));

        terminal.tmux(&["resize-window", "-x", "60", "-y", "12"]);
        let screen = terminal.becomes("a small screen", |screen| {
            order(screen).len() == 3 && !screen.contains("REFUSED/s")
        });
        assert!(
            screen.lines().all(|line| line.chars().count() <= 60),
            "{screen}"
        );
        terminal.tmux(&["resize-window", "-x", width, "-y", height]);
        terminal.shows("REFUSED/s");

        fs::remove_file(socket).unwrap();
        terminal.becomes("one agent", |screen| {
            screen.contains("1 agent, 1 parent, 0 of 0 children up")
                && screen.contains("no children")
        });
        terminal.types(&["q"]);
        terminal.is_restored();

        for signal in [Signal::SIGTERM, Signal::SIGHUP] {
            terminal.runs(&top);
            terminal.shows("1 agent, 1 parent, 0 of 0 children up");
            kill(terminal.child(), signal).unwrap();
            terminal.is_restored();
        }
        if height == "60" {
            terminal.runs(&top);
            terminal.shows("1 agent, 1 parent, 0 of 0 children up");
            agent.signal(Signal::SIGTERM).unwrap();
            terminal.shows("no agent is running");
            terminal.types(&["C-c"]);
            terminal.is_restored();
        }
    }
}

#[test]
fn top_once_prints_two_readings_one_interval_apart() {
    let node = Node::new();
    fs::create_dir(node.dir.path()).unwrap();
    let _socket = serve_children(&node);
    let once = |options: &[&str]| {
        let options = [&["--once", "--interval=500ms"], options].concat();
        node.ended(node.command("top", &options)).exits_silently(0)
    };
    let ended = once(&["-o", "json"]);
    assert_schema("top", &ended, false);
    let top: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(top["interval_ms"].as_u64().unwrap() >= 500, "{top}");
    let rate = |number: usize| {
        top["children"][number]["per_second"]["answered"]
            .as_f64()
            .unwrap()
    };
    // 100 more for the first one within half a second or a little more.
    assert!((100.0..=200.0).contains(&rate(0)), "{top}");
    assert!((rate(2) / rate(0) - 3.0).abs() < 0.1, "{top}");
    assert_schema("top-line", &once(&["-o", "jsonl"]), true);
    let table = once(&["-4"]);
    assert_eq!(
        order(&table.stdout),
        ["gamma", "beta", "alpha"],
        "{table:?}"
    );
    assert!(!table.stdout.contains('\u{1b}'), "{table:?}");
    let filtered = once(&["-6"]);
    assert!(!filtered.stdout.contains("198.51.100"), "{filtered:?}");
}

#[test]
fn top_needs_a_terminal_or_once() {
    let node = Node::new();
    let top = |options: &[&str]| node.ended(node.command("top", options));
    top(&[])
        .exits(2)
        .reports("needs a terminal")
        .reports("hint: `ipvlan top --once`");
    top(&["-o", "json"]).exits(2).reports("--once");
    top(&["--interval=1ms"]).exits(2).reports("at least 100ms");
}
