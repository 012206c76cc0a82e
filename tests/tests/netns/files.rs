//! Files in the directories of the service's user: what a compromised service puts there, what a local user
//! holds, and root beside the service.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use nix::sys::{
    signal::Signal,
    stat::{Mode, SFlag, makedev, mknod},
};

use crate::common::{
    Bpffs, Dir, Node, PARENT, PATIENCE, Reports as _, Topology, as_user, ends, ipvlan, wait_until,
};

/// The user of the service, and its group.
pub(super) const SERVICE: u32 = 64_000;
/// A local user.
const LOCAL: u32 = 64_001;
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
    set_mode(dir, 0o750);
}

pub(super) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A node with such a runtime directory.
fn node(pins: Option<Bpffs>) -> Node {
    Node::with(Topology::new(), runtime(), pins)
}

/// Files of root outside of the directories, and what they were.
struct Kept(Dir);

impl Kept {
    fn new() -> Self {
        let dir = Dir::created();
        for file in ["file", "1.lock"] {
            let path = dir.path().join(file);
            fs::write(&path, "kept\n").unwrap();
            set_mode(&path, 0o640);
        }
        Self(dir)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("file")
    }

    #[track_caller]
    fn assert_untouched(&self) {
        assert_eq!(self.0.files(), ["1.lock", "file"]);
        for file in self.0.files() {
            let path = self.0.path().join(file);
            let metadata = fs::metadata(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "kept\n");
            assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (0, 0o640));
        }
    }
}

/// `NETNS-IFINDEX` of [`PARENT`].
fn parent_id(net: &Topology) -> String {
    let id = || {
        let netns = fs::metadata("/proc/thread-self/ns/net")?.ino();
        let ifindex = nix::net::if_::if_nametoindex(PARENT)?;
        Ok(format!("{netns}-{ifindex}"))
    };
    net.host.run(id).unwrap()
}

pub(super) fn lock_name(net: &Topology) -> String {
    format!("{}.lock", parent_id(net))
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
            mknod(at, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 5)).unwrap();
        }),
        ("a directory with files", |at, _| {
            fs::create_dir(at).unwrap();
            fs::write(at.join("file"), "").unwrap();
        }),
    ];
    let mut node = node(Some(Bpffs::mount()));
    let lock = lock_name(&node);
    let names = [&lock, "1-1.lock", "1.sock", "4194304.sock", ".guard"];
    for (kind, put) in kinds {
        println!("{kind}");
        node.dir = runtime();
        let kept = Kept::new();
        for name in names {
            put(&node.dir.path().join(name), &kept.file());
        }
        let started = Instant::now();
        // A socket that is none is reported.
        node.status(&[]).exits(1).prints("/1.sock: ");
        kept.assert_untouched();
        let cleaned = node.cleanup(&[]);
        assert!(started.elapsed() < WITHIN, "{:?}", started.elapsed());
        kept.assert_untouched();
        if kind == "a directory with files" {
            let path = node.dir.path().join(&lock);
            cleaned.exits(1).reports(path.to_str().unwrap());
            assert!(path.join("file").exists());
        } else {
            assert!(cleaned.has_ended_with(&[0, 1]), "{cleaned:?}");
            assert_eq!(node.dir.files(), [""; 0]);
        }
    }
}

#[test]
fn root_serves_where_the_service_user_put_links() {
    let node = node(None);
    let lock = lock_name(&node);
    let kept = Kept::new();
    for name in [lock.as_str(), ".guard"] {
        symlink(kept.file(), node.dir.path().join(name)).unwrap();
    }
    let agent = node.start(&[]);
    kept.assert_untouched();
    let metadata = fs::symlink_metadata(node.dir.path().join(&lock)).unwrap();
    assert!(metadata.is_file());
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (SERVICE, 0o600));
    agent.assert_logged("lock file without a running agent replaced");
    ends(agent, Signal::SIGTERM);
    kept.assert_untouched();
    assert_eq!(node.dir.files(), [""; 0]);
}

#[test]
fn directory_that_is_a_symbolic_link_is_refused_and_named() {
    let node = Node::pinned();
    let (above, kept) = (runtime(), Kept::new());
    let link = |target: &Path, name| {
        let link = above.path().join(name);
        symlink(target, &link).unwrap();
        link
    };
    // The directory itself, and one on the way.
    let itself = link(kept.0.path(), "link");
    let root = link(Path::new("/"), "root");
    let below = root.join(kept.0.path().strip_prefix("/").unwrap());
    for (path, named) in [(&itself, &itself), (&below, &root)] {
        let error = format!("{} is a symbolic link of uid ", named.display());
        for words in [&["status"][..], &["cleanup"], &["run", "--iface", PARENT]] {
            let mut command = Command::new(ipvlan());
            command.args(words).arg("--runtime-dir").arg(path);
            command.arg("--pin-dir").arg(node.pin_dir());
            let ended = node.ended(command).reports(&error);
            assert!(words[0] == "run" || ended.has_ended_with(&[1]), "{ended:?}");
            kept.assert_untouched();
        }
    }
    node.assert_nothing_attached(&[PARENT]);
}

#[test]
fn links_among_the_pins_are_removed_and_not_followed() {
    let node = node(Some(Bpffs::mount()));
    let (kept, pin_dir) = (Kept::new(), node.pin_dir());
    fs::create_dir(&pin_dir).unwrap();
    // In the place of a parent's directory.
    let name = format!("{PARENT}-{}", parent_id(&node));
    symlink(kept.0.path(), pin_dir.join(&name)).unwrap();
    own(&pin_dir);
    node.cleanup(&[]).exits(1).reports(&name);
    kept.assert_untouched();
    // An agent serves all the same, logs why it does not pin, and does not pin there.
    let agent = node.start(&[]);
    agent.assert_logged("nothing is pinned");
    agent.assert_logged(&name);
    ends(agent, Signal::SIGTERM);
    kept.assert_untouched();
    // In the place of the directory of all.
    fs::remove_dir_all(&pin_dir).unwrap();
    symlink(kept.0.path(), &pin_dir).unwrap();
    node.cleanup(&[]).exits(1).reports("is a symbolic link");
    kept.assert_untouched();
}

/// Gives everything there to the service's user.
pub(super) fn own(path: &Path) {
    let mut chown = Command::new("chown");
    chown.args(["-R", "-h", &format!("{SERVICE}:{SERVICE}")]);
    assert!(chown.arg(path).status().unwrap().success());
}

/// A process that is ended when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Row S11 of the attack table: every user that can open a file can hold its lock.
#[test]
fn start_replaces_a_lock_file_that_a_local_user_holds() {
    let mut node = Node::new();
    let lock = lock_name(&node);
    for how in ["--shared", "--exclusive"] {
        node.dir = Dir::created();
        let path = node.dir.path().join(&lock);
        // As agents before this version left it.
        fs::write(&path, "4194304\n").unwrap();
        set_mode(&path, 0o644);
        let mut hold = as_user(LOCAL);
        hold.args(["flock", how]).arg(&path).args(["sleep", "300"]);
        let holder = Process(hold.spawn().unwrap());
        let inode = format!(":{} ", fs::metadata(&path).unwrap().ino());
        let locks = || fs::read_to_string("/proc/locks").unwrap();
        wait_until(PATIENCE, "it is held", locks, |locks| {
            locks.contains(&inode)
        });
        let first = node.start(&[]);
        let pid = holder.0.id();
        first.assert_logged(&format!(
            "is held by pid {pid} of uid {LOCAL}, which is no agent"
        ));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);

        // An agent that runs is an owner.
        let pid = format!("(pid {})", first.pid());
        node.fails(&[PARENT], &[]).exits(75).reports(&pid);
        first.stop().unwrap();
    }
}
