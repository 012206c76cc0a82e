//! What the user asked for.

use std::net::IpAddr;

use ipvlan_common::Reason;

use super::Prefix;

/// What the user asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What happens to neighbour requests from the wire for l2 children.
    pub l2_broadcast: L2Broadcast,
    /// How packets reach children in the parent's own netns.
    pub deliver: Deliver,
    /// Answer for children's addresses in 169.254.0.0/16.
    pub answer_link_local: bool,
    /// Answer for addresses in these only; a family without any is not restricted.
    pub allow: Vec<Prefix>,
    /// Never answer for addresses in these, allowed or not.
    pub deny: Vec<Prefix>,
}

impl Policy {
    /// Why an address is not answered for, if the user does not want it.
    ///
    /// Prefixes of one family say nothing about the other. Link-local IPv6 addresses are addresses
    /// like all others: `--allow 2001:db8::/32` leaves out `fe80::/10`.
    pub(super) fn refusal(&self, address: IpAddr) -> Option<Reason> {
        let covers = |prefixes: &[Prefix]| prefixes.iter().any(|prefix| prefix.contains(address));
        let is_restricted = self
            .allow
            .iter()
            .any(|prefix| prefix.is_ipv4() == address.is_ipv4());
        if covers(&self.deny) {
            Some(Reason::Denied)
        } else if is_restricted && !covers(&self.allow) {
            Some(Reason::NotAllowed)
        } else {
            None
        }
    }
}

/// What happens to neighbour requests from the wire for l2 children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum L2Broadcast {
    /// Answered, or dropped if they are for nobody here, before the driver clones them.
    #[default]
    Filter,
    /// Left to the kernel, which clones each to every child.
    Flood,
}

/// How packets reach children in the parent's own netns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Deliver {
    /// What was measured cheaper: pass, on every kernel so far.
    #[default]
    Auto,
    /// The driver delivers them.
    Pass,
    /// The ingress program redirects them to the child.
    Redirect,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deny_beats_allow_and_families_do_not_restrict_each_other() {
        use Reason::{Denied, NotAllowed};
        // allow, deny, address, refusal
        type Row<'a> = (&'a [&'a str], &'a [&'a str], &'a str, Option<Reason>);
        let rows: [Row; 11] = [
            (&[], &[], "10.0.0.1", None),
            (&["10.0.0.0/8"], &[], "10.0.0.1", None),
            (&["10.0.0.0/8"], &[], "11.0.0.1", Some(NotAllowed)),
            (&["10.0.0.0/8"], &[], "2001:db8::1", None),
            (&["2001:db8::/32"], &[], "10.0.0.1", None),
            (&["2001:db8::/32"], &[], "fe80::1", Some(NotAllowed)),
            (&["2001:db8::/32", "fe80::/10"], &[], "fe80::1", None),
            (&["10.0.0.0/8", "11.0.0.0/8"], &[], "11.0.0.1", None),
            (&["10.0.0.0/8"], &["10.0.0.1"], "10.0.0.1", Some(Denied)),
            (&["10.0.0.0/8"], &["11.0.0.0/8"], "11.0.0.1", Some(Denied)),
            (&[], &["::/0"], "10.0.0.1", None),
        ];
        for (allow, deny, address, refusal) in rows {
            let prefixes =
                |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
            let policy = Policy {
                allow: prefixes(allow),
                deny: prefixes(deny),
                ..Policy::default()
            };
            let address = address.parse().unwrap();
            assert_eq!(
                policy.refusal(address),
                refusal,
                "{allow:?} {deny:?} {address}"
            );
        }
    }
}
