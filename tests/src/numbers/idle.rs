//! What does an agent cost that has nothing to do, with a thousand children?

use std::{path::Path, thread, time::Duration};

use anyhow::Result;
use serde_json::Value;

use super::{NETNS, PARENT, Site, as_float, process};
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
    let before = process::wakes(agent.pid())?;
    thread::sleep(IDLE);
    let after = process::wakes(agent.pid())?;
    let resident_megabytes = process::resident_megabytes(agent.pid())?;
    agent.stop()?;
    Ok(Idle {
        resident_megabytes,
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
