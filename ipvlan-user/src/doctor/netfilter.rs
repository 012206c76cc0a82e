//! Rules of the host's netfilter that hurt children.
//!
//! What l3 and l3s children send passes the host's OUTPUT and POSTROUTING (`ip_local_out` in
//! `ipvlan_process_v4_outbound`); what l3s children receive passes PREROUTING and INPUT. What l3 children receive and
//! everything of l2 children is delivered below netfilter. Nothing of children passes FORWARD.

use std::{
    fs,
    io::{self, Read as _},
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::{
    node::Parent,
    report::{Check, word},
    ruleset::{Effect, Fate, Packet, Ruleset},
};
use crate::facts::Mode;

/// Where `nft` is installed.
const NFT: [&str; 4] = [
    "/usr/sbin/nft",
    "/sbin/nft",
    "/usr/local/sbin/nft",
    "/usr/bin/nft",
];
/// The longest ruleset that is read, in bytes.
const LONGEST: u64 = 64 << 20;
/// How long `nft` may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Addresses of children that are followed through the rules.
const ADDRESSES: usize = 256;
/// Addresses in a command.
const IN_COMMAND: usize = 8;

/// What was read.
#[derive(Debug)]
pub(super) struct Netfilter {
    /// The ruleset of nftables, or why it could not be read.
    rules: Result<Ruleset, String>,
    /// Tables of the legacy iptables, of both families.
    legacy: Vec<String>,
}

/// Reads it.
pub(super) fn read() -> Netfilter {
    let names = ["ip_tables_names", "ip6_tables_names"];
    let legacy = names.iter().flat_map(|file| {
        let text = fs::read_to_string(Path::new("/proc/self/net").join(file));
        let text = text.unwrap_or_default();
        let tables: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        tables
    });
    Netfilter {
        rules: rules(),
        legacy: legacy.collect(),
    }
}

fn rules() -> Result<Ruleset, String> {
    let nft = NFT.iter().map(PathBuf::from).find(|path| path.exists());
    let nft = nft.ok_or("nft is not installed: install nftables to have the rules checked")?;
    let listed = list(&nft).map_err(|error| format!("run nft: {error}"))?;
    Ruleset::parse(&listed).map_err(|error| format!("nft printed no ruleset: {error}"))
}

fn list(nft: &Path) -> io::Result<Vec<u8>> {
    let mut child = Command::new(nft)
        .args(["--json", "list", "ruleset"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let Some(stdout) = child.stdout.take() else {
        return Err(io::Error::other("it has no output"));
    };
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        let read = stdout.take(LONGEST + 1).read_to_end(&mut text);
        // The receiver has lost its patience.
        let _: Result<(), _> = sender.send(read.map(|_| text));
    });
    let text = receiver.recv_timeout(PATIENCE);
    if text.is_err() {
        child.kill()?;
    }
    let text = text.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    if text.len() as u64 > LONGEST {
        child.kill()?;
        child.wait()?;
        return Err(io::Error::other(format!(
            "the ruleset has more than {LONGEST} bytes"
        )));
    }
    if child.wait()?.success() {
        Ok(text)
    } else {
        Err(io::Error::other(
            "it failed; CAP_NET_ADMIN may be missing: run as root",
        ))
    }
}

/// Judges the rules for the children of these parents.
pub(super) fn judge(parents: &[Parent], netfilter: &Netfilter) -> Vec<Check> {
    let mut checks = Vec::new();
    if !netfilter.legacy.is_empty() {
        checks.push(Check::skip(
            "netfilter.legacy",
            "",
            format!(
                "tables of the legacy iptables are not read: {}; see `iptables-legacy-save` and `ip6tables-legacy-save`",
                netfilter.legacy.join(", ")
            ),
        ));
    }
    let rules = match &netfilter.rules {
        Ok(rules) => rules,
        Err(reason) => {
            checks.push(Check::skip("netfilter.rules", "", reason));
            return checks;
        }
    };
    let before = checks.len();
    for parent in parents {
        match parent.mode() {
            Some(Mode::L3) => {
                checks.extend(rewritten(parent, rules));
                checks.extend(dropped(parent, rules, &INVALID));
                checks.extend(dropped(parent, rules, &OUTPUT));
            }
            Some(Mode::L3s) => {
                checks.extend(rewritten(parent, rules));
                checks.extend(dropped(parent, rules, &OUTPUT));
                checks.extend(dropped(parent, rules, &INPUT));
            }
            Some(Mode::L2) | None => {}
        }
    }
    if checks.len() == before {
        let found = match rules.len() {
            0 => "no rules".to_owned(),
            number => format!("none of {number} rules concerns children in their mode"),
        };
        checks.push(Check::ok("netfilter.rules", "", found));
    }
    checks
}

fn addresses(parent: &Parent) -> impl Iterator<Item = IpAddr> {
    parent.child_addresses().take(ADDRESSES)
}

/// Finds what rewrites the source of packets of children.
fn rewritten(parent: &Parent, rules: &Ruleset) -> Vec<Check> {
    let mut found = Vec::new();
    for address in addresses(parent) {
        let packet = Packet {
            iif: "",
            oif: parent.name(),
            source: Some(address),
            destination: None,
            state: "new",
        };
        collect(
            &mut found,
            address,
            rules.effects("nat", "postrouting", packet),
        );
    }
    found.retain(|(effect, _)| effect.fate == Fate::Rewrite);
    lines(parent, &found, &MASQUERADE)
}

/// A kind of fault.
struct Kind {
    id: &'static str,
    hook: &'static str,
    /// The state of the packet in connection tracking.
    state: &'static str,
    /// Whether the packet is for the child, not from it.
    inbound: bool,
    why: &'static str,
}

const MASQUERADE: Kind = Kind {
    id: "netfilter.masquerade",
    hook: "postrouting",
    state: "new",
    inbound: false,
    why: "netfilter did not see the request, which the driver delivered below it: replies of l3 children over UDP and \
          TCP leave with another source address, and the client discards them; ping works",
};

const INVALID: Kind = Kind {
    id: "netfilter.invalid",
    hook: "output",
    state: "invalid",
    inbound: false,
    why: "netfilter did not see the SYN, which the driver delivered below it, so the SYN-ACK of an l3 child is \
          invalid (nf_conntrack_tcp_packet): no TCP connection to a child is established",
};

const OUTPUT: Kind = Kind {
    id: "netfilter.output",
    hook: "output",
    state: "new",
    inbound: false,
    why: "what l3 and l3s children send passes the host's OUTPUT (ipvlan_process_v4_outbound): it is dropped",
};

const INPUT: Kind = Kind {
    id: "netfilter.input",
    hook: "input",
    state: "new",
    inbound: true,
    why: "what l3s children receive passes the host's INPUT (ipvlan_nf_input): it is dropped",
};

/// Finds what drops packets of this kind.
fn dropped(parent: &Parent, rules: &Ruleset, kind: &Kind) -> Vec<Check> {
    let mut found = Vec::new();
    for address in addresses(parent) {
        let (iif, oif) = if kind.inbound {
            (parent.name(), "")
        } else {
            ("", parent.name())
        };
        let packet = Packet {
            iif,
            oif,
            source: Some(address).filter(|_| !kind.inbound),
            destination: Some(address).filter(|_| kind.inbound),
            state: kind.state,
        };
        let mut effects = rules.effects("filter", kind.hook, packet);
        if kind.state == "invalid" {
            // What drops every packet has a line of its own.
            let all = rules.effects(
                "filter",
                kind.hook,
                Packet {
                    state: "new",
                    ..packet
                },
            );
            effects.retain(|effect| !all.contains(effect));
        }
        collect(&mut found, address, effects);
    }
    found.retain(|(effect, _)| effect.fate == Fate::Drop);
    lines(parent, &found, kind)
}

fn collect(found: &mut Vec<(Effect, Vec<IpAddr>)>, address: IpAddr, effects: Vec<Effect>) {
    for effect in effects {
        let is_like = |of: &IpAddr| of.is_ipv6() == address.is_ipv6();
        let same = found
            .iter_mut()
            .find(|(known, addresses)| *known == effect && addresses.iter().all(is_like));
        match same {
            Some((_, addresses)) => addresses.push(address),
            None => found.push((effect, vec![address])),
        }
    }
}

fn lines(parent: &Parent, found: &[(Effect, Vec<IpAddr>)], kind: &Kind) -> Vec<Check> {
    let line = |(effect, addresses): &(Effect, Vec<IpAddr>)| {
        let [family, table, chain] = &effect.chain;
        let verb = if effect.certain {
            "matches"
        } else {
            "may match"
        };
        let first = addresses
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        let more = match addresses.len() {
            0 | 1 => String::new(),
            number => format!(" and {} more", number - 1),
        };
        let text = format!(
            "table {family} {table} chain {chain}: {} {verb} packets of {first}{more}",
            effect.rule
        );
        let judge = if effect.certain {
            Check::fail
        } else {
            Check::warn
        };
        judge(kind.id, parent.name(), &text, kind.why).mend(exception(effect, addresses, kind))
    };
    found.iter().map(line).collect()
}

/// Returns a command that excludes these addresses from the chain.
fn exception(effect: &Effect, addresses: &[IpAddr], kind: &Kind) -> String {
    let [family, table, chain] = &effect.chain;
    let field = if kind.inbound { "daddr" } else { "saddr" };
    let protocol = match addresses.first() {
        Some(IpAddr::V6(_)) => "ip6",
        _ => "ip",
    };
    let some: Vec<String> = addresses
        .iter()
        .take(IN_COMMAND)
        .map(ToString::to_string)
        .collect();
    let set = match &some[..] {
        [one] => one.clone(),
        some => format!("'{{ {} }}'", some.join(", ")),
    };
    format!(
        "nft insert rule {family} {} {} {protocol} {field} {set} accept",
        word(table),
        word(chain)
    )
}

#[cfg(test)]
mod tests;
