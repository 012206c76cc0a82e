//! Which module files a kernel needs for the lab, in the order to load them in.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::paths;

/// What the lab uses; in this kernel as a module or built in.
const WANTED: &[&str] = &[
    // libcrc32c asks for it by the name of its algorithm, which is no dependency for depmod.
    "crc32c_generic",
    "ipvlan",
    "macvlan",
    "veth",
    "bridge",
    "8021q",
    "dummy",
    "pktgen",
    "bonding",
    "af_packet",
    "sch_ingress",
    "cls_bpf",
    "act_bpf",
    "cls_matchall",
    "act_gact",
    "nf_tables",
    "nft_ct",
    "nft_counter",
    "nft_reject_inet",
    "nf_conntrack",
    "ipvtap",
    "nft_chain_nat",
    "nft_masq",
    "nft_nat",
    "nft_fib_inet",
];

/// What some kernels do not know by this name: part of another module, or newer than they are.
const OPTIONAL: &[&str] = &["nft_counter", "crc32c_generic"];

/// Paths of the modules to load, dependencies first: what the lab uses, and `drivers`.
pub(crate) fn needed(modules: &Path, drivers: &[&str]) -> Result<Vec<PathBuf>> {
    let index = Index::read(modules)?;
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    for &name in WANTED.iter().chain(drivers) {
        let Some(path) = index.paths.get(name) else {
            if index.built_in.contains(name) || OPTIONAL.contains(&name) {
                continue;
            }
            bail!("kernel in {} has no module {name}", modules.display());
        };
        index.load(path, &mut seen, &mut order);
    }
    Ok(order.into_iter().map(|path| modules.join(path)).collect())
}

/// What `depmod` found out.
struct Index {
    paths: HashMap<String, String>,
    dependencies: HashMap<String, Vec<String>>,
    built_in: HashSet<String>,
}

impl Index {
    fn read(modules: &Path) -> Result<Self> {
        let [dependencies, built_in] =
            ["modules.dep", "modules.builtin"].map(|name| paths::read(&modules.join(name)));
        Ok(Self::parse(&dependencies?, &built_in?))
    }

    fn parse(dependencies: &str, built_in: &str) -> Self {
        let dependencies: HashMap<_, Vec<_>> = dependencies
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(path, needs)| {
                let needs = needs.split_whitespace().map(str::to_owned).collect();
                (path.to_owned(), needs)
            })
            .collect();
        let paths = dependencies.keys();
        Self {
            paths: paths
                .map(|path| (module_name(path), path.clone()))
                .collect(),
            built_in: built_in.lines().map(module_name).collect(),
            dependencies,
        }
    }

    fn load(&self, path: &str, seen: &mut HashSet<String>, order: &mut Vec<String>) {
        if !seen.insert(path.to_owned()) {
            return;
        }
        for needed in self.dependencies.get(path).into_iter().flatten() {
            self.load(needed, seen, order);
        }
        order.push(path.to_owned());
    }
}

/// `kernel/drivers/net/ipvlan/ipvlan.ko.xz` is the module `ipvlan`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split(".ko").next().unwrap_or(file);
    stem.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_come_first_and_once() {
        let index = Index::parse(
            "net/bridge.ko.xz: net/stp.ko.xz net/llc.ko.xz\nnet/stp.ko.xz: net/llc.ko.xz\n\
             net/llc.ko.xz:\nnet/8021q.ko.xz: net/stp.ko.xz\n",
            "kernel/net/packet/af_packet.ko\n",
        );
        let mut order = Vec::new();
        let mut seen = HashSet::new();
        for path in ["net/bridge.ko.xz", "net/8021q.ko.xz"] {
            index.load(path, &mut seen, &mut order);
        }
        assert_eq!(
            order,
            [
                "net/llc.ko.xz",
                "net/stp.ko.xz",
                "net/bridge.ko.xz",
                "net/8021q.ko.xz"
            ]
        );
        assert!(index.built_in.contains("af_packet"));
    }

    #[test]
    fn a_module_is_named_after_its_file() {
        assert_eq!(
            module_name("kernel/net/sched/sch_ingress.ko"),
            "sch_ingress"
        );
        assert_eq!(module_name("kernel/net/nf-nat.ko.xz"), "nf_nat");
    }
}
