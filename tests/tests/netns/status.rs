//! `ipvlan status`: what it says, to machines and to people, and that asking harms nobody.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv6Addr, UdpSocket},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use ipvlan_common::{REASONS, Reason};
use ipvlan_tests::{agent::Agent, command};
use ipvlan_user::status::{SCHEMA, Status};
use nix::sys::signal::Signal;

use crate::common::{
    Dir, Ended, PATIENCE, SOON, World, ipvlan, wait_until,
    world::{HOST_IP, HOST_IP6, PARENT, counted, parent},
};

fn json(world: &World, dir: &Dir) -> Status {
    let ended = Ended::status(world, dir.path(), &["--json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

fn socket(dir: &Dir, agent: &Agent) -> PathBuf {
    dir.path().join(format!("{}.sock", agent.pid()))
}

#[test]
fn json_is_of_the_known_schema_and_has_only_known_words() {
    let world = World::new();
    let dir = Dir::new();
    let agent = world.start_in(&dir, &[PARENT], &["--xdp", "generic"]);
    world.arp(HOST_IP, PATIENCE).unwrap();
    let status = json(&world, &dir);
    assert_eq!(status.schema, SCHEMA);
    assert_eq!(SCHEMA, 1);
    let [shown] = &status.agents[..] else {
        panic!("one agent runs: {status:?}");
    };
    assert_eq!(shown.pid, agent.pid());
    assert_eq!(shown.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(shown.sync.failed, 0);
    assert_eq!(shown.sync.error, None);
    let [shown] = &shown.parents[..] else {
        panic!("it serves one parent: {status:?}");
    };
    let mac = world.host.hardware_address(PARENT).unwrap();
    assert_eq!(shown.name, PARENT);
    assert_eq!(
        shown.mac.as_deref(),
        Some(&*mac.map(|byte| format!("{byte:02x}")).join(":"))
    );
    assert_eq!((shown.state.as_str(), &shown.reason), ("ready", &None));
    assert_eq!((&shown.mode, &shown.flag), (&None, &None));
    assert!(shown.up && shown.children.is_empty());
    assert!(shown.conflicts.is_empty() && shown.events.is_empty());
    assert_eq!(shown.groups, 0);
    let programs: BTreeSet<u32> = shown.hooks.iter().map(|hook| hook.program_id).collect();
    assert!(
        programs.len() == 3 && !programs.contains(&0),
        "{programs:?}"
    );
    let words: BTreeSet<&str> = REASONS.iter().copied().map(Reason::word).collect();
    for (hook, counters) in &shown.counters {
        assert!(["ingress", "egress", "xdp"].contains(&hook.as_str()));
        for (word, frames) in counters {
            assert!(words.contains(word.as_str()), "{word}");
            assert_ne!(word, Reason::Unknown.word());
            assert!(*frames > 0, "{hook} {word}");
        }
    }
    assert!(shown.counters["xdp"]["host_address"] > 0);

    // What it says again says the same: nothing is lost on the way.
    let again = serde_json::to_string_pretty(&status).unwrap();
    let parsed: Status = serde_json::from_str(&again).unwrap();
    assert_eq!(parsed, status);
    agent.stop().unwrap();
}

#[test]
fn table_for_people_says_what_is_attached_and_what_was_counted() {
    let world = World::new();
    let dir = Dir::new();
    let agent = world.start_in(&dir, &[PARENT], &["--no-host-access"]);
    world.arp(HOST_IP, PATIENCE).unwrap();
    let ended = Ended::status(&world, dir.path(), &[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let starts = [
        format!(
            "agent {} (version {}): ",
            agent.pid(),
            env!("CARGO_PKG_VERSION")
        ),
        String::new(),
        format!("{PARENT}: ready, "),
        "  ingress: parent_ingress by tcx (program ".to_owned(),
        "  note: --no-host-access: host and children do not reach each other".to_owned(),
        "  no children".to_owned(),
        "   HOOK     REASON        FRAMES".to_owned(),
    ];
    for (line, start) in lines.iter().zip(&starts) {
        assert!(line.starts_with(start), "{line:?} is not {start:?}…");
    }
    let counted = lines
        .iter()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert!(
        counted
            .into_iter()
            .any(|words| matches!(words[..], ["ingress", "host_address", frames] if frames != "0")),
        "{}",
        ended.stdout
    );
    assert!(
        lines.iter().all(|line| line.trim_end() == *line),
        "{lines:?}"
    );

    world.on_host(&format!("link delete {PARENT}"));
    let shown = Ended::status(&world, dir.path(), &[]).stdout;
    assert!(
        shown
            .contains("ens34: waiting (there is no interface `ens34` in this network namespace)\n"),
        "{shown}"
    );
    agent.stop().unwrap();
}

#[test]
fn nobody_running_is_said_and_is_no_error() {
    let world = World::new();
    let dir = Dir::new();
    let ended = Ended::status(&world, dir.path(), &[]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stdout, "no agent is running\n");
    let status = json(&world, &dir);
    assert_eq!(status.schema, 1);
    assert!(status.agents.is_empty());
    assert!(!dir.path().exists(), "asking made a directory");
}

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
        // The command still holds a writer, but nobody reads.
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

#[test]
fn status_of_an_agent_in_the_middle_of_traffic_adds_up() {
    let world = World::new();
    let agent = world.start(&[PARENT], &[]);
    let before = counted(&parent(&agent, 0), "ingress", "host_address");
    for _ in 0..20 {
        world.arp(HOST_IP, PATIENCE).unwrap();
    }
    let after = counted(&parent(&agent, 0), "ingress", "host_address");
    assert!(after >= before + 20, "{before} → {after}");
    agent.stop().unwrap();
}

#[test]
fn solicitations_for_the_host_are_recognised_as_its_own() {
    let world = World::new();
    let agent = world.start(&[PARENT], &[]);
    let counted = |reason| counted(&parent(&agent, 0), "ingress", reason);
    // Whatever the LAN sends there, it asks first.
    let knock = |target: Ipv6Addr| {
        let send = || {
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
            Ok(socket.send_to(b"?", (target, 9)).map(drop)?)
        };
        world.lan.run(send).unwrap();
    };
    assert_eq!(counted("host_address"), 0);
    knock(HOST_IP6);
    wait_until(
        PATIENCE,
        "the solicitation is counted",
        || counted("host_address"),
        |&frames| frames > 0,
    );
    let before = counted("not_ours");
    knock(Ipv6Addr::from_bits(HOST_IP6.to_bits() + 0x98));
    wait_until(
        PATIENCE,
        "that for nobody here is not the host's",
        || counted("not_ours"),
        |&frames| frames > before,
    );
    agent.stop().unwrap();
}
