//! What the agent needs of root's powers: four capabilities, each of them, and nothing else.

use std::{
    os::unix::fs::{PermissionsExt as _, chown},
    path::PathBuf,
    process::Command,
};

use ipvlan_tests::{agent, agent::Agent};

use crate::common::{
    Dir, Ended, PATIENCE, World, ipvlan,
    world::{HOST_IP, PARENT, counted, hooks_of, parent},
};

const NOBODY: u32 = 65534;
/// What the agent needs, and nothing else.
const NEEDED: &[&str] = &["bpf", "net_admin", "net_broadcast", "net_raw"];

/// The agent where anybody can start it, and a runtime directory that nobody may write to.
struct Unprivileged {
    // Removed with all that is in it.
    _files: Dir,
    program: PathBuf,
    runtime: PathBuf,
}

impl Unprivileged {
    fn new() -> Self {
        let files = Dir::new();
        std::fs::create_dir(files.path()).unwrap();
        let program = files.path().join("ipvlan");
        // By another process: no child that a test forks meanwhile can hold it open for writing.
        let copied = Command::new("cp").arg(ipvlan()).arg(&program).status();
        assert!(copied.unwrap().success());
        let runtime = files.path().join("run");
        std::fs::create_dir(&runtime).unwrap();
        for (path, mode) in [(files.path(), 0o755), (&program, 0o755), (&runtime, 0o755)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        chown(&runtime, Some(NOBODY), Some(NOBODY)).unwrap();
        Self {
            _files: files,
            program,
            runtime,
        }
    }

    /// `ipvlan run` as nobody with exactly these capabilities.
    fn run(&self, capabilities: &[&str]) -> Command {
        let mut set = "-all".to_owned();
        for capability in capabilities {
            set += ",+";
            set += capability;
        }
        let run = agent::run(&self.program, &self.runtime, &[PARENT]);
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(format!("--bounding-set={set}"))
            .arg(format!("--inh-caps={set}"))
            .arg(format!("--ambient-caps={set}"))
            .arg(run.get_program())
            .args(run.get_args());
        command
    }
}

#[test]
fn missing_capability_is_named() {
    let world = World::new();
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
    for held in rows {
        let missing: Vec<String> = NEEDED
            .iter()
            .filter(|needed| !held.contains(needed))
            .map(|missing| format!("CAP_{}", missing.to_uppercase()))
            .collect();
        let verb = if missing.len() == 1 { "is" } else { "are" };
        let missing = missing.join(", ");
        let ended = Ended::of(unprivileged.run(held), &world);
        assert_eq!(ended.code, Some(77), "{held:?}: {ended:?}");
        let says =
            format!("error: {missing} {verb} missing\nhint: run as root, or with {missing}\n");
        assert_eq!(ended.stderr, says, "{held:?}");
        world.assert_nothing_attached(&[PARENT]);
        assert_eq!(std::fs::read_dir(&unprivileged.runtime).unwrap().count(), 0);
    }
}

/// The lines of `/proc/PID/status` about what a process may do.
fn privileges(agent: &Agent) -> Vec<String> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let is_one = |line: &&str| line.starts_with("Cap") || line.starts_with("NoNewPrivs");
    status.lines().filter(is_one).map(str::to_owned).collect()
}

#[test]
fn agent_of_root_keeps_the_four_capabilities_and_nothing_else() {
    // CAP_BPF is 39, CAP_NET_ADMIN 12, CAP_NET_BROADCAST 11, CAP_NET_RAW 13.
    let four = format!("{:016x}", 1_u64 << 39 | 1 << 12 | 1 << 11 | 1 << 13);
    let none = format!("{:016x}", 0);
    let expected = [
        format!("CapInh:\t{four}"),
        format!("CapPrm:\t{four}"),
        format!("CapEff:\t{four}"),
        format!("CapBnd:\t{four}"),
        format!("CapAmb:\t{none}"),
        "NoNewPrivs:\t1".to_owned(),
    ];
    let world = World::new();
    let agent = world.start(&[PARENT], &["--xdp", "generic"]);
    assert_eq!(privileges(&agent), expected);
    agent.stop().unwrap();
    world.assert_nothing_attached(&[PARENT]);

    // So it is as somebody else, whose bounding set a service manager has emptied.
    let unprivileged = Unprivileged::new();
    let runtime = unprivileged.runtime.clone();
    let command = unprivileged.run(NEEDED);
    let mut agent = Agent::spawn(command, &unprivileged.program, runtime, &world.host).unwrap();
    agent.wait_ready(&[PARENT]).unwrap();
    assert_eq!(privileges(&agent), expected);
}

#[test]
fn default_runtime_directory_without_permission_is_named() {
    let world = World::new();
    let unprivileged = Unprivileged::new();
    chown(&unprivileged.runtime, Some(0), Some(0)).unwrap();
    let ended = Ended::of(unprivileged.run(NEEDED), &world);
    assert_eq!(ended.code, Some(77), "{ended:?}");
    assert!(ended.stderr.contains("lock file"), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("hint: run as root, or give a directory"),
        "{ended:?}"
    );
    world.assert_nothing_attached(&[PARENT]);
}

#[test]
fn four_capabilities_suffice_without_root() {
    for options in [&[][..], &["--attach", "clsact"], &["--xdp", "generic"]] {
        let world = World::new();
        let unprivileged = Unprivileged::new();
        let mut command = unprivileged.run(NEEDED);
        command.args(options);
        let runtime = unprivileged.runtime.clone();
        let mut agent = Agent::spawn(command, &unprivileged.program, runtime, &world.host).unwrap();
        agent.wait_ready(&[PARENT]).unwrap();
        assert!(world.arp(HOST_IP, PATIENCE).is_some());
        let shown = parent(&agent, 0);
        assert_eq!(
            hooks_of(&shown).len(),
            2 + usize::from(options.contains(&"--xdp"))
        );
        let first = if options.contains(&"--xdp") {
            "xdp"
        } else {
            "ingress"
        };
        assert!(counted(&shown, first, "host_address") > 0, "{shown}");
        agent.signal(nix::sys::signal::Signal::SIGTERM).unwrap();
        let status = agent.wait(PATIENCE).unwrap();
        assert!(status.success(), "{options:?}: {status}\n{}", agent.said());
        world.assert_nothing_attached(&[PARENT]);
        // It may not remove a directory of root's, but it leaves nothing in its own.
        assert_eq!(
            std::fs::read_dir(&unprivileged.runtime).map_or(0, Iterator::count),
            0
        );
    }
}
