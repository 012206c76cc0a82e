//! Programs of Debian packages that are unpacked for virtual machines and never installed: installed, they would
//! start a server on this machine, or take over its interfaces.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use anyhow::{Context as _, Result};

use crate::{exec, paths, vm::archive::Suite};

/// The other DHCP clients and the other server of real nodes: where they are, and their packages.
const DHCP: [(&str, &str); 5] = [
    ("usr/sbin/dhclient", "isc-dhcp-client"),
    ("usr/sbin/dhcpd", "isc-dhcp-server"),
    ("usr/sbin/dhcpcd", "dhcpcd-base"),
    ("usr/lib/cni/dhcp", "containernetworking-plugins"),
    ("usr/lib/cni/ipvlan", "containernetworking-plugins"),
];

/// A program that is unpacked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// The file.
    pub file: PathBuf,
    /// Where it is in a virtual machine.
    pub place: &'static str,
}

/// Returns the programs that real nodes run.
pub(crate) fn dhcp() -> impl Iterator<Item = Program> {
    DHCP.iter().map(|&(place, package)| {
        let root = root().join(package);
        // A package of before the merge of /usr has its programs in /sbin.
        let merged = root.join(place);
        let file = if merged.is_file() {
            merged
        } else {
            root.join(place.trim_start_matches("usr/"))
        };
        Program { file, place }
    })
}

/// Fetches and unpacks what is not unpacked yet; gives the packages.
pub(crate) fn install_dhcp() -> Result<Vec<String>> {
    let mut packages: Vec<_> = DHCP.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    // Two runs at once fetch them once.
    let lock =
        File::create(paths::directory(root())?.join("lock")).context("cannot make a lock")?;
    lock.lock().context("cannot wait for the lock")?;
    let missing: Vec<_> = packages
        .iter()
        .filter(|package| !root().join(package).is_dir())
        .collect();
    if !missing.is_empty() {
        let suite = Suite::of_this_machine()?;
        for package in missing {
            exec::say(format!("fetching {package}"));
            unpack(&suite, package).with_context(|| format!("cannot unpack {package}"))?;
        }
    }
    for Program { file, .. } in dhcp() {
        anyhow::ensure!(file.is_file(), "no {}", file.display());
    }
    Ok(packages.into_iter().map(str::to_owned).collect())
}

fn unpack(suite: &Suite, package: &str) -> Result<()> {
    let root = paths::directory(root())?;
    let unpacked = tempfile::tempdir_in(&root).context("cannot make a directory")?;
    let whole = unpacked.path().join("root");
    suite.unpack(&[package.to_owned()], &whole)?;
    fs::rename(&whole, root.join(package)).context("cannot keep it")
}

fn root() -> PathBuf {
    paths::vm().join("packages")
}
