//! Files in the directories of the service's user: what a compromised service puts there, what a local user
//! holds, and root beside the service.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use ipvlan_tests::agent;
use nix::sys::{signal::Signal, stat::Mode};

use crate::common::{
    Dir, Ended, PATIENCE, World, ipvlan,
    pins::Bpffs,
    wait_until,
    world::{PARENT, ends},
};

/// The user of the service, and its group.
pub(super) const SERVICE: u32 = 64_000;
/// A local user.
const LOCAL: u32 = 64_001;
/// What root is without, beside the service: everything that overrides permissions of files.
pub(super) const WITHOUT: &str = "-dac_override,-dac_read_search,-fowner,-chown,-fsetid";
/// `status` and `cleanup` end within 5 s; this machine is shared.
pub(super) const WITHIN: Duration = Duration::from_secs(12);

/// A runtime directory of the service's user.
pub(super) fn runtime() -> Dir {
    let dir = Dir::new();
    create(dir.path());
    dir
}

/// Creates it, as the service manager does at every start.
pub(super) fn create(dir: &Path) {
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

pub(super) fn lock_name(world: &World) -> String {
    let host = || {
        let netns = fs::metadata("/proc/thread-self/ns/net")?.ino();
        let ifindex = nix::net::if_::if_nametoindex(PARENT)?;
        Ok(format!("{netns}-{ifindex}.lock"))
    };
    world.host.run(host).unwrap()
}

pub(super) fn status(dir: &Dir, pins: &Path, options: &[&str]) -> Command {
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
pub(super) fn own(path: &Path) {
    let mut chown = Command::new("chown");
    chown.args(["-R", "-h", &format!("{SERVICE}:{SERVICE}")]);
    assert!(chown.arg(path).status().unwrap().success());
}

/// A command as another user.
pub(super) fn as_user(user: u32) -> Command {
    let user = user.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
    command
}

/// A process that is ended when it is dropped.
pub(super) struct Process(Child);

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
