//! Programs that the lab talks to the kernel with, on this machine or inside a virtual one.

use anyhow::Result;

use super::apt;
use crate::exec;

/// A program and the Debian package that holds it.
struct Client(&'static str, &'static str);

/// What the lab runs.
const LAB: [Client; 7] = [
    Client("ip", "iproute2"),
    Client("tc", "iproute2"),
    Client("nft", "nftables"),
    Client("arping", "iputils-arping"),
    Client("ndisc6", "ndisc6"),
    Client("rdisc6", "ndisc6"),
    Client("setpriv", "util-linux"),
];

/// What making a virtual machine takes besides.
const VM: [Client; 5] = [
    Client("qemu-system-x86_64", "qemu-system-x86"),
    Client("depmod", "kmod"),
    Client("xz", "xz-utils"),
    Client("ldd", "libc-bin"),
    Client("strip", "binutils"),
];

/// What checks the unit file.
const UNIT: [Client; 1] = [Client("systemd-analyze", "systemd")];

/// Names of the programs that the lab runs.
pub(crate) fn lab() -> impl Iterator<Item = &'static str> {
    LAB.iter().map(|Client(program, _)| *program)
}

/// Installs what the lab runs; gives the packages and their versions.
pub(crate) fn install_lab() -> Result<Vec<String>> {
    install(&LAB)
}

/// Installs what a virtual machine takes; gives the packages and their versions.
pub(crate) fn install_vm() -> Result<Vec<String>> {
    install(&VM)
}

/// Installs what checks the unit file; gives the package and its version.
pub(crate) fn install_unit() -> Result<Vec<String>> {
    install(&UNIT)
}

fn install(clients: &[Client]) -> Result<Vec<String>> {
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
