//! A host with the parent `ens34`, and the LAN at the other end of its cable.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use ipvlan_packet::Arp;
use ipvlan_tests::{
    agent::{self, Agent},
    hooks,
    lab::{self, Lab},
    netns::Netns,
    probe::{neighbour, ping},
};
use nix::{sys::signal::Signal, unistd::Uid};
use serde_json::Value;

use super::{PATIENCE, ipvlan, wait_until};

/// The host's only parent, if no test adds more.
pub(crate) const PARENT: &str = "ens34";
/// The other end of its cable.
pub(crate) const LAN: &str = "lan0";
/// The host's address.
pub(crate) const HOST_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Its IPv6 address.
pub(crate) const HOST_IP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);
/// Somebody on the LAN.
pub(crate) const LAN_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// Its IPv6 address.
pub(crate) const LAN_IP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 10);

/// Two netns and a cable.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) host: Netns,
    pub(crate) lan: Netns,
    pub(crate) lab: Lab,
}

impl World {
    /// Makes it; addresses on both ends.
    pub(crate) fn new() -> Self {
        assert!(
            Uid::effective().is_root(),
            "these tests make network namespaces and load programs: run them as root"
        );
        let lab = Lab::new().unwrap();
        let world = Self {
            host: lab.netns("host").unwrap(),
            lan: lab.netns("lan").unwrap(),
            lab,
        };
        // The host's addresses change when a test changes them, and at no other time.
        for of in ["all", "default"] {
            let key = format!("ipv6/conf/{of}/accept_dad");
            world.host.sysctl(&key, "0").unwrap();
        }
        world.cable(PARENT, LAN);
        world.wait_link_local(PARENT);
        world.on_host(&format!("address add {HOST_IP}/24 dev {PARENT}"));
        world.on_host(&format!("address add {HOST_IP6}/64 dev {PARENT} nodad"));
        world.on_lan(&format!("address add {LAN_IP}/24 dev {LAN}"));
        world.on_lan(&format!("address add {LAN_IP6}/64 dev {LAN} nodad"));
        world
    }

    /// Waits until a device of the host has its link-local address, which it gives itself when its
    /// carrier is noticed.
    #[track_caller]
    fn wait_link_local(&self, device: &str) {
        wait_until(
            PATIENCE,
            "the device has a link-local address",
            || {
                let read = || Ok(fs::read_to_string("/proc/thread-self/net/if_inet6")?);
                self.host.run(read).unwrap()
            },
            |held| {
                let mut lines = held.lines();
                lines.any(|line| line.starts_with("fe80") && line.ends_with(device))
            },
        );
    }

    /// Another cable between the two.
    pub(crate) fn cable(&self, host: &str, lan: &str) {
        lab::connect(&self.host, host, &self.lan, lan).unwrap();
    }

    /// `ip WORDS` on the host.
    #[track_caller]
    pub(crate) fn on_host(&self, words: &str) {
        self.host.ip(&format!("{words}\n")).unwrap();
    }

    /// `ip WORDS` on the LAN.
    #[track_caller]
    pub(crate) fn on_lan(&self, words: &str) {
        self.lan.ip(&format!("{words}\n")).unwrap();
    }

    /// What is attached to `devices` of the host, and nothing else is.
    #[track_caller]
    pub(crate) fn attached(&self, devices: &[&str]) -> Vec<String> {
        hooks::attached(&self.host, devices).unwrap()
    }

    /// Nothing is attached to any of `devices`, and no clsact qdisc is anywhere.
    #[track_caller]
    pub(crate) fn assert_nothing_attached(&self, devices: &[&str]) {
        assert_eq!(self.attached(devices), [""; 0]);
    }

    /// Starts an agent and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(&self, parents: &[&str], options: &[&str]) -> Agent {
        Agent::start(&ipvlan(), &self.host, parents, options).unwrap()
    }

    /// The same with a runtime directory that others use as well.
    #[track_caller]
    pub(crate) fn start_in(&self, dir: &Dir, parents: &[&str], options: &[&str]) -> Agent {
        let mut command = agent::run(&ipvlan(), dir.path(), parents);
        command.args(options);
        let path = dir.path().to_owned();
        let mut agent = Agent::spawn(command, &ipvlan(), path, &self.host).unwrap();
        agent.wait_ready(parents).unwrap();
        agent
    }

    /// Who on the host's side answers the LAN's broadcast request for `tpa`?
    pub(crate) fn arp(&self, tpa: Ipv4Addr, patience: Duration) -> Option<[u8; 6]> {
        let sha = self.lan.hardware_address(LAN).unwrap();
        self.arp_from(sha, tpa, patience)
    }

    /// The same, claiming to be `sha`.
    pub(crate) fn arp_from(
        &self,
        sha: [u8; 6],
        tpa: Ipv4Addr,
        patience: Duration,
    ) -> Option<[u8; 6]> {
        let request = Arp::request(sha, LAN_IP, tpa);
        self.lan
            .run(|| neighbour::ask(LAN, &request, patience))
            .unwrap()
    }

    /// Does the host answer the LAN's ping?
    pub(crate) fn pings(&self, target: Ipv4Addr, patience: Duration) -> bool {
        self.lan.run(|| ping::ping(None, target, patience)).unwrap()
    }
}

/// A runtime directory, removed when dropped.
#[derive(Debug)]
pub(crate) struct Dir(PathBuf);

impl Dir {
    /// A path where nothing is yet.
    pub(crate) fn new() -> Self {
        Self(agent::new_runtime_dir())
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Names of the files in it; none if it is not there.
    pub(crate) fn files(&self) -> Vec<String> {
        fs::read_dir(&self.0).map_or_else(
            |_| Vec::new(),
            |entries| {
                entries
                    .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                    .collect()
            },
        )
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // Not there is what is expected.
        let _absent = fs::remove_dir_all(&self.0);
    }
}

/// A configuration file in a directory of its own.
pub(crate) fn configuration(text: &str) -> (Dir, PathBuf) {
    let dir = Dir::new();
    fs::create_dir(dir.path()).unwrap();
    let file = dir.path().join("ipvlan.toml");
    fs::write(&file, text).unwrap();
    (dir, file)
}

/// What `status` says about the parent at `index`.
#[track_caller]
pub(crate) fn parent(agent: &Agent, index: usize) -> Value {
    agent.status().unwrap()["parents"][index].clone()
}

/// Ends an agent by a signal, and waits for its end.
#[track_caller]
pub(crate) fn ends(mut agent: Agent, signal: Signal) {
    agent.signal(signal).unwrap();
    agent.wait(PATIENCE).unwrap();
}

/// `hook by mechanism` of every hook of a parent.
pub(crate) fn hooks_of(parent: &Value) -> Vec<String> {
    parent["hooks"].as_array().map_or_else(Vec::new, |hooks| {
        hooks
            .iter()
            .map(|hook| {
                format!(
                    "{} by {}",
                    hook["hook"].as_str().unwrap(),
                    hook["attach"].as_str().unwrap()
                )
            })
            .collect()
    })
}

/// How often `hook` of a parent counted `reason`.
pub(crate) fn counted(parent: &Value, hook: &str, reason: &str) -> u64 {
    parent["counters"][hook][reason].as_u64().unwrap_or(0)
}
