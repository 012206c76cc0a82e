//! What is attached to a device, found without the help of the agent.

use std::process::Command;

use anyhow::{Context as _, Result};
use aya::{
    programs::{ProgramError, SchedClassifier, TcAttachType},
    sys::SyscallError,
};
use nix::errno::Errno;

use crate::netns::Netns;

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
        for (name, hook) in [
            ("ingress", TcAttachType::Ingress),
            ("egress", TcAttachType::Egress),
        ] {
            let programs = netns.run(|| tcx_programs(device, hook))?;
            if programs > 0 {
                found.push(format!("{device}: {programs} TCX programs on {name}"));
            }
        }
    }
    Ok(found)
}

/// Returns how many TCX programs `device` of the current netns has at `hook`.
fn tcx_programs(device: &str, hook: TcAttachType) -> Result<usize> {
    match SchedClassifier::query_tcx(device, hook) {
        Ok((_revision, programs)) => Ok(programs.len()),
        // No TCX before 6.6, or nothing was ever attached.
        Err(ProgramError::SyscallError(SyscallError { io_error, .. }))
            if [Errno::EINVAL, Errno::ENOENT]
                .map(|errno| Some(errno as i32))
                .contains(&io_error.raw_os_error()) =>
        {
            Ok(0)
        }
        Err(error) => Err(error).with_context(|| format!("cannot query TCX of {device}")),
    }
}

fn lines_with(shown: &str, word: &str) -> Vec<String> {
    shown
        .lines()
        .filter(|line| line.contains(word))
        .map(str::to_owned)
        .collect()
}
