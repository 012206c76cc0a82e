//! What a row plays on: the topology, the agent and the traffic.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use ipvlan_packet::Arp;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{
    site::{PARENT, Site, VM01},
    traffic::{Expect, Traffic},
    truth::{self, Difference},
};
use crate::{
    agent::{self, Agent, READY_WITHIN},
    command, hooks, init,
    netns::Netns,
    probe::neighbour,
};

/// How long a start that fails may take.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// For what is not measured.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What does not change while the suite runs.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The agent.
    pub(crate) ipvlan: PathBuf,
    /// Another build of it, with another layout of its maps.
    pub(crate) next: PathBuf,
    /// The long form.
    pub(crate) long: bool,
}

impl Plan {
    /// Returns the plan of a suite without another build.
    pub(crate) fn of(ipvlan: &Path, long: bool) -> Self {
        Self {
            ipvlan: ipvlan.to_owned(),
            next: ipvlan.to_owned(),
            long,
        }
    }

    /// What is chosen in the short and in the long form.
    pub(crate) fn either<T>(&self, short: T, long: T) -> T {
        if self.long { long } else { short }
    }
}

/// All of it.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) plan: Plan,
    pub(super) site: Site,
    pub(super) agent: Option<Agent>,
    pub(super) options: &'static [&'static str],
    pub(super) traffic: Traffic,
    /// What a row has found that is not as it should be.
    pub(super) problems: Vec<String>,
    /// What must not be answered for when the row is over, though a child has it.
    pub(super) refused: Vec<IpAddr>,
}

impl Stage {
    /// The running agent.
    pub(super) fn agent(&self) -> Result<&Agent> {
        self.agent.as_ref().context("no agent is running")
    }

    /// What it says about itself.
    pub(super) fn status(&self) -> Result<Value> {
        self.agent()?.status()
    }

    /// What it says about the parent.
    pub(super) fn parent(&self) -> Result<Value> {
        Ok(self.status()?["parents"][0].clone())
    }

    /// Kills the agent.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.agent.take().context("no agent to kill")?.kill()
    }

    /// Stops the agent.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.agent.take().context("no agent to stop")?.stop()
    }

    /// Starts the agent again; until it is ready is time to heal.
    pub(super) fn start(&mut self) -> Result<()> {
        let program = self.plan.ipvlan.clone();
        self.start_build(&program)
    }

    /// The same with another build.
    pub(super) fn start_build(&mut self, program: &Path) -> Result<()> {
        let options = self.options;
        self.start_with(program, options)
    }

    /// The same with other options.
    pub(super) fn start_with(&mut self, program: &Path, options: &[&str]) -> Result<()> {
        let begun = Instant::now();
        self.agent = Some(start(program, &self.site, options)?);
        self.traffic.healed(begun.elapsed());
        Ok(())
    }

    /// The same by a command of one's own.
    pub(super) fn start_command(&mut self, command: Command) -> Result<()> {
        let begun = Instant::now();
        let program = &self.plan.ipvlan;
        let mut agent = Agent::spawn(command, program, runtime_dir(PARENT), &self.site.host)?;
        agent.wait_ready(&[PARENT])?;
        self.agent = Some(agent);
        self.traffic.healed(begun.elapsed());
        Ok(())
    }

    /// Notes what is not as it should be.
    pub(super) fn expect(&mut self, is_so: bool, otherwise: impl FnOnce() -> String) {
        if !is_so {
            self.problems.push(otherwise());
        }
    }

    /// Waits until everything is as it should be. Nobody asks the agent meanwhile, who looks around
    /// when it is asked.
    pub(super) fn settle(&mut self) -> Result<()> {
        ensure!(
            self.traffic.settle(PATIENCE),
            "not as it should be after {PATIENCE:?}: {}",
            self.traffic.unsettled()
        );
        Ok(())
    }

    /// Makes a change, after which these addresses are expected to be as said, and waits until everything is so.
    pub(super) fn change(
        &mut self,
        expected: &[(IpAddr, Expect)],
        change: impl FnOnce(&Site) -> Result<()>,
    ) -> Result<()> {
        let Self { site, traffic, .. } = self;
        traffic.change(expected, || change(site))?;
        self.settle()
    }

    /// Causes an outage, during which nothing is expected of any address, and waits until everything is as at the start.
    pub(super) fn outage(&mut self, cause: impl FnOnce(&Site) -> Result<()>) -> Result<()> {
        let begun = Instant::now();
        cause(&self.site)?;
        self.traffic.recovered(begun);
        self.settle()
    }

    /// Lets the agent, which stands still, run again; then these addresses are expected to be as said.
    pub(super) fn wake(&mut self, expected: &[(IpAddr, Expect)]) -> Result<()> {
        let Self { agent, traffic, .. } = self;
        let agent = agent.as_ref().context("no agent is running")?;
        traffic.change(expected, || agent.signal(Signal::SIGCONT))
    }

    /// Waits until agent and kernel agree; how they differ if they do not.
    pub(super) fn difference(&self) -> Result<Difference> {
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            let found = truth::difference(&self.site, &self.status()?, &self.refused)?;
            if found.is_none() || Instant::now() >= deadline {
                return Ok(found);
            }
            thread::sleep(POLL);
        }
    }

    /// Waits until `is_so` of the parent's status.
    pub(super) fn wait_parent(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<()> {
        let agent = self.agent.as_mut().context("no agent is running")?;
        agent.wait_until(PATIENCE, what, |status| is_so(&status["parents"][0]))
    }

    /// A second agent, for `parent` of the host, with files and pins of its own.
    pub(super) fn second(&self, parent: &str) -> Result<Second> {
        self.second_with(parent, &pin_dir(parent))
    }

    /// The same with its pins in `pins`.
    pub(super) fn second_with(&self, parent: &str, pins: &Path) -> Result<Second> {
        let program = &self.plan.ipvlan;
        let runtime = runtime_dir(parent);
        let command = run(program, parent, &runtime, pins, &[]);
        let mut agent = Agent::spawn(command, program, runtime, &self.site.host)?;
        agent.wait_ready(&[parent])?;
        Ok(Second {
            agent,
            pins: pins.to_owned(),
        })
    }

    /// `ipvlan run` on `parent` of the host, with files and pins of its own.
    pub(super) fn command_for(&self, parent: &str) -> Command {
        let program = &self.plan.ipvlan;
        run(program, parent, &runtime_dir(parent), &pin_dir(parent), &[])
    }

    /// `ipvlan run` on the parent, as the agent under test is started.
    pub(super) fn command(&self, options: &[&str]) -> Command {
        run(
            &self.plan.ipvlan,
            PARENT,
            &runtime_dir(PARENT),
            &pin_dir(PARENT),
            options,
        )
    }

    /// What is attached to another device of the host than the parent.
    pub(super) fn hooks_beside(&self, device: &str) -> Result<Vec<String>> {
        // Qdiscs are told of all devices.
        let parents = format!(" dev {PARENT} ");
        let mut found = hooks::attached(&self.site.host, &[device])?;
        found.retain(|line| !line.contains(&parents));
        Ok(found)
    }

    /// What is attached to the parent.
    pub(super) fn hooks(&self) -> Result<Vec<String>> {
        truth::attached(&self.site)
    }

    /// Runs a start that may fail; the agent if it is ready, else its exit code and what it said.
    pub(super) fn fails_or_serves(
        &self,
        command: Command,
    ) -> Result<std::result::Result<Agent, (i32, String)>> {
        let program = &self.plan.ipvlan;
        let mut agent = Agent::spawn(command, program, runtime_dir(PARENT), &self.site.host)?;
        match agent.wait_ready(&[PARENT]) {
            Ok(()) => Ok(Ok(agent)),
            Err(_) if agent.has_ended() => {
                let status = agent.wait(PATIENCE)?;
                Ok(Err((init::exit_code(status), agent.said())))
            }
            Err(error) => Err(error),
        }
    }

    /// Runs a start that has to fail; its exit code and what it said.
    pub(super) fn fails(&self, command: &mut Command) -> Result<(i32, String)> {
        let mut child = self.site.host.run(|| {
            Ok(command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?)
        })?;
        // It says no more than fits into a pipe.
        let Some(status) = command::wait(&mut child, ENDS_WITHIN)? else {
            bail!("it did not end within {ENDS_WITHIN:?}");
        };
        let said = child.wait_with_output()?.stderr;
        let said = String::from_utf8_lossy(&said).into_owned();
        Ok((init::exit_code(status), said))
    }
}

/// Waits until `is_so`.
pub(crate) fn wait_for(what: &str, is_so: impl Fn() -> Result<bool>) -> Result<Duration> {
    let begun = Instant::now();
    while !is_so()? {
        ensure!(
            begun.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        thread::sleep(Duration::from_millis(5));
    }
    Ok(begun.elapsed())
}

/// An agent beside the one under test.
#[derive(Debug)]
pub(super) struct Second {
    agent: Agent,
    pins: PathBuf,
}

impl Second {
    /// What it says about itself.
    pub(super) fn status(&self) -> Result<Value> {
        self.agent.status()
    }

    /// Stops it and removes what it pinned.
    pub(super) fn stop(self) -> Result<()> {
        self.agent.stop()?;
        let _nothing_pinned = fs::remove_dir_all(&self.pins);
        Ok(())
    }
}

/// Who on the link of `device` answers a broadcast request for `tpa` of `asker`?
pub(crate) fn ask(
    asker: &Netns,
    device: &str,
    tpa: Ipv4Addr,
    patience: Duration,
) -> Result<Option<[u8; 6]>> {
    let request = Arp::request(asker.hardware_address(device)?, VM01.v4, tpa);
    asker.run(|| neighbour::ask(device, &request, patience))
}

/// Starts `program` on the parent of `site` and waits until it is ready.
pub(crate) fn start(program: &Path, site: &Site, options: &[&str]) -> Result<Agent> {
    let mut agent = spawn(program, site, options)?;
    agent.wait_ready(&[PARENT])?;
    Ok(agent)
}

/// Starts `program` on the parent of `site` and waits until it serves it, ready or degraded.
pub(crate) fn start_serving(program: &Path, site: &Site, options: &[&str]) -> Result<Agent> {
    let mut agent = spawn(program, site, options)?;
    agent.wait_until(READY_WITHIN, "serving", |status| {
        let state = &status["parents"][0]["state"];
        state == "ready" || state == "degraded"
    })?;
    Ok(agent)
}

fn spawn(program: &Path, site: &Site, options: &[&str]) -> Result<Agent> {
    let runtime = runtime_dir(PARENT);
    let command = run(program, PARENT, &runtime, &pin_dir(PARENT), options);
    Agent::spawn(command, program, runtime, &site.host)
}

/// `ipvlan cleanup`
pub(crate) fn cleanup(plan: &Plan, site: &Site) -> Result<()> {
    let mut command = Command::new(&plan.ipvlan);
    command.arg("cleanup").arg("--pin-dir").arg(pin_dir(PARENT));
    command.arg("--runtime-dir").arg(runtime_dir(PARENT));
    site.host.command(&mut command, "").map(drop)
}

/// Removes what an agent that nobody will start again has left on `site`.
pub(crate) fn clean(plan: &Plan, site: &Site, agent: Option<Agent>) {
    if let Some(agent) = agent {
        // A row may have stopped it from running at all.
        let _gone = agent.signal(Signal::SIGCONT);
        let _killed = agent.kill();
    }
    // What a failed row has left may not be removable, and the site goes then.
    let _removed = cleanup(plan, site);
    for directory in [runtime_dir(PARENT), pin_dir(PARENT)] {
        let _absent = fs::remove_dir_all(directory);
    }
}

/// Where an agent for `parent` has its lock and socket.
pub(crate) fn runtime_dir(parent: &str) -> PathBuf {
    format!("/run/ipvlan-faults-{parent}").into()
}

/// Where it pins.
pub(crate) fn pin_dir(parent: &str) -> PathBuf {
    // A BPF filesystem has no dots in names.
    format!("/sys/fs/bpf/ipvlan-faults-{}", parent.replace('.', "-")).into()
}

fn run(program: &Path, parent: &str, runtime: &Path, pins: &Path, options: &[&str]) -> Command {
    let mut command = agent::run_pinned(program, runtime, &[parent]);
    command.arg("--pin-dir").arg(pins).args(options);
    command
}
