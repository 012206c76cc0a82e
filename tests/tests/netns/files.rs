//! Files in the directories of the service's user: what a compromised service puts there, what a local user
//! holds, and root beside the service.

use std::{
    fs::{self, Permissions},
    io::Write as _,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use ipvlan_tests::{agent, agent::Agent};
use ipvlan_user::status::Status;
use nix::sys::{signal::Signal, stat::Mode};

use crate::common::{
    Dir, Ended, PATIENCE, World, ipvlan,
    pins::Bpffs,
    wait_until,
    world::{HOST_IP, PARENT, ends},
};

/// The user of the service, and its group.
const SERVICE: u32 = 64_000;
/// A local user.
const LOCAL: u32 = 64_001;
/// What root is without, beside the service: everything that overrides permissions of files.
const WITHOUT: &str = "-dac_override,-dac_read_search,-fowner,-chown,-fsetid";
/// `status` and `cleanup` end within 5 s; this machine is shared.
const WITHIN: Duration = Duration::from_secs(12);

/// A runtime directory of the service's user.
fn runtime() -> Dir {
    let dir = Dir::new();
    create(dir.path());
    dir
}

/// Creates it, as the service manager does at every start.
fn create(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    chown(dir, Some(SERVICE), Some(SERVICE)).unwrap();
    fs::set_permissions(dir, Permissions::from_mode(0o750)).unwrap();
}

/// Files of root outside of the directories, and what they were.
struct Kept {
    dir: Dir,
}

impl Kept {
    fn new() -> Self {
        let dir = Dir::new();
        fs::create_dir(dir.path()).unwrap();
        for file in ["file", "1.lock"] {
            fs::write(dir.path().join(file), "kept\n").unwrap();
            let mode = Permissions::from_mode(0o640);
            fs::set_permissions(dir.path().join(file), mode).unwrap();
        }
        Self { dir }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("file")
    }

    #[track_caller]
    fn assert_untouched(&self, what: &str) {
        let mut files = self.dir.files();
        files.sort();
        assert_eq!(files, ["1.lock", "file"], "{what}");
        for file in files {
            let path = self.dir.path().join(file);
            let metadata = fs::metadata(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "kept\n", "{what}");
            assert_eq!(
                (metadata.uid(), metadata.mode() & 0o7777),
                (0, 0o640),
                "{what}"
            );
        }
    }
}

fn lock_name(world: &World) -> String {
    let host = || {
        let netns = fs::metadata("/proc/thread-self/ns/net")?.ino();
        let ifindex = nix::net::if_::if_nametoindex(PARENT)?;
        Ok(format!("{netns}-{ifindex}.lock"))
    };
    world.host.run(host).unwrap()
}

fn status(dir: &Dir, pins: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(ipvlan());
    command.args(["status", "--runtime-dir"]).arg(dir.path());
    command.arg("--pin-dir").arg(pins).args(options);
    command
}

/// Row S7 of the attack table, and its kind: whatever stands in the place of a lock file, a socket or the
/// guard.
#[test]
fn root_follows_nothing_that_the_service_user_puts_in_the_place_of_a_file() {
    type Put = fn(&Path, &Path);
    let kinds: [(&str, Put); 7] = [
        ("a symbolic link", |at, to| symlink(to, at).unwrap()),
        ("a symbolic link to nothing", |at, to| {
            symlink(to.with_file_name("absent"), at).unwrap();
        }),
        ("a symbolic link to a directory", |at, to| {
            symlink(to.parent().unwrap(), at).unwrap();
        }),
        ("a hard link", |at, to| fs::hard_link(to, at).unwrap()),
        ("a FIFO", |at, _| {
            nix::unistd::mkfifo(at, Mode::S_IRWXU).unwrap();
        }),
        ("a device", |at, _| {
            let zero = nix::sys::stat::makedev(1, 5);
            nix::sys::stat::mknod(at, nix::sys::stat::SFlag::S_IFCHR, Mode::S_IRWXU, zero).unwrap();
        }),
        ("a directory with files", |at, _| {
            fs::create_dir(at).unwrap();
            fs::write(at.join("file"), "").unwrap();
        }),
    ];
    let world = World::new();
    let lock = lock_name(&world);
    for (kind, put) in kinds {
        let (dir, kept, pins) = (runtime(), Kept::new(), Bpffs::mount());
        for name in [
            lock.as_str(),
            "1-1.lock",
            "1.sock",
            "4194304.sock",
            ".guard",
        ] {
            put(&dir.path().join(name), &kept.file());
        }
        let started = Instant::now();
        let shown = Ended::of(status(&dir, &pins.pin_dir(), &[]), &world);
        // A socket that is none is reported.
        assert_eq!(shown.code, Some(1), "{kind}: {shown:?}");
        assert!(shown.stdout.contains("/1.sock: "), "{kind}: {shown:?}");
        kept.assert_untouched(kind);
        let cleaned = pins.cleanup(&world, &dir, &[]);
        assert!(matches!(cleaned.code, Some(0 | 1)), "{kind}: {cleaned:?}");
        assert!(
            started.elapsed() < WITHIN,
            "{kind}: {:?}",
            started.elapsed()
        );
        kept.assert_untouched(kind);
        if kind == "a directory with files" {
            let named = format!("{}/{lock}", dir.path().display());
            assert!(cleaned.stderr.contains(&named), "{cleaned:?}");
            assert!(dir.path().join(&lock).join("file").exists());
        } else {
            assert_eq!(dir.files(), [""; 0], "{kind}");
        }
    }
}

#[test]
fn root_serves_where_the_service_user_put_links() {
    let world = World::new();
    let lock = lock_name(&world);
    let (dir, kept) = (runtime(), Kept::new());
    for name in [lock.as_str(), ".guard"] {
        symlink(kept.file(), dir.path().join(name)).unwrap();
    }
    let agent = world.start_in(&dir, &[PARENT], &[]);
    kept.assert_untouched("run");
    let metadata = fs::symlink_metadata(dir.path().join(&lock)).unwrap();
    assert!(metadata.is_file());
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (SERVICE, 0o600));
    assert!(
        agent
            .said()
            .contains("lock file without a running agent replaced"),
        "{}",
        agent.said()
    );
    ends(agent, Signal::SIGTERM);
    kept.assert_untouched("stop");
    assert_eq!(dir.files(), [""; 0]);
}

#[test]
fn directory_that_is_a_symbolic_link_is_refused_and_named() {
    let world = World::new();
    let (above, kept, pins) = (runtime(), Kept::new(), Bpffs::mount());
    // The directory itself, and one on the way.
    symlink(kept.dir.path(), above.path().join("link")).unwrap();
    symlink("/", above.path().join("root")).unwrap();
    let below = above
        .path()
        .join("root")
        .join(kept.dir.path().strip_prefix("/").unwrap());
    for (path, named) in [(above.path().join("link"), "link"), (below, "root")] {
        for verb in ["status", "cleanup"] {
            let mut command = Command::new(ipvlan());
            command.args([verb, "--runtime-dir"]).arg(&path);
            command.arg("--pin-dir").arg(pins.pin_dir());
            let ended = Ended::of(command, &world);
            assert_eq!(ended.code, Some(1), "{verb}: {ended:?}");
            let link = format!(
                "{}/{named} is a symbolic link of uid ",
                above.path().display()
            );
            assert!(ended.stderr.contains(&link), "{verb}: {ended:?}");
            kept.assert_untouched(verb);
        }
        let mut command = agent::run(&ipvlan(), &path, &[PARENT]);
        command.arg("--pin-dir").arg(pins.pin_dir());
        let ended = Ended::of(command, &world);
        assert!(
            ended.stderr.contains("is a symbolic link of uid "),
            "{ended:?}"
        );
        kept.assert_untouched("run");
    }
    world.assert_nothing_attached(&[PARENT]);
}

#[test]
fn links_among_the_pins_are_removed_and_not_followed() {
    let world = World::new();
    let (dir, kept, pins) = (runtime(), Kept::new(), Bpffs::mount());
    fs::create_dir(pins.pin_dir()).unwrap();
    let name = lock_name(&world).replace(".lock", "");
    // In the place of a parent's directory.
    let name = format!("{PARENT}-{name}");
    symlink(kept.dir.path(), pins.pin_dir().join(&name)).unwrap();
    own(&pins.pin_dir());
    let ended = pins.cleanup(&world, &dir, &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(&name), "{ended:?}");
    kept.assert_untouched("cleanup");
    // An agent serves all the same, says why it does not pin, and does not pin there.
    let agent = pins.start(&world, &dir, &[]);
    assert!(
        agent.said().contains("nothing is pinned"),
        "{}",
        agent.said()
    );
    assert!(agent.said().contains(&name), "{}", agent.said());
    ends(agent, Signal::SIGTERM);
    kept.assert_untouched("run");
    // In the place of the directory of all.
    fs::remove_dir_all(pins.pin_dir()).unwrap();
    symlink(kept.dir.path(), pins.pin_dir()).unwrap();
    let ended = pins.cleanup(&world, &dir, &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("is a symbolic link"), "{ended:?}");
    kept.assert_untouched("cleanup");
}

/// Gives everything there to the service's user.
fn own(path: &Path) {
    let mut chown = Command::new("chown");
    chown.args(["-R", "-h", &format!("{SERVICE}:{SERVICE}")]);
    assert!(chown.arg(path).status().unwrap().success());
}

/// A command as another user.
fn as_user(user: u32) -> Command {
    let user = user.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
    command
}

/// A process that is ended when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Row S11 of the attack table: whoever can open a file can hold its lock.
#[test]
fn start_replaces_a_lock_file_that_a_local_user_holds() {
    let world = World::new();
    let lock = lock_name(&world);
    for how in ["--shared", "--exclusive"] {
        let dir = Dir::new();
        fs::create_dir(dir.path()).unwrap();
        let path = dir.path().join(&lock);
        // As agents before this version left it.
        fs::write(&path, "4194304\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let mut command = as_user(LOCAL);
        command
            .args(["flock", how])
            .arg(&path)
            .args(["sleep", "300"]);
        let holder = Process(command.spawn().unwrap());
        wait_until(
            PATIENCE,
            "the lock is held",
            || {
                let inode = fs::metadata(&path).unwrap().ino();
                fs::read_to_string("/proc/locks")
                    .unwrap()
                    .contains(&format!(":{inode} "))
            },
            |&held| held,
        );
        let first = world.start_in(&dir, &[PARENT], &[]);
        let said = first.said();
        let says = format!(
            "is held by pid {} of uid {LOCAL}, which is no agent",
            holder.0.id()
        );
        assert!(said.contains(&says), "{said}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);

        // An agent that runs is an owner.
        let second = Ended::run(&world, &dir, &[PARENT], &[]);
        assert_eq!(second.code, Some(75), "{second:?}");
        let pid = format!("(pid {})", first.pid());
        assert!(second.stderr.contains(&pid), "{second:?}");
        first.stop().unwrap();
    }
}

/// Row S14 of the attack table: each is named, an agent beside them is shown, and all of it has one deadline.
#[test]
fn sockets_that_do_not_answer_are_named_within_one_deadline() {
    let world = World::new();
    let dir = runtime();
    let agent = world.start_in(&dir, &[PARENT], &[]);
    // Higher than any process id can be.
    let at = |number: u32| dir.path().join(format!("{}.sock", 4_194_400 + number));
    let listener = |number: u32| {
        let listener = UnixListener::bind(at(number)).unwrap();
        chown(at(number), Some(SERVICE), Some(SERVICE)).unwrap();
        listener
    };
    let silent: Vec<_> = (0..40).map(&listener).collect();
    let drips = listener(100);
    let endless = listener(101);
    let nonsense = listener(102);
    let imitates = listener(103);
    nix::unistd::mkfifo(&at(104), Mode::S_IRWXU).unwrap();
    nix::unistd::mkfifo(&dir.path().join("1-1.lock"), Mode::S_IRWXU).unwrap();
    drop(listener(105));
    serve(drips, |stream| {
        loop {
            stream.write_all(b" ")?;
            thread::sleep(Duration::from_secs(1));
        }
    });
    serve(endless, |stream| {
        loop {
            stream.write_all(&[b' '; 4096])?;
        }
    });
    serve(nonsense, |stream| stream.write_all(b"\x1b[31m{"));
    serve(imitates, |stream| {
        let agent = r#"{"pid": 7, "version": "1", "netns": 1, "parents": [], "sync": {"wakes": 0, "syncs": 0,
            "overruns": 0, "failed": 0, "error": null, "mended": 0}}"#;
        stream.write_all(agent.as_bytes())
    });
    let started = Instant::now();
    let ended = Ended::of(status(&dir, dir.path(), &["--json"]), &world);
    let took = started.elapsed();
    println!("status beside 44 sockets without an answer: {took:?}");
    assert!(took < WITHIN, "{took:?}");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let status: Status = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(status.agents.len(), 1);
    assert_eq!(status.agents[0].pid, agent.pid());
    assert_eq!(status.unanswered.len(), 45, "{:?}", status.unanswered);
    for (number, says) in [
        (0, "does not answer"),
        (39, "does not answer"),
        (100, "does not answer in time"),
        (101, "its answer has more than"),
        (102, "its answer is no status"),
        (103, "it answers as the agent with pid 7"),
        (104, "it is a FIFO"),
    ] {
        let path = at(number).to_str().unwrap().to_owned();
        let of = status.unanswered.iter().find(|of| of.socket == path);
        assert!(of.unwrap().error.contains(says), "{of:?}");
    }
    assert!(!at(105).exists(), "no process listens on it");

    let started = Instant::now();
    let mut command = Command::new(ipvlan());
    command.args(["cleanup", "--runtime-dir"]).arg(dir.path());
    command.arg("--pin-dir").arg(dir.path());
    let ended = Ended::of(command, &world);
    let took = started.elapsed();
    assert!(took < WITHIN, "{took:?}");
    assert!(
        ended.stderr.contains(&format!("(pid {})", agent.pid())),
        "{ended:?}"
    );
    assert!(!dir.path().join("1-1.lock").exists());
    drop(silent);
    world.arp(HOST_IP, PATIENCE).unwrap();
}

#[test]
fn nothing_that_a_socket_answers_reaches_the_terminal() {
    let world = World::new();
    let dir = Dir::new();
    fs::create_dir(dir.path()).unwrap();
    let listener = UnixListener::bind(dir.path().join("7.sock")).unwrap();
    let answer = serde_json::json!({
        "pid": 7, "version": "\u{1b}[31m\u{1b}]0;x\u{7}\nagent 8", "netns": 1, "parents": [],
        "sync": {"wakes": 0, "syncs": 0, "overruns": 0, "failed": 0, "error": "\u{9b}31m", "mended": 0},
    });
    let answer = answer.to_string();
    serve(listener, move |stream| stream.write_all(answer.as_bytes()));
    for options in [&[][..], &["--json"]] {
        let ended = Ended::of(status(&dir, dir.path(), options), &world);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let is_safe = |text: &str| text.chars().all(|it| it == '\n' || !it.is_control());
        assert!(
            is_safe(&ended.stdout) && is_safe(&ended.stderr),
            "{ended:?}"
        );
        assert!(ended.stdout.contains(r"agent 8"), "{ended:?}");
        assert!(!ended.stdout.contains("\nagent 8"), "{ended:?}");
    }
}

/// Answers every connection, one after the other, until this process ends.
fn serve(
    listener: UnixListener,
    answer: impl Fn(&mut UnixStream) -> std::io::Result<()> + Send + 'static,
) {
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _closed = answer(&mut stream);
        }
    });
}

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
    assert_eq!(shown.code, Some(0), "{shown:?}");
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
