//! What is attached to a device, found without the help of the agent.

use std::process::Command;

use anyhow::{Context, Result};
use nix::{errno::Errno, net::if_::if_nametoindex};

use crate::netns::Netns;

const BPF_PROG_QUERY: libc::c_long = 16;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;

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
        for (name, hook) in [("ingress", BPF_TCX_INGRESS), ("egress", BPF_TCX_EGRESS)] {
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

/// The part of `union bpf_attr` that `BPF_PROG_QUERY` reads and writes.
#[repr(C)]
struct Query {
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    count: u32,
    reserved: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

const _: () = assert!(size_of::<Query>() == 64);

fn tcx_programs(device: &str, attach_type: u32) -> Result<u32> {
    let target_ifindex = if_nametoindex(device).with_context(|| format!("no {device} here"))?;
    let mut query = Query {
        target_ifindex,
        attach_type,
        flags: 0,
        attach_flags: 0,
        prog_ids: 0,
        count: 0,
        reserved: 0,
        prog_attach_flags: 0,
        link_ids: 0,
        link_attach_flags: 0,
        revision: 0,
    };
    // SAFETY: `query` is as long as said, lives through the call, and its zero pointers make
    // the kernel write the count alone.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_QUERY,
            &raw mut query,
            size_of::<Query>(),
        )
    };
    match Errno::result(result) {
        Ok(_) => Ok(query.count),
        // No TCX before 6.6, or nothing was ever attached.
        Err(Errno::EINVAL | Errno::ENOENT) => Ok(0),
        Err(errno) => Err(errno).with_context(|| format!("cannot query TCX of {device}")),
    }
}
