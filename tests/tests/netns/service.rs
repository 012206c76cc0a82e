//! What the agent tells a service manager and the journal, over their real protocols.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use ipvlan_tests::agent::{self, Agent};
use nix::sys::signal::Signal;

use crate::common::{
    Dir, PATIENCE, World, ipvlan,
    world::{PARENT, parent},
};

/// A socket that datagrams are sent to, in a directory of its own.
struct Inbox {
    directory: PathBuf,
    socket: UnixDatagram,
}

impl Inbox {
    fn new(name: &str) -> Self {
        let directory = format!("ipvlan-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        let _absent = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        Self {
            socket: UnixDatagram::bind(directory.join("socket")).unwrap(),
            directory,
        }
    }

    /// The next one, a character for each byte; none if there is none within `patience`.
    fn next(&self, patience: Duration) -> Option<String> {
        let mut datagram = [0; 8_192];
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let length = self.socket.recv(&mut datagram).ok()?;
        Some(
            datagram[..length]
                .iter()
                .map(|&byte| char::from(byte))
                .collect(),
        )
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

impl Drop for Inbox {
    fn drop(&mut self) {
        let _absent = fs::remove_dir_all(&self.directory);
    }
}

/// An agent that tells a manager how it is.
struct Service {
    manager: Inbox,
    agent: Agent,
    config: Dir,
}

impl Service {
    fn start(world: &World, name: &str, environment: &[(&str, &str)]) -> Self {
        let manager = Inbox::new(name);
        let config = Dir::new();
        fs::create_dir(config.path()).unwrap();
        let file = config.path().join("config.toml");
        fs::write(&file, "iface = [\"ens34\"]\n").unwrap();
        let dir = agent::new_runtime_dir();
        let run = agent::run(&ipvlan(), &dir, &[]);
        // With mounts of its own.
        let mut command = Command::new("unshare");
        command
            .arg("--mount")
            .arg(run.get_program())
            .args(run.get_args())
            .arg("--config")
            .arg(&file)
            .env("NOTIFY_SOCKET", manager.directory.join("socket"))
            .envs(environment.iter().copied());
        let agent = Agent::spawn(command, &ipvlan(), dir, &world.host).unwrap();
        Self {
            manager,
            agent,
            config,
        }
    }

    fn configure(&self, text: &str) {
        fs::write(self.config.path().join("config.toml"), text).unwrap();
        self.agent.signal(Signal::SIGHUP).unwrap();
    }

    fn fed(&self, time: Duration) -> usize {
        let heard = self.manager.within(time);
        heard.iter().filter(|line| *line == "WATCHDOG=1\n").count()
    }
}

#[test]
fn manager_hears_ready_reloads_the_state_and_the_end() {
    let world = World::new();
    let service = Service::start(&world, "manager", &[]);
    let Service { manager, agent, .. } = &service;
    assert_eq!(manager.next(PATIENCE).unwrap(), "READY=1\n");
    assert_eq!(parent(agent, 0)["state"], "ready");
    let all_is_well = "STATUS=ens34: 0 children, 0 addresses answered\n";
    assert_eq!(manager.next(PATIENCE).unwrap(), all_is_well);
    // It does not say so again; a status request syncs, too.
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
            "`iface`: invalid type: integer `1`, expected a sequence\n",
        ),
        ("iface = [\"ens34\"]\n", all_is_well),
    ];
    for (text, state) in rows {
        service.configure(text);
        reloading(&manager.next(PATIENCE).unwrap());
        assert_eq!(manager.next(PATIENCE).unwrap(), "READY=1\n", "{text}");
        let heard = manager.next(PATIENCE).unwrap();
        assert!(
            heard.starts_with("STATUS=") && heard.ends_with(state),
            "{text}: {heard}"
        );
    }

    agent.signal(Signal::SIGTERM).unwrap();
    assert_eq!(
        manager.next(PATIENCE).unwrap(),
        "STOPPING=1\nSTATUS=stopping\n"
    );
    assert_eq!(manager.next(Duration::from_millis(200)), None);
}

#[test]
fn service_that_cannot_start_is_never_ready() {
    let world = World::new();
    world.on_host("link set ens34 name other0");
    let mut service = Service::start(&world, "never", &[]);
    service.agent.wait(PATIENCE).unwrap();
    assert_eq!(service.manager.next(Duration::from_millis(100)), None);
}

#[test]
fn watchdog_is_fed_while_syncs_succeed_and_only_then() {
    const SECOND: Duration = Duration::from_secs(1);
    let world = World::new();
    // To be fed within 600 ms.
    let service = Service::start(&world, "watchdog", &[("WATCHDOG_USEC", "600000")]);
    let Service { manager, agent, .. } = &service;
    manager.until("READY=1", |heard| heard == "READY=1\n");
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
    world.on_host("link add other0 type veth peer name other1");
    manager.until("the failure", |heard| heard.contains("last sync failed"));
    manager.within(SECOND / 2);
    assert_eq!(
        service.fed(SECOND * 3),
        0,
        "its syncs fail: {}",
        agent.said()
    );
    let failed = || agent.status().unwrap()["sync"]["failed"].as_u64().unwrap();
    assert!(failed() > 3, "{}", agent.said());
    mounts(&["umount", "-n", "/proc"]);
    let heard = manager.until("fed again", |heard| heard == "WATCHDOG=1\n");
    let well = heard
        .iter()
        .any(|heard| heard.ends_with("addresses answered\n"));
    assert!(well, "fed before all was well: {heard:?}");
    assert!(service.fed(SECOND) > 0);
}

#[test]
fn without_a_watchdog_none_is_fed() {
    let world = World::new();
    // It is that of another process.
    let environment = [("WATCHDOG_USEC", "100000"), ("WATCHDOG_PID", "1")];
    let service = Service::start(&world, "nodog", &environment);
    service
        .manager
        .until("READY=1", |heard| heard == "READY=1\n");
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
    let world = World::new();
    let journal = Inbox::new("journal");
    let dir = agent::new_runtime_dir();
    let run = agent::run(&ipvlan(), &dir, &[PARENT]);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", JOURNAL])
        .arg(&journal.directory)
        .arg(run.get_program())
        .args(run.get_args());
    let mut agent = Agent::spawn(command, &ipvlan(), dir, &world.host).unwrap();
    let entry = |message: &str| {
        let is_it = |entry: &str| {
            let fields = fields(entry);
            fields
                .get("MESSAGE")
                .is_some_and(|of| of.starts_with(message))
        };
        let seen = journal.until(message, is_it);
        fields(seen.last().unwrap())
    };
    let ready = entry("ready: ens34 (ifindex ");
    assert_eq!(ready["PRIORITY"], "5");
    assert_eq!(ready["SYSLOG_IDENTIFIER"], "ipvlan");
    world.on_host("address add 192.0.2.77/24 dev ens34");
    let changed = entry("addresses changed");
    assert_eq!(changed["IPVLAN_PARENT"], "ens34");
    assert_eq!(changed["IPVLAN_PUT"], "1");
    world.on_host("link delete ens34");
    assert_eq!(entry("detaching: the interface is gone")["PRIORITY"], "4");
    agent.signal(Signal::SIGTERM).unwrap();
    assert!(agent.wait(PATIENCE).unwrap().success());
    assert_eq!(agent.said(), "", "it is told once");
}
