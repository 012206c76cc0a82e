//! Where `ipvlan status` looks, and what it finds that no agent tells it.

use std::{fs, path::Path, process::Command};

use ipvlan_user::protocol::Status;
use nix::sys::signal::Signal;

use crate::common::{
    Dir, Ended, World, ipvlan,
    pins::Bpffs,
    world::{PARENT, configuration, ends},
};

fn asked(world: &World, config: &Path, options: &[&str]) -> Ended {
    let mut command = Command::new(ipvlan());
    command.arg("status").arg("--config").arg(config);
    command.args(options);
    Ended::of(command, world)
}

#[test]
fn configuration_file_says_where_to_look() {
    let (world, dir, pins) = (World::new(), Dir::new(), Bpffs::mount());
    let pin_dir = pins.pin_dir();
    let (_kept, file) = configuration(&format!(
        "iface = [\"{PARENT}\"]\nruntime-dir = {:?}\npin-dir = {pin_dir:?}\n",
        dir.path()
    ));
    let agent = pins.start(&world, &dir, &[]);
    let ended = asked(&world, &file, &["--json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let status: Status = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(status.agents[0].pid, agent.pid());
    assert_eq!(status.unserved, Some(Vec::new()));
    // The command line counts more.
    let elsewhere = Dir::new();
    let options = ["--runtime-dir", elsewhere.path().to_str().unwrap()];
    let ended = asked(&world, &file, &options);
    let path = elsewhere.path().display();
    let says = format!("no agent is running: there is no directory {path}\n");
    assert_eq!(
        (ended.code, ended.stdout),
        (Some(3), says),
        "its lock is seen"
    );

    // One that is named must be right.
    fs::write(&file, "iface = [\"ens34\"]\nruntime-dir = 1\n").unwrap();
    let ended = asked(&world, &file, &[]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains(":2:15: `runtime-dir`"), "{ended:?}");
    agent.stop().unwrap();
}

#[test]
fn parent_that_answers_without_an_agent_is_mentioned() {
    let (world, dir, pins) = (World::new(), Dir::new(), Bpffs::mount());
    world.cable("ens35", "lan1");
    let (_kept, file) = configuration(&format!(
        "runtime-dir = {:?}\npin-dir = {:?}\n",
        dir.path(),
        pins.pin_dir()
    ));
    let status_of = |code, options: &[&str]| -> Status {
        let ended = asked(&world, &file, &[&["--json"], options].concat());
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(code), ""));
        serde_json::from_str(&ended.stdout).unwrap()
    };
    let status = || status_of(0, &[]);
    ends(pins.start(&world, &dir, &[]), Signal::SIGKILL);
    let agent = pins.start_on(&world, &dir, "ens35", &[]);
    let found = status();
    assert_eq!(found.agents[0].parents[0].name, "ens35");
    let [unserved] = &found.unserved.unwrap()[..] else {
        panic!("one parent has an agent, one has none");
    };
    assert_eq!(unserved.name, PARENT);
    assert!(fs::metadata(&unserved.pinned).unwrap().is_dir());
    assert!(
        unserved
            .pinned
            .starts_with(pins.pin_dir().to_str().unwrap())
    );
    let says = format!(
        "\n\n{PARENT} (ifindex {} in netns {}): no agent; what is pinned in {} answers until it is stale.",
        unserved.ifindex, unserved.netns, unserved.pinned
    );
    let shown = asked(&world, &file, &[]).stdout;
    assert!(shown.contains(&says), "{shown}");
    // By the name that it has now.
    world.on_host(&format!("link set {PARENT} down"));
    world.on_host(&format!("link set {PARENT} name uplink0"));
    assert_eq!(status().unserved.unwrap()[0].name, "uplink0");
    world.on_host(&format!("link set uplink0 name {PARENT}"));
    ends(agent, Signal::SIGTERM);
    // Pins alone are no agent.
    assert_eq!(status_of(3, &[]).unserved.unwrap().len(), 2);
    let unserved = status_of(3, &["--iface", "ens35"]).unserved.unwrap();
    assert_eq!(unserved.len(), 1, "{unserved:?}");
    assert_eq!(unserved[0].name, "ens35");
    assert_eq!(
        status_of(3, &["--iface", "ens99"]).unserved,
        Some(Vec::new())
    );
    let elsewhere = pins.root().join("elsewhere");
    let other = ["--pin-dir", elsewhere.to_str().unwrap()];
    assert_eq!(status_of(3, &other).unserved, Some(Vec::new()));
    let ended = asked(&world, &file, &[]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let shown = ended.stdout;
    assert!(shown.starts_with("no agent is running\n\n"), "{shown}");

    let _agent = pins.start(&world, &dir, &[]);
    assert_eq!(status().unserved.unwrap().len(), 1);
}

#[test]
fn who_may_not_look_at_pins_is_not_told_that_there_are_none() {
    let (world, dir, pins) = (World::new(), Dir::new(), Bpffs::mount());
    ends(pins.start(&world, &dir, &[]), Signal::SIGKILL);
    // No agent, rather than one that may not be asked.
    let nobody = Dir::new();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "65534", "--clear-groups"])
        .arg(ipvlan())
        .args(["status", "--json", "--runtime-dir"])
        .arg(nobody.path())
        .arg("--pin-dir")
        .arg(pins.pin_dir());
    let ended = Ended::of(command, &world);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(3), ""));
    let status: Status = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(status.unserved, None);
}
