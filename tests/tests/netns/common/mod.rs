//! What the tests of the running agent share: a node with a parent, the agent on it, and what both report.

mod ended;
mod node;
mod pins;
mod reports;
mod schema;
mod streaming;
pub(crate) mod tc;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use ipvlan_tests::agent;
pub(crate) use ipvlan_tests::topology::{
    HOST_IP, HOST_IP6, LAN, LAN_IP, PARENT, PATIENCE, SOON, Topology, wait_until,
};

pub(crate) use self::{
    ended::Ended,
    node::{Node, ipvlan},
    pins::Bpffs,
    reports::{Reports, counted, ends, hooks_of},
    schema::{assert_documents, assert_schema},
    streaming::Streaming,
};

/// How soon the agent is attached to a parent that has come: without `CAP_PERFMON` the verifier alone takes 300 to
/// 400 ms of a CPU, which other tests want as well.
pub(crate) const ATTACHED: Duration = Duration::from_secs(3);
/// A second parent, of tests that have one.
pub(crate) const OTHER: &str = "ens35";
/// Hooks of an agent without options, as [`Reports::hooks`] shows them.
pub(crate) const TCX: [&str; 2] = ["ingress by tcx", "egress by tcx"];
/// The same with `--attach clsact`.
pub(crate) const CLSACT: [&str; 2] = ["ingress by clsact", "egress by clsact"];
/// What [`Topology::attached`] shows of [`TCX`] on [`PARENT`].
pub(crate) const ATTACHED_TCX: [&str; 2] = [
    "ens34: 1 TCX programs on ingress",
    "ens34: 1 TCX programs on egress",
];

/// A directory, removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    /// A path where nothing is yet.
    pub(crate) fn new() -> Self {
        Self(agent::new_runtime_dir())
    }

    /// Creates it, empty.
    pub(crate) fn created() -> Self {
        let dir = Self::new();
        fs::create_dir(dir.path()).unwrap();
        dir
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Names of the files in it, sorted; none if it is not there.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // Not there is what is expected.
        let _absent = fs::remove_dir_all(&self.0);
    }
}

/// A configuration file in a directory of its own, `config.d` beside it.
pub(crate) struct Config {
    dir: Dir,
    file: String,
}

impl Config {
    pub(crate) fn new(text: &str) -> Self {
        let dir = Dir::created();
        fs::create_dir(dir.path().join("config.d")).unwrap();
        let file = dir.path().join("config.toml").display().to_string();
        let config = Self { dir, file };
        config.write("config.toml", text);
        config
    }

    /// It names the directories of a node, behind this text.
    pub(crate) fn of_directories(node: &Node, text: &str) -> Self {
        let (runtime, pins) = (node.dir.path().display(), node.pin_dir());
        let pins = pins.display();
        Self::new(&format!(
            "{text}runtime-dir = \"{runtime}\"\npin-dir = \"{pins}\"\n"
        ))
    }

    /// Its path.
    pub(crate) fn path(&self) -> &str {
        &self.file
    }

    /// Writes a file of its directory, and returns the path.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.dir.path().join(name);
        fs::write(&file, text).unwrap();
        file
    }

    /// The options by which a command reads it.
    pub(crate) fn options(&self) -> [&str; 2] {
        ["--config", &self.file]
    }
}

/// A command as another user, with its primary group and no other.
pub(crate) fn as_user(user: u32) -> Command {
    let user = user.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
    command
}

/// Copies the agent to where every user can start it. By another process: no child that a test forks meanwhile can
/// hold it open for writing.
pub(crate) fn copied_to(dir: &Dir) -> PathBuf {
    let program = dir.path().join("ipvlan");
    let copied = Command::new("cp").arg(ipvlan()).arg(&program).status();
    assert!(copied.unwrap().success());
    program
}

/// Lets the program that `setpriv` starts have these capabilities and no other.
pub(crate) fn with_capabilities(setpriv: &mut Command, capabilities: &[&str]) {
    let mut set = "-all".to_owned();
    for capability in capabilities {
        set += ",+";
        set += capability;
    }
    for option in ["bounding-set", "inh-caps", "ambient-caps"] {
        setpriv.arg(format!("--{option}={set}"));
    }
}
