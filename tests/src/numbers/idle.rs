//! What does an agent cost that has nothing to do, with a thousand children?

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::Value;

use super::{NETNS, PARENT, Site, as_float, process};
use crate::{agent::Agent, lab::Lab};

const CHILDREN: usize = 1000;
/// One of IPv4 that is given, and a link-local one that every child gives itself.
const ADDRESSES: usize = 2 * CHILDREN;
const PER_NETNS: usize = CHILDREN / NETNS;
const SETTLED_WITHIN: Duration = Duration::from_secs(50);
/// Longer than from one probe or announcement of an address to the next (2 s, `PROBE_MAX` and
/// `ANNOUNCE_WAIT` of the agent): who sleeps so long has sent the last of them.
const QUIET: Duration = Duration::from_secs(3);
/// Every address is probed for and announced three times within 7 s, but the agent sends at most a
/// thousand frames per second: 12 s for all addresses, longer where the machine is emulated.
const QUIET_WITHIN: Duration = Duration::from_secs(45);
const IDLE: Duration = Duration::from_secs(10);

pub(super) struct Idle {
    pub(super) resident_megabytes: f64,
    pub(super) wakes: f64,
}

pub(super) fn measure(ipvlan: &Path) -> Result<Idle> {
    let site = Site::build(&Lab::new()?)?;
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
    println!("made {CHILDREN} children");
    let mut agent = Agent::start(ipvlan, &site.host, &[PARENT], &[])?;
    agent.wait_until(SETTLED_WITHIN, "answering for every child", |status| {
        answered(status) == ADDRESSES
    })?;
    println!("waiting until all addresses are probed for and announced");
    let before = quiet(agent.pid())?;
    thread::sleep(IDLE);
    let after = process::wakes(agent.pid())?;
    let resident_megabytes = process::resident_megabytes(agent.pid())?;
    agent.stop()?;
    Ok(Idle {
        resident_megabytes,
        wakes: as_float(after.saturating_sub(before))?,
    })
}

/// Waits until the agent sleeps; gives how often it woke up so far. One that does not sleep is measured
/// awake.
fn quiet(agent: u32) -> Result<u64> {
    let deadline = Instant::now() + QUIET_WITHIN;
    let mut wakes = process::wakes(agent)?;
    loop {
        thread::sleep(QUIET);
        let now = process::wakes(agent)?;
        if now == wakes || Instant::now() >= deadline {
            return Ok(now);
        }
        wakes = now;
    }
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
