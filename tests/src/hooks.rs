//! What is attached to a device, found without the help of the agent.

use std::{fs, io, path::Path, process::Command};

use anyhow::{Context, Result};
use nix::{errno::Errno, net::if_::if_nametoindex};

use crate::netns::Netns;

const BPF_PROG_QUERY: libc::c_long = 16;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;
const RUN: &str = "/run/ipvlan";

/// Everything attached to `devices` of `netns`, one line each; empty when nothing is.
pub fn attached(netns: &Netns, devices: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for device in devices {
        for [kind, place] in [["qdisc", ""], ["filter", "ingress"], ["filter", "egress"]] {
            let mut command = Command::new("tc");
            command.args([kind, "show", "dev", device]);
            if !place.is_empty() {
                command.arg(place);
            }
            // Without clsact there is nowhere for a filter to be, which tc calls an error.
            let shown = netns.command(&mut command, "").unwrap_or_default();
            let ours = shown
                .lines()
                .filter(|line| kind == "filter" || line.contains("clsact"));
            found.extend(ours.map(|line| format!("{device}: {line}")));
        }
        let link = netns.command(Command::new("ip").args(["link", "show", device]), "")?;
        if link.contains("xdp") {
            found.push(format!("{device}: {}", link.trim()));
        }
        for (name, hook) in [("ingress", BPF_TCX_INGRESS), ("egress", BPF_TCX_EGRESS)] {
            let programs = netns.run(|| tcx_programs(device, hook))?;
            if programs > 0 {
                found.push(format!("{device}: {programs} TCX programs on {name}"));
            }
        }
    }
    Ok(found)
}

/// The files below the agents' run directory that belong to `pid` or to nobody alive.
pub fn run_files() -> Result<Vec<String>> {
    if !Path::new(RUN).exists() {
        return Ok(Vec::new());
    }
    fs::read_dir(RUN)
        .with_context(|| format!("cannot list {RUN}"))?
        .map(|file| Ok(file?.path().display().to_string()))
        .collect::<io::Result<_>>()
        .with_context(|| format!("cannot list {RUN}"))
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
