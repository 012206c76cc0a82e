//! Clients of `ipvlan status`: what they cost the agent, whatever they do.

use std::{
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use ipvlan_tests::{agent::Agent, command};
use nix::sys::signal::Signal;

use crate::common::{Node, PARENT, PATIENCE, Reports as _, SOON, wait_until};

fn socket(node: &Node, agent: &Agent) -> PathBuf {
    node.dir.path().join(format!("{}.sock", agent.pid()))
}

/// So many clients that never read.
fn clients(node: &Node, agent: &Agent, count: usize) -> Vec<UnixStream> {
    let path = socket(node, agent);
    let clients = (0..count).map(|_| UnixStream::connect(&path).unwrap());
    clients.collect()
}

#[test]
fn reader_that_has_seen_enough_is_no_error() {
    let node = Node::new();
    let agent = node.start(&[]);
    for options in [&[][..], &["--json"]] {
        let mut status = node.command("status", options);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        status.stdout(writer).stderr(Stdio::piped());
        let mut child = status.spawn().unwrap();
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
    let node = Node::new();
    let agent = node.start(&[]);
    let before = agent.descriptors();
    let clients = clients(&node, &agent, 100);
    follows_an_address(&node, &agent, "192.0.2.90");
    let started = Instant::now();
    agent.assert_ready();
    println!("status beside 100 silent clients: {:?}", started.elapsed());
    let open = || agent.descriptors();
    wait_until(PATIENCE, "all are closed", open, |&open| open <= before);
    drop(clients);
    agent.stop().unwrap();
}

/// The agent learns of an address without being asked.
#[track_caller]
fn follows_an_address(node: &Node, agent: &Agent, address: &str) {
    let before = agent.logged("addresses changed");
    node.on_host(&format!("address add {address}/24 dev {PARENT}"));
    agent.logs_times("addresses changed", before + 1);
}

#[test]
fn more_clients_than_descriptors_neither_stop_the_agent_nor_keep_it_busy() {
    let node = Node::new();
    let agent = node.start(&[]);
    // From here on it has none left.
    limit_descriptors(&agent, agent.descriptors() as u64);
    let clients = clients(&node, &agent, 20);
    let before = cpu_ticks(&agent);
    thread::sleep(SOON);
    let busy = cpu_ticks(&agent) - before;
    let said = agent.said();
    let lines = said.lines().count();
    let first: Vec<&str> = said.lines().take(10).collect();
    assert!(busy < 30, "{busy} of 100 ticks: it spins\n{first:#?}");
    assert!(lines < 100, "{lines} lines: {first:#?}");
    drop(clients);
    limit_descriptors(&agent, 1024);
    let answers = || agent.status().is_ok();
    wait_until(PATIENCE, "it answers again", answers, |&is| is);
    follows_an_address(&node, &agent, "192.0.2.91");
    agent.stop().unwrap();
}

fn cpu_ticks(agent: &Agent) -> u64 {
    let stat = agent.process("stat");
    let (_, fields) = stat.rsplit_once(')').unwrap();
    // utime and stime are fields 14 and 15 of proc_pid_stat(5).
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

fn limit_descriptors(agent: &Agent, soft: u64) {
    let limit = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: 1024,
    };
    let pid = agent.pid().try_into().unwrap();
    let none = std::ptr::null_mut();
    // SAFETY: the kernel reads one whole `limit`, and writes nowhere.
    let result = unsafe { libc::prlimit64(pid, libc::RLIMIT_NOFILE, &raw const limit, none) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn agent_that_does_not_answer_is_named_within_its_time() {
    let node = Node::new();
    let agent = node.start(&[]);
    agent.signal(Signal::SIGSTOP).unwrap();
    let started = Instant::now();
    let ended = node.status(&[]);
    let took = started.elapsed();
    agent.signal(Signal::SIGCONT).unwrap();
    assert!(took < Duration::from_secs(5), "{took:?}");
    let error = format!("the agent with pid {} does not answer", agent.pid());
    ended.exits(1).reports(&error);
    agent.stop().unwrap();
}
