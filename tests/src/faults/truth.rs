//! What the agent says it serves, beside what the kernel says there is.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::site::{PARENT, Site};
use crate::{agent::addresses, hooks, netns::Netns};

/// An address of a child: name of the child, address with its length. No two children of a parent have
/// the same.
type Held = (String, String);

/// What the kernel knows about one.
#[derive(Clone, Copy, Debug)]
struct Truth {
    up: bool,
    /// Of the netns.
    inode: u64,
}

/// What the agent knows about one.
#[derive(Clone, Debug)]
struct Served {
    state: String,
    /// Of the netns; where it has no name, the agent may not be allowed to know.
    inode: Option<u64>,
}

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
    truth: &BTreeMap<Held, Truth>,
    served: &BTreeMap<Held, Served>,
    refused: &[IpAddr],
) -> Difference {
    let shown = |(name, address): &Held| format!("{address} of {name}");
    let missing = truth.keys().filter(|held| !served.contains_key(*held));
    let stale = served.keys().filter(|held| !truth.contains_key(*held));
    let otherwise = truth.iter().filter_map(|(held, truth)| {
        let told = served.get(held)?;
        let may = truth.up && !refused.iter().any(|address| is(&held.1, *address));
        let elsewhere = told.inode.is_some_and(|inode| inode != truth.inode);
        let differs = (told.state == "answered") != may || elsewhere;
        differs.then(|| format!("{}: {told:?}", shown(held)))
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
fn held(netns: &Netns, parent: u32, into: &mut BTreeMap<Held, Truth>) -> Result<()> {
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
            let held = (name.to_owned(), format!("{local}/{length}"));
            into.insert(held, Truth { up, inode });
        }
    }
    Ok(())
}

/// The addresses that the agent knows, and their states.
fn served(status: &Value) -> BTreeMap<Held, Served> {
    let served = |(child, address): (&Value, &Value)| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (state, inode) = (text(&address["state"]), child["netns"]["inode"].as_u64());
        let held = (text(&child["name"]), text(&address["address"]));
        (held, Served { state, inode })
    };
    addresses(status).map(served).collect()
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

/// Which of `wanted` are among those of a child that the agent refuses to answer for, and why.
pub(crate) fn refusals(status: &Value, wanted: &[IpAddr]) -> BTreeSet<(IpAddr, String)> {
    addresses(status)
        .filter_map(|(_, found)| {
            let cidr = found["address"].as_str()?;
            let address = wanted.iter().find(|address| is(cidr, **address))?;
            Some((*address, found["reason"].as_str()?.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str) -> Held {
        ("ipvlan1".to_owned(), address.to_owned())
    }

    fn served(address: &str, state: &str, inode: Option<u64>) -> (Held, Served) {
        let state = state.to_owned();
        (key(address), Served { state, inode })
    }

    #[test]
    fn what_differs_is_told() {
        let truth = [
            ("192.0.2.1/24", true),
            ("192.0.2.2/24", true),
            ("192.0.2.3/24", false),
            ("192.0.2.4/24", true),
            ("192.0.2.5/24", true),
            ("192.0.2.7/24", true),
        ]
        .map(|(address, up)| (key(address), Truth { up, inode: 7 }));
        let told = [
            served("192.0.2.1/24", "answered", None),
            served("192.0.2.3/24", "answered", Some(7)),
            served("192.0.2.4/24", "refused", Some(7)),
            served("192.0.2.5/24", "probing", Some(7)),
            served("192.0.2.6/24", "refused", Some(7)),
            served("192.0.2.7/24", "answered", Some(8)),
        ];
        let refused = ["192.0.2.4".parse().unwrap()];
        let found = compare(&truth.into(), &told.into(), &refused);
        assert_eq!(found.stale, ["192.0.2.6/24 of ipvlan1"]);
        assert_eq!(found.missing, ["192.0.2.2/24 of ipvlan1"]);
        let otherwise = ["192.0.2.3", "192.0.2.5", "192.0.2.7"];
        assert_eq!(found.otherwise.len(), otherwise.len(), "{found:?}");
        for (found, address) in found.otherwise.iter().zip(otherwise) {
            assert!(found.starts_with(address), "{found}");
        }
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
