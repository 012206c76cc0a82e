//! What the agent reports of the addresses of children, beside what the kernel has.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    site::{PARENT, Site},
    status::Parent,
};
use crate::{agent::list, hooks, netns::Netns};

/// An address of a child: name of the child, address with its length. No two children of a parent have the same.
type Held = (String, String);

/// What the kernel has of one.
#[derive(Clone, Copy, Debug)]
struct Truth {
    up: bool,
    /// Of the netns.
    inode: u64,
}

/// What the agent reports of one.
#[derive(Clone, Debug)]
struct Served {
    state: String,
    /// Of the netns.
    inode: Option<u64>,
}

/// How the two differ; nothing in it means that they do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Served, and held by no child.
    pub(crate) stale: Vec<String>,
    /// Held by a child, and not served.
    pub(crate) missing: Vec<String>,
    /// Known to both, and answered though the child is down, or the other way round, or in another netns.
    otherwise: Vec<String>,
}

impl Difference {
    /// Compares the two.
    pub(crate) fn of(site: &Site, parent: &Parent) -> Result<Self> {
        let mut truth = BTreeMap::new();
        let index = site.parent_index()?;
        for netns in site.netnses() {
            held(netns, index, &mut truth)?;
        }
        let served = parent.children.iter().flat_map(|child| {
            child.addresses.iter().map(|address| {
                let held = (child.name.clone(), address.address.clone());
                let (state, inode) = (address.state.clone(), child.netns.inode);
                (held, Served { state, inode })
            })
        });
        Ok(compare(&truth, &served.collect()))
    }

    /// Returns whether there is none.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

fn compare(truth: &BTreeMap<Held, Truth>, served: &BTreeMap<Held, Served>) -> Difference {
    let shown = |(name, address): &Held| format!("{address} of {name}");
    let missing = truth.keys().filter(|held| !served.contains_key(*held));
    let stale = served.keys().filter(|held| !truth.contains_key(*held));
    let otherwise = truth.iter().filter_map(|(held, truth)| {
        let entry = served.get(held)?;
        let elsewhere = entry.inode.is_some_and(|inode| inode != truth.inode);
        let differs = (entry.state == "answered") != truth.up || elsewhere;
        differs.then(|| format!("{}: {entry:?}", shown(held)))
    });
    Difference {
        stale: stale.map(shown).collect(),
        missing: missing.map(shown).collect(),
        otherwise: otherwise.collect(),
    }
}

/// Adds the addresses of the parent's children in `netns`, and whether they are up.
fn held(netns: &Netns, parent: u32, into: &mut BTreeMap<Held, Truth>) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(["-json", "-details", "address", "show", "type", "ipvlan"]);
    let shown = netns.command(&mut command, "")?;
    // Where there is none at all it writes nothing, or an empty list.
    let links: Value = match shown.trim() {
        "" => Value::Null,
        shown => serde_json::from_str(shown).context("`ip -json` wrote no JSON")?,
    };
    let inode = netns.inode()?;
    for link in list(&links).filter(|link| link["link_index"] == parent) {
        let name = link["ifname"].as_str().unwrap_or_default();
        let up = list(&link["flags"]).any(|flag| flag == "UP");
        for address in list(&link["addr_info"]) {
            let (local, length) = (&address["local"], &address["prefixlen"]);
            let local = local.as_str().unwrap_or_default();
            let held = (name.to_owned(), format!("{local}/{length}"));
            into.insert(held, Truth { up, inode });
        }
    }
    Ok(())
}

/// Returns what is attached to the parent, without what differs from one start to the next. A set would hide what is
/// attached twice.
pub(crate) fn attached(site: &Site) -> Result<Vec<String>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_found() {
        let key = |last: u8| ("ipvlan1".to_owned(), format!("192.0.2.{last}/24"));
        let truth = [(1, true), (2, true), (3, false), (5, true), (7, true)]
            .map(|(last, up)| (key(last), Truth { up, inode: 7 }));
        let served = [
            (1, "answered", None),
            (3, "answered", Some(7)),
            (5, "probing", Some(7)),
            (6, "refused", Some(7)),
            (7, "answered", Some(8)),
        ];
        let served = served.map(|(last, state, inode)| {
            let state = state.to_owned();
            (key(last), Served { state, inode })
        });
        let found = compare(&truth.into(), &served.into());
        assert_eq!(found.stale, ["192.0.2.6/24 of ipvlan1"]);
        assert_eq!(found.missing, ["192.0.2.2/24 of ipvlan1"]);
        let otherwise: Vec<_> = found.otherwise.iter().map(|line| &line[..9]).collect();
        assert_eq!(otherwise, ["192.0.2.3", "192.0.2.5", "192.0.2.7"]);
    }

    #[test]
    fn ids_do_not_matter_and_numbers_do() {
        for (line, expected) in [
            (
                "filter protocol all pref 1 bpf name parent_ingress id 77 tag ab jited",
                "filter protocol all pref 1 bpf name parent_ingress id tag jited",
            ),
            (
                "ens34: 2 TCX programs on ingress",
                "ens34: 2 TCX programs on ingress",
            ),
        ] {
            assert_eq!(without_ids(line), expected);
        }
    }
}
