//! A host with the parent [`PARENT`] and a LAN at the other end of its cable: what tests in network namespaces run on.
//!
//! Every test builds its own. Nothing of it is left when it is dropped.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a test panics when its surroundings fail it"
)]

use std::{
    fmt::Debug,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    thread,
    time::{Duration, Instant},
};

use ipvlan_packet::{Arp, Mac};
use nix::unistd::Uid;

use crate::{
    hooks,
    lab::{self, Lab},
    netns::Netns,
    probe::{neighbour, ping},
};

/// The host's only parent, if no test adds more.
pub const PARENT: &str = "ens34";
/// The other end of its cable.
pub const LAN: &str = "lan0";
/// The host's addresses.
pub const HOST_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The host's IPv6 address.
pub const HOST_IP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);
/// The address of a station on the LAN.
pub const LAN_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// Its IPv6 address.
pub const LAN_IP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 10);

/// How soon the agent follows a change.
pub const SOON: Duration = Duration::from_secs(1);
/// For what is not promised to be fast: the kernel takes netns apart one after the other, those of all tests
/// that run at the same time.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until `is_so` of what is `seen`, and returns that.
#[track_caller]
pub fn wait_until<T: Debug>(
    patience: Duration,
    what: &str,
    mut seen: impl FnMut() -> T,
    is_so: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        let now = seen();
        if is_so(&now) {
            return now;
        }
        assert!(
            Instant::now() < deadline,
            "not so within {patience:?}: {what}; seen: {now:?}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// Two netns and a cable.
#[derive(Debug)]
pub struct Topology {
    /// The netns of the parents.
    pub host: Netns,
    /// The netns of the other ends of their cables.
    pub lan: Netns,
    /// Makes more netns.
    pub lab: Lab,
}

impl Topology {
    /// Builds it, with addresses on both ends of the cable.
    #[must_use]
    pub fn new() -> Self {
        let net = Self::without_addresses();
        net.wait_link_local(PARENT);
        net.on_host(&format!("address add {HOST_IP}/24 dev {PARENT}"));
        net.on_host(&format!("address add {HOST_IP6}/64 dev {PARENT} nodad"));
        net.on_lan(&format!("address add {LAN_IP}/24 dev {LAN}"));
        net.on_lan(&format!("address add {LAN_IP6}/64 dev {LAN} nodad"));
        net
    }

    /// Builds it with no addresses but the kernel's own.
    #[must_use]
    pub fn without_addresses() -> Self {
        assert!(
            Uid::effective().is_root(),
            "these tests make network namespaces and load programs: run them as root"
        );
        let lab = Lab::new().unwrap();
        let net = Self {
            host: lab.netns("host").unwrap(),
            lan: lab.netns("lan").unwrap(),
            lab,
        };
        // The host's addresses change when a test changes them, and at no other time.
        for of in ["all", "default"] {
            let key = format!("ipv6/conf/{of}/accept_dad");
            net.host.sysctl(&key, "0").unwrap();
        }
        net.cable(PARENT, LAN);
        net
    }

    /// Waits until a device of the host has its link-local address, which it gives itself when its
    /// carrier is noticed.
    #[track_caller]
    fn wait_link_local(&self, device: &str) {
        let read = || Ok(fs::read_to_string("/proc/thread-self/net/if_inet6")?);
        let is_held = |held: &String| {
            let mut lines = held.lines();
            lines.any(|line| line.starts_with("fe80") && line.ends_with(device))
        };
        let seen = || self.host.run(read).unwrap();
        wait_until(PATIENCE, "a link-local address", seen, is_held);
    }

    /// Adds a cable between the two.
    pub fn cable(&self, host: &str, lan: &str) {
        lab::connect(&self.host, host, &self.lan, lan).unwrap();
    }

    /// Runs `ip WORDS` on the host.
    #[track_caller]
    pub fn on_host(&self, words: &str) {
        self.host.ip(words).unwrap();
    }

    /// Runs `ip WORDS` on the LAN.
    #[track_caller]
    pub fn on_lan(&self, words: &str) {
        self.lan.ip(words).unwrap();
    }

    /// Returns everything that is attached to `devices` of the host, and clsact qdiscs of any device.
    #[track_caller]
    #[must_use]
    pub fn attached(&self, devices: &[&str]) -> Vec<String> {
        hooks::attached(&self.host, devices).unwrap()
    }

    /// Nothing is attached to any of `devices`, and no clsact qdisc is anywhere.
    #[track_caller]
    pub fn assert_nothing_attached(&self, devices: &[&str]) {
        assert_eq!(self.attached(devices), [""; 0]);
    }

    /// The same soon: a link whose last pin is removed is detached by a work queue of the kernel
    /// (`bpf_link_put_deferred`).
    #[track_caller]
    pub fn wait_nothing_attached(&self, devices: &[&str]) {
        let attached = || self.attached(devices);
        wait_until(SOON, "detached", attached, Vec::is_empty);
    }

    /// Returns the MAC of the parent.
    #[must_use]
    pub fn mac(&self) -> Mac {
        self.host.hardware_address(PARENT).unwrap()
    }

    /// Returns the MAC that answers the LAN's broadcast request for `tpa`.
    #[must_use]
    pub fn arp(&self, tpa: Ipv4Addr, patience: Duration) -> Option<Mac> {
        let sha = self.lan.hardware_address(LAN).unwrap();
        self.arp_from(sha, tpa, patience)
    }

    /// The same, with `sha` as its sender.
    #[must_use]
    pub fn arp_from(&self, sha: Mac, tpa: Ipv4Addr, patience: Duration) -> Option<Mac> {
        let request = Arp::request(sha, LAN_IP, tpa);
        let ask = || neighbour::ask(LAN, &request, patience);
        self.lan.run(ask).unwrap()
    }

    /// Returns whether `target` answers a ping of the LAN.
    #[must_use]
    pub fn pings(&self, target: impl Into<IpAddr>, patience: Duration) -> bool {
        let target = target.into();
        self.lan.run(|| ping::ping(None, target, patience)).unwrap()
    }
}

impl Default for Topology {
    fn default() -> Self {
        Self::new()
    }
}
