//! The rules that apply to an address, in words, with what changes them.

mod mend;

use ipvlan_common::Reason;

use self::mend::shell;
use super::{Explaining, has, word};
use crate::{
    facts::{Link, NetnsId},
    lan::frame::colons,
    model::{ChildKey, ClaimedAddress, Reach, Refusal, Rival, reserved},
    protocol::{AppliedRule, MAP_FULL},
};

/// Most netns that are named as unreadable.
const UNREADABLE: usize = 8;

/// Returns the rule that a parent is not attached.
pub(super) fn waiting(parent: &str, reason: &str) -> AppliedRule {
    AppliedRule {
        decides: true,
        mend: Some(format!(
            "make `{parent}` an interface that can be served: see `ipvlan status`"
        )),
        ..rule(
            "parent_waiting",
            format!("nothing is attached to `{parent}`: {reason}"),
        )
    }
}

fn rule(reason: &str, text: impl Into<String>) -> AppliedRule {
    AppliedRule {
        reason: reason.to_owned(),
        decides: false,
        child: None,
        text: text.into(),
        mend: None,
    }
}

/// Returns every rule that applies to the address. The one with the reason of the request decides.
pub(super) fn of_address(
    of: &Explaining<'_>,
    claims: &[ClaimedAddress<'_>],
    reason: Option<Reason>,
) -> Vec<AppliedRule> {
    let mut rules: Vec<AppliedRule> = claims
        .iter()
        .flat_map(|claim| of_claim(of, claim))
        .collect();
    let other = claims.is_empty().then(|| without_owner(of)).flatten();
    // No child is to take the address of a gateway, or one that no station can have.
    let is_free = claims.is_empty() && other.is_none();
    rules.extend(other);
    rules.extend(of_conflicts(of));
    rules.extend(of_parent(of));
    rules.extend(elsewhere(of));
    rules.extend(unreadable(of, claims));
    let answers =
        reason.is_none_or(|reason| matches!(reason, Reason::ArpAnswered | Reason::NdAnswered));
    if let Some(reason) = reason.filter(|_| !answers) {
        if !has(&rules, reason.word()) {
            let mend = mend::of_frame(of, reason).filter(|_| is_free || is_of_agent(reason));
            let described = rule(reason.word(), reason.description().trim());
            rules.insert(0, AppliedRule { mend, ..described });
        }
        let word = word(reason);
        if let Some(rule) = rules.iter_mut().find(|rule| rule.reason == word) {
            rule.decides = true;
        }
    }
    rules
}

/// Returns whether a reason is about the agent, whatever the address is.
const fn is_of_agent(reason: Reason) -> bool {
    matches!(reason, Reason::Stale | Reason::NotReady)
}

/// Returns the rules about an address of a child.
fn of_claim(of: &Explaining<'_>, claim: &ClaimedAddress<'_>) -> Vec<AppliedRule> {
    let refusals = claim.refusals.iter().map(|refusal| AppliedRule {
        child: Some(claim.child.name.to_string()),
        mend: mend::of_rule(of, claim, *refusal),
        ..rule(refusal.reason.word(), text(of, claim, *refusal))
    });
    let mut rules: Vec<_> = refusals.collect();
    let is_full = of.serving.no_room.contains(&of.address);
    if is_full {
        rules.push(AppliedRule {
            child: Some(claim.child.name.to_string()),
            mend: Some("start the agent with a larger --max-addresses".to_owned()),
            ..rule(MAP_FULL, "the address map has no entry left for it")
        });
    }
    if claim.reach == Reach::OffLink {
        let address = of.address;
        rules.push(AppliedRule {
            child: Some(claim.child.name.to_string()),
            mend: Some(format!(
                "ip route add {address} dev {}, or --allow {address} in the settings",
                shell(of.serving.link.name.as_str(), "PARENT")
            )),
            ..rule(
                Reason::OffLink.word(),
                "off-link for the host, and no --allow covers it: it attracts no packets of the host; requests of the \
                 LAN are not concerned",
            )
        });
    }
    rules
}

/// Returns a rule in words.
fn text(of: &Explaining<'_>, claim: &ClaimedAddress<'_>, refusal: Refusal) -> String {
    let by = if refusal.is_of_rule {
        let rules = &of.policy.rules;
        let applied = claim.child.rule.and_then(|index| rules.get(index));
        let place = applied.map_or("[[rule]]", |rule| &rule.place);
        format!("the rule at {place}")
    } else {
        "the settings for all children".to_owned()
    };
    let snapshot = of.kernel.snapshot();
    match refusal.reason {
        Reason::Denied => match refusal.prefix {
            Some(prefix) => format!("{by} deny {prefix}"),
            None => format!("{by} has `answer = false`"),
        },
        Reason::NotAllowed => format!("{by} allow other prefixes only"),
        Reason::OverQuota => format!(
            "the netns has more addresses than its quota ({})",
            snapshot.addresses_of(claim.child.key.netns)
        ),
        Reason::Duplicate => {
            let mut stations = of.serving.lan.duplicates();
            let station = stations.find(|(address, ..)| *address == of.address);
            let station = station.map_or_else(
                || "a station on the LAN".to_owned(),
                |(.., mac)| format!("the station with MAC {}", colons(mac)),
            );
            format!("{station} has the address: it is withheld")
        }
        Reason::ParentDown => format!("`{}` is down", of.serving.link.name),
        other => other.description().trim().trim_end_matches('.').to_owned(),
    }
}

/// Returns what is known of an address that no child of the parent has.
fn without_owner(of: &Explaining<'_>) -> Option<AppliedRule> {
    let snapshot = of.kernel.snapshot();
    let link = &of.serving.link;
    let entry = of.serving.installed.addresses().get(&of.address);
    match entry.map(|entry| (entry.owner(), entry.refusal())) {
        Some((Some(ipvlan_common::Owner::Host), Some(reason))) => {
            Some(rule(reason.word(), reason.description().trim()))
        }
        Some((Some(ipvlan_common::Owner::Host), None)) => Some(rule(
            Reason::HostAddress.word(),
            "an address of the host: its own stack answers",
        )),
        Some((Some(ipvlan_common::Owner::Gateway), _)) => Some(rule(
            Reason::GatewayAddress.word(),
            "a next hop of a route of the host: its owner answers",
        )),
        _ => reserved(snapshot, link, of.address).map(|reason| AppliedRule {
            mend: Some("none: no station can have this address".to_owned()),
            ..rule(reason.word(), reason.description().trim())
        }),
    }
}

/// Returns the conflicts about the address that refuse nothing by themselves.
fn of_conflicts(of: &Explaining<'_>) -> Vec<AppliedRule> {
    let snapshot = of.kernel.snapshot();
    let conflicts = of.serving.desired.conflicts.iter();
    let of_address = conflicts.filter(|conflict| conflict.address == of.address);
    let name = |key: ChildKey| {
        let mut children = snapshot.children_of(key.netns).iter();
        let child = children.find(|child| child.ifindex == key.ifindex);
        child.map_or_else(String::new, |child| child.name.to_string())
    };
    of_address
        .filter_map(|conflict| {
            let (reason, text, mend) = match conflict.rival {
                Rival::Sibling(other) => (
                    "sibling_address",
                    format!("the child `{}` has it too, and is the one that is answered", name(other)),
                    "remove it from one of them",
                ),
                Rival::OtherParent { child, .. } => (
                    "other_parent",
                    format!("the child `{}` of another parent has it too: both are answered", name(child)),
                    "remove it from one of them, unless the LANs are separate",
                ),
                Rival::NextHop => (
                    "next_hop",
                    "a route of the host has it as a next hop; the child had it before, and is answered".to_owned(),
                    "remove the route, or `next-hop = true` in a [[rule]]",
                ),
                // Refusals of the child's address.
                Rival::Peer(_) | Rival::Host { .. } | Rival::Gateway => return None,
            };
            Some(AppliedRule {
                child: Some(name(conflict.child)),
                mend: Some(mend.to_owned()),
                ..rule(reason, text)
            })
        })
        .collect()
}

/// Returns the rules about the parent, whatever the address is.
fn of_parent(of: &Explaining<'_>) -> Vec<AppliedRule> {
    let serving = of.serving;
    let mut rules = Vec::new();
    if let Some(failure) = &serving.failure {
        rules.push(AppliedRule {
            mend: Some("see `ipvlan status` and the log".to_owned()),
            ..rule(
                "sync_failed",
                format!("the last sync was not complete: {failure}"),
            )
        });
    }
    if let Some(impeded) = serving.datapath.degraded() {
        rules.push(AppliedRule {
            mend: Some("--order first, or detach the other program".to_owned()),
            ..rule(
                "foreign_program",
                format!("frames may not reach the programs: {impeded}"),
            )
        });
    }
    if !serving.datapath.has_host_access() {
        rules.push(AppliedRule {
            mend: Some("--host-access=true".to_owned()),
            ..rule(
                "no_host_access",
                "host and children do not reach each other",
            )
        });
    }
    rules
}

/// Returns the children of other parents that have the address, if no agent's programs are attached to these.
fn elsewhere(of: &Explaining<'_>) -> Vec<AppliedRule> {
    let snapshot = of.kernel.snapshot();
    let link = &of.serving.link;
    let children = snapshot.children.iter();
    let elsewhere = children.filter(|child| {
        let mut addresses = child.addresses.iter();
        child.parent_ifindex != link.ifindex && addresses.any(|it| it.local == of.address)
    });
    elsewhere
        .map(|child| {
            let parent: Option<&Link> = snapshot.link(child.parent_ifindex);
            let name = parent.map_or("another parent", |link| link.name.as_str());
            let mut served = of.parents.serving();
            let is_served = served.any(|it| it.link.ifindex == child.parent_ifindex);
            let shown = shell(name, "PARENT");
            let (reason, text, mend) = if is_served {
                (
                    "other_parent",
                    format!("a child of `{name}` has it: it is answered on the LAN of `{name}`, not on that of `{}`", link.name),
                    format!("ipvlan explain {} --parent {shown}", of.address),
                )
            } else {
                (
                    "not_served",
                    format!("a child of `{name}` has it, and this agent does not serve `{name}`"),
                    format!("ipvlan run --iface {shown}"),
                )
            };
            AppliedRule {
                child: Some(child.name.to_string()),
                mend: Some(mend),
                ..rule(reason, text)
            }
        })
        .collect()
}

/// Returns the netns that are not read, of the children that have the address; if none has it, all of them: one can.
fn unreadable(of: &Explaining<'_>, claims: &[ClaimedAddress<'_>]) -> Vec<AppliedRule> {
    let snapshot = of.kernel.snapshot();
    let is_concerned =
        |id: &NetnsId| claims.is_empty() || claims.iter().any(|claim| claim.child.key.netns == *id);
    let unread = snapshot.unread.iter().chain(&snapshot.outdated);
    let unread = unread.filter(|id| is_concerned(id)).take(UNREADABLE);
    let mut rules: Vec<_> = unread
        .map(|&id| {
            let label = snapshot.netns_label(id);
            AppliedRule {
                mend: Some("see `ipvlan status` for the cause".to_owned()),
                ..rule(
                    "netns_unreadable",
                    format!(
                        "the netns {label} cannot be read: what its children have now is not known"
                    ),
                )
            }
        })
        .collect();
    let over = snapshot.children.iter().find(|child| child.over_quota);
    if let (true, Some(child)) = (claims.is_empty(), over) {
        rules.push(AppliedRule {
            mend: Some("--netns-addresses, or `addresses` of a [[rule]]".to_owned()),
            ..rule(
                Reason::OverQuota.word(),
                format!(
                    "the netns {} exceeds its quota: addresses beyond it are not known",
                    snapshot.netns_label(child.netns)
                ),
            )
        });
    }
    rules
}
