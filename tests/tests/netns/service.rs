//! What the agent tells a service manager and the journal, over their real protocols.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::net::UnixDatagram,
    process::Command,
    time::{Duration, Instant},
};

use ipvlan_tests::agent::Agent;
use nix::sys::signal::Signal;

use crate::common::{Config, Dir, Node, PARENT, PATIENCE, Reports as _};

/// A socket that datagrams are sent to, in a directory of its own; not below `/run`, which the agent may have of its
/// own.
struct Inbox {
    dir: Dir,
    socket: UnixDatagram,
}

impl Inbox {
    fn new() -> Self {
        let name = Dir::new();
        let path = std::env::temp_dir().join(name.path().file_name().unwrap());
        fs::create_dir(&path).unwrap();
        let socket = UnixDatagram::bind(path.join("socket")).unwrap();
        let dir = Dir(path);
        Self { dir, socket }
    }

    /// The next one, a character for each byte; none if there is none within `patience`.
    fn next(&self, patience: Duration) -> Option<String> {
        let mut datagram = [0; 8_192];
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let length = self.socket.recv(&mut datagram).ok()?;
        let bytes = datagram[..length].iter();
        Some(bytes.map(|&byte| char::from(byte)).collect())
    }

    /// Reads until one is as wanted; gives all of them.
    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let Some(datagram) = self.next(PATIENCE) else {
                panic!("never heard: {what}; heard: {seen:?}");
            };
            let last = is_so(&datagram);
            seen.push(datagram);
            if last {
                return seen;
            }
        }
    }

    /// What comes within this time.
    fn within(&self, time: Duration) -> Vec<String> {
        let deadline = Instant::now() + time;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return seen;
            }
            seen.extend(self.next(left));
        }
    }
}

/// An agent that reports to a service manager.
struct Service {
    node: Node,
    manager: Inbox,
    agent: Agent,
    config: Config,
}

impl Service {
    fn start(node: Node, environment: &[(&str, &str)]) -> Self {
        let manager = Inbox::new();
        let config = Config::new("iface = [\"ens34\"]\n");
        let run = node.run(&[], &config.options());
        // With mounts of its own.
        let mut command = Command::new("unshare");
        command.arg("--mount").arg(run.get_program());
        command.args(run.get_args());
        command.env("NOTIFY_SOCKET", manager.dir.path().join("socket"));
        command.envs(environment.iter().copied());
        let agent = node.spawn(command);
        Self {
            node,
            manager,
            agent,
            config,
        }
    }

    /// Waits until it is ready.
    fn ready(environment: &[(&str, &str)]) -> Self {
        let service = Self::start(Node::new(), environment);
        let is_ready = |heard: &str| heard == "READY=1\n";
        service.manager.until("READY=1", is_ready);
        service
    }

    fn configure(&self, text: &str) {
        self.config.write("config.toml", text);
        self.agent.signal(Signal::SIGHUP).unwrap();
    }

    fn fed(&self, time: Duration) -> usize {
        let heard = self.manager.within(time);
        heard.iter().filter(|line| *line == "WATCHDOG=1\n").count()
    }
}

#[test]
fn manager_hears_ready_reloads_the_state_and_the_end() {
    let service = Service::start(Node::new(), &[]);
    let Service { manager, agent, .. } = &service;
    assert_eq!(manager.next(PATIENCE).unwrap(), "READY=1\n");
    agent.assert_ready();
    let all_is_well = "STATUS=ens34: 0 children, 0 addresses answered\n";
    assert_eq!(manager.next(PATIENCE).unwrap(), all_is_well);
    // It is not repeated; a status request syncs, too.
    agent.status().unwrap();
    assert_eq!(manager.within(Duration::from_secs(2)), [""; 0]);

    let reloading = |heard: &str| {
        let time = heard.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        let time: u64 = time.unwrap().trim_end().parse().unwrap();
        let uptime = fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let now = Duration::from_secs_f64(seconds);
        let ago = now.abs_diff(Duration::from_micros(time));
        assert!(ago < PATIENCE, "{heard}: it is {now:?}");
    };
    // What is changed, and the state then.
    let rows = [
        (
            "iface = [\"ens34\", \"ens99\"]\n",
            "STATUS=ens34: 0 children, 0 addresses answered; ens99 waits: there is no interface \
             `ens99` in this network namespace\n",
        ),
        (
            "iface = 1\n",
            "`iface`: invalid type: integer `1`, expected a list in brackets\n",
        ),
        ("iface = [\"ens34\"]\n", all_is_well),
    ];
    for (text, state) in rows {
        service.configure(text);
        reloading(&manager.next(PATIENCE).unwrap());
        assert_eq!(manager.next(PATIENCE).unwrap(), "READY=1\n", "{text}");
        let heard = manager.next(PATIENCE).unwrap();
        let is_state = heard.starts_with("STATUS=") && heard.ends_with(state);
        assert!(is_state, "{text}: {heard}");
    }

    agent.signal(Signal::SIGTERM).unwrap();
    let last = manager.next(PATIENCE).unwrap();
    assert_eq!(last, "STOPPING=1\nSTATUS=stopping\n");
    assert_eq!(manager.next(Duration::from_millis(200)), None);
}

#[test]
fn service_that_cannot_start_is_never_ready() {
    let node = Node::new();
    node.on_host("link set ens34 name other0");
    let mut service = Service::start(node, &[]);
    service.agent.wait(PATIENCE).unwrap();
    assert_eq!(service.manager.next(Duration::from_millis(100)), None);
}

#[test]
fn watchdog_is_fed_while_syncs_succeed_and_only_then() {
    const SECOND: Duration = Duration::from_secs(1);
    // To be fed within 600 ms.
    let service = Service::ready(&[("WATCHDOG_USEC", "600000")]);
    let Service { manager, agent, .. } = &service;
    let fed = service.fed(SECOND * 2);
    assert!((7..=11).contains(&fed), "fed {fed} times in 2 s");

    agent.signal(Signal::SIGSTOP).unwrap();
    manager.within(Duration::from_millis(100));
    assert_eq!(service.fed(SECOND), 0, "it does not run");
    agent.signal(Signal::SIGCONT).unwrap();
    manager.until("fed again", |heard| heard == "WATCHDOG=1\n");

    // It runs, and netlink works, but netns cannot be looked for any more.
    let pid = agent.pid().to_string();
    let mounts = |command: &[&str]| {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--mount", "--target", &pid]).args(command);
        assert!(nsenter.status().unwrap().success(), "{command:?}");
    };
    mounts(&["mount", "-t", "tmpfs", "tmpfs", "/proc"]);
    service
        .node
        .on_host("link add other0 type veth peer name other1");
    manager.until("the failure", |heard| heard.contains("last sync failed"));
    manager.within(SECOND / 2);
    assert_eq!(service.fed(SECOND * 3), 0, "syncs fail: {}", agent.said());
    assert!(agent.report().sync.failed > 3, "{}", agent.said());
    mounts(&["umount", "-n", "/proc"]);
    let heard = manager.until("fed again", |heard| heard == "WATCHDOG=1\n");
    let is_well = |heard: &String| heard.ends_with("addresses answered\n");
    assert!(
        heard.iter().any(is_well),
        "fed before all was well: {heard:?}"
    );
    assert!(service.fed(SECOND) > 0);
}

#[test]
fn without_a_watchdog_none_is_fed() {
    // It is that of another process.
    let environment = [("WATCHDOG_USEC", "100000"), ("WATCHDOG_PID", "1")];
    let service = Service::ready(&environment);
    assert_eq!(service.fed(Duration::from_secs(1)), 0);
}

/// With a /run of its own, in which the journal is `$0`, and a standard error that is said to be
/// connected to it.
const JOURNAL: &str = r#"
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd && ln -s "$0" /run/systemd/journal &&
JOURNAL_STREAM=$(stat -L -c %d:%i /proc/$$/fd/2) exec "$@"
"#;

/// `FIELD=value`, or `FIELD`, a length of eight bytes and the value; a newline behind each.
fn fields(entry: &str) -> BTreeMap<String, String> {
    let bytes: Vec<u8> = entry.chars().map(|of| of.try_into().unwrap()).collect();
    let mut entry = bytes.as_slice();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut fields = BTreeMap::new();
    while let Some(end) = entry.iter().position(|&byte| byte == b'\n') {
        let line = text(&entry[..end]);
        entry = &entry[end + 1..];
        if let Some((field, value)) = line.split_once('=') {
            fields.insert(field.to_owned(), value.to_owned());
            continue;
        }
        let (length, rest) = entry.split_first_chunk().unwrap();
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
        fields.insert(line, text(&rest[..length]));
        entry = &rest[length + 1..];
    }
    fields
}

#[test]
fn journal_gets_a_field_for_every_value() {
    let (node, journal) = (Node::new(), Inbox::new());
    let run = node.run(&[PARENT], &[]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", JOURNAL]);
    command.arg(journal.dir.path());
    command.arg(run.get_program()).args(run.get_args());
    let mut agent = node.spawn(command);
    let entry = |message: &str| {
        let is_it = |entry: &str| {
            let found = fields(entry).remove("MESSAGE");
            found.is_some_and(|found| found.starts_with(message))
        };
        let seen = journal.until(message, is_it);
        fields(seen.last().unwrap())
    };
    let ready = entry("ready: ens34 (ifindex ");
    assert_eq!(ready["PRIORITY"], "5");
    assert_eq!(ready["SYSLOG_IDENTIFIER"], "ipvlan");
    node.on_host("address add 192.0.2.77/24 dev ens34");
    let changed = entry("addresses changed");
    assert_eq!(changed["IPVLAN_PARENT"], "ens34");
    assert_eq!(changed["IPVLAN_PUT"], "1");
    node.on_host("link delete ens34");
    assert_eq!(entry("detaching: the interface is gone")["PRIORITY"], "4");
    agent.signal(Signal::SIGTERM).unwrap();
    assert!(agent.wait(PATIENCE).unwrap().success());
    assert_eq!(agent.said(), "", "it is logged once");
}
