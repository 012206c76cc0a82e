//! An agent with a thousand children in a hundred netns: at rest, asked for new addresses, asked while
//! others churn, and started with many more addresses.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use nix::net::if_::if_nametoindex;
use serde_json::Value;

use super::{
    super::{
        Bench,
        site::{Kind, PARENT, Site},
    },
    CHILDREN, MEGABYTES, MILLISECONDS,
    answer::{self, ASLEEP, AT_WORK},
    as_float, floor, idle, milliseconds, percentile, process, report_replies,
};
use crate::{
    agent::{Agent, addresses},
    demo::mode::Mode,
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
/// In a quick run, so many of the netns that churn are asked for an address: each may wait for its next share of the
/// agent's time, for seconds in which the machine churns on, and no limit is about it.
const INSIDE: usize = 3;
/// How long the addresses of one netns take to come or go at the least: 5 000 of them in a second leave a
/// processor that everybody shares something to measure with.
const CHURN_EVERY: Duration = Duration::from_millis(200);
const MANY: usize = 65;
/// How many addresses are asked for while everything is read again, and how often something makes it so.
const RESYNCED: usize = 60;
const RESYNC_EVERY: Duration = Duration::from_millis(50);

/// A host with a thousand children: ten in each of a hundred netns, which give themselves link-local addresses too.
pub(super) struct Crowd {
    pub(super) site: Site,
    pub(super) children: Vec<Netns>,
}

/// Reports everything about such an agent: with 10 000 addresses more, and with 65 000 unless it is to be quick.
pub(in crate::bench) fn measure(bench: &Bench, lab: &Lab) -> Result<()> {
    let crowd = Crowd::build(lab)?;
    println!("made {} children", NETNSES * PER_NETNS);
    let mut agent = crowd.start(bench)?;
    agent.wait_until(SETTLED_WITHIN, "answering for every child", |status| {
        answered(status) == AT_FIRST
    })?;
    let first = first_sync(&agent)?;
    bench.note(&format!(
        "a sync of everything with 1000 children in 100 netns: {:.0} ms",
        milliseconds(first)
    ))?;
    println!("waiting until all addresses are probed for and announced");
    idle::measure(bench, &agent)?;
    let quiet = answer::measure(&crowd, 0..NETNSES, ASKED, 1, ASLEEP)?;
    report_replies(bench, "", &quiet, [5.0, 50.0])?;
    println!("churning {} addresses", CHURNING * EACH);
    during_churn(bench, &crowd, &agent)?;
    agent.stop()?;
    floors(bench, &crowd)?;
    let mut filled = 0;
    for (netnses, limit) in [(CHURNING, 1000.0), (MANY, 6000.0)] {
        if netnses == MANY && bench.quick {
            break;
        }
        for number in filled..netnses {
            Full::of(&crowd, number)?.change(AddressChange::Add)?;
            println!("added {} addresses", (number + 1) * EACH);
        }
        filled = netnses;
        let agent = cold(bench, &crowd, netnses * EACH, limit)?;
        if netnses == CHURNING {
            println!("reading everything again and again");
            during_resyncs(bench, &crowd, &agent)?;
        }
        agent.stop()?;
    }
    Ok(())
}

/// Notes what this machine takes without an agent.
fn floors(bench: &Bench, crowd: &Crowd) -> Result<()> {
    println!("measuring: what this machine needs at the least");
    for (what, times) in [
        (
            "an event received and one netns dumped",
            floor::measure(crowd, ASKED)?,
        ),
        (
            "an address asked for that the kernel answers for",
            answer::floor(crowd)?,
        ),
    ] {
        bench.note(&format!(
            "floor of this machine: {what}: p50 {:.2} ms, p99 {:.2} ms",
            milliseconds(percentile(&times, 50)),
            milliseconds(percentile(&times, 99)),
        ))?;
    }
    Ok(())
}

impl Crowd {
    fn build(lab: &Lab) -> Result<Self> {
        let site = Site::build(lab, Kind::Ipvlan(Mode::L3), 0)?;
        let mut children = Vec::new();
        for subnet in 0..NETNSES {
            let child = lab.netns(&format!("crowd{subnet:03}"))?;
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
            children.push(child);
        }
        Ok(Self { site, children })
    }

    pub(super) fn child(&self, number: usize) -> Result<&Netns> {
        self.children.get(number).context("not as many netns")
    }

    fn start(&self, bench: &Bench) -> Result<Agent> {
        Agent::start(&bench.ipvlan, &self.site.host, &[PARENT], OPTIONS)
    }
}

/// Addresses come and go in some netns, and others are asked for.
fn during_churn(bench: &Bench, crowd: &Crowd, agent: &Agent) -> Result<()> {
    let full: Vec<Full> = (0..CHURNING)
        .map(|number| Full::of(crowd, number))
        .collect::<Result<_>>()?;
    let ((elsewhere, inside), changes, during) = beside(
        agent,
        |over| churn(&full, over),
        || {
            let beside = (CHURNING..NETNSES).step_by(ASKED_BESIDE);
            let elsewhere = answer::measure(crowd, beside, ASKED, 2, AT_WORK)?;
            println!("and asking in the netns that churn");
            let inside = if bench.quick { INSIDE } else { CHURNING };
            let inside = answer::measure(crowd, 0..inside, ASKED, 2, AT_WORK)?;
            Ok((elsewhere, inside))
        },
    )?;
    bench.note(&format!(
        "churn: {:.0} addresses added or deleted per second; in a netns that churns itself an address is answered \
         after {:.0} ms, p50, the slowest after {:.0} ms",
        during.per_second(changes)?,
        milliseconds(percentile(&inside, 50)),
        milliseconds(percentile(&inside, 100)),
    ))?;
    let whole = during.per_second(during.whole)?;
    let path = "whole syncs per second during churn";
    bench.report_limited(path, CHILDREN, whole, "", 10.0)?;
    report_replies(bench, " during churn elsewhere", &elsewhere, [250.0, 250.0])
}

/// Everything is read again and again, and addresses are asked for.
fn during_resyncs(bench: &Bench, crowd: &Crowd, agent: &Agent) -> Result<()> {
    let (times, (), during) = beside(
        agent,
        |over| wake_everything(&crowd.site, over),
        || answer::measure(crowd, CHURNING..CHURNING + RESYNCED, ASKED, 3, AT_WORK),
    )?;
    bench.note(&format!(
        "with 10 000 addresses more, everything was read {:.1} times a second without a pause",
        during.per_second(during.whole)?
    ))?;
    let when = " while everything is read again and again";
    report_replies(bench, when, &times, [15.0, 50.0])
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

/// Starts an agent with so many addresses more, and reports its first sync: from before its first dump to the last
/// entry of its maps.
fn cold(bench: &Bench, crowd: &Crowd, addresses: usize, limit: f64) -> Result<Agent> {
    println!("starting with {addresses} addresses more");
    let started = Instant::now();
    let mut agent = crowd.start(bench)?;
    let ready = started.elapsed();
    agent.wait_until(SETTLED_WITHIN, "answering for all", |status| {
        answered(status) >= addresses
    })?;
    let resident = process::resident_megabytes(agent.pid())?;
    let sync = milliseconds(first_sync(&agent)?);
    bench.note(&format!(
        "start with {addresses} addresses, programs verified: {:.0} ms",
        milliseconds(ready)
    ))?;
    let children = u32::try_from(addresses)?;
    let path = format!("cold sync of {addresses} addresses");
    bench.report_limited(&path, children, sync, MILLISECONDS, limit)?;
    let path = format!("resident memory with {addresses} addresses");
    bench.report_limited(&path, children, resident, MEGABYTES, 32.0)?;
    Ok(agent)
}

/// A child that gets many addresses.
struct Full {
    netlink: Netlink,
    index: u32,
    addresses: Vec<Ipv4Addr>,
}

impl Full {
    fn of(crowd: &Crowd, number: usize) -> Result<Self> {
        let netns = crowd.child(number)?;
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
    addresses(agent)
        .filter(|(_, address)| address["state"] == "answered")
        .count()
}
