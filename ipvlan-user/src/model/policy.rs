//! The operator's settings of what is answered, and how packets are delivered.

use std::{iter, net::IpAddr};

use ipvlan_common::Reason;

use super::{Prefix, Refusal, Rule, owners::is_link_local_v6};

/// The operator's settings of what is answered, and how packets are delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What happens to neighbour requests from the wire for l2 children.
    pub l2_broadcast: L2Broadcast,
    /// How packets reach children in the parent's own netns.
    pub deliver: Deliver,
    /// Whether DHCP requests of l2 children get the broadcast flag.
    pub dhcp: Dhcp,
    /// Whether children's addresses in 169.254.0.0/16 are answered.
    pub answer_link_local: bool,
    /// The only prefixes whose addresses are answered, of both families; empty for all addresses.
    /// Link-local IPv6 addresses are not restricted by it.
    pub allow: Vec<Prefix>,
    /// Prefixes whose addresses are never answered, allowed or not.
    pub deny: Vec<Prefix>,
    /// Settings of single children; of those that match one, the first applies.
    pub rules: Vec<Rule>,
}

impl Policy {
    /// Returns the settings by which an address is not answered whatever child has it.
    pub(super) fn refusals(&self, address: IpAddr) -> impl Iterator<Item = Refusal> {
        refusals(&self.allow, &self.deny, address)
    }

    /// Returns what the operator may not have intended.
    pub(crate) fn note(&self) -> Option<&'static str> {
        let has = |is_ipv4| self.allow.iter().any(|prefix| prefix.is_ipv4() == is_ipv4);
        match (has(true), has(false)) {
            (true, false) => Some(ONLY_IPV4),
            (false, true) => Some(ONLY_IPV6),
            _ => None,
        }
    }
}

const ONLY_IPV4: &str = "--allow names IPv4 prefixes only: IPv6 addresses other than link-local are not \
     answered; add the IPv6 prefixes of the children, or ::/0 for all";
const ONLY_IPV6: &str = "--allow names IPv6 prefixes only: IPv4 addresses are not answered; add the IPv4 \
     prefixes of the children, or 0.0.0.0/0 for all";

/// Returns how these lists refuse an address, if they do: `deny` first.
///
/// A list of allowed prefixes is complete: an address of either family that none of them covers is refused.
/// Link-local IPv6 addresses are exempt, since every IPv6 link runs on them and they are never routed; `deny`
/// covers them as it does all others.
pub(super) fn refusals(
    allow: &[Prefix],
    deny: &[Prefix],
    address: IpAddr,
) -> impl Iterator<Item = Refusal> {
    let denied = deny.iter().find(|prefix| prefix.contains(address));
    let denied = denied.map(|&prefix| Refusal {
        prefix: Some(prefix),
        ..Reason::Denied.into()
    });
    let not_allowed = move || {
        let is_allowed = allow.is_empty() || is_link_local_v6(address) || covers(allow, address);
        (!is_allowed).then(|| Reason::NotAllowed.into())
    };
    denied
        .into_iter()
        .chain(iter::once_with(not_allowed).flatten())
}

pub(super) fn covers(prefixes: &[Prefix], address: IpAddr) -> bool {
    prefixes.iter().any(|prefix| prefix.contains(address))
}

/// What happens to neighbour requests from the wire for l2 children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum L2Broadcast {
    /// Answered, or dropped if their target is unowned, before the driver clones them.
    #[default]
    Filter,
    /// Passed to the kernel, which clones each to every child.
    Flood,
}

/// How packets reach children in the parent's own netns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deliver {
    /// The cheaper one as measured: pass, on every kernel so far.
    #[default]
    Auto,
    /// The driver delivers them.
    Pass,
    /// The ingress program redirects them to the child.
    Redirect,
}

/// Whether DHCP requests of l2 children get the broadcast flag (RFC 2131 §4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dhcp {
    /// Set while the parent has children in mode l2: the driver delivers a broadcast offer to a child that has no
    /// address yet.
    #[default]
    Auto,
    /// Passed on as they are.
    Off,
}

#[cfg(test)]
mod tests {
    use super::{super::ChildContext, *};

    fn prefixes(texts: &[&str]) -> Vec<Prefix> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn policy(allow: &[&str], deny: &[&str]) -> Policy {
        Policy {
            allow: prefixes(allow),
            deny: prefixes(deny),
            ..Policy::default()
        }
    }

    #[test]
    fn an_allow_list_is_complete_and_deny_takes_precedence() {
        const TEN: &[&str] = &["10.0.0.0/8"];
        const DOC: &[&str] = &["2001:db8::/32"];
        use Reason::{Denied, NotAllowed};
        // allow, deny, address, refusal, explicitly allowed
        type Row<'a> = (&'a [&'a str], &'a [&'a str], &'a str, Option<Reason>, bool);
        let child = ChildContext {
            netns: &[],
            name: "eth0",
            parent: "ens34",
        };
        let rows: [Row; 17] = [
            (&[], &[], "10.0.0.1", None, false),
            (&[], &[], "2001:db8::1", None, false),
            (TEN, &[], "10.0.0.1", None, true),
            (TEN, &[], "11.0.0.1", Some(NotAllowed), false),
            (TEN, &[], "2001:db8::1", Some(NotAllowed), false),
            (&["10.0.0.0/8", "::/0"], &[], "2001:db8::1", None, true),
            (TEN, &[], "fe80::1", None, false),
            (TEN, &["fe80::/10"], "fe80::1", Some(Denied), false),
            (DOC, &[], "10.0.0.1", Some(NotAllowed), false),
            (&["2001:db8::/32", "0.0.0.0/0"], &[], "10.0.0.1", None, true),
            (DOC, &[], "169.254.1.1", Some(NotAllowed), false),
            (DOC, &[], "fe80::1", None, false),
            (&["2001:db8::/32", "fe80::/10"], &[], "fe80::1", None, true),
            (&["10.0.0.0/8", "11.0.0.0/8"], &[], "11.0.0.1", None, true),
            (TEN, &["10.0.0.1"], "10.0.0.1", Some(Denied), false),
            (TEN, &["11.0.0.0/8"], "11.0.0.1", Some(Denied), false),
            (&[], &["::/0"], "10.0.0.1", None, false),
        ];
        for (allow, deny, address, refusal, is_explicit) in rows {
            let policy = policy(allow, deny);
            let address = address.parse().unwrap();
            let of_child = policy.of_child(&child);
            let decided = (
                of_child.refusal(address),
                of_child.allows_explicitly(address),
            );
            let expected = (refusal, is_explicit);
            assert_eq!(decided, expected, "{allow:?} {deny:?} {address}");
        }
    }

    #[test]
    fn an_allow_list_of_one_family_is_noted() {
        for (allow, note) in [
            (&[][..], None),
            (&["10.0.0.0/8"], Some(ONLY_IPV4)),
            (&["::/0"], Some(ONLY_IPV6)),
            (&["10.0.0.0/8", "::/0"], None),
        ] {
            assert_eq!(policy(allow, &["::/0"]).note(), note, "{allow:?}");
        }
    }
}
