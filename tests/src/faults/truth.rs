//! What the agent says it serves, beside what the kernel says there is.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::site::{PARENT, Site};
use crate::{hooks, netns::Netns};

/// An address of a child: inode of the netns, name of the child, address with its length.
type Held = (u64, String, String);

/// How the two differ; nothing in it means that they do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Served, and held by no child.
    pub(super) stale: Vec<String>,
    /// Held by a child, and not served.
    pub(super) missing: Vec<String>,
    /// Known to both, and answered for though it must not be, or the other way round.
    pub(super) otherwise: Vec<String>,
}

impl Difference {
    /// Is there none?
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares them; `refused` are addresses that must not be answered for though a child that is up has
/// them.
pub(super) fn difference(site: &Site, status: &Value, refused: &[IpAddr]) -> Result<Difference> {
    let mut truth = BTreeMap::new();
    let index = site.parent_index()?;
    for netns in site.netnses() {
        held(netns, index, &mut truth)?;
    }
    Ok(compare(&truth, &served(status), refused))
}

fn compare(
    truth: &BTreeMap<Held, bool>,
    served: &BTreeMap<Held, String>,
    refused: &[IpAddr],
) -> Difference {
    let shown = |(_, name, address): &Held| format!("{address} of {name}");
    let missing = truth.keys().filter(|held| !served.contains_key(*held));
    let stale = served.keys().filter(|held| !truth.contains_key(*held));
    let otherwise = truth.iter().filter_map(|(held, up)| {
        let told = served.get(held)?;
        let may = *up && !refused.iter().any(|address| is(&held.2, *address));
        ((told == "answered") != may).then(|| format!("{}: {told}", shown(held)))
    });
    Difference {
        stale: stale.map(shown).collect(),
        missing: missing.map(shown).collect(),
        otherwise: otherwise.collect(),
    }
}

fn is(cidr: &str, address: IpAddr) -> bool {
    cidr.split_once('/').and_then(|(held, _)| held.parse().ok()) == Some(address)
}

/// The addresses of the parent's children in `netns`, and whether they are up.
fn held(netns: &Netns, parent: u32, into: &mut BTreeMap<Held, bool>) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(["-json", "-details", "address", "show", "type", "ipvlan"]);
    let shown = netns.command(&mut command, "")?;
    // Where there is none at all it says nothing, or an empty list.
    let links: Vec<Value> = match shown.trim() {
        "" => Vec::new(),
        shown => serde_json::from_str(shown).context("`ip -json` wrote no JSON")?,
    };
    let inode = netns.inode()?;
    for link in links.iter().filter(|link| link["link_index"] == parent) {
        let name = link["ifname"].as_str().unwrap_or_default();
        let flags = link["flags"].as_array().cloned().unwrap_or_default();
        let up = flags.iter().any(|flag| flag == "UP");
        for address in link["addr_info"].as_array().into_iter().flatten() {
            let (local, length) = (&address["local"], &address["prefixlen"]);
            let local = local.as_str().unwrap_or_default();
            into.insert((inode, name.to_owned(), format!("{local}/{length}")), up);
        }
    }
    Ok(())
}

/// The addresses that the agent knows, and their states.
fn served(status: &Value) -> BTreeMap<Held, String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut served = BTreeMap::new();
    let parents = list(&status["parents"]);
    for parent in parents.iter().filter(|parent| parent["name"] == PARENT) {
        for child in list(&parent["children"]) {
            let inode = child["netns"]["inode"].as_u64().unwrap_or_default();
            let name = child["name"].as_str().unwrap_or_default();
            for address in list(&child["addresses"]) {
                let text = |key: &str| address[key].as_str().unwrap_or_default().to_owned();
                served.insert((inode, name.to_owned(), text("address")), text("state"));
            }
        }
    }
    served
}

/// What is attached to the parent, without what differs from one start to the next. A set would hide
/// what is attached twice.
pub(super) fn attached(site: &Site) -> Result<Vec<String>> {
    let found = hooks::attached(&site.host, &[PARENT])?;
    Ok(found.iter().map(|line| without_ids(line)).collect())
}

fn without_ids(line: &str) -> String {
    const IDS: [&str; 3] = ["id", "tag", "jited"];
    let mut words = Vec::new();
    let mut before = "";
    for word in line.split_whitespace() {
        if !IDS.contains(&before) {
            words.push(word);
        }
        before = word;
    }
    words.join(" ")
}

/// Which of `addresses` are among those of a child that the agent refuses to answer for, and why.
pub(super) fn refusals(status: &Value, addresses: &[IpAddr]) -> BTreeSet<(IpAddr, String)> {
    let children = status["parents"].as_array().into_iter().flatten();
    let children = children.flat_map(|parent| parent["children"].as_array().into_iter().flatten());
    children
        .flat_map(|child| child["addresses"].as_array().into_iter().flatten())
        .filter_map(|found| {
            let cidr = found["address"].as_str()?;
            let address = addresses.iter().find(|address| is(cidr, **address))?;
            Some((*address, found["reason"].as_str()?.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str) -> Held {
        (7, "ipvlan1".to_owned(), address.to_owned())
    }

    #[test]
    fn what_differs_is_told() {
        let truth = BTreeMap::from([
            (key("192.0.2.1/24"), true),
            (key("192.0.2.2/24"), true),
            (key("192.0.2.3/24"), false),
            (key("192.0.2.4/24"), true),
            (key("192.0.2.5/24"), true),
        ]);
        let served = [
            ("192.0.2.1/24", "answered"),
            ("192.0.2.3/24", "answered"),
            ("192.0.2.4/24", "refused"),
            ("192.0.2.5/24", "probing"),
            ("192.0.2.6/24", "refused"),
        ]
        .map(|(address, state)| (key(address), state.to_owned()));
        let refused = ["192.0.2.4".parse().unwrap()];
        let found = compare(&truth, &served.into(), &refused);
        assert_eq!(found.stale, ["192.0.2.6/24 of ipvlan1"]);
        assert_eq!(found.missing, ["192.0.2.2/24 of ipvlan1"]);
        assert_eq!(
            found.otherwise,
            [
                "192.0.2.3/24 of ipvlan1: answered",
                "192.0.2.5/24 of ipvlan1: probing"
            ]
        );
        assert!(
            compare(&truth, &served_all(&truth), &refused)
                .otherwise
                .len()
                == 2
        );
    }

    fn served_all(truth: &BTreeMap<Held, bool>) -> BTreeMap<Held, String> {
        let answered = |held: &Held| (held.clone(), "answered".to_owned());
        truth.keys().map(answered).collect()
    }

    #[test]
    fn ids_do_not_matter_and_numbers_do() {
        let line = "filter protocol all pref 1 bpf name parent_ingress id 77 tag ab jited";
        let expected = "filter protocol all pref 1 bpf name parent_ingress id tag jited";
        assert_eq!(without_ids(line), expected);
        let line = "ens34: 2 TCX programs on ingress";
        assert_eq!(without_ids(line), line);
    }
}
