//! Configuration files: what they say is done, at start and after SIGHUP, and what is wrong with them
//! is told.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ipvlan_tests::{
    agent::{self, Agent},
    command,
};
use nix::{
    pty::openpty,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::common::{
    Dir, Ended, PATIENCE, World, ipvlan, wait_until,
    world::{HOST_IP, PARENT},
};

const OTHER: &str = "ens35";

/// A configuration file in a directory of its own, `config.d` beside it.
struct Config(Dir);

impl Config {
    fn new(text: &str) -> Self {
        let config = Self(Dir::new());
        fs::create_dir_all(config.0.path().join("config.d")).unwrap();
        config.write("config.toml", text);
        config
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("config.toml")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    /// `ipvlan run` that reads it.
    fn run(&self, dir: &Path, options: &[&str]) -> Command {
        let mut command = agent::run(&ipvlan(), dir, &[]);
        command.arg("--config").arg(self.path()).args(options);
        command
    }

    fn start(&self, world: &World, options: &[&str], parents: &[&str]) -> Agent {
        let dir = agent::new_runtime_dir();
        let command = self.run(&dir, options);
        let mut agent = Agent::spawn(command, &ipvlan(), dir, &world.host).unwrap();
        agent.wait_ready(parents).unwrap();
        agent
    }
}

fn names(status: &Value) -> Vec<&str> {
    let parents = status["parents"].as_array().unwrap();
    parents
        .iter()
        .map(|parent| parent["name"].as_str().unwrap())
        .collect()
}

#[test]
fn files_name_the_parents_and_the_command_line_counts_more() {
    let world = World::new();
    world.cable(OTHER, "lan1");
    let config = Config::new("iface = [\"ens34\"]\nattach = \"tcx\"\nhost-access = false\n");
    config.write("config.d/50-clsact.toml", "attach = \"clsact\"\n");

    let agent = config.start(&world, &[], &[PARENT]);
    let attached = world.attached(&[PARENT, OTHER]).join("\n");
    assert!(
        attached.contains("clsact") && !attached.contains("egress"),
        "{attached}"
    );
    let status = agent.status().unwrap();
    assert_eq!(
        status["config"],
        json!({
            "files": [config.path(), config.0.path().join("config.d/50-clsact.toml")],
            "reloads": 0,
            "error": null,
            "at_next_start": [],
        })
    );
    agent.stop().unwrap();
    world.assert_nothing_attached(&[PARENT]);

    let options = ["--iface", OTHER, "--attach", "tcx", "--host-access"];
    let agent = config.start(&world, &options, &[OTHER]);
    let attached = world.attached(&[PARENT, OTHER]);
    let hooks = [
        "ens35: 1 TCX programs on ingress",
        "ens35: 1 TCX programs on egress",
    ];
    assert_eq!(attached, hooks);
    agent.stop().unwrap();
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_place_and_nothing_is_attached() {
    let world = World::new();
    let long = "# a comment\n".repeat(100_000);
    let rows = [
        (
            "iface = [\"ens34\"]\nifaces = []",
            ":2:1: `ifaces`: unknown field",
        ),
        ("iface = \"ens34\"", ":1:9: `iface`: invalid type: string"),
        (
            "iface = [\"ens34\"]\naudit = 0",
            ":2:9: `audit`: 0 is not in 1..=86400",
        ),
        (
            "iface = [\"a\\u0000\"]",
            ":1:10: `iface`: '\\0' cannot be in an interface name",
        ),
        (
            "iface = [\"sixteen-letters!\"]",
            ":1:10: `iface`: longer than 15 bytes",
        ),
        (
            "iface = [\"/dev/null\"]",
            ":1:10: `iface`: '/' cannot be in",
        ),
        (
            "deny = [\"10.0.0.1/8\"]",
            ":1:9: `deny`: `10.0.0.1/8` has bits set",
        ),
        (
            "iface = [\"ens34\"]\n[[rule]]\nnetns = [\"a[\"]",
            ":3:10: `rule.netns`: `a[`: invalid range pattern",
        ),
        (
            "iface = [\"ens34\"]\n[[rule]]\nname = [\"eth0\"]\nallow = [\"::/0\"]",
            ":4:9: `rule.allow`: this grants something, and a container can rename its link",
        ),
        ("iface = [", ":1:10: "),
        ("audit = 1", "no parent is named"),
        (&long, ":21846:1: more than 262144 bytes"),
    ];
    for (text, says) in rows {
        let shown = &text[..text.len().min(80)];
        let dir = Dir::new();
        let config = Config::new(text);
        let ended = Ended::of(config.run(dir.path(), &[]), &world);
        assert_eq!(ended.code, Some(2), "{shown}: {ended:?}");
        assert!(ended.stderr.starts_with("error: "), "{shown}: {ended:?}");
        assert!(ended.stderr.contains(says), "{shown}: {ended:?}");
        let path = config.path().display().to_string();
        assert!(ended.stderr.contains(&path), "{shown}: {ended:?}");
        assert!(!dir.path().exists(), "{shown}");
        world.assert_nothing_attached(&[PARENT]);
    }
    let mut command = agent::run(&ipvlan(), Dir::new().path(), &[PARENT]);
    command.args(["--config", "/no/such/file"]);
    let ended = Ended::of(command, &world);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("/no/such/file"), "{ended:?}");
}

#[test]
fn reload_changes_the_parents_and_names_what_waits_for_the_next_start() {
    let world = World::new();
    world.cable(OTHER, "lan1");
    let config = Config::new("iface = [\"ens34\"]\n");
    let mut agent = config.start(&world, &["--audit", "60"], &[PARENT]);
    let reload = |agent: &mut Agent, reloads: u64, text: &str| {
        config.write("config.toml", text);
        agent.signal(Signal::SIGHUP).unwrap();
        agent
            .wait_until(PATIENCE, "reloaded", |status| {
                status["config"]["reloads"] == reloads || !status["config"]["error"].is_null()
            })
            .unwrap();
        let shown = Ended::status(&world, agent.runtime_dir(), &[]).stdout;
        (agent.status().unwrap(), shown)
    };

    // Another parent, and one that cannot be served.
    let (status, shown) = reload(
        &mut agent,
        1,
        "iface = [\"ens34\", \"ens35\", \"ens99\"]\nattach = \"clsact\"\nmax-addresses = 7\n\
         dad = \"enforce\"\nannounce = \"off\"\naudit = 1\n",
    );
    assert_eq!(names(&status), [PARENT, OTHER, "ens99"]);
    let found = [0, 1, 2].map(|index| status["parents"][index]["state"].as_str().unwrap());
    assert_eq!(found, ["ready", "ready", "waiting"]);
    assert_eq!(
        status["config"]["at_next_start"],
        json!(["attach", "max-addresses"])
    );
    assert!(
        shown.contains("in effect from the next start on: attach, max-addresses\n"),
        "{shown}"
    );
    let attached = world.attached(&[PARENT, OTHER]).join("\n");
    assert!(!attached.contains("clsact"), "{attached}");

    // A file that is wrong changes nothing.
    let (status, shown) = reload(&mut agent, 1, "iface = [\"ens99\"]\nattach = 1\n");
    let error = status["config"]["error"].as_str().unwrap();
    assert!(error.contains(":2:10: `attach`: invalid type"), "{error}");
    assert!(
        shown.contains(&format!(
            "last reload failed, settings are those from before: {error}"
        )),
        "{shown}"
    );
    assert_eq!(names(&status), [PARENT, OTHER, "ens99"]);
    assert_eq!(world.attached(&[PARENT, OTHER]).join("\n"), attached);
    world.arp(HOST_IP, PATIENCE).unwrap();
    // Nor does one that names nobody.
    fs::remove_file(config.path()).unwrap();
    config.write("config.toml", "iface = []");
    let (status, _) = reload(&mut agent, 1, "iface = []");
    assert_eq!(names(&status), [PARENT, OTHER, "ens99"]);

    // One is let go of. What was fixed is forgotten.
    let (status, _) = reload(&mut agent, 2, "iface = [\"ens35\"]\n");
    assert_eq!(names(&status), [OTHER]);
    assert_eq!(status["config"]["error"], Value::Null);
    assert_eq!(status["config"]["at_next_start"], json!([]));
    world.assert_nothing_attached(&[PARENT]);
    assert_eq!(world.attached(&[OTHER]).len(), 2);

    // The other one is attached again. One that has another name by then, which no sync has seen, stays attached.
    agent.signal(Signal::SIGSTOP).unwrap();
    world.on_host("link set ens35 name uplink0");
    config.write("config.toml", "iface = [\"uplink0\", \"ens34\"]\n");
    agent.signal(Signal::SIGHUP).unwrap();
    agent.signal(Signal::SIGCONT).unwrap();
    agent
        .wait_until(PATIENCE, "reloaded", |status| {
            status["config"]["reloads"] == 3
        })
        .unwrap();
    let status = agent.status().unwrap();
    assert_eq!(names(&status), ["uplink0", PARENT]);
    assert_eq!(world.attached(&["uplink0", PARENT]).len(), 4);
    assert_eq!(
        agent.said().matches("detaching").count(),
        1,
        "{}",
        agent.said()
    );
    assert_eq!(status["sync"]["failed"], 0, "{}", agent.said());
    agent.stop().unwrap();
    world.assert_nothing_attached(&["uplink0", PARENT]);
}

#[test]
fn an_allow_list_of_one_family_is_logged_and_noted_until_it_is_complete() {
    const NOTE: &str =
        "--allow names IPv4 prefixes only: IPv6 addresses other than link-local are not answered";
    let world = World::new();
    let config = Config::new("iface = [\"ens34\"]\nallow = [\"192.0.2.0/24\"]\n");
    let mut agent = config.start(&world, &[], &[PARENT]);
    let notes = |status: &Value| status["parents"][0]["notes"].to_string();
    let status = agent.status().unwrap();
    assert!(notes(&status).contains(NOTE), "{status}");
    assert_eq!(agent.said().matches(NOTE).count(), 1, "{}", agent.said());

    config.write(
        "config.toml",
        "iface = [\"ens34\"]\nallow = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n",
    );
    agent.signal(Signal::SIGHUP).unwrap();
    agent
        .wait_until(PATIENCE, "noted no longer", |status| {
            status["config"]["reloads"] == 1 && !notes(status).contains(NOTE)
        })
        .unwrap();
    assert_eq!(agent.said().matches(NOTE).count(), 1, "{}", agent.said());
    agent.stop().unwrap();
}

#[test]
fn hangup_of_the_terminal_it_was_started_at_stops_the_agent() {
    let world = World::new();
    let dir = Dir::new();
    let terminal = openpty(None, None).unwrap();
    let mut command = agent::run(&ipvlan(), dir.path(), &[PARENT]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::from(terminal.slave));
    let mut agent = world.host.run(|| Ok(command.spawn()?)).unwrap();
    drop(command);
    wait_until(
        PATIENCE,
        "attached",
        || world.attached(&[PARENT]),
        |attached| attached.len() == 2,
    );
    kill(
        Pid::from_raw(agent.id().try_into().unwrap()),
        Signal::SIGHUP,
    )
    .unwrap();
    let ended = command::wait(&mut agent, PATIENCE).unwrap();
    let _reaped = agent.kill();
    assert!(ended.expect("it runs on").success());
    world.assert_nothing_attached(&[PARENT]);
}
