//! Rules of the operator for single children.

mod glob;

use std::{net::IpAddr, path::Path};

use ipvlan_common::Reason;

pub use self::glob::{Glob, GlobError};
use super::{Policy, Prefix, Refusal, policy};

/// Directories in which only the host's root can bind a netns to a file.
///
/// A file elsewhere may come out of a container, through a mount that propagates to the host.
const NAMED: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// Settings for the children that it matches. It narrows what the settings for all children permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it is written: `FILE:LINE`.
    pub place: String,
    /// Patterns of the netns: of a file that it is bound to. One without a slash is a pattern of names in
    /// `/run/netns` and `/run/docker/netns`. Empty for every netns.
    pub netns: Vec<Glob>,
    /// Patterns of the child's name in its netns, which its container can change. Empty for every name.
    pub name: Vec<Glob>,
    /// Patterns of the parent's name. Empty for every parent.
    pub parent: Vec<Glob>,
    /// The only prefixes whose addresses are answered; empty for those that are allowed for all children.
    pub allow: Vec<Prefix>,
    /// Prefixes whose addresses are not answered.
    pub deny: Vec<Prefix>,
    /// Quota of addresses of the netns; none for that of all.
    pub addresses: Option<u32>,
    /// Whether the child may have the address of a next hop of the host's routes.
    pub next_hop: bool,
    /// Whether any address is answered.
    pub answer: bool,
}

impl Default for Rule {
    /// Returns a rule that matches every child and changes nothing.
    fn default() -> Self {
        Self {
            place: String::new(),
            netns: Vec::new(),
            name: Vec::new(),
            parent: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            addresses: None,
            next_hop: false,
            answer: true,
        }
    }
}

/// Why a rule cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It grants something to whatever container gives its link a name.
    #[error(
        "this grants something, and a container can rename its link: match by `netns` too, or leave `name` out"
    )]
    GrantByName(&'static str),
    /// It limits a whole netns, but matches some of its children.
    #[error("this is the quota of a whole netns: match by `netns` alone, or by nothing")]
    QuotaOfChildren,
}

impl RuleError {
    /// Returns the key that is wrong.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::GrantByName(key) => key,
            Self::QuotaOfChildren => "addresses",
        }
    }
}

/// What rules match a child by.
#[derive(Clone, Copy, Debug)]
pub struct ChildContext<'a> {
    /// Files that its netns is bound to, as absolute paths.
    pub netns: &'a [String],
    /// Its name in its netns, as `status` shows it.
    pub name: &'a str,
    /// Its parent's name.
    pub parent: &'a str,
}

/// The settings that apply to a child: those for all children, narrowed by the first rule that matches.
#[derive(Clone, Copy, Debug)]
pub struct ChildPolicy<'a> {
    policy: &'a Policy,
    rule: Option<(usize, &'a Rule)>,
}

impl Rule {
    /// Checks that it grants nothing to a container that only had to rename its link.
    pub fn check(&self) -> Result<(), RuleError> {
        let is_quota_of_children =
            self.addresses.is_some() && !(self.name.is_empty() && self.parent.is_empty());
        let is_by_name = !self.name.is_empty()
            && (self.netns.is_empty() || self.netns.iter().any(Glob::is_of_all));
        if is_quota_of_children {
            Err(RuleError::QuotaOfChildren)
        } else if is_by_name && !self.allow.is_empty() {
            Err(RuleError::GrantByName("allow"))
        } else if is_by_name && self.next_hop {
            Err(RuleError::GrantByName("next-hop"))
        } else {
            Ok(())
        }
    }

    fn matches(&self, child: &ChildContext<'_>) -> bool {
        let any =
            |globs: &[Glob], text| globs.is_empty() || globs.iter().any(|glob| glob.matches(text));
        any(&self.parent, child.parent) && any(&self.name, child.name) && self.is_of(child.netns)
    }

    /// Returns whether it matches a netns that is bound to these files.
    fn is_of(&self, files: &[String]) -> bool {
        self.netns.is_empty()
            || files
                .iter()
                .any(|file| self.netns.iter().any(|glob| is_netns(glob, file)))
    }
}

/// Returns whether a pattern matches a file that a netns is bound to.
fn is_netns(glob: &Glob, file: &str) -> bool {
    if glob.is_of_paths() {
        return glob.matches(file);
    }
    let path = Path::new(file);
    let is_named = path
        .parent()
        .is_some_and(|parent| NAMED.iter().any(|named| parent == Path::new(named)));
    let name = path.file_name().and_then(|name| name.to_str());
    is_named && name.is_some_and(|name| glob.matches(name))
}

impl Policy {
    /// Returns the settings that apply to a child.
    #[must_use]
    pub fn of_child(&self, child: &ChildContext<'_>) -> ChildPolicy<'_> {
        let mut rules = self.rules.iter().enumerate();
        ChildPolicy {
            policy: self,
            rule: rules.find(|(_, rule)| rule.matches(child)),
        }
    }

    /// Returns the quota of addresses of a netns that is bound to these files, if a rule gives it one: the first
    /// rule that matches by the netns alone.
    #[must_use]
    pub fn quota_of(&self, files: &[String]) -> Option<u32> {
        self.rules
            .iter()
            .filter(|rule| rule.name.is_empty() && rule.parent.is_empty())
            .find(|rule| rule.is_of(files))
            .and_then(|rule| rule.addresses)
    }
}

impl<'a> ChildPolicy<'a> {
    /// Returns the index of the rule that applies.
    #[must_use]
    pub fn rule(&self) -> Option<usize> {
        self.rule.map(|(index, _)| index)
    }

    /// Returns why an address of the child is not answered, if the settings forbid it.
    #[must_use]
    pub fn refusal(&self, address: IpAddr) -> Option<Reason> {
        self.refusals(address).next().map(|refusal| refusal.reason)
    }

    /// Returns all settings by which an address of the child is not answered: those for all children first.
    pub(super) fn refusals(self, address: IpAddr) -> impl Iterator<Item = Refusal> + use<'a> {
        let rule = self.rule.map(|(_, rule)| rule);
        let answer = rule.filter(|rule| !rule.answer);
        let answer = answer.map(|_| Refusal::from(Reason::Denied));
        let lists = rule
            .filter(|rule| rule.answer)
            .into_iter()
            .flat_map(move |rule| policy::refusals(&rule.allow, &rule.deny, address));
        let of_rule = answer.into_iter().chain(lists).map(|refusal| Refusal {
            is_of_rule: true,
            ..refusal
        });
        self.policy.refusals(address).chain(of_rule)
    }

    /// Returns whether a prefix that the operator allowed covers this address: the child's is the host's
    /// traffic for it, even if the host routes that elsewhere.
    ///
    /// It takes a list, for all children or for this one, and every list there is has to cover the address.
    #[must_use]
    pub fn allows_explicitly(&self, address: IpAddr) -> bool {
        let of_rule = self.rule.map_or(&[][..], |(_, rule)| &rule.allow);
        let lists = [&self.policy.allow[..], of_rule];
        let covers = |list: &[Prefix]| list.is_empty() || policy::covers(list, address);
        lists.iter().any(|list| !list.is_empty())
            && lists.into_iter().all(covers)
            && self.refusal(address).is_none()
    }

    /// Returns whether the operator made the child a next hop.
    #[must_use]
    pub fn may_be_next_hop(&self) -> bool {
        self.rule.is_some_and(|(_, rule)| rule.next_hop)
    }
}

#[cfg(test)]
mod tests;
