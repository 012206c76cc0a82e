//! What does an agent cost that has nothing to do, with a thousand children?

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{NETNS, PARENT, Site};
use crate::{agent::Agent, lab::Lab};

const CHILDREN: usize = 1000;
const PER_NETNS: usize = CHILDREN / NETNS;
const SETTLED_WITHIN: Duration = Duration::from_mins(1);
/// Until the last of a thousand addresses was probed for and announced three times.
const SETTLE: Duration = Duration::from_secs(30);
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
    let mut agent = Agent::start(ipvlan, &site.host, &[PARENT], &[])?;
    agent.wait_until(SETTLED_WITHIN, "answering for every child", |status| {
        answered(status) == CHILDREN
    })?;
    thread::sleep(SETTLE);
    let before = wakes(agent.pid())?;
    thread::sleep(IDLE);
    let after = wakes(agent.pid())?;
    let resident = field(
        &PathBuf::from(format!("/proc/{}/status", agent.pid())),
        "VmRSS:",
    )?;
    agent.stop()?;
    Ok(Idle {
        resident_megabytes: as_float(resident)? * 1024.0 / 1e6,
        wakes: as_float(after.saturating_sub(before))?,
    })
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

/// How often the threads of `pid` went to sleep so far, and so how often they woke up.
fn wakes(pid: u32) -> Result<u64> {
    let tasks = format!("/proc/{pid}/task");
    let mut wakes = 0;
    for task in fs::read_dir(&tasks).with_context(|| format!("cannot list {tasks}"))? {
        wakes += field(&task?.path().join("status"), "voluntary_ctxt_switches:")?;
    }
    Ok(wakes)
}

fn field(path: &Path, name: &str) -> Result<u64> {
    let shown =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    shown
        .lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .with_context(|| format!("no {name} in {}", path.display()))
}

fn as_float(number: u64) -> Result<f64> {
    Ok(f64::from(u32::try_from(number)?))
}
