//! A set of network namespaces that belongs to one run.
//!
//! Names on the machine carry a prefix with the pid of the run, so two runs never meet; what
//! people are shown is the label alone. Names that a killed run left behind are removed by the
//! next one.

use std::{
    fs,
    path::Path,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result};

use crate::{
    bpf::{Attached, Program},
    ethtool,
    netlink::Netlink,
    netns::{NAMES, Netns, remove_name},
};

const PREFIX: &str = "ipvlan-lab";
/// Its index is the same in every netns.
const LOOPBACK: u32 = 1;

/// Makes network namespaces with names of its own.
#[derive(Debug)]
pub struct Lab {
    prefix: String,
}

impl Lab {
    /// A lab that shares nothing with any other lab on this machine.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        remove_names(|pid| !Path::new("/proc").join(pid.to_string()).exists())?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            prefix: format!("{PREFIX}-{}-{number}", process::id()),
        })
    }

    /// A named netns: loopback up, strict reverse path filter for every device to come.
    pub fn netns(&self, label: &str) -> Result<Netns> {
        prepared(Netns::named(&format!("{}-{label}", self.prefix), label)?)
    }

    /// The same without a name.
    pub fn unnamed_netns(&self, label: &str) -> Result<Netns> {
        prepared(Netns::unnamed(label)?)
    }
}

/// Connects two netns by a veth pair; both ends are up. VLAN tags are in the frames, as the agent requires of a
/// parent with XDP.
pub fn connect(left: &Netns, left_device: &str, right: &Netns, right_device: &str) -> Result<()> {
    left.ip(&format!(
        "link add {left_device} type veth peer name {right_device} netns {}\n\
         link set {left_device} up\n",
        right.reference()
    ))?;
    right.ip(&format!("link set {right_device} up\n"))?;
    left.run(|| ethtool::switch(left_device, &ethtool::VLAN_OFFLOAD, false))?;
    right.run(|| ethtool::switch(right_device, &ethtool::VLAN_OFFLOAD, false))
}

/// Removes every name of this process; for a run that is being interrupted.
pub fn remove_own_names() -> Result<()> {
    remove_names(|pid| pid == process::id())
}

/// Lets `device` of `netns`, an end of a veth, receive what native XDP sends out of the other end, as the agent
/// requires of the peer of such a parent.
pub fn receive_xdp(netns: &Netns, device: &str) -> Result<Attached> {
    netns.run(|| Program::xdp_pass()?.attach(device))
}

fn prepared(netns: Netns) -> Result<Netns> {
    netns.sysctl("ipv4/conf/all/rp_filter", "1")?;
    netns.sysctl("ipv4/conf/default/rp_filter", "1")?;
    netns.run(|| Netlink::open()?.set_up(LOOPBACK))?;
    netns.sysctl("ipv4/conf/lo/rp_filter", "1")?;
    Ok(netns)
}

fn remove_names(of_pid: impl Fn(u32) -> bool) -> Result<()> {
    let Ok(names) = fs::read_dir(NAMES) else {
        return Ok(());
    };
    for name in names {
        let name = name.with_context(|| format!("cannot list {NAMES}"))?;
        let file = name.file_name();
        let pid = file
            .to_str()
            .and_then(|name| {
                name.strip_prefix(PREFIX)?
                    .strip_prefix('-')?
                    .split('-')
                    .next()
            })
            .and_then(|pid| pid.parse().ok());
        if pid.is_some_and(&of_pid) {
            // Another run may be removing it at this moment.
            let _removed_by_another = remove_name(&name.path());
        }
    }
    Ok(())
}
