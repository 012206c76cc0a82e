//! What the agent needs of root's powers: four capabilities, each of them, and nothing else.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::PathBuf,
    process::Command,
};

use ipvlan_tests::agent::{self, Agent};
use ipvlan_user::protocol::Hook;
use nix::sys::signal::Signal;

use crate::common::{
    Dir, HOST_IP, Node, PARENT, PATIENCE, Reports as _, as_user, copied_to, counted,
    with_capabilities,
};

const NOBODY: u32 = 65534;
/// What the agent needs, and nothing else.
const NEEDED: &[&str] = &["bpf", "net_admin", "net_broadcast", "net_raw"];

/// A node without root: the agent where every user can start it, and a runtime directory of [`NOBODY`] that cannot be
/// removed by it.
struct Unprivileged {
    node: Node,
    program: PathBuf,
    // Removed with all that is in it.
    _files: Dir,
}

impl Unprivileged {
    fn new() -> Self {
        let files = Dir::created();
        let program = copied_to(&files);
        let runtime = Dir(files.path().join("run"));
        fs::create_dir(runtime.path()).unwrap();
        for path in [files.path(), &program, runtime.path()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut node = Node::new();
        node.dir = runtime;
        let unprivileged = Self {
            node,
            program,
            _files: files,
        };
        unprivileged.give_runtime_to(NOBODY);
        unprivileged
    }

    fn give_runtime_to(&self, user: u32) {
        chown(self.node.dir.path(), Some(user), Some(user)).unwrap();
    }

    /// `ipvlan run` as nobody with exactly these capabilities.
    fn run(&self, capabilities: &[&str]) -> Command {
        let run = agent::run(&self.program, self.node.dir.path(), &[PARENT]);
        let mut command = as_user(NOBODY);
        with_capabilities(&mut command, capabilities);
        command.arg(run.get_program()).args(run.get_args());
        command
    }

    fn start(&self, options: &[&str]) -> Agent {
        let mut command = self.run(NEEDED);
        command.args(options);
        let dir = self.node.dir.path().to_owned();
        let mut agent = Agent::spawn(command, &self.program, dir, &self.node.host).unwrap();
        agent.wait_ready(&[PARENT]).unwrap();
        agent
    }
}

#[test]
fn missing_capability_is_named() {
    let unprivileged = Unprivileged::new();
    // Each on its own, some together, all of them.
    let rows: [&[&str]; 8] = [
        &["net_admin", "net_broadcast", "net_raw"],
        &["bpf", "net_broadcast", "net_raw"],
        &["bpf", "net_admin", "net_raw"],
        &["bpf", "net_admin", "net_broadcast"],
        &["bpf", "net_admin"],
        &["net_admin", "net_broadcast"],
        &["net_raw"],
        &[],
    ];
    let node = &unprivileged.node;
    for held in rows {
        let missing = NEEDED.iter().filter(|needed| !held.contains(needed));
        let missing: Vec<_> = missing
            .map(|it| format!("CAP_{}", it.to_uppercase()))
            .collect();
        let verb = if missing.len() == 1 { "is" } else { "are" };
        let missing = missing.join(", ");
        let ended = node.ended(unprivileged.run(held)).exits(77);
        let error =
            format!("error: {missing} {verb} missing\nhint: run as root, or with {missing}\n");
        assert_eq!(ended.stderr, error, "{held:?}");
        node.assert_nothing_attached(&[PARENT]);
        assert_eq!(node.dir.files(), [""; 0]);
    }
}

#[test]
fn agent_of_root_keeps_the_four_capabilities_and_nothing_else() {
    // The lines of `/proc/PID/status` about what a process may do.
    let privileges = |agent: &Agent| -> Vec<String> {
        let status = agent.process("status");
        let is_one = |line: &&str| line.starts_with("Cap") || line.starts_with("NoNewPrivs");
        status.lines().filter(is_one).map(str::to_owned).collect()
    };
    // CAP_BPF is 39, CAP_NET_ADMIN 12, CAP_NET_BROADCAST 11, CAP_NET_RAW 13.
    let four = 1_u64 << 39 | 1 << 12 | 1 << 11 | 1 << 13;
    let sets = [
        ("Inh", four),
        ("Prm", four),
        ("Eff", four),
        ("Bnd", four),
        ("Amb", 0),
    ];
    let mut expected = sets
        .map(|(set, held)| format!("Cap{set}:\t{held:016x}"))
        .to_vec();
    expected.push("NoNewPrivs:\t1".to_owned());
    let node = Node::new();
    let agent = node.start(&["--xdp", "generic"]);
    assert_eq!(privileges(&agent), expected);
    node.stops(agent);

    // So it is as another user, whose bounding set a service manager has emptied.
    let unprivileged = Unprivileged::new();
    let agent = unprivileged.start(&[]);
    assert_eq!(privileges(&agent), expected);
}

#[test]
fn default_runtime_directory_without_permission_is_named() {
    let unprivileged = Unprivileged::new();
    unprivileged.give_runtime_to(0);
    let ended = unprivileged.node.ended(unprivileged.run(NEEDED)).exits(77);
    let ended = ended.reports("lock file");
    ended.reports("hint: run as root, or give a directory");
    unprivileged.node.assert_nothing_attached(&[PARENT]);
}

#[test]
fn four_capabilities_suffice_without_root() {
    for (options, hooks, first) in [
        (&[][..], 2, Hook::Ingress),
        (&["--attach", "clsact"], 2, Hook::Ingress),
        (&["--xdp", "generic"], 3, Hook::Xdp),
    ] {
        let unprivileged = Unprivileged::new();
        let node = &unprivileged.node;
        let mut agent = unprivileged.start(options);
        assert!(node.arp(HOST_IP, PATIENCE).is_some());
        let shown = agent.parent(0);
        assert_eq!(shown.hooks.len(), hooks);
        assert!(counted(&shown, first, "host_address") > 0, "{shown:?}");
        agent.signal(Signal::SIGTERM).unwrap();
        let status = agent.wait(PATIENCE).unwrap();
        assert!(status.success(), "{options:?}: {status}\n{}", agent.said());
        node.assert_nothing_attached(&[PARENT]);
        // It may not remove a directory of root's, but it leaves nothing in its own.
        assert_eq!(node.dir.files(), [""; 0]);
    }
}
