//! A ruleset of nftables, as `nft --json list ruleset` prints it (`libnftables-json(5)`), and what it does with a
//! packet. An expression that is not understood may match or not.

mod text;
mod values;

use std::{collections::HashMap, net::IpAddr};

use serde::Deserialize;
use serde_json::Value;

use self::{
    text::text_of,
    values::{any_of, contains, is_named},
};

/// How deep chains are followed; the kernel allows 16 jumps.
const DEPTH: usize = 16;

/// A ruleset.
#[derive(Debug, Default)]
pub(super) struct Ruleset {
    chains: Vec<Chain>,
    rules: HashMap<(String, String, String), Vec<Rule>>,
    /// Elements of named sets, by family, table and name.
    sets: HashMap<(String, String, String), Value>,
}

#[derive(Clone, Debug, Deserialize)]
struct Chain {
    family: String,
    table: String,
    name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    hook: Option<String>,
    policy: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Rule {
    family: String,
    table: String,
    chain: String,
    handle: u64,
    #[serde(default)]
    expr: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Set {
    family: String,
    table: String,
    name: String,
    #[serde(default)]
    elem: Value,
}

#[derive(Debug, Deserialize)]
struct Output {
    nftables: Vec<Value>,
}

/// A packet, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    /// The interface it came in by; empty for one that the host sends.
    pub(super) iif: &'a str,
    /// The interface it leaves by; empty for one that the host receives.
    pub(super) oif: &'a str,
    /// Its source.
    pub(super) source: Option<IpAddr>,
    /// Its destination.
    pub(super) destination: Option<IpAddr>,
    /// Its state in connection tracking.
    pub(super) state: &'static str,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is dropped or rejected.
    Drop,
    /// Its source is rewritten.
    Rewrite,
}

/// What a base chain does with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    /// What becomes of it.
    pub(super) fate: Fate,
    /// Whether that is certain.
    pub(super) certain: bool,
    /// Family, table and base chain, as `nft` takes them.
    pub(super) chain: [String; 3],
    /// The rule that does it, for people.
    pub(super) rule: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Matches {
    No,
    Maybe,
    Yes,
}

/// How the rules of a chain end for a packet.
enum End {
    /// The rules behind the jump run.
    Next,
    /// No further rule of the base chain runs.
    Accepted,
    /// A rule decided.
    Decided,
}

impl Ruleset {
    /// Reads the output of `nft`. Objects that are not understood are left out.
    pub(super) fn parse(json: &[u8]) -> serde_json::Result<Self> {
        let Output { nftables } = serde_json::from_slice(json)?;
        let mut ruleset = Self::default();
        for object in nftables {
            let Value::Object(object) = object else {
                continue;
            };
            for (kind, value) in object {
                match kind.as_str() {
                    "chain" => ruleset
                        .chains
                        .extend(serde_json::from_value::<Chain>(value)),
                    "rule" => {
                        if let Ok(rule) = serde_json::from_value::<Rule>(value) {
                            let key = (rule.family.clone(), rule.table.clone(), rule.chain.clone());
                            ruleset.rules.entry(key).or_default().push(rule);
                        }
                    }
                    "set" => {
                        if let Ok(set) = serde_json::from_value::<Set>(value) {
                            ruleset
                                .sets
                                .insert((set.family, set.table, set.name), set.elem);
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(ruleset)
    }

    /// Returns how many rules there are.
    pub(super) fn len(&self) -> usize {
        self.rules.values().map(Vec::len).sum()
    }

    /// Returns what the base chains of this type at this hook do with a packet. Chains that certainly do nothing
    /// are left out.
    pub(super) fn effects(&self, kind: &str, hook: &str, packet: Packet<'_>) -> Vec<Effect> {
        let family = match packet.source.or(packet.destination) {
            Some(IpAddr::V6(_)) => "ip6",
            _ => "ip",
        };
        let chains = self.chains.iter().filter(|chain| {
            chain.kind.as_deref() == Some(kind)
                && chain.hook.as_deref() == Some(hook)
                && [family, "inet"].contains(&chain.family.as_str())
        });
        chains
            .filter_map(|chain| self.effect(chain, packet))
            .collect()
    }

    fn effect(&self, chain: &Chain, packet: Packet<'_>) -> Option<Effect> {
        let mut walk = Walk {
            ruleset: self,
            chain,
            packet,
            found: None,
            may_be_accepted: false,
        };
        let end = walk.run(&chain.name, true, DEPTH);
        let drops = chain.policy.as_deref() == Some("drop");
        if drops && matches!(end, End::Next) {
            let certain = !walk.may_be_accepted;
            walk.record(Fate::Drop, certain, "policy drop".to_owned());
        }
        walk.found
    }
}

/// One packet in one base chain.
struct Walk<'a> {
    ruleset: &'a Ruleset,
    chain: &'a Chain,
    packet: Packet<'a>,
    /// The first effect, or the first certain one.
    found: Option<Effect>,
    may_be_accepted: bool,
}

impl Walk<'_> {
    fn record(&mut self, fate: Fate, certain: bool, rule: String) {
        let is_better = |found: &Effect| certain && !found.certain;
        if self.found.as_ref().is_none_or(is_better) {
            let chain = [&self.chain.family, &self.chain.table, &self.chain.name];
            self.found = Some(Effect {
                fate,
                certain,
                chain: chain.map(String::clone),
                rule,
            });
        }
    }

    /// Runs the rules of a chain. The packet is known to get to it if that is `certain`.
    fn run(&mut self, name: &str, certain: bool, depth: usize) -> End {
        let Chain { family, table, .. } = self.chain;
        let key = (family.clone(), table.clone(), name.to_owned());
        let rules = self.ruleset.rules.get(&key).map_or(&[][..], Vec::as_slice);
        // An earlier rule may have ended it.
        let mut certain = certain;
        for rule in rules {
            let matches = self.matches(rule);
            if matches == Matches::No {
                continue;
            }
            let is_certain = certain && matches == Matches::Yes;
            match self.act(rule, is_certain, depth) {
                Some(end) if is_certain => return end,
                Some(End::Accepted) => {
                    self.may_be_accepted = true;
                    certain = false;
                }
                Some(_) => certain = false,
                None => {}
            }
        }
        End::Next
    }

    /// Does what a rule that may match does; none if the next rule runs then.
    fn act(&mut self, rule: &Rule, certain: bool, depth: usize) -> Option<End> {
        for statement in &rule.expr {
            let Value::Object(statement) = statement else {
                continue;
            };
            for (kind, value) in statement {
                let decided = match kind.as_str() {
                    "drop" | "reject" => Some(Fate::Drop),
                    "masquerade" | "snat" => Some(Fate::Rewrite),
                    "xt" => match value["name"].as_str() {
                        Some("MASQUERADE" | "SNAT") => Some(Fate::Rewrite),
                        Some("REJECT") => Some(Fate::Drop),
                        _ => None,
                    },
                    "accept" => return Some(End::Accepted),
                    "return" => return Some(End::Next),
                    "jump" | "goto" if depth > 0 => {
                        let target = value["target"].as_str().unwrap_or_default();
                        let end = self.run(target, certain, depth - 1);
                        return match end {
                            End::Next if kind == "jump" => None,
                            end => Some(end),
                        };
                    }
                    _ => None,
                };
                if let Some(fate) = decided {
                    let text = format!("{} (handle {})", text_of(rule), rule.handle);
                    self.record(fate, certain, text);
                    return Some(End::Decided);
                }
            }
        }
        None
    }

    fn matches(&self, rule: &Rule) -> Matches {
        let statements = rule.expr.iter().filter_map(Value::as_object).flatten();
        statements
            .map(|(kind, value)| match kind.as_str() {
                "match" => self.matches_one(value),
                // A map decides the verdict; a limit or a quota may be exceeded.
                "vmap" | "limit" | "quota" | "ct count" => Matches::Maybe,
                "xt" if value["type"] == "match" => Matches::Maybe,
                _ => Matches::Yes,
            })
            .min()
            .unwrap_or(Matches::Yes)
    }

    fn matches_one(&self, of: &Value) -> Matches {
        let (left, right) = (&of["left"], &of["right"]);
        let right = match right.as_str().and_then(|name| name.strip_prefix('@')) {
            Some(name) => {
                let Chain { family, table, .. } = self.chain;
                let key = (family.clone(), table.clone(), name.to_owned());
                self.ruleset.sets.get(&key).unwrap_or(&Value::Null)
            }
            None => right,
        };
        let is = self.compare(left, right);
        let is = match of["op"].as_str() {
            Some("!=") => is.map(|is| !is),
            Some("==" | "in") => is,
            _ => None,
        };
        match is {
            Some(true) => Matches::Yes,
            Some(false) => Matches::No,
            None => Matches::Maybe,
        }
    }

    /// Returns whether a property of the packet is one of these values, if that is known.
    fn compare(&self, left: &Value, right: &Value) -> Option<bool> {
        let packet = &self.packet;
        if let Some(key) = left["meta"]["key"].as_str() {
            return match key {
                "iif" | "iifname" => any_of(right, |value| is_named(packet.iif, value)),
                "oif" | "oifname" => any_of(right, |value| is_named(packet.oif, value)),
                "nfproto" => {
                    let is_v6 = packet.source.or(packet.destination)?.is_ipv6();
                    let family = if is_v6 { "ipv6" } else { "ipv4" };
                    any_of(right, |value| Some(value.as_str()? == family))
                }
                _ => None,
            };
        }
        if left["ct"]["key"] == "state" {
            return any_of(right, |value| Some(value.as_str()? == packet.state));
        }
        let payload = &left["payload"];
        let address = match payload["field"].as_str()? {
            "saddr" => packet.source?,
            "daddr" => packet.destination?,
            _ => return None,
        };
        match (payload["protocol"].as_str()?, address) {
            ("ip", IpAddr::V4(_)) | ("ip6", IpAddr::V6(_)) => {
                any_of(right, |value| contains(value, address))
            }
            // The kernel looks at the family first.
            ("ip" | "ip6", _) => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
