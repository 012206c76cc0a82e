//! Programs that the lab talks to the kernel with, on this machine or inside a virtual one.

use anyhow::Result;

use super::{
    apt,
    unpacked::{self, Program},
};
use crate::{exec, suites::NODES, vm::arch::ARCH};

/// A program and the Debian package that holds it.
pub(crate) struct Client(&'static str, &'static str);

/// What the lab runs.
pub(crate) const LAB: [Client; 7] = [
    Client("ip", "iproute2"),
    Client("tc", "iproute2"),
    Client("nft", "nftables"),
    Client("arping", "iputils-arping"),
    Client("ndisc6", "ndisc6"),
    Client("rdisc6", "ndisc6"),
    Client("setpriv", "util-linux"),
];

/// The DHCP clients and the server of real nodes that may be installed, in the machines of that verb alone: an
/// emulated machine copies its image.
const DHCP: [Client; 3] = [
    Client("busybox", "busybox"),
    Client("dnsmasq", "dnsmasq-base"),
    Client("/usr/lib/systemd/systemd-networkd", "systemd"),
];

/// What making a virtual machine takes besides.
pub(crate) const VM: [Client; 5] = [
    Client(ARCH.emulator, ARCH.package),
    Client("depmod", "kmod"),
    Client("xz", "xz-utils"),
    Client("ldd", "libc-bin"),
    Client("strip", "binutils"),
];

/// What tests in network namespaces run besides, on this machine alone.
pub(crate) const NETNS: [Client; 1] = [Client("tmux", "tmux")];

/// What checks the unit file.
pub(crate) const UNIT: [Client; 1] = [Client("systemd-analyze", "systemd")];

/// Names of the programs that the lab runs for `job`.
pub(crate) fn of(job: &[String]) -> impl Iterator<Item = &'static str> {
    let dhcp: &[Client] = if runs_dhcp(job) { &DHCP } else { &[] };
    LAB.iter().chain(dhcp).map(|Client(program, _)| *program)
}

/// Programs that the lab runs for `job` and that are not installed on this machine.
pub(crate) fn unpacked(job: &[String]) -> impl Iterator<Item = Program> {
    runs_dhcp(job).then(unpacked::dhcp).into_iter().flatten()
}

fn runs_dhcp(job: &[String]) -> bool {
    job.iter().any(|word| word == NODES.verb)
}

/// Installs what real nodes run besides; gives the packages and their versions.
pub(crate) fn install_dhcp() -> Result<Vec<String>> {
    let mut packages = install(&DHCP)?;
    packages.extend(unpacked::install_dhcp()?);
    Ok(packages)
}

/// Installs what is missing of these; gives the packages and their versions.
pub(crate) fn install(clients: &[Client]) -> Result<Vec<String>> {
    let missing: Vec<_> = clients
        .iter()
        .filter(|Client(program, _)| exec::which(program).is_none())
        .map(|Client(_, package)| *package)
        .collect();
    apt::install(&missing)?;
    let mut packages: Vec<_> = clients.iter().map(|Client(_, package)| *package).collect();
    packages.dedup();
    Ok(packages
        .into_iter()
        .map(|package| {
            let version = apt::installed(package);
            format!(
                "{package} {}",
                version.as_deref().unwrap_or("(not from a package)")
            )
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dhcp_programs_are_in_the_machines_of_real_nodes_alone() {
        let job = |verb: &str| ["/usr/bin/lab".to_owned(), verb.to_owned()];
        let of = |verb: &str| of(&job(verb)).collect::<Vec<_>>();
        assert!(of("nodes").contains(&"dnsmasq"));
        assert!(!of("faults").contains(&"dnsmasq"));
        assert!(of("faults").contains(&"ip"));
        assert!(unpacked(&job("nodes")).any(|program| program.place == "usr/sbin/dhcpd"));
        assert!(unpacked(&job("faults")).next().is_none());
    }
}
