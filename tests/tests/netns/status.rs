//! `ipvlan status`: what it reports, to machines and to people, and that a request harms no process.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv6Addr, UdpSocket},
    os::unix::fs::PermissionsExt as _,
};

use ipvlan_common::{REASONS, Reason};
use ipvlan_tests::netns::colons;
use ipvlan_user::protocol::{Hook, ParentState, SCHEMA, Status, Word};

use crate::common::{
    Dir, HOST_IP, HOST_IP6, Node, OTHER, PARENT, PATIENCE, Reports as _, as_user, wait_until,
};

#[test]
fn json_is_of_the_known_schema_and_has_only_known_words() {
    let node = Node::new();
    let agent = node.start(&["--xdp", "generic"]);
    node.arp(HOST_IP, PATIENCE).unwrap();
    let status = node.status(&["--json"]).exits_silently(0).status();
    assert_eq!((status.schema, SCHEMA), (1, 1));
    let [shown] = &status.agents[..] else {
        panic!("one agent runs: {status:?}");
    };
    assert_eq!(shown.pid, agent.pid());
    assert_eq!(shown.version, env!("CARGO_PKG_VERSION"));
    assert_eq!((shown.sync.failed, &shown.sync.error), (0, &None));
    let [shown] = &shown.parents[..] else {
        panic!("it serves one parent: {status:?}");
    };
    assert_eq!(shown.name, PARENT);
    assert_eq!(shown.mac, Some(colons(node.mac())));
    assert_eq!(shown.state, ParentState::Ready);
    assert_eq!(shown.reason, None);
    assert_eq!((&shown.mode, &shown.flag), (&None, &None));
    assert!(shown.up && shown.children.is_empty());
    assert!(shown.conflicts.is_empty() && shown.events.is_empty());
    assert_eq!(shown.groups, 0);
    let programs: BTreeSet<u32> = shown.hooks.iter().map(|hook| hook.program_id).collect();
    assert_eq!(programs.len(), 3, "{programs:?}");
    assert!(!programs.contains(&0), "{programs:?}");
    let words: BTreeSet<&str> = REASONS.iter().copied().map(Reason::word).collect();
    for (hook, counters) in &shown.counters.0 {
        assert!(matches!(hook, Word::Known(_)), "{hook}");
        for (word, frames) in counters {
            assert!(words.contains(word.as_str()), "{word}");
            assert_ne!(word, Reason::Unknown.word());
            assert!(*frames > 0, "{hook} {word}");
        }
    }
    assert!(shown.counters.0[&Hook::Xdp.into()]["host_address"] > 0);

    // What is written again is the same: nothing is lost on the way.
    let again = serde_json::to_string_pretty(&status).unwrap();
    let parsed: Status = serde_json::from_str(&again).unwrap();
    assert_eq!(parsed, status);
    agent.stop().unwrap();
}

#[test]
fn table_for_people_says_what_is_attached_and_what_was_counted() {
    let node = Node::new();
    let agent = node.start(&["--no-host-access"]);
    node.arp(HOST_IP, PATIENCE).unwrap();
    let shown = node.status(&[]).exits_silently(0).stdout;
    // Beside a busy machine the netns of other tests can be over their quota of time.
    let is_of_this_test = |line: &&str| !line.starts_with("  quota: ");
    let lines: Vec<&str> = shown.lines().filter(is_of_this_test).collect();
    let version = env!("CARGO_PKG_VERSION");
    let starts = [
        &format!("agent {} (version {version}): ", agent.pid()),
        "",
        &format!("{PARENT}: ready, "),
        "  ingress: parent_ingress by tcx (program ",
        "  note: --no-host-access: host and children do not reach each other",
        "  no children",
        "   HOOK     REASON        FRAMES",
    ];
    for (line, start) in lines.iter().zip(starts) {
        assert!(
            line.starts_with(start),
            "{line:?} is not {start:?}…: {shown}"
        );
    }
    let is_count = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words[..], ["ingress", "host_address", frames] if frames != "0")
    };
    assert!(lines.iter().any(is_count), "{shown}");
    assert!(lines.iter().all(|line| line.trim_end() == *line), "{shown}");

    node.on_host(&format!("link delete {PARENT}"));
    let line = "ens34: waiting (there is no interface `ens34` in this network namespace)\n";
    node.status(&[]).prints(line);
    agent.stop().unwrap();
}

#[test]
fn status_without_an_agent_ends_with_3() {
    let mut node = Node::new();
    let missing = node.dir.path().display().to_string();
    let hint = "hint: start one: `systemctl start ipvlan`, or `ipvlan run --iface NAME`\n";
    let no_directory = format!("no agent is running: there is no directory {missing}\n{hint}");
    let no_agent = &*format!("no agent is running\n{hint}");
    for (options, line) in [
        (&[][..], &*no_directory),
        (&["--iface", PARENT], &no_directory),
        (&[], no_agent),
        (&["--iface", "ens99", "--iface", PARENT], no_agent),
    ] {
        if line == no_agent {
            node.dir = Dir::new();
            fs::create_dir(node.dir.path()).unwrap();
        }
        node.status(options).exits_silently(3).prints_only(line);
        let ended = node.status(&[&["--json"], options].concat());
        let status = ended.exits_silently(3).status();
        assert_eq!((status.schema, status.agents.len()), (1, 0), "{options:?}");
    }
    assert!(!fs::exists(missing).unwrap(), "a request made a directory");
}

#[test]
fn status_shows_the_parents_that_are_asked_for() {
    let node = Node::new();
    node.cable(OTHER, "lan1");
    let agents = [PARENT, OTHER].map(|parent| node.start_on(&[parent], &[]));
    // Options, exit code, the parents that are shown, the last line.
    let missing = "no agent serves `ens99`\nhint: `ipvlan status --brief` lists the parents that are served\n";
    let rows: [(&[&str], i32, &[&str], &str); 5] = [
        (&[], 0, &[PARENT, OTHER], ""),
        (&["--iface", PARENT], 0, &[PARENT], ""),
        (
            &["--iface", OTHER, "--iface", PARENT],
            0,
            &[PARENT, OTHER],
            "",
        ),
        (
            &["--iface", OTHER, "--iface", "ens99"],
            3,
            &[OTHER],
            missing,
        ),
        (&["--iface", "ens99"], 3, &[], missing),
    ];
    for (options, code, parents, line) in rows {
        let ended = node.status(options).exits_silently(code);
        assert!(ended.stdout.ends_with(line), "{ended:?}");
        assert!(!ended.stdout.contains("no agent is running"), "{ended:?}");
        let ended = node.status(&[&["--json"], options].concat());
        let status = ended.exits(code).status();
        let shown = status.agents.iter().flat_map(|agent| &agent.parents);
        let shown: BTreeSet<&str> = shown.map(|parent| parent.name.as_str()).collect();
        assert_eq!(shown, parents.iter().copied().collect(), "{options:?}");
    }
    // `stop` would insist on the directory being gone, which the other agent has its files in.
    drop(agents);
    assert_eq!(node.dir.files(), [""; 0]);
}

#[test]
fn status_without_the_permission_to_ask_says_what_to_do() {
    let node = Node::new();
    let agent = node.start(&[]);
    // The directory can be read, or not even that.
    for mode in [0o755, 0o700] {
        fs::set_permissions(node.dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        let status = node.command("status", &[]);
        let mut command = as_user(65534);
        command.arg(status.get_program()).args(status.get_args());
        let ended = node.ended(command).exits(77);
        let ended = ended.reports("Permission denied");
        ended.reports("hint: run as root, ");
    }
    agent.stop().unwrap();
}

#[test]
fn status_in_the_middle_of_traffic_adds_up_and_solicitations_for_the_host_are_its_own() {
    let node = Node::new();
    let agent = node.start(&[]);
    assert_eq!(agent.ingress("host_address"), 0);
    // Whatever the LAN sends there, it solicits first.
    let knock = |target: Ipv6Addr| {
        let send = || {
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
            Ok(socket.send_to(b"?", (target, 9)).map(drop)?)
        };
        node.lan.run(send).unwrap();
    };
    let unowned = Ipv6Addr::from_bits(HOST_IP6.to_bits() + 0x98);
    for (target, reason) in [(HOST_IP6, "host_address"), (unowned, "not_ours")] {
        let before = agent.ingress(reason);
        knock(target);
        let frames = || agent.ingress(reason);
        wait_until(PATIENCE, reason, frames, |&frames| frames > before);
    }
    let before = agent.ingress("host_address");
    for _ in 0..20 {
        node.arp(HOST_IP, PATIENCE).unwrap();
    }
    let after = agent.ingress("host_address");
    assert!(after >= before + 20, "{before} → {after}");
    agent.stop().unwrap();
}
