//! An agent with a thousand children in a hundred netns: at rest, asked for new addresses, asked while
//! others churn, and started with many more addresses.

use std::{
    net::Ipv4Addr,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use nix::net::if_::if_nametoindex;
use serde_json::Value;

use super::{
    PARENT, Site,
    answer::{self, ASLEEP, AT_WORK},
    as_float, floor, idle, process,
};
use crate::{
    agent::Agent,
    lab::Lab,
    netlink::{AddressChange, Netlink},
    netns::Netns,
};

const NETNSES: usize = 100;
const PER_NETNS: usize = 10;
/// Room for all of them, and for those that are deleted last. No audit: the sync of everything that comes
/// with it is measured by itself, and would be met by one sample in a hundred.
const OPTIONS: &[&str] = &[
    "--max-addresses",
    "100000",
    "--audit",
    "3600",
    // 2 000 addresses are probed for and announced before the agent is idle.
    "--announce-rate",
    "1000",
    "--netns-announcements",
    "1000",
];
/// One of IPv4 that is given, and a link-local one that every child gives itself.
const AT_FIRST: usize = 2 * NETNSES * PER_NETNS;
const SETTLED_WITHIN: Duration = Duration::from_secs(50);
/// The device that gets new addresses in each netns, and the one that gets many.
const ASKED: &str = "ipvlan1";
const FULL: &str = "ipvlan2";
const CHURNING: usize = 10;
const EACH: usize = 1000;
/// Of the netns that do not churn, each of so many is asked for an address meanwhile.
const ASKED_BESIDE: usize = 2;
/// How long the addresses of one netns take to come or go at the least: 5 000 of them in a second leave a
/// processor that everybody shares something to measure with.
const CHURN_EVERY: Duration = Duration::from_millis(200);
const MANY: usize = 65;
/// How many addresses are asked for while everything is read again, and how often something makes it so.
const RESYNCED: usize = 60;
const RESYNC_EVERY: Duration = Duration::from_millis(50);

/// What was measured.
pub(super) struct Scale {
    pub(super) idle: idle::Idle,
    /// The first sync with a thousand children.
    pub(super) first: Duration,
    pub(super) quiet: Vec<Duration>,
    pub(super) churned: Churned,
    pub(super) resynced: Resynced,
    /// What hearing of an address and dumping its netns takes at the least.
    pub(super) floor: Vec<Duration>,
    /// What asking for an address takes that is answered for at once.
    pub(super) asking: Vec<Duration>,
    pub(super) cold: Vec<Cold>,
}

/// What became of an agent while addresses came and went.
pub(super) struct Churned {
    /// Times to the first answer in other netns than those where they did.
    pub(super) elsewhere: Vec<Duration>,
    /// And in those themselves.
    pub(super) inside: Vec<Duration>,
    /// Whole syncs in a second.
    pub(super) whole: f64,
    /// Addresses added and deleted in a second.
    pub(super) changes: f64,
}

/// What became of an agent that read everything again and again, with [`CHURNING`] times [`EACH`] addresses.
#[derive(Default)]
pub(super) struct Resynced {
    /// Times to the first answer.
    pub(super) times: Vec<Duration>,
    /// Whole syncs in a second.
    pub(super) whole: f64,
}

/// An agent that was started with many addresses.
pub(super) struct Cold {
    pub(super) addresses: usize,
    /// From before its first dump to the last entry of its maps.
    pub(super) sync: Duration,
    /// From its start to its answer to `status`.
    pub(super) ready: Duration,
    pub(super) resident_megabytes: f64,
}

pub(super) fn measure(ipvlan: &Path, with_many: bool) -> Result<Scale> {
    let site = Site::build(&Lab::new()?, NETNSES)?;
    populate(&site)?;
    println!("made {} children", NETNSES * PER_NETNS);
    let mut agent = Agent::start(ipvlan, &site.host, &[PARENT], OPTIONS)?;
    agent.wait_until(SETTLED_WITHIN, "answering for every child", |status| {
        answered(status) == AT_FIRST
    })?;
    let first = first_sync(&agent)?;
    println!("waiting until all addresses are probed for and announced");
    let idle = idle::measure(&agent)?;
    let quiet = answer::measure(&site, 0..NETNSES, ASKED, 1, ASLEEP)?;
    println!("churning {} addresses", CHURNING * EACH);
    let churned = during_churn(&site, &agent)?;
    agent.stop()?;
    println!("measuring: what this machine needs at the least");
    let floor = floor::measure(&site, ASKED)?;
    let asking = answer::floor(&site)?;
    let (mut cold, mut resynced) = (Vec::new(), Resynced::default());
    let mut filled = 0;
    for netnses in [CHURNING, MANY]
        .into_iter()
        .take(1 + usize::from(with_many))
    {
        for number in filled..netnses {
            Full::of(&site, number)?.change(AddressChange::Add)?;
            println!("added {} addresses", (number + 1) * EACH);
        }
        filled = netnses;
        println!("starting with {} addresses more", netnses * EACH);
        let (agent, started) = start(ipvlan, &site, netnses * EACH)?;
        cold.push(started);
        if netnses == CHURNING {
            println!("reading everything again and again");
            resynced = during_resyncs(&site, &agent)?;
        }
        agent.stop()?;
    }
    Ok(Scale {
        idle,
        first,
        quiet,
        churned,
        resynced,
        floor,
        asking,
        cold,
    })
}

fn populate(site: &Site) -> Result<()> {
    for (subnet, child) in site.children.iter().enumerate() {
        let mut links = Vec::new();
        let mut addresses = Vec::new();
        for number in 1..=PER_NETNS {
            let device = format!("ipvlan{number}");
            let netns = child.reference();
            links.push(format!(
                "link add link {PARENT} name {device} netns {netns} type ipvlan mode l3\n"
            ));
            addresses.push(format!(
                "addr add 10.7.{subnet}.{number}/32 dev {device}\nlink set {device} up\n"
            ));
        }
        site.host.ip(&links.concat())?;
        child.ip(&addresses.concat())?;
    }
    Ok(())
}

fn during_churn(site: &Site, agent: &Agent) -> Result<Churned> {
    let full: Vec<Full> = (0..CHURNING)
        .map(|number| Full::of(site, number))
        .collect::<Result<_>>()?;
    let ((elsewhere, inside), changes, during) = beside(
        agent,
        |over| churn(&full, over),
        || {
            let beside = (CHURNING..NETNSES).step_by(ASKED_BESIDE);
            let elsewhere = answer::measure(site, beside, ASKED, 2, AT_WORK)?;
            println!("and asking in the netns that churn");
            let inside = answer::measure(site, 0..CHURNING, ASKED, 2, AT_WORK)?;
            Ok((elsewhere, inside))
        },
    )?;
    Ok(Churned {
        elsewhere,
        inside,
        whole: during.per_second(during.whole)?,
        changes: during.per_second(changes)?,
    })
}

fn during_resyncs(site: &Site, agent: &Agent) -> Result<Resynced> {
    let (times, (), during) = beside(
        agent,
        |over| wake_everything(site, over),
        || answer::measure(site, CHURNING..CHURNING + RESYNCED, ASKED, 3, AT_WORK),
    )?;
    Ok(Resynced {
        times,
        whole: during.per_second(during.whole)?,
    })
}

/// Some time, and what the agent did in it.
struct During {
    seconds: f64,
    /// Whole syncs.
    whole: u64,
}

impl During {
    fn per_second(&self, times: u64) -> Result<f64> {
        Ok(as_float(times)? / self.seconds)
    }
}

/// Measures while `work` goes on until it is told that it is over.
fn beside<M, W: Send>(
    agent: &Agent,
    work: impl FnOnce(&AtomicBool) -> Result<W> + Send,
    measure: impl FnOnce() -> Result<M>,
) -> Result<(M, W, During)> {
    let over = AtomicBool::new(false);
    let before = agent.status()?;
    let started = Instant::now();
    let (measured, worked) = thread::scope(|scope| {
        let working = scope.spawn(|| work(&over));
        let measured = measure();
        over.store(true, Ordering::Relaxed);
        let worked = working.join().map_err(|_| anyhow!("the work panicked"))??;
        Ok::<_, anyhow::Error>((measured?, worked))
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let after = agent.status()?;
    println!(
        "syncs before: {}, after {seconds:.1} s: {}",
        before["sync"], after["sync"]
    );
    // A status is a sync of its own.
    let whole = whole(&after)? - whole(&before)? - 1;
    Ok((measured, worked, During { seconds, whole }))
}

/// Adds and deletes all addresses until it is over; gives how many were. None is left.
fn churn(full: &[Full], over: &AtomicBool) -> Result<u64> {
    let mut changes = 0;
    loop {
        for change in [AddressChange::Add, AddressChange::Delete] {
            for of_netns in full {
                let next = Instant::now() + CHURN_EVERY;
                of_netns.change(change)?;
                changes += EACH as u64;
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        }
        if over.load(Ordering::Relaxed) {
            return Ok(changes);
        }
    }
}

/// A link of the host's netns that is changed may be the only sign of a child in another one.
fn wake_everything(site: &Site, over: &AtomicBool) -> Result<()> {
    let (netlink, index) = site
        .host
        .run(|| Ok((Netlink::open()?, if_nametoindex("lo")?)))?;
    let mut length = 1000;
    while !over.load(Ordering::Relaxed) {
        length ^= 1;
        netlink.set_queue_length(index, length)?;
        thread::sleep(RESYNC_EVERY);
    }
    Ok(())
}

fn start(ipvlan: &Path, site: &Site, addresses: usize) -> Result<(Agent, Cold)> {
    let started = Instant::now();
    let mut agent = Agent::start(ipvlan, &site.host, &[PARENT], OPTIONS)?;
    let ready = started.elapsed();
    agent.wait_until(SETTLED_WITHIN, "answering for all", |status| {
        answered(status) >= addresses
    })?;
    let resident_megabytes = process::resident_megabytes(agent.pid())?;
    let sync = first_sync(&agent)?;
    let cold = Cold {
        addresses,
        sync,
        ready,
        resident_megabytes,
    };
    Ok((agent, cold))
}

/// A child that gets many addresses.
struct Full {
    netlink: Netlink,
    index: u32,
    addresses: Vec<Ipv4Addr>,
}

impl Full {
    fn of(site: &Site, number: usize) -> Result<Self> {
        let netns: &Netns = site.children.get(number).context("not as many netns")?;
        let (netlink, index) = netns.run(|| Ok((Netlink::open()?, if_nametoindex(FULL)?)))?;
        let first = 0x0b00_0000 + u32::try_from(number * 0x1_0000)?;
        let last = first + u32::try_from(EACH)?;
        let addresses = (first..last).map(Ipv4Addr::from_bits).collect();
        Ok(Self {
            netlink,
            index,
            addresses,
        })
    }

    fn change(&self, change: AddressChange) -> Result<()> {
        self.netlink
            .change_addresses(change, self.index, &self.addresses)
    }
}

/// How long the agent's first sync took.
fn first_sync(agent: &Agent) -> Result<Duration> {
    let took = agent.status()?["sync"]["first_us"].as_u64();
    let took = took.context("status does not tell how long the first sync took")?;
    Ok(Duration::from_micros(took))
}

fn whole(agent: &Value) -> Result<u64> {
    agent["sync"]["whole"]
        .as_u64()
        .context("status does not tell whole syncs")
}

fn answered(agent: &Value) -> usize {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&agent["parents"])
        .iter()
        .flat_map(|parent| list(&parent["children"]))
        .flat_map(|child| list(&child["addresses"]))
        .filter(|address| address["state"] == "answered")
        .count()
}
