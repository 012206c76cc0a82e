//! Files below the runtime directory that the service user, or any user, has made or holds.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Write as _},
    os::unix::{fs::symlink, net::UnixListener},
};

use anyhow::anyhow;
use nix::{
    fcntl::{Flock, FlockArg},
    sys::stat::Mode as Permissions,
    unistd::{chown, mkfifo},
};

use crate::{netns, rows::prelude::*};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "S7",
        Service,
        "a symbolic link, a hard link and a directory in place of a lock file; root runs `cleanup`",
        "the target keeps every byte, owner and mode",
        Run::Each(L3, links),
    )
    .on_any_kernel(),
    Row::new(
        "S11",
        User,
        "opens and locks the lock file of a root-started agent after its crash",
        "cannot open it; the restart is ready",
        Run::Each(L3, holds_the_lock),
    )
    .on_any_kernel(),
    Row::new(
        "S14",
        Service,
        "a FIFO in place of a lock file; a socket that sends a blank per second",
        "root's `cleanup` and `status` end within 10 s",
        Run::Each(L3, slow_files),
    )
    .on_any_kernel(),
];

/// Puts something in the place of a lock file that leads to a target.
type Put = fn(&Path, &Path) -> io::Result<()>;

const ENDS_WITHIN: Duration = Duration::from_secs(10);
const SECRET: &str = "root:secret\n";

/// The lock file of the parent's agent, as the agent names it.
fn lock_file() -> Result<PathBuf> {
    let directory = runtime_dir(PARENT);
    fs::read_dir(&directory)
        .with_context(|| format!("cannot list {}", directory.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension() == Some(OsStr::new("lock")))
        .with_context(|| format!("no lock file in {}", directory.display()))
}

/// Starts an agent and kills it; gives its lock file. The directory belongs to the service user then, who
/// can replace everything in it.
fn crashed(scene: &mut Scene) -> Result<PathBuf> {
    scene.start(&[])?;
    let lock = lock_file()?;
    scene.kill()?;
    give(&runtime_dir(PARENT))?;
    Ok(lock)
}

/// Makes the service user the owner of `path`.
fn give(path: &Path) -> nix::Result<()> {
    chown(path, Some(netns::NOBODY.into()), Some(netns::NOBODY.into()))
}

fn links(scene: &mut Scene) -> Result<()> {
    let lock = crashed(scene)?;
    let elsewhere = Path::new("/tmp/shadow");
    // A hard link needs one file system; /run and /tmp are two.
    let beside = runtime_dir(PARENT).join("shadow");
    let places: [(&str, &Path, Put); 3] = [
        ("symbolic link", elsewhere, |target, lock| {
            symlink(target, lock)
        }),
        ("hard link", &beside, |target, lock| {
            fs::hard_link(target, lock)
        }),
        ("directory", elsewhere, |_, lock| fs::create_dir(lock)),
    ];
    for (kind, target, put) in places {
        scene.case(kind);
        fs::write(target, SECRET)?;
        let before = fs::metadata(target)?.permissions();
        remove(&lock);
        put(target, &lock).with_context(|| format!("{kind} at {}", lock.display()))?;
        expect_end(scene, "cleanup")?;
        expect_kept(scene, target, "`cleanup`");
        let after = fs::metadata(target)?.permissions();
        let is_kept = kind == "hard link" || before == after;
        scene.expect_eq("the target's mode is kept", is_kept, true);
        // Nor does a start write through it.
        let start = scene.start_again();
        expect_kept(scene, target, "a start");
        if start.is_ok() {
            scene.kill()?;
        }
        remove(&lock);
    }
    Ok(())
}

fn expect_kept(scene: &Scene, target: &Path, after: &str) {
    let kept = fs::read_to_string(target).unwrap_or_default();
    scene.expect_eq(&format!("the target after {after}"), &*kept, SECRET);
}

/// Requires that a command of root's ends in time; returns how long it took.
fn expect_end(scene: &Scene, verb: &str) -> Result<Duration> {
    let begun = Instant::now();
    let ended = scene.ended(&mut scene.runtime_command(verb), ENDS_WITHIN)?;
    scene.expect(ended.is_some(), || format!("`{verb}` does not end"));
    Ok(begun.elapsed())
}

fn remove(path: &Path) {
    let _absent = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
}

fn holds_the_lock(scene: &mut Scene) -> Result<()> {
    scene.start(&[])?;
    let lock = lock_file()?;
    scene.kill()?;
    let held = hold(&lock)?;
    let opened = held.is_some();
    scene.expect_eq("any user can open the lock file", opened, false);
    let started = scene.start_again();
    scene.expect_eq("the agent starts again", started.is_ok(), true);
    drop(held);
    if started.is_ok() {
        scene.case("after the restart");
        scene.expect_others_answered()?;
    }
    scene.with_agent(if opened {
        "opened"
    } else {
        "permission denied; ready"
    });
    Ok(())
}

/// Opens and locks `path` as a user without privileges; none if that is denied.
fn hold(path: &Path) -> Result<Option<Flock<File>>> {
    let open = || {
        let (user, none) = (netns::NOBODY, 0);
        // SAFETY: as plain system calls they change this thread alone, which ends.
        unsafe {
            libc::syscall(libc::SYS_setgroups, none, std::ptr::null::<libc::gid_t>());
            libc::syscall(libc::SYS_setresgid, user, user, user);
            libc::syscall(libc::SYS_setresuid, user, user, user);
        }
        File::open(path)
    };
    let opened = thread::scope(|scope| scope.spawn(open).join());
    match opened.map_err(|_| anyhow!("the thread of another user panicked"))? {
        Ok(file) => {
            let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
            let locked = locked.map_err(|(_, errno)| errno);
            Ok(Some(locked.context("cannot lock the lock file")?))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(error).context("cannot open the lock file"),
    }
}

fn slow_files(scene: &mut Scene) -> Result<()> {
    let lock = crashed(scene)?;
    remove(&lock);
    mkfifo(&lock, Permissions::from_bits_truncate(0o600))?;
    give(&lock)?;
    scene.case("FIFO");
    expect_end(scene, "cleanup")?;
    expect_end(scene, "status")?;
    remove(&lock);
    // The socket of the process that the lock file names.
    let socket = runtime_dir(PARENT).join(format!("{}.sock", std::process::id()));
    remove(&socket);
    let listener = UnixListener::bind(&socket)?;
    listener.set_nonblocking(true)?;
    give(&socket)?;
    fs::write(&lock, format!("{}\n", std::process::id()))?;
    scene.case("a slow socket");
    let attack = |stop: &AtomicBool| {
        trickle(&listener, stop);
        Ok(())
    };
    let ((), took) = beside(attack, || expect_end(scene, "status"))?;
    let took = took.as_secs_f32();
    scene.with_agent(format!("`cleanup` ends; `status` ends after {took:.1} s"));
    remove(&socket);
    remove(&lock);
    Ok(())
}

/// Sends every client a blank per second.
fn trickle(listener: &UnixListener, stop: &AtomicBool) {
    let mut clients = Vec::new();
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if let Ok((client, _)) = listener.accept() {
            clients.push(client);
        }
        if last.elapsed() > Duration::from_secs(1) {
            last = Instant::now();
            clients.retain_mut(|client| client.write_all(b" ").is_ok());
        }
        thread::sleep(Duration::from_millis(20));
    }
}
