//! Clients of `ipvlan status`: what they cost the agent, whatever they do.

use std::{
    fs,
    os::unix::net::UnixStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use ipvlan_tests::{agent::Agent, command};
use nix::sys::signal::Signal;

use super::status::socket;
use crate::common::{
    Dir, Ended, PATIENCE, SOON, World, ipvlan, wait_until,
    world::{PARENT, parent},
};

#[test]
fn reader_that_has_seen_enough_is_no_error() {
    let world = World::new();
    let dir = Dir::new();
    let agent = world.start_in(&dir, &[PARENT], &[]);
    for options in [&[][..], &["--json"]] {
        let mut status = Command::new(ipvlan());
        status.args(["status", "--runtime-dir"]).arg(dir.path());
        status.args(options);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = status
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The command still holds a writer; there is no reader.
        drop(status);
        assert!(command::wait(&mut child, PATIENCE).unwrap().is_some());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*stderr), (Some(0), ""));
    }
    agent.stop().unwrap();
}

#[test]
fn clients_that_never_read_hold_nothing_up() {
    let world = World::new();
    let dir = Dir::new();
    let agent = world.start_in(&dir, &[PARENT], &[]);
    let descriptors = || {
        fs::read_dir(format!("/proc/{}/fd", agent.pid()))
            .unwrap()
            .count()
    };
    let before = descriptors();
    let path = socket(&dir, &agent);
    let clients: Vec<UnixStream> = (0..100)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    follows_an_address(&world, &agent, "192.0.2.90");
    let started = Instant::now();
    assert_eq!(parent(&agent, 0)["state"], "ready");
    println!("status beside 100 silent clients: {:?}", started.elapsed());
    wait_until(PATIENCE, "all are let go", descriptors, |&open| {
        open <= before
    });
    drop(clients);
    agent.stop().unwrap();
}

/// The agent learns of an address without being asked.
#[track_caller]
fn follows_an_address(world: &World, agent: &Agent, address: &str) {
    let changes = || agent.said().matches("addresses changed").count();
    let before = changes();
    world.on_host(&format!("address add {address}/24 dev {PARENT}"));
    wait_until(SOON, "the address is known", changes, |&now| now > before);
}

#[test]
fn more_clients_than_descriptors_neither_stop_the_agent_nor_keep_it_busy() {
    let world = World::new();
    let dir = Dir::new();
    let agent = world.start_in(&dir, &[PARENT], &[]);
    // From here on it has none left.
    let open = fs::read_dir(format!("/proc/{}/fd", agent.pid()))
        .unwrap()
        .count();
    limit_descriptors(&agent, open as u64);
    let path = socket(&dir, &agent);
    let clients: Vec<UnixStream> = (0..20)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    let before = cpu_ticks(&agent);
    std::thread::sleep(SOON);
    let busy = cpu_ticks(&agent) - before;
    assert!(
        busy < 30,
        "{busy} of 100 ticks: it spins\n{}",
        lines(&agent)
    );
    assert!(agent.said().lines().count() < 100, "{}", lines(&agent));
    drop(clients);
    limit_descriptors(&agent, 1024);
    wait_until(
        PATIENCE,
        "it answers again",
        || agent.status().is_ok(),
        |&is| is,
    );
    follows_an_address(&world, &agent, "192.0.2.91");
    agent.stop().unwrap();
}

fn lines(agent: &Agent) -> String {
    let said = agent.said();
    let all = said.lines().count();
    let first: Vec<&str> = said.lines().take(10).collect();
    format!("{all} lines:\n{}", first.join("\n"))
}

fn cpu_ticks(agent: &Agent) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.pid())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = |index: usize| -> u64 {
        let field = fields.split_whitespace().nth(index).unwrap();
        field.parse().unwrap()
    };
    // utime and stime are fields 14 and 15 of proc_pid_stat(5).
    ticks(11) + ticks(12)
}

fn limit_descriptors(agent: &Agent, soft: u64) {
    let limit = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: 1024,
    };
    // SAFETY: the kernel reads one whole `limit`, and writes nowhere.
    let result = unsafe {
        libc::prlimit64(
            agent.pid().try_into().unwrap(),
            libc::RLIMIT_NOFILE,
            &raw const limit,
            std::ptr::null_mut(),
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn agent_that_does_not_answer_is_named_within_its_time() {
    let world = World::new();
    let dir = Dir::new();
    let agent = world.start_in(&dir, &[PARENT], &[]);
    agent.signal(Signal::SIGSTOP).unwrap();
    let started = Instant::now();
    let ended = Ended::status(&world, dir.path(), &[]);
    let took = started.elapsed();
    agent.signal(Signal::SIGCONT).unwrap();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let says = format!("the agent with pid {} does not answer", agent.pid());
    assert!(ended.stderr.contains(&says), "{ended:?}");
    agent.stop().unwrap();
}
