//! `ipvlan status`: what it says, to machines and to people, and that asking harms nobody.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv6Addr, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Command,
};

use ipvlan_common::{REASONS, Reason};
use ipvlan_tests::agent::Agent;
use ipvlan_user::protocol::{Hook, ParentState, SCHEMA, Status, Word};

use crate::common::{
    Dir, Ended, PATIENCE, World, ipvlan, wait_until,
    world::{HOST_IP, HOST_IP6, PARENT, counted, parent},
};

fn json(world: &World, dir: &Dir) -> Status {
    let ended = Ended::status(world, dir.path(), &["--json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

pub(super) fn socket(dir: &Dir, agent: &Agent) -> PathBuf {
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
    assert_eq!(
        (&shown.state, &shown.reason),
        (&ParentState::Ready.into(), &None)
    );
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
        assert!(matches!(hook, Word::Known(_)), "{hook}");
        for (word, frames) in counters {
            assert!(words.contains(word.as_str()), "{word}");
            assert_ne!(word, Reason::Unknown.word());
            assert!(*frames > 0, "{hook} {word}");
        }
    }
    assert!(shown.counters[&Hook::Xdp.into()]["host_address"] > 0);

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
        let all = &ended.stdout;
        assert!(line.starts_with(start), "{line:?} is not {start:?}…: {all}");
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
fn status_without_an_agent_ends_with_3() {
    let world = World::new();
    let (missing, empty) = (Dir::new(), Dir::new());
    fs::create_dir(empty.path()).unwrap();
    let path = missing.path().display();
    let none = "no agent is running\n".to_owned();
    let no_directory = format!("no agent is running: there is no directory {path}\n");
    for (dir, options, says) in [
        (&missing, &[][..], no_directory.clone()),
        (&missing, &["--iface", PARENT], no_directory),
        (&empty, &[], none.clone()),
        (&empty, &["--iface", "ens99", "--iface", PARENT], none),
    ] {
        let ended = Ended::status(&world, dir.path(), options);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(3), ""),
            "{options:?}"
        );
        assert_eq!(ended.stdout, says, "{options:?}");
        let options = [&["--json"], options].concat();
        let ended = Ended::status(&world, dir.path(), &options);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(3), ""),
            "{options:?}"
        );
        let status: Status = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((status.schema, status.agents.len()), (1, 0), "{options:?}");
    }
    assert!(!missing.path().exists(), "asking made a directory");
}

#[test]
fn status_shows_the_parents_that_are_asked_for() {
    let world = World::new();
    world.cable("ens35", "lan1");
    let dir = Dir::new();
    let agents = [PARENT, "ens35"].map(|parent| world.start_in(&dir, &[parent], &[]));
    // Options, exit code, the parents that are shown, what is said at the end.
    let rows: [(&[&str], i32, &[&str], &str); 5] = [
        (&[], 0, &[PARENT, "ens35"], ""),
        (&["--iface", PARENT], 0, &[PARENT], ""),
        (
            &["--iface", "ens35", "--iface", PARENT],
            0,
            &[PARENT, "ens35"],
            "",
        ),
        (
            &["--iface", "ens35", "--iface", "ens99"],
            3,
            &["ens35"],
            "no agent serves `ens99`\n",
        ),
        (&["--iface", "ens99"], 3, &[], "no agent serves `ens99`\n"),
    ];
    for (options, code, parents, says) in rows {
        let ended = Ended::status(&world, dir.path(), options);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(code), ""),
            "{options:?}"
        );
        assert!(ended.stdout.ends_with(says), "{options:?}: {ended:?}");
        assert!(!ended.stdout.contains("no agent is running"), "{ended:?}");
        let ended = Ended::status(&world, dir.path(), &[&["--json"], options].concat());
        assert_eq!(ended.code, Some(code), "{options:?}: {ended:?}");
        let status: Status = serde_json::from_str(&ended.stdout).unwrap();
        let mut shown: Vec<String> = status
            .agents
            .into_iter()
            .flat_map(|agent| agent.parents)
            .map(|parent| parent.name)
            .collect();
        shown.sort();
        assert_eq!(shown, parents, "{options:?}");
    }
    // `stop` would insist on the directory being gone, which the other agent has its files in.
    drop(agents);
    assert_eq!(dir.files(), Vec::<String>::new());
}

#[test]
fn status_without_the_permission_to_ask_says_what_to_do() {
    let world = World::new();
    let dir = Dir::new();
    let agent = world.start_in(&dir, &[PARENT], &[]);
    // The directory can be read, or not even that.
    for mode in [0o755, 0o700] {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.arg(ipvlan()).args(["status", "--runtime-dir"]);
        command.arg(dir.path());
        let ended = Ended::of(command, &world);
        assert_eq!(ended.code, Some(77), "{mode:o}: {ended:?}");
        assert!(
            ended.stderr.contains("Permission denied"),
            "{mode:o}: {ended:?}"
        );
        assert!(
            ended.stderr.contains("hint: run as root, or as the user"),
            "{mode:o}: {ended:?}"
        );
    }
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
