//! What is attached to a device, found without the help of the agent.

use std::process::Command;

use anyhow::Result;

use crate::{
    bpf::{TCX_EGRESS, TCX_INGRESS, tcx_programs},
    netns::Netns,
};

/// Everything attached to `devices` of `netns`, one line each; empty when nothing is.
pub fn attached(netns: &Netns, devices: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let qdiscs = netns.command(Command::new("tc").args(["qdisc", "show"]), "")?;
    found.extend(lines_with(&qdiscs, "clsact"));
    if !found.is_empty() {
        for (device, place) in devices
            .iter()
            .flat_map(|device| [(device, "ingress"), (device, "egress")])
        {
            let filters = ["filter", "show", "dev", device, place];
            let shown = netns.command(Command::new("tc").args(filters), "")?;
            found.extend(lines_with(&shown, "bpf"));
        }
    }
    let links = netns.command(Command::new("ip").args(["-oneline", "link", "show"]), "")?;
    found.extend(lines_with(&links, "xdp"));
    for device in devices {
        for (name, hook) in [("ingress", TCX_INGRESS), ("egress", TCX_EGRESS)] {
            let programs = netns.run(|| tcx_programs(device, hook))?;
            if programs > 0 {
                found.push(format!("{device}: {programs} TCX programs on {name}"));
            }
        }
    }
    Ok(found)
}

fn lines_with(shown: &str, word: &str) -> Vec<String> {
    shown
        .lines()
        .filter(|line| line.contains(word))
        .map(str::to_owned)
        .collect()
}
