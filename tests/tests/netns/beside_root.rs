//! Root beside the service: what root reads and takes over of the service's user, and the other way round.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
    process::Command,
};

use ipvlan_tests::agent::Agent;
use ipvlan_user::protocol::Status;
use nix::sys::signal::Signal;

use crate::common::{
    Dir, Ended, PATIENCE, World, ipvlan,
    pins::Bpffs,
    wait_until,
    world::{HOST_IP, PARENT, ends},
};

/// The user of the service, and its group.
use super::files::{SERVICE, WITHOUT, as_user, create, lock_name, own, runtime};

/// The directories of the service, and its agent where its user can start it.
struct Service {
    runtime: Dir,
    pins: Bpffs,
    _files: Dir,
    program: PathBuf,
}

impl Service {
    fn new() -> Self {
        let (runtime, pins, files) = (runtime(), Bpffs::mount(), Dir::new());
        fs::create_dir(files.path()).unwrap();
        fs::set_permissions(files.path(), Permissions::from_mode(0o755)).unwrap();
        let program = files.path().join("ipvlan");
        let copied = Command::new("cp").arg(ipvlan()).arg(&program).status();
        assert!(copied.unwrap().success());
        fs::create_dir(pins.pin_dir()).unwrap();
        fs::set_permissions(pins.pin_dir(), Permissions::from_mode(0o700)).unwrap();
        own(&pins.pin_dir());
        Self {
            runtime,
            pins,
            _files: files,
            program,
        }
    }

    fn arguments(&self, verb: &str, options: &[&str]) -> Vec<std::ffi::OsString> {
        let mut arguments = vec![verb.into(), "--runtime-dir".into()];
        arguments.push(self.runtime.path().into());
        arguments.extend(["--pin-dir".into(), self.pins.pin_dir().into()]);
        arguments.extend(options.iter().map(Into::into));
        arguments
    }

    /// Starts the agent as the service manager does.
    fn start(&self, world: &World, options: &[&str]) -> Agent {
        create(self.runtime.path());
        // The way to the pins is the service's alone: it has a bind mount.
        fs::set_permissions(self.pins.root(), Permissions::from_mode(0o755)).unwrap();
        let four = "-all,+bpf,+net_admin,+net_broadcast,+net_raw";
        let mut command = as_user(SERVICE);
        command
            .arg(format!("--bounding-set={four}"))
            .arg(format!("--inh-caps={four}"))
            .arg(format!("--ambient-caps={four}"))
            .arg(&self.program)
            .args(self.arguments("run", &["--iface", PARENT]))
            .args(options);
        let agent = self.spawned(world, command);
        fs::set_permissions(self.pins.root(), Permissions::from_mode(0o700)).unwrap();
        agent
    }

    fn spawned(&self, world: &World, command: Command) -> Agent {
        let dir = self.runtime.path().to_owned();
        let mut agent = Agent::spawn(command, &self.program, dir, &world.host).unwrap();
        agent.wait_ready(&[PARENT]).unwrap();
        agent
    }

    /// A command of root without capabilities that override permissions of files.
    fn root(&self, verb: &str, options: &[&str]) -> Command {
        self.root_without(WITHOUT, verb, options)
    }

    fn root_without(&self, without: &str, verb: &str, options: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.arg(format!("--bounding-set={without}"));
        command.arg(ipvlan()).args(self.arguments(verb, options));
        command
    }
}

#[test]
fn root_works_beside_the_service_without_overriding_permissions_of_files() {
    let world = World::new();
    let service = Service::new();
    for serves in [&[][..], &["--no-pin", "--attach", "clsact"]] {
        let agent = service.start(&world, serves);
        let pid = format!("(pid {})", agent.pid());
        let shown = Ended::of(service.root("status", &["--json"]), &world);
        assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
        let status: Status = serde_json::from_str(&shown.stdout).unwrap();
        assert_eq!(status.agents[0].pid, agent.pid());
        assert_eq!(status.unserved, Some(Vec::new()));
        for (verb, options) in [
            ("cleanup", &[][..]),
            ("run", &["--iface", PARENT]),
            ("run", &["--iface", PARENT, "--no-pin"]),
        ] {
            let ended = Ended::of(service.root(verb, options), &world);
            assert_eq!(ended.code, Some(75), "{verb} {options:?}: {ended:?}");
            assert!(ended.stderr.contains(&pid), "{verb} {options:?}: {ended:?}");
        }
        assert_eq!(
            service.runtime.files().len(),
            2,
            "{:?}",
            service.runtime.files()
        );
        world.arp(HOST_IP, PATIENCE).unwrap();
        ends(agent, Signal::SIGKILL);
    }
    let shown = Ended::of(service.root("status", &[]), &world);
    assert_eq!(shown.code, Some(3), "{shown:?}");
    let cleaned = Ended::of(service.root("cleanup", &[]), &world);
    assert_eq!(cleaned.code, Some(0), "{cleaned:?}");
    world.assert_nothing_attached(&[PARENT]);
    assert_eq!(service.runtime.files(), [""; 0]);
    assert_eq!(service.pins.tree(), [""; 0]);
}

#[test]
fn root_takes_over_what_the_service_pinned_and_the_service_what_root_pinned() {
    let world = World::new();
    let service = Service::new();
    ends(service.start(&world, &[]), Signal::SIGKILL);
    let link = service.pins.link_id("ingress");
    let run = service.root("run", &["--iface", PARENT]);
    let agent = service.spawned(&world, run);
    assert!(agent.said().contains("taking over"), "{}", agent.said());
    assert_eq!(service.pins.link_id("ingress"), link);
    let lock = service.runtime.path().join(lock_name(&world));
    assert_eq!(fs::metadata(&lock).unwrap().uid(), SERVICE);
    assert_eq!(fs::metadata(service.pins.maps()).unwrap().uid(), SERVICE);
    // Its pins are restored with the rights of the owner, too.
    fs::remove_file(service.pins.parent().join("egress")).unwrap();
    let owner = || {
        let pin = fs::metadata(service.pins.parent().join("egress"));
        pin.map_or(0, |pin| pin.uid())
    };
    wait_until(PATIENCE, "the pin is back", owner, |&uid| uid == SERVICE);
    ends(agent, Signal::SIGTERM);
    assert_eq!(service.runtime.files(), [""; 0]);

    let agent = service.start(&world, &[]);
    assert!(agent.said().contains("taking over"), "{}", agent.said());
    ends(agent, Signal::SIGTERM);
    assert_eq!(world.attached(&[PARENT]).len(), 2);
    // What was kept is released.
    let run = service.root("run", &["--iface", PARENT, "--no-pin"]);
    let agent = service.spawned(&world, run);
    assert_eq!(service.pins.tree(), [""; 0]);
    ends(agent, Signal::SIGTERM);
    world.assert_nothing_attached(&[PARENT]);
    assert_eq!(service.runtime.files(), [""; 0]);
}

#[test]
fn root_without_the_right_to_act_as_the_owner_is_told_what_to_do() {
    let world = World::new();
    let service = Service::new();
    let without = format!("{WITHOUT},-setuid,-setgid");
    for (verb, options) in [
        ("run", &["--iface", PARENT][..]),
        ("cleanup", &[]),
        ("status", &[]),
    ] {
        let ended = Ended::of(service.root_without(&without, verb, options), &world);
        assert_eq!(ended.code, Some(77), "{verb}: {ended:?}");
        assert!(ended.stderr.contains("CAP_SETUID"), "{verb}: {ended:?}");
        assert!(
            ended.stderr.contains(&SERVICE.to_string()),
            "{verb}: {ended:?}"
        );
    }
    world.assert_nothing_attached(&[PARENT]);
}
