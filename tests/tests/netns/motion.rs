//! The agent follows what happens to its parents and to the host, by itself and soon.
//!
//! `ipvlan status` takes a snapshot of its own: what is to happen without being asked for is looked
//! for in the kernel, in the counters or in the agent's log, and only then in the status.

use std::{
    fs,
    net::Ipv4Addr,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use ipvlan_tests::agent::Agent;
use nix::sys::signal::Signal;

use crate::common::{
    ATTACHED, Dir, PATIENCE, SOON, World, wait_until,
    world::{HOST_IP, LAN, LAN_IP, PARENT, counted, hooks_of, parent},
};

const OTHER: &str = "ens35";

#[track_caller]
fn wait_attached(world: &World, device: &str, programs: usize) {
    wait_until(
        if programs == 0 { SOON } else { ATTACHED },
        &format!("{programs} hooks of {device}"),
        || world.attached(&[device]),
        |attached| attached.len() == programs,
    );
}

#[track_caller]
fn wait_said(agent: &Agent, words: &str) {
    wait_until(SOON, words, || agent.said(), |said| said.contains(words));
}

#[test]
fn deleted_parent_is_waited_for_and_served_again_when_it_is_back() {
    for options in [
        &["--attach", "tcx"][..],
        &["--attach", "clsact"],
        &["--xdp", "generic"],
    ] {
        let world = World::new();
        let agent = world.start(&[PARENT], options);
        let before = parent(&agent, 0);
        let descriptors = descriptors(&agent);
        for _ in 0..3 {
            world.on_host(&format!("link delete {PARENT}"));
            wait_said(&agent, "detaching: the interface is gone");
            let gone = parent(&agent, 0);
            assert_eq!(gone["state"], "waiting", "{options:?}");
            let reason = gone["reason"].as_str().unwrap();
            assert!(reason.contains("there is no interface `ens34`"), "{reason}");
            assert_eq!(gone["hooks"].as_array().unwrap().len(), 0);

            let started = Instant::now();
            world.cable(PARENT, LAN);
            wait_until(
                ATTACHED,
                "attached again",
                || world.attached(&[PARENT]),
                |attached| attached.len() >= 2,
            );
            println!("{options:?}: served again after {:?}", started.elapsed());
            let back = parent(&agent, 0);
            assert_eq!(back["state"], "ready", "{options:?}: {back}");
            assert_ne!(back["ifindex"], before["ifindex"]);
            assert_eq!(hooks_of(&back), hooks_of(&before));
        }
        assert_eq!(self::descriptors(&agent), descriptors, "{options:?}");
        assert_eq!(
            agent.status().unwrap()["sync"]["failed"],
            0,
            "{}",
            agent.said()
        );
        agent.stop().unwrap();
        world.assert_nothing_attached(&[PARENT]);
    }
}

#[test]
fn renamed_parent_stays_served_and_is_let_go_under_its_new_name() {
    for attach in ["tcx", "clsact"] {
        let world = World::new();
        let agent = world.start(&[PARENT], &["--attach", attach]);
        let before = parent(&agent, 0);
        world.on_host(&format!("link set {PARENT} name uplink0"));
        wait_said(&agent, "parent renamed");
        let after = parent(&agent, 0);
        assert_eq!(after["name"], "uplink0");
        assert_eq!(after["state"], "ready", "{after}");
        assert_eq!(after["ifindex"], before["ifindex"]);
        assert_eq!(
            after["hooks"], before["hooks"],
            "{attach}: it was attached anew"
        );
        world.arp(HOST_IP, PATIENCE).unwrap();
        assert!(counted(&parent(&agent, 0), "ingress", "host_address") > 0);
        agent.stop().unwrap();
        world.assert_nothing_attached(&["uplink0"]);
    }
}

#[test]
fn parent_that_is_down_is_told_and_stays_served() {
    let world = World::new();
    let agent = world.start(&[PARENT], &[]);
    for (state, up) in [("down", false), ("up", true)] {
        world.on_host(&format!("link set {PARENT} {state}"));
        let shown = parent(&agent, 0);
        assert_eq!(shown["state"], "ready", "{state}");
        assert_eq!(shown["up"], up);
        let note = "the parent is down: nothing is answered";
        assert_eq!(
            shown["notes"].as_array().unwrap().contains(&note.into()),
            !up,
            "{shown}"
        );
        assert_eq!(world.attached(&[PARENT]).len(), 2);
    }
    assert!(world.arp(HOST_IP, PATIENCE).is_some());
    agent.stop().unwrap();
}

#[test]
fn parent_that_becomes_a_bridge_port_is_let_go_until_it_is_released() {
    for options in [&[][..], &["--attach", "clsact"], &["--xdp", "generic"]] {
        let world = World::new();
        world.on_host("link add br0 type bridge");
        let agent = world.start(&[PARENT], options);
        let hooks = world.attached(&[PARENT]).len();
        world.on_host(&format!("link set {PARENT} master br0"));
        wait_attached(&world, PARENT, 0);
        let shown = parent(&agent, 0);
        assert_eq!(shown["state"], "waiting", "{shown}");
        assert_eq!(shown["reason"], "`ens34` is a port of bridge `br0`");

        world.on_host(&format!("link set {PARENT} nomaster"));
        wait_attached(&world, PARENT, hooks);
        assert_eq!(parent(&agent, 0)["state"], "ready");
        agent.stop().unwrap();
        world.assert_nothing_attached(&[PARENT]);
    }
}

#[test]
fn address_of_the_host_is_known_as_soon_as_it_is_added_and_until_it_is_removed() {
    let address = Ipv4Addr::new(192, 0, 2, 77);
    let world = World::new();
    let agent = world.start(&[PARENT], &[]);
    let mac = world.host.hardware_address(PARENT).unwrap();
    let count = |reason| counted(&parent(&agent, 0), "ingress", reason);
    assert_eq!(world.arp(address, Duration::from_millis(200)), None);
    assert!(count("not_ours") > 0);
    assert_eq!(count("host_address"), 0);

    for round in 0..3 {
        world.on_host(&format!("address add {address}/24 dev {PARENT}"));
        wait_said_times(&agent, "addresses changed", 2 * round + 2);
        let before = count("host_address");
        // By the kernel itself.
        assert_eq!(world.arp(address, PATIENCE), Some(mac));
        assert!(count("host_address") > before, "round {round}");

        world.on_host(&format!("address delete {address}/24 dev {PARENT}"));
        wait_said_times(&agent, "addresses changed", 2 * round + 3);
        let before = (count("host_address"), count("not_ours"));
        assert_eq!(world.arp(address, Duration::from_millis(200)), None);
        assert_eq!(count("host_address"), before.0, "round {round}");
        assert!(count("not_ours") > before.1, "round {round}");
    }
    agent.stop().unwrap();
}

#[track_caller]
fn wait_said_times(agent: &Agent, words: &str, times: usize) {
    wait_until(
        SOON,
        &format!("{times} times: {words}"),
        || agent.said(),
        |said| said.matches(words).count() >= times,
    );
}

#[test]
fn new_mac_of_the_parent_is_guarded_at_once() {
    const NEW: [u8; 6] = [2, 0, 0, 0, 0, 0x77];
    let world = World::new();
    let agent = world.start(&[PARENT], &[]);
    let own = || counted(&parent(&agent, 0), "ingress", "own_sender");
    world.arp_from(NEW, HOST_IP, Duration::from_millis(100));
    assert_eq!(own(), 0);
    world.on_host(&format!("link set {PARENT} address 02:00:00:00:00:77"));
    let deadline = Instant::now() + SOON;
    // Nobody asks the agent for its status meanwhile.
    while Instant::now() < deadline {
        world.arp_from(NEW, HOST_IP, Duration::from_millis(100));
    }
    assert!(own() > 0, "{}", parent(&agent, 0));
    assert_eq!(parent(&agent, 0)["mac"], "02:00:00:00:00:77");
    agent.stop().unwrap();
}

#[test]
fn default_gateway_is_followed() {
    let world = World::new();
    let agent = world.start(&[PARENT], &[]);
    for (times, change) in [
        "route add default via 192.0.2.254",
        "route replace default via 192.0.2.253",
        "route delete default",
    ]
    .into_iter()
    .enumerate()
    {
        world.on_host(change);
        wait_said_times(&agent, "addresses changed", times + 2);
    }
    assert_eq!(agent.status().unwrap()["sync"]["failed"], 0);
    agent.stop().unwrap();
}

#[test]
fn parent_that_is_deleted_does_no_harm_to_the_others() {
    let world = World::new();
    world.cable(OTHER, "lan1");
    let agent = world.start(&[PARENT, OTHER], &[]);
    let before = parent(&agent, 0);
    world.on_host(&format!("link delete {OTHER}"));
    wait_said(&agent, "detaching: the interface is gone");
    let after = parent(&agent, 0);
    assert_eq!(after["state"], "ready");
    assert_eq!(after["hooks"], before["hooks"]);
    assert_eq!(parent(&agent, 1)["state"], "waiting");
    assert!(world.arp(HOST_IP, PATIENCE).is_some());
    assert!(counted(&parent(&agent, 0), "ingress", "host_address") > 0);
    agent.stop().unwrap();
    world.assert_nothing_attached(&[PARENT]);
}

#[test]
fn parent_that_cannot_be_attached_to_does_not_slow_down_the_others() {
    let (world, dir) = (World::new(), Dir::new());
    world.cable(OTHER, "lan1");
    let agent = world.start_in(&dir, &[PARENT, OTHER], &[]);
    world.on_host(&format!("link delete {OTHER}"));
    wait_said(&agent, "detaching: the interface is gone");
    // It comes back with somebody else's agent.
    world.cable("new0", "lan1");
    let other = world.start_in(&dir, &["new0"], &[]);
    world.on_host("link set new0 down");
    world.on_host(&format!("link set new0 name {OTHER}"));
    world.on_host(&format!("link set {OTHER} up"));
    // Long enough for the pause between two tries to have grown to seconds.
    thread::sleep(Duration::from_secs(4));
    let said = agent.said();
    assert_eq!(
        said.matches("is already served by another agent").count(),
        1,
        "{said}"
    );
    for last in 60..65 {
        let address = Ipv4Addr::new(192, 0, 2, last);
        let before = agent.said().matches("addresses changed").count();
        world.on_host(&format!("address add {address}/24 dev {PARENT}"));
        wait_said_times(&agent, "addresses changed", before + 1);
    }
    let blocked = parent(&agent, 1);
    assert_eq!(blocked["state"], "waiting", "{blocked}");
    let reason = blocked["reason"].as_str().unwrap();
    assert!(
        reason.contains("is already served by another agent"),
        "{reason}"
    );

    other.signal(Signal::SIGTERM).unwrap();
    wait_until(
        PATIENCE,
        "served when the other agent is gone",
        || parent(&agent, 1)["state"].clone(),
        |state| state == "ready",
    );
    agent.stop().unwrap();
    world.assert_nothing_attached(&[PARENT, OTHER]);
}

#[test]
fn parent_moved_to_another_netns_is_let_go() {
    for options in [&[][..], &["--attach", "clsact"]] {
        let world = World::new();
        let elsewhere = world.lab.netns("elsewhere").unwrap();
        let agent = world.start(&[PARENT], options);
        world.on_host(&format!(
            "link set {PARENT} netns {}",
            elsewhere.reference()
        ));
        wait_said(&agent, "detaching: the interface is gone");
        assert_eq!(parent(&agent, 0)["state"], "waiting");
        // A link is ours; a filter belongs to its device, out of reach in that netns.
        if options.is_empty() {
            let left = ipvlan_tests::hooks::attached(&elsewhere, &[PARENT]).unwrap();
            assert_eq!(left, [""; 0]);
        }
        elsewhere
            .ip(&format!(
                "link set {PARENT} netns {}\n",
                world.host.reference()
            ))
            .unwrap();
        wait_until(
            ATTACHED,
            "attached again",
            || parent(&agent, 0)["state"].clone(),
            |state| state == "ready",
        );
        agent.stop().unwrap();
        world.assert_nothing_attached(&[PARENT]);
    }
}

fn descriptors(agent: &Agent) -> usize {
    fs::read_dir(format!("/proc/{}/fd", agent.pid()))
        .unwrap()
        .count()
}

fn rss_kilobytes(agent: &Agent) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap()
}

#[test]
fn churn_of_a_hundred_netns_costs_nothing_that_lasts() {
    let world = World::new();
    let agent = world.start(&[PARENT], &[]);
    let failed = || agent.status().unwrap()["sync"]["failed"].as_u64().unwrap();
    // Until it has seen a netns come and go once.
    drop(world.lab.netns("first").unwrap());
    assert_eq!(failed(), 0);
    let before = (descriptors(&agent), rss_kilobytes(&agent));
    for round in 0..10 {
        let netnses: Vec<_> = (0..10)
            .map(|number| world.lab.netns(&format!("churn{round}-{number}")).unwrap())
            .collect();
        world.on_host(&format!(
            "link add churn{round} type veth peer name churn netns {}",
            netnses[9].reference()
        ));
        drop(netnses);
    }
    let during = failed();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(failed(), during, "it still fails: {}", agent.said());
    assert!(during <= 10, "{during} failures: {}", agent.said());
    let after = (descriptors(&agent), rss_kilobytes(&agent));
    println!("churn: {during} syncs failed; descriptors and RSS {before:?} kB → {after:?} kB");
    assert_eq!(after.0, before.0, "file descriptors");
    assert!(after.1 < before.1 + 8 * 1024, "RSS: {before:?} → {after:?}");
    assert_eq!(parent(&agent, 0)["state"], "ready");
    assert!(world.pings(HOST_IP, PATIENCE));
    agent.stop().unwrap();
}

#[test]
fn traffic_is_never_interrupted_by_what_happens_elsewhere() {
    let world = World::new();
    let agent = world.start(&[PARENT], &[]);
    let ping = thread::scope(|scope| {
        let ping = scope.spawn(|| {
            world.lan.command(
                Command::new("ping")
                    .args(["-q", "-i", "0.01", "-c", "100", "-W", "1"])
                    .arg(HOST_IP.to_string()),
                "",
            )
        });
        for last in 100..120 {
            world.on_host(&format!("address add 192.0.2.{last}/24 dev {PARENT}"));
        }
        ping.join().unwrap()
    });
    // Where there is no ping, the same is asked once.
    match ping {
        Ok(said) => assert!(said.contains(" 0% packet loss"), "{said}"),
        Err(_) => assert!(world.pings(HOST_IP, PATIENCE)),
    }
    assert!(world.pings(HOST_IP, PATIENCE), "{LAN_IP} → {HOST_IP}");
    agent.stop().unwrap();
}
