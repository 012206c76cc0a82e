//! The machine around the agent: its clock, its memory, its disk, its readers.

use std::{
    fs::{File, OpenOptions},
    io::Read as _,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
};

use nix::{
    fcntl::OFlag,
    mount::{MsFlags, mount},
    sys::time::TimeSpec,
    time::{ClockId, clock_gettime, clock_settime},
    unistd::{pipe2, write},
};

use super::{
    row::Row,
    stage::Stage,
    traffic::{Expect, expected},
};
use crate::{
    agent::Agent,
    rows::{held::CGROUPS, prelude::*},
};

pub(super) const ROWS: &[Row] = &[
    Row::new("clock a day ahead, then two back", clock).on_any_kernel(),
    Row::new("killed for want of memory, restart", out_of_memory).on_any_kernel(),
    Row::new("its log is not read", unread_log).on_any_kernel(),
    Row::new("its log's disk is full", full_disk).on_any_kernel(),
    Row::new("a reader of its status that reads nothing", slow_reader).on_any_kernel(),
    Row::new("/proc/sys read-only", read_only).on_any_kernel(),
];

const NEW: Pair = Pair::new(112);
/// How many ask for a status at the same time.
const READERS: usize = 100;

/// An address comes and goes, and is followed.
fn follows(stage: &mut Stage) -> Result<()> {
    for (expect, lines) in [
        (Expect::Answered, NEW.added(CHILD)),
        (Expect::Silent, NEW.deleted(CHILD)),
    ] {
        stage.change(&expected(NEW, expect), |site| site.third.ip(&lines))?;
    }
    Ok(())
}

fn clock(stage: &mut Stage) -> Result<()> {
    const DAY: i64 = 24 * 60 * 60;
    for seconds in [DAY, -2 * DAY, DAY] {
        let now = clock_gettime(ClockId::CLOCK_REALTIME)?;
        let then = now + TimeSpec::new(seconds, 0);
        clock_settime(ClockId::CLOCK_REALTIME, then).context("cannot set the clock")?;
        follows(stage)?;
    }
    Ok(())
}

/// By the kernel, which kills in a control group that may have no memory at all.
fn out_of_memory(stage: &mut Stage) -> Result<()> {
    let group = Path::new(CGROUPS).join("starving");
    fs::create_dir_all(&group)?;
    let mut agent = stage.take_agent()?;
    fs::write(group.join("cgroup.procs"), agent.pid().to_string())?;
    fs::write(group.join("memory.max"), "0")?;
    // It has to take memory to be killed for it; what it has taken before is the old group's.
    let begun = Instant::now();
    while !agent.has_ended() && begun.elapsed() < PATIENCE {
        stage.third.ip(&NEW.added(CHILD))?;
        stage.third.ip(&NEW.deleted(CHILD))?;
        let readers: Vec<_> = (0..READERS)
            .filter_map(|_| UnixStream::connect(socket(&agent).ok()?).ok())
            .collect();
        drop(readers);
    }
    let status = agent.wait(PATIENCE)?;
    let events = fs::read_to_string(group.join("memory.events"))?;
    let what = format!("the control group of the agent, which ended with {status},");
    stage.expect_has(&what, &events, "oom_kill 1");
    stage.start_again()?;
    fs::remove_dir(&group)?;
    follows(stage)
}

/// The agent serves while its standard error is `log`.
fn serves_with_log(stage: &mut Stage, log: &impl std::os::fd::AsRawFd) -> Result<()> {
    stage.stop()?;
    let mut command = stage.command(&[]);
    command.env("IPVLAN_LOG", "debug");
    let number = log.as_raw_fd();
    // SAFETY: between fork and exec only dup2 is called, which is async-signal-safe; `log` is open
    // until the command was spawned.
    unsafe {
        command.pre_exec(move || match libc::dup2(number, 2) {
            -1 => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    stage.start_command(command)?;
    follows(stage)?;
    stage.parent()?;
    stage.stop()?;
    stage.start_again()
}

fn unread_log(stage: &mut Stage) -> Result<()> {
    let (_unread, log) = full_pipe()?;
    serves_with_log(stage, &log)
}

/// A pipe that takes no more, whose writers wait.
fn full_pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    while write(&writer, &[b'x'; 4096]).is_ok() {}
    let flags = OFlag::O_WRONLY;
    // SAFETY: sets flags of an open descriptor.
    let set = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, flags.bits()) };
    ensure!(set == 0, "cannot make a pipe wait");
    Ok((reader, writer))
}

fn full_disk(stage: &mut Stage) -> Result<()> {
    let full: File = OpenOptions::new().write(true).open("/dev/full")?;
    serves_with_log(stage, &full)
}

/// More than one, and none of them stands in the way of another.
fn slow_reader(stage: &mut Stage) -> Result<()> {
    let socket = socket(stage.agent()?)?;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(UnixStream::connect(&socket).context("cannot connect to the agent")?);
    }
    follows(stage)?;
    stage.parent()?;
    // One of them reads at last: it may have been given up.
    if let Some(reader) = readers.first_mut() {
        reader.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut text = String::new();
        let _given_up = reader.read_to_string(&mut text);
    }
    drop(readers);
    stage.parent().map(drop)
}

/// The status socket of `agent`.
fn socket(agent: &Agent) -> Result<PathBuf> {
    let name = format!("{}.sock", agent.pid());
    let path = runtime_dir(PARENT).join(name);
    ensure!(path.exists(), "there is no {}", path.display());
    Ok(path)
}

/// It writes no sysctl, so it does not notice.
fn read_only(stage: &mut Stage) -> Result<()> {
    let (path, none) = ("/proc/sys", None::<&str>);
    mount(Some(path), path, none, MsFlags::MS_BIND, none)?;
    let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(none, path, none, read_only, none)?;
    let played = stage
        .stop()
        .and_then(|()| stage.start_again())
        .and_then(|()| follows(stage));
    nix::mount::umount(path)?;
    played
}
