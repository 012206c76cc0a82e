//! Root beside the service: what root reads and adopts of the service's user, and the other way round.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf, process::Command};

use ipvlan_tests::agent::Agent;
use nix::sys::signal::Signal;

use crate::common::{
    Bpffs, Dir, Ended, HOST_IP, Node, PARENT, PATIENCE, Reports as _, Topology, as_user, copied_to,
    ends, wait_until, with_capabilities,
};

use super::files::{SERVICE, create, lock_name, own, runtime, set_mode};

/// What root is without, beside the service: everything that overrides permissions of files.
const WITHOUT: &str = "-dac_override,-dac_read_search,-fowner,-chown,-fsetid";

/// The directories of the service, and its agent where its user can start it.
struct Service {
    node: Node,
    program: PathBuf,
    _files: Dir,
}

impl Service {
    fn new() -> Self {
        let files = Dir::created();
        set_mode(files.path(), 0o755);
        let node = Node::with(Topology::new(), runtime(), Some(Bpffs::mount()));
        fs::create_dir(node.pin_dir()).unwrap();
        set_mode(&node.pin_dir(), 0o700);
        own(&node.pin_dir());
        Self {
            node,
            program: copied_to(&files),
            _files: files,
        }
    }

    /// Starts the agent as the service manager does.
    fn start(&self, options: &[&str]) -> Agent {
        let root = self.node.pins().root();
        create(self.node.dir.path());
        // The way to the pins is the service's alone: it has a bind mount.
        set_mode(root, 0o755);
        let run = self.node.run(&[PARENT], options);
        let mut command = as_user(SERVICE);
        let four = ["bpf", "net_admin", "net_broadcast", "net_raw"];
        with_capabilities(&mut command, &four);
        command.arg(&self.program).args(run.get_args());
        let agent = self.node.ready(command, &[PARENT]);
        set_mode(root, 0o700);
        agent
    }

    /// A command of root without capabilities that override permissions of files.
    fn root(&self, verb: &str, options: &[&str]) -> Command {
        self.root_without(WITHOUT, verb, options)
    }

    fn root_without(&self, without: &str, verb: &str, options: &[&str]) -> Command {
        let verb = self.node.command(verb, options);
        let mut command = Command::new("setpriv");
        command.arg(format!("--bounding-set={without}"));
        command.arg(verb.get_program()).args(verb.get_args());
        command
    }

    fn root_ended(&self, verb: &str, options: &[&str]) -> Ended {
        self.node.ended(self.root(verb, options))
    }

    fn root_runs(&self, options: &[&str]) -> Agent {
        let options = [&["--iface", PARENT], options].concat();
        self.node.ready(self.root("run", &options), &[PARENT])
    }

    #[track_caller]
    fn assert_nothing_left(&self) {
        self.node.wait_nothing_attached(&[PARENT]);
        assert_eq!(self.node.dir.files(), [""; 0]);
        assert_eq!(self.node.pins().tree(), [""; 0]);
    }
}

#[test]
fn root_works_beside_the_service_without_overriding_permissions_of_files() {
    let service = Service::new();
    for serves in [&[][..], &["--no-pin", "--attach", "clsact"]] {
        let agent = service.start(serves);
        let pid = format!("(pid {})", agent.pid());
        let shown = service.root_ended("status", &["--json"]);
        let status = shown.exits_silently(0).status();
        assert_eq!(status.agents[0].pid, agent.pid());
        assert_eq!(status.unserved, Some(Vec::new()));
        for (verb, options) in [
            ("cleanup", &[][..]),
            ("run", &["--iface", PARENT]),
            ("run", &["--iface", PARENT, "--no-pin"]),
        ] {
            service.root_ended(verb, options).exits(75).reports(&pid);
        }
        for (verb, options) in [
            ("children", &[][..]),
            ("counters", &[]),
            ("reload", &[]),
            ("top", &["--once", "--interval=100ms"]),
        ] {
            service.root_ended(verb, options).exits_silently(0);
        }
        // A parent without children: the host's own kernel answers for it.
        service.root_ended("explain", &["192.0.2.1"]).exits(0);
        let files = service.node.dir.files();
        assert_eq!(files.len(), 2, "{files:?}");
        service.node.arp(HOST_IP, PATIENCE).unwrap();
        ends(agent, Signal::SIGKILL);
    }
    service.root_ended("status", &[]).exits(3);
    service.root_ended("cleanup", &[]).exits(0);
    service.assert_nothing_left();
}

#[test]
fn root_takes_over_what_the_service_pinned_and_the_service_what_root_pinned() {
    let service = Service::new();
    let (node, pins) = (&service.node, service.node.pins());
    let owner = |path: PathBuf| fs::metadata(path).map_or(0, |file| file.uid());
    ends(service.start(&[]), Signal::SIGKILL);
    let link = pins.link_id("ingress");
    let agent = service.root_runs(&[]);
    agent.assert_logged("taking over");
    assert_eq!(pins.link_id("ingress"), link);
    assert_eq!(owner(node.dir.path().join(lock_name(node))), SERVICE);
    assert_eq!(owner(pins.maps()), SERVICE);
    // Its pins are restored with the rights of the owner, too.
    let egress = pins.parent().join("egress");
    fs::remove_file(&egress).unwrap();
    let owner = || owner(egress.clone());
    wait_until(PATIENCE, "the pin is back", owner, |&uid| uid == SERVICE);
    ends(agent, Signal::SIGTERM);
    assert_eq!(node.dir.files(), [""; 0]);

    let agent = service.start(&[]);
    agent.assert_logged("taking over");
    ends(agent, Signal::SIGTERM);
    assert_eq!(node.attached(&[PARENT]).len(), 2);
    // What was kept is released.
    let agent = service.root_runs(&["--no-pin"]);
    assert_eq!(pins.tree(), [""; 0]);
    ends(agent, Signal::SIGTERM);
    service.assert_nothing_left();
}

#[test]
fn root_without_the_right_to_act_as_the_owner_gets_a_hint() {
    let service = Service::new();
    let without = format!("{WITHOUT},-setuid,-setgid");
    for (verb, options) in [
        ("run", &["--iface", PARENT][..]),
        ("cleanup", &[]),
        ("status", &[]),
    ] {
        let command = service.root_without(&without, verb, options);
        let ended = service.node.ended(command).exits(77);
        ended.reports("CAP_SETUID").reports(&SERVICE.to_string());
    }
    service.node.assert_nothing_attached(&[PARENT]);
}
