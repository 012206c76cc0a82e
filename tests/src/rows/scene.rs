//! The topology of a row, with an agent that is started when the row says so.

use std::{
    fs,
    net::IpAddr,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use ipvlan_packet::{Arp, Nd};
use serde_json::Value;

use crate::{
    agent::Agent,
    demo::mode::Mode,
    family::Family,
    faults::{
        site::{LAN, PARENT, Pair, STEADY, Site, UNNAMED, VM01},
        stage::{self, Plan},
    },
    netns::Netns,
    probe::neighbour,
};

/// The time within which an address that is answered at all is answered.
pub(crate) const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// A question without an answer is over after this.
pub(crate) const SILENCE: Duration = Duration::from_millis(400);

/// A topology and its agent; both are removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) plan: Plan,
    pub(crate) site: Site,
    agent: Option<Agent>,
    options: Vec<String>,
}

impl Scene {
    /// Builds the topology with children in `mode` and with the isolation `flag`; no agent runs.
    pub(crate) fn build(plan: &Plan, mode: Mode, flag: &'static str) -> Result<Self> {
        Ok(Self::on(plan, Site::build_in(mode, flag)?))
    }

    /// Plays on a topology that is there already; no agent runs.
    pub(crate) fn on(plan: &Plan, site: Site) -> Self {
        Self {
            plan: plan.clone(),
            site,
            agent: None,
            options: Vec::new(),
        }
    }

    /// Starts the agent with `options` and waits until it serves the parent, ready or degraded.
    pub(crate) fn start(&mut self, options: &[&str]) -> Result<()> {
        self.options = options.iter().map(|&option| option.to_owned()).collect();
        self.start_again()
    }

    /// Starts the agent with the options of its last start.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        let options: Vec<_> = self.options.iter().map(String::as_str).collect();
        self.agent = Some(stage::start_serving(
            &self.plan.ipvlan,
            &self.site,
            &options,
        )?);
        Ok(())
    }

    /// Ends the agent with SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.agent.take().context("no agent is running")?.kill()
    }

    /// Stops the agent; the pinned datapath stays.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.agent.take().context("no agent is running")?.stop()
    }

    /// Stops the agent and removes everything that it left.
    pub(crate) fn clear(&mut self) -> Result<()> {
        self.stop()?;
        self.cleanup()
    }

    /// Runs `ipvlan cleanup`.
    pub(crate) fn cleanup(&self) -> Result<()> {
        stage::cleanup(&self.plan, &self.site)
    }

    /// Returns the running agent.
    pub(crate) fn agent(&self) -> Result<&Agent> {
        self.agent.as_ref().context("no agent is running")
    }

    /// Takes the running agent out, for a row that starts others meanwhile.
    pub(crate) fn take_agent(&mut self) -> Result<Agent> {
        self.agent.take().context("no agent is running")
    }

    /// Puts back what runs now.
    pub(crate) fn give_agent(&mut self, agent: Option<Agent>) {
        self.agent = agent;
    }

    /// Returns the running agent, to be waited for.
    pub(crate) fn agent_mut(&mut self) -> Result<&mut Agent> {
        self.agent.as_mut().context("no agent is running")
    }

    /// Returns the status of the parent.
    pub(crate) fn parent(&self) -> Result<Value> {
        Ok(self.agent()?.status()?["parents"][0].clone())
    }

    /// Returns the output of `ipvlan status`, as text.
    pub(crate) fn status_text(&self) -> Result<String> {
        let mut command = Command::new(&self.plan.ipvlan);
        command.arg("status").arg("--runtime-dir");
        command.arg(Self::runtime_dir());
        self.site.host.command(&mut command, "")
    }

    /// Returns the directory of the agent's lock file and socket.
    pub(crate) fn runtime_dir() -> PathBuf {
        stage::runtime_dir(PARENT)
    }

    /// Returns how many of the addresses of the two children without an attacker are answered on the LAN.
    pub(crate) fn steady_answered(&self) -> Result<usize> {
        let mut answered = 0;
        for address in [STEADY, UNNAMED].into_iter().flat_map(Pair::both) {
            answered += usize::from(answered_on_lan(&self.site, address, SILENCE)?.is_some());
        }
        Ok(answered)
    }

    /// Waits until `is_so` of the parent's status.
    pub(crate) fn wait_parent(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<()> {
        let agent = self.agent_mut()?;
        agent.wait_until(stage::PATIENCE, what, |status| is_so(&status["parents"][0]))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        stage::clean(&self.plan, &self.site, self.agent.take());
    }
}

/// The number of addresses that [`Scene::steady_answered`] asks for.
pub(crate) const STEADY_ADDRESSES: usize = 4;

/// Returns the MAC that answers vm01's broadcast or multicast question for `address`, if one does.
pub(crate) fn answered_on_lan(
    site: &Site,
    address: IpAddr,
    patience: Duration,
) -> Result<Option<[u8; 6]>> {
    let vm01 = &site.vm01;
    let mac = vm01.hardware_address(LAN)?;
    vm01.run(|| match address {
        IpAddr::V4(tpa) => {
            let request = Arp::request(mac, VM01.v4, tpa);
            neighbour::ask(LAN, &request, patience)
        }
        IpAddr::V6(target) => {
            let question = Nd::multicast(mac, VM01.v6, target);
            neighbour::ask(LAN, &question, patience)
        }
    })
}

/// Waits until an address is answered on the LAN by the parent's MAC, or is not; returns whether it came
/// to that within `patience`.
pub(crate) fn becomes(
    site: &Site,
    address: IpAddr,
    answered: bool,
    patience: Duration,
) -> Result<bool> {
    let deadline = Instant::now() + patience;
    loop {
        let by_parent = answered_on_lan(site, address, SILENCE)? == Some(crate::faults::site::MAC);
        if by_parent == answered {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Adds `address` as a single address to `device`; without DAD.
pub(crate) fn add(netns: &Netns, device: &str, address: IpAddr) -> Result<()> {
    let (length, nodad) = match address {
        IpAddr::V4(_) => (32, ""),
        IpAddr::V6(_) => (128, " nodad"),
    };
    netns.ip(&format!(
        "addr add {address}/{length} dev {device}{nodad}\n"
    ))
}

/// Removes `address`, which [`add`] has added.
pub(crate) fn delete(netns: &Netns, device: &str, address: IpAddr) -> Result<()> {
    let length = Family::of(address).host();
    netns.ip(&format!("addr del {address}/{length} dev {device}\n"))
}

/// Returns a counter of `/proc/net/snmp` in `netns`, such as `Ip` `ForwDatagrams`.
pub(crate) fn snmp(netns: &Netns, group: &str, counter: &str) -> Result<u64> {
    let shown = netns.run(|| {
        fs::read_to_string("/proc/thread-self/net/snmp").context("cannot read the SNMP counters")
    })?;
    let mut rows = shown.lines().filter_map(|line| line.split_once(": "));
    let names = rows.find(|(name, _)| *name == group);
    let values = rows.next();
    let (names, values) = names
        .zip(values)
        .map(|((_, names), (_, values))| (names, values))
        .with_context(|| format!("no counters of {group}"))?;
    names
        .split(' ')
        .zip(values.split(' '))
        .find(|(name, _)| *name == counter)
        .and_then(|(_, value)| value.parse().ok())
        .with_context(|| format!("no counter {group} {counter}"))
}

/// Returns a counter of `/proc/net/snmp6` in `netns`, such as `Ip6OutForwDatagrams`.
pub(crate) fn snmp6(netns: &Netns, counter: &str) -> Result<u64> {
    let shown = netns.run(|| {
        fs::read_to_string("/proc/thread-self/net/snmp6").context("cannot read the SNMP counters")
    })?;
    shown
        .lines()
        .filter_map(|line| line.split_once(char::is_whitespace))
        .find(|(name, _)| *name == counter)
        .and_then(|(_, value)| value.trim().parse().ok())
        .with_context(|| format!("no counter {counter}"))
}
