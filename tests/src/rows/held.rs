//! Keeps the kernel from rewriting its own code while traffic runs.
//!
//! What the first qdisc, the first generic XDP program or the first control group turns on are branches in
//! the code of the kernel (static keys), which it rewrites in place behind a breakpoint. QEMU 7.2
//! without KVM now and then goes on with the breakpoint that another processor has removed long ago:
//! `Oops: int3` in `__dev_queue_xmit`. So all of them are turned on before there is any traffic, and stay.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};

use crate::{
    bpf::{Attached, Program},
    command,
};

/// Where control groups are.
pub(crate) const CGROUPS: &str = "/run/ipvlan-faults-cgroups";

/// Turned on until dropped.
#[derive(Debug)]
pub(crate) struct Branches {
    _xdp: Attached,
}

impl Branches {
    /// Turns them on, on the loopback device of the machine.
    pub(crate) fn hold() -> Result<Self> {
        let words = ["qdisc", "replace", "dev", "lo", "clsact"];
        command::run(Command::new("tc").args(words), "")?;
        fs::create_dir_all(CGROUPS)?;
        let kind = Some("cgroup2");
        mount(kind, CGROUPS, kind, MsFlags::empty(), None::<&str>)
            .context("cannot mount control groups")?;
        let root = Path::new(CGROUPS);
        fs::write(root.join("cgroup.subtree_control"), "+memory")
            .context("there is no memory controller")?;
        fs::create_dir_all(root.join("held"))?;
        Ok(Self {
            _xdp: Program::xdp_pass()?.attach_generic("lo")?,
        })
    }
}
