//! What is decided about each child and each of its addresses.

use std::{collections::BTreeMap, net::IpAddr};

use ipvlan_common::{Delivery, Reason};

use super::{
    ChildContext, ChildKey, ChildPolicy, Deliver, DesiredEntry, History, Policy, Reach,
    owners::{Owners, is_link_local, is_link_local_v6},
};
use crate::facts::{
    Child, ChildAddress, Dad, Kind, Link, LinkName, LinkStats, Mode, NetnsId, Snapshot,
};

/// A child and what was decided about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildView {
    /// Its identity.
    pub key: ChildKey,
    /// Its name, in its own netns.
    pub name: LinkName,
    /// What it is.
    pub kind: Kind,
    /// Administratively up.
    pub up: bool,
    /// Forwards IPv6.
    pub forwarding: bool,
    /// How it gets its packets.
    pub delivery: Delivery,
    /// The kernel answers ARP requests from the wire for it: an l2 child in the host's own netns.
    ///
    /// The host must see those requests to learn who asked. It need not see solicitations: those of
    /// its own are from an address of the link they leave by, and the answer comes back to it.
    pub arp_by_kernel: bool,
    /// What the kernel counted on it.
    pub stats: LinkStats,
    /// Index of the rule that applies to it.
    pub rule: Option<usize>,
    /// Its addresses.
    pub addresses: Vec<AddressView>,
}

/// An address of a child and what was decided about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressView {
    /// The address.
    pub address: IpAddr,
    /// The other end of a point-to-point address.
    pub peer: Option<IpAddr>,
    /// Length of its prefix.
    pub prefix_len: u8,
    /// In use before duplicate address detection has ended (RFC 4429).
    pub optimistic: bool,
    /// Which packets of the host it attracts.
    pub reach: Reach,
    /// The host's kernel would answer requests from it for some of the host's addresses only; see
    /// [`AddressEntry::with_barred`](ipvlan_common::AddressEntry::with_barred).
    pub barred: bool,
    /// Why it is not answered for; `None` if it is.
    pub refusal: Option<Reason>,
}

impl AddressView {
    /// Whether it is answered for, or is not only for what the LAN says.
    #[must_use]
    pub const fn is_candidate(&self) -> bool {
        matches!(
            self.refusal,
            None | Some(Reason::Probing | Reason::Duplicate)
        )
    }

    /// Returns whether it belongs into the address map: what the driver does not deliver to this child does
    /// not, nor does what its netns has beyond its quota.
    pub(super) fn is_claim(&self) -> bool {
        !matches!(self.refusal, Some(Reason::PeerAddress | Reason::OverQuota))
    }
}

impl ChildView {
    /// Keys and values for the address map.
    pub(super) fn desired_entries(&self) -> impl Iterator<Item = (IpAddr, DesiredEntry)> {
        self.addresses
            .iter()
            .filter(|view| view.is_claim())
            .map(|view| (view.address, self.desired_entry(view)))
    }

    /// Returns the desired entry of one of its addresses, unless another owner takes precedence.
    pub(super) fn desired_entry(&self, view: &AddressView) -> DesiredEntry {
        let is_v6 = view.address.is_ipv6();
        DesiredEntry::Child {
            child: self.key,
            delivery: self.delivery,
            refusal: view.refusal,
            arp_by_kernel: self.arp_by_kernel && !is_v6,
            router: self.forwarding && is_v6,
            optimistic: view.optimistic,
            reach: view.reach,
            barred: view.barred,
        }
    }

    /// How many of its addresses are answered for.
    pub(super) fn answered(&self) -> usize {
        let answered = |view: &&AddressView| view.refusal.is_none();
        self.addresses.iter().filter(answered).count()
    }

    /// Whether they differ in nothing but their addresses and counters.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        let Self {
            key,
            name,
            kind,
            up,
            forwarding,
            delivery,
            arp_by_kernel,
            stats: _,
            rule,
            addresses: _,
        } = self;
        *key == other.key
            && *name == other.name
            && *kind == other.kind
            && *up == other.up
            && *forwarding == other.forwarding
            && *delivery == other.delivery
            && *arp_by_kernel == other.arp_by_kernel
            && *rule == other.rule
    }
}

/// The facts against which children are judged.
pub(super) struct Rules<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) owners: &'a Owners,
    pub(super) parent: &'a Link,
    pub(super) policy: &'a Policy,
    pub(super) withheld: &'a BTreeMap<IpAddr, Reason>,
    pub(super) history: &'a History,
}

impl Rules<'_> {
    pub(super) fn child(&self, child: &Child) -> ChildView {
        let is_own = child.netns == NetnsId::Own;
        let (may_be_redirected, has_own_arp) = match child.kind {
            // Redirecting past the host's stack would bypass its INPUT hook, which l3s is for.
            Kind::Ipvlan(port) => (is_own && port.mode != Mode::L3s, port.mode == Mode::L2),
        };
        let delivery = if self.policy.deliver == Deliver::Redirect && may_be_redirected {
            Delivery::Redirect(child.ifindex)
        } else {
            Delivery::Pass
        };
        let policy = self.policy_of(child);
        ChildView {
            key: ChildKey::from(child),
            name: child.name.clone(),
            kind: child.kind,
            up: child.up,
            forwarding: child.forwarding,
            delivery,
            arp_by_kernel: is_own && has_own_arp,
            stats: child.stats,
            rule: policy.rule(),
            addresses: child
                .addresses
                .iter()
                .map(|address| self.address(child, policy, address))
                .collect(),
        }
    }

    fn address(
        &self,
        child: &Child,
        policy: ChildPolicy<'_>,
        address: &ChildAddress,
    ) -> AddressView {
        let refusals = self.refusals(child, policy, address);
        let refusal = refusals.map(|refusal| refusal.reason).next();
        AddressView {
            address: address.local,
            peer: address.peer,
            prefix_len: address.prefix_len,
            optimistic: address.dad() == Dad::Optimistic,
            reach: refusal.map_or_else(
                || self.reach(child, policy, address.local),
                |_| Reach::default(),
            ),
            barred: match child.kind {
                Kind::Ipvlan(port) => port.mode == Mode::L2,
            } && self.owners.is_barred(address.local),
            refusal,
        }
    }

    /// Returns the operator's settings for a child. Its netns is looked for only if there is a rule.
    pub(super) fn policy_of(&self, child: &Child) -> ChildPolicy<'_> {
        let netns = (!self.policy.rules.is_empty())
            .then(|| self.snapshot.netns(child.netns))
            .flatten();
        self.policy.of_child(&ChildContext {
            netns: netns.map_or(&[], |netns| &netns.files),
            name: child.name.as_str(),
            parent: self.parent.name.as_str(),
        })
    }

    /// Returns which packets of the host an answered address attracts.
    ///
    /// The host reaches a child that it is on-link with by the parent's own MAC, and one in its own netns
    /// locally. Any other child would receive packets that the host routes to another destination, which
    /// is the operator's to allow and not the child's. Packets to link-local addresses (RFC 3927 §2.7,
    /// RFC 4291 §2.5.6) are never routed.
    pub(super) fn reach(&self, child: &Child, policy: ChildPolicy<'_>, address: IpAddr) -> Reach {
        if child.netns == NetnsId::Own
            || is_link_local_v6(address)
            || self.owners.is_on_link(address)
        {
            Reach::OnLink
        } else if !is_link_local(address) && policy.allows_explicitly(address) {
            Reach::Routed
        } else if self.owners.may_be_on_link(address) {
            Reach::OnLink
        } else {
            Reach::OffLink
        }
    }
}
