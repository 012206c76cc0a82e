//! The topology of a row, with an agent that is started when the row says so.

use std::{
    cell::RefCell,
    fmt,
    net::IpAddr,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};

use super::{row::Play, status::Parent};
use crate::{
    agent::Agent,
    demo::mode::Mode,
    family::Family,
    faults::{
        site::{CHILD, LAN, PARENT, Pair, Site},
        stage::{self, PATIENCE},
    },
    lab::connect,
    netns::{Netns, colons},
    probe::packet::PacketSocket,
};

/// The time within which an address that is answered at all is answered.
pub(crate) const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// A question without an answer is over after this.
pub(crate) const SILENCE: Duration = Duration::from_millis(400);

/// A topology and its agent; both are removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) play: Play,
    pub(crate) site: Site,
    agent: Option<Agent>,
    options: Vec<String>,
    /// What is tried at the moment, for problems.
    case: RefCell<String>,
}

impl Scene {
    /// Plays on a topology that is there already; no agent runs.
    pub(crate) fn on(play: &Play, site: Site) -> Self {
        Self {
            play: play.clone(),
            site,
            agent: None,
            options: Vec::new(),
            case: RefCell::default(),
        }
    }

    /// Names what is tried from now on; problems begin with it.
    pub(crate) fn case(&self, case: impl Into<String>) {
        self.case.replace(case.into());
    }

    /// Records a problem unless `is_so`.
    pub(crate) fn expect(&self, is_so: bool, otherwise: impl FnOnce() -> String) {
        self.play.expect(is_so, || {
            let (mode, flag, case) = (self.site.mode, self.site.flag, self.case.borrow());
            format!("{mode} {flag} {case}: {}", otherwise())
        });
    }

    /// Requires that `found`, which is the value of `what`, is `required`.
    pub(crate) fn expect_eq<T: Value>(&self, what: &str, found: T, required: T) {
        self.expect(found == required, || {
            format!("{what}: {found:?}, not {required:?}")
        });
    }

    /// Requires that `found`, which is the value of `what`, is at least `least`.
    pub(crate) fn expect_least<T: Value>(&self, what: &str, found: T, least: T) {
        self.expect(found >= least, || {
            format!("{what}: {found:?}, less than {least:?}")
        });
    }

    /// Requires that `found`, which is the value of `what`, is at most `most`.
    pub(crate) fn expect_most<T: Value>(&self, what: &str, found: T, most: T) {
        self.expect(found <= most, || {
            format!("{what}: {found:?}, more than {most:?}")
        });
    }

    /// Requires that nothing is in `found`.
    pub(crate) fn expect_none(&self, what: &str, found: impl IntoIterator<Item: fmt::Debug>) {
        let found: Vec<_> = found.into_iter().collect();
        self.expect(found.is_empty(), || format!("{what}: {found:?}"));
    }

    /// Listens to frames of `ether_type` on the LAN.
    pub(crate) fn listen(&self, ether_type: u16) -> Result<PacketSocket> {
        let open = || PacketSocket::open(LAN, ether_type);
        self.site.vm01.run(open)
    }

    /// Adds to the outcome with the kernel alone.
    pub(crate) fn alone(&self, text: impl AsRef<str>) {
        self.play.alone(text);
    }

    /// Adds to the outcome with the agent.
    pub(crate) fn with_agent(&self, text: impl AsRef<str>) {
        self.play.with_agent(text);
    }

    /// Starts the agent with `options` and waits until it serves the parent, ready or degraded.
    pub(crate) fn start(&mut self, options: &[&str]) -> Result<()> {
        self.options = options.iter().map(|&option| option.to_owned()).collect();
        self.start_again()
    }

    /// Starts the agent with the options of its last start.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        let options: Vec<_> = self.options.iter().map(String::as_str).collect();
        self.agent = Some(self.spawn(&options)?);
        Ok(())
    }

    /// Starts an agent that the row keeps itself.
    pub(crate) fn spawn(&self, options: &[&str]) -> Result<Agent> {
        stage::start_serving(&self.play.plan.ipvlan, &self.site, options)
    }

    /// Ends the agent with SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.take_agent()?.kill()
    }

    /// Stops the agent; the pinned datapath stays.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.take_agent()?.stop()
    }

    /// Stops the agent and removes everything that it left.
    pub(crate) fn clear(&mut self) -> Result<()> {
        self.stop()?;
        self.cleanup()
    }

    /// [Clears](Self::clear) it if an agent runs.
    pub(crate) fn end(&mut self) -> Result<()> {
        match self.agent {
            Some(_) => self.clear(),
            None => Ok(()),
        }
    }

    /// Runs `ipvlan cleanup`.
    pub(crate) fn cleanup(&self) -> Result<()> {
        stage::cleanup(&self.play.plan, &self.site)
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
    pub(crate) fn parent(&self) -> Result<Parent> {
        Parent::of(&self.agent()?.status()?).context("the status has no parent")
    }

    /// Returns the output of `ipvlan status`, as text.
    pub(crate) fn status_text(&self) -> Result<String> {
        let mut command = Command::new(&self.play.plan.ipvlan);
        command.arg("status").arg("--runtime-dir");
        command.arg(Self::runtime_dir());
        self.site.host.command(&mut command, "")
    }

    /// Returns the directory of the agent's lock file and socket.
    pub(crate) fn runtime_dir() -> PathBuf {
        stage::runtime_dir(PARENT)
    }

    /// Waits until `is_so` of the parent's status.
    pub(crate) fn wait_parent(
        &mut self,
        what: &str,
        is_so: impl Fn(&Parent) -> bool,
    ) -> Result<()> {
        self.agent_mut()?.wait_until(PATIENCE, what, |status| {
            Parent::of(status).is_some_and(|parent| is_so(&parent))
        })
    }

    /// Gives single addresses to the child that things happen to; without DAD.
    pub(crate) fn take(&self, addresses: impl IntoIterator<Item = IpAddr>) -> Result<()> {
        add(&self.site.third, CHILD, addresses)
    }
}

/// What a row can measure.
pub(crate) trait Value: fmt::Debug + PartialOrd + Copy {}

impl<T: fmt::Debug + PartialOrd + Copy> Value for T {}

impl Drop for Scene {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        stage::clean(&self.play.plan, &self.site, self.agent.take());
    }
}

impl Pair {
    /// Returns the address of the family of `other`.
    pub(crate) fn like(self, other: IpAddr) -> IpAddr {
        match other {
            IpAddr::V4(_) => self.v4.into(),
            IpAddr::V6(_) => self.v6.into(),
        }
    }
}

/// Adds single addresses to `device`; without DAD.
pub(crate) fn add(
    netns: &Netns,
    device: &str,
    addresses: impl IntoIterator<Item = IpAddr>,
) -> Result<()> {
    let lines = addresses.into_iter().map(|address| match address {
        IpAddr::V4(_) => format!("addr add {address}/32 dev {device}\n"),
        IpAddr::V6(_) => format!("addr add {address}/128 dev {device} nodad\n"),
    });
    netns.ip(&lines.collect::<String>())
}

/// Removes `address`, which [`add`] has added.
pub(crate) fn delete(netns: &Netns, device: &str, address: IpAddr) -> Result<()> {
    let length = Family::of(address).host();
    netns.ip(&format!("addr del {address}/{length} dev {device}\n"))
}

/// Makes the neighbour entry of `address` on `device` of `netns`, in `state`.
pub(crate) fn set_neighbour(
    netns: &Netns,
    device: &str,
    address: IpAddr,
    mac: [u8; 6],
    state: &str,
) -> Result<()> {
    let mac = colons(mac);
    netns.ip(&format!(
        "neigh replace {address} lladdr {mac} dev {device} nud {state}\n"
    ))
}

/// Makes a child named `device` of the parent of `host` in `netns`, and brings it up.
pub(crate) fn add_child(
    host: &Netns,
    netns: &Netns,
    device: &str,
    mode: Mode,
    flag: &str,
) -> Result<()> {
    let reference = netns.reference();
    host.ip(&format!(
        "link add link {PARENT} name {device} netns {reference} type ipvlan mode {mode} {flag}\n"
    ))?;
    netns.ip(&format!("link set {device} up\n"))
}

/// Connects `device` of `netns` to the LAN.
pub(crate) fn plug(site: &Site, netns: &Netns, device: &str, port: &str) -> Result<()> {
    connect(netns, device, &site.lan, port)?;
    site.lan.ip(&format!(
        "link set {port} master br0\nlink set {port} type bridge_slave learning off\n"
    ))
}

/// Runs `attack` in a thread of its own while `meanwhile` runs; its flag is set then. Returns what both returned.
pub(crate) fn beside<A: Send, M>(
    attack: impl FnOnce(&AtomicBool) -> Result<A> + Send,
    meanwhile: impl FnOnce() -> Result<M>,
) -> Result<(A, M)> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let attacking = scope.spawn(|| attack(&stop));
        let found = meanwhile();
        stop.store(true, Ordering::Relaxed);
        let attacked = attacking
            .join()
            .map_err(|_| anyhow!("the other thread panicked"))?;
        let found = found?;
        Ok((attacked?, found))
    })
}
