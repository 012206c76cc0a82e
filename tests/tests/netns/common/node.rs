//! A topology with the directories of an agent on its host.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
};

use ipvlan_tests::agent::{self, Agent};

use super::{Bpffs, Dir, Ended, PARENT, Topology};

/// A host, the LAN, and the directories that agents on the host share.
#[derive(Debug)]
pub(crate) struct Node {
    net: Topology,
    /// The runtime directory.
    pub(crate) dir: Dir,
    pins: Option<Bpffs>,
}

impl Node {
    /// Agents on it do not pin.
    pub(crate) fn new() -> Self {
        Self::with(Topology::new(), Dir::new(), None)
    }

    /// Agents on it pin to a BPF filesystem of its own.
    pub(crate) fn pinned() -> Self {
        Self::with(Topology::new(), Dir::new(), Some(Bpffs::mount()))
    }

    /// Agents on it have this runtime directory.
    pub(crate) fn with(net: Topology, dir: Dir, pins: Option<Bpffs>) -> Self {
        Self { net, dir, pins }
    }

    /// Where agents pin.
    #[track_caller]
    pub(crate) fn pins(&self) -> &Bpffs {
        self.pins.as_ref().expect("a node with pins")
    }

    /// `ipvlan VERB` with its directories. Pins of this machine are not its pins.
    pub(crate) fn command(&self, verb: &str, options: &[&str]) -> Command {
        let mut command = Command::new(ipvlan());
        command.args([verb, "--runtime-dir"]).arg(self.dir.path());
        command.arg("--pin-dir").arg(self.pin_dir()).args(options);
        command
    }

    /// What agents are given as `--pin-dir`.
    pub(crate) fn pin_dir(&self) -> PathBuf {
        let none = || self.dir.path().join("no-pins");
        self.pins.as_ref().map_or_else(none, Bpffs::pin_dir)
    }

    /// `ipvlan run` for these parents.
    pub(crate) fn run(&self, parents: &[&str], options: &[&str]) -> Command {
        let mut command = if self.pins.is_some() {
            let mut command = agent::run_pinned(&ipvlan(), self.dir.path(), parents);
            command.arg("--pin-dir").arg(self.pin_dir());
            command
        } else {
            agent::run(&ipvlan(), self.dir.path(), parents)
        };
        command.args(options);
        command
    }

    /// Starts `command`, which becomes an agent with its runtime directory, and waits for nothing.
    #[track_caller]
    pub(crate) fn spawn(&self, command: Command) -> Agent {
        let dir = self.dir.path().to_owned();
        Agent::spawn(command, &ipvlan(), dir, &self.host).unwrap()
    }

    /// Starts an agent for [`PARENT`] and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(&self, options: &[&str]) -> Agent {
        self.start_on(&[PARENT], options)
    }

    /// The same for these parents.
    #[track_caller]
    pub(crate) fn start_on(&self, parents: &[&str], options: &[&str]) -> Agent {
        self.ready(self.run(parents, options), parents)
    }

    /// Starts `command`, and waits until it is an agent that is ready on these parents.
    #[track_caller]
    pub(crate) fn ready(&self, command: Command, parents: &[&str]) -> Agent {
        let mut agent = self.spawn(command);
        agent.wait_ready(parents).unwrap();
        agent
    }

    /// Stops the agent, and nothing is left of it.
    #[track_caller]
    pub(crate) fn stops(&self, agent: Agent) {
        agent.stop().unwrap();
        self.assert_nothing_attached(&[PARENT]);
    }

    /// Runs a command that ends by itself.
    #[track_caller]
    pub(crate) fn ended(&self, command: Command) -> Ended {
        Ended::of(command, self)
    }

    /// `ipvlan run` that is expected to fail.
    #[track_caller]
    pub(crate) fn fails(&self, parents: &[&str], options: &[&str]) -> Ended {
        self.ended(self.run(parents, options))
    }

    /// `ipvlan status`.
    #[track_caller]
    pub(crate) fn status(&self, options: &[&str]) -> Ended {
        self.ended(self.command("status", options))
    }

    /// `ipvlan cleanup`.
    #[track_caller]
    pub(crate) fn cleanup(&self, options: &[&str]) -> Ended {
        self.ended(self.command("cleanup", options))
    }
}

impl Deref for Node {
    type Target = Topology;

    fn deref(&self) -> &Topology {
        &self.net
    }
}

/// The agent that was built beside these tests, or the one that `IPVLAN_BIN` names.
pub(crate) fn ipvlan() -> PathBuf {
    let path = std::env::var_os("IPVLAN_BIN").map_or_else(beside_the_tests, PathBuf::from);
    assert!(
        path.is_file(),
        "there is no agent at {}: build it (`cargo build --release -p ipvlan-user`) or name it in IPVLAN_BIN",
        path.display()
    );
    path
}

/// Tests are in `target/PROFILE/deps`, programs in `target/PROFILE`.
fn beside_the_tests() -> PathBuf {
    let test = std::env::current_exe().expect("this test has no path");
    let profile = test.ancestors().nth(2).unwrap_or(Path::new("/"));
    profile.join("ipvlan")
}
