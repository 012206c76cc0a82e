//! The rules by which an address of a child is not answered: the guard.
//!
//! The first rule that applies decides, and is the reason in the address map. [`Desired::claims`] returns all of them.

use std::{
    collections::BTreeMap,
    iter,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipvlan_common::Reason;

use super::{
    AddressView, ChildPolicy, ChildView, Desired, History, Policy, Prefix, Reach,
    child::Rules,
    owners::{Owners, broadcast, own_children, refusal_while},
};
use crate::facts::{Child, ChildAddress, Dad, Link, Snapshot};

/// A rule that refuses an address of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason in the address map.
    pub reason: Reason,
    /// The denied prefix that covers the address.
    pub prefix: Option<Prefix>,
    /// Whether the rule of the configuration that applies to the child refuses it, not the settings for all children.
    pub is_of_rule: bool,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            prefix: None,
            is_of_rule: false,
        }
    }
}

/// An address of a child, with every rule that applies to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedAddress<'a> {
    /// The child.
    pub child: &'a ChildView,
    /// The address.
    pub address: &'a AddressView,
    /// The rules that refuse it; the first one decides.
    pub refusals: Vec<Refusal>,
    /// Which packets of the host it attracts if nothing refuses it.
    pub reach: Reach,
}

impl Desired {
    /// Returns the children of this parent that have an address, each with every rule that applies to it.
    ///
    /// The arguments are those of the decision that this is the result of.
    #[must_use]
    pub fn claims(
        &self,
        history: &History,
        snapshot: &Snapshot,
        parent: &Link,
        policy: &Policy,
        withheld: &BTreeMap<IpAddr, Reason>,
        address: IpAddr,
    ) -> Vec<ClaimedAddress<'_>> {
        let owners = Owners::new(snapshot, parent, &own_children(snapshot, parent));
        let rules = Rules {
            snapshot,
            owners: &owners,
            parent,
            policy,
            withheld,
            history,
        };
        let views = self.children.iter().flat_map(|child| {
            let addresses = child.addresses.iter().enumerate();
            addresses.map(move |(index, view)| (child, index, view))
        });
        let views = views.filter(|(.., view)| view.address == address);
        views
            .filter_map(|(view, index, address)| {
                let mut children = snapshot.children_of(view.key.netns).iter();
                let child = children.find(|child| child.ifindex == view.key.ifindex)?;
                let known = child.addresses.get(index)?;
                let of_child = rules.policy_of(child);
                let refusals = rules.refusals(child, of_child, known);
                // The quota takes precedence over all other rules.
                let over = address.refusal.filter(|&it| it == Reason::OverQuota);
                let over = over.map(Refusal::from).into_iter();
                Some(ClaimedAddress {
                    child: view,
                    address,
                    refusals: over.chain(refusals).collect(),
                    reach: rules.reach(child, of_child, known.local),
                })
            })
            .collect()
    }
}

/// Returns why no station on the LAN of this parent can have an address, whatever child takes it; none if one can.
#[must_use]
pub fn reserved(snapshot: &Snapshot, parent: &Link, address: IpAddr) -> Option<Reason> {
    match address {
        IpAddr::V4(v4) => kind_of_v4(&Owners::new(snapshot, parent, &[]), v4, 32),
        IpAddr::V6(v6) => kind_of_v6(v6),
    }
}

impl Rules<'_> {
    /// Returns the rules by which an address of a child is not answered: what is wrong with the address, then who else
    /// has a claim on it, the settings of the operator, those of the child, the state of the child and of the parent,
    /// and last what the LAN says. The first decides; the rest is not evaluated for it.
    pub(super) fn refusals(
        &self,
        child: &Child,
        policy: ChildPolicy<'_>,
        address: &ChildAddress,
    ) -> impl Iterator<Item = Refusal> {
        let local = address.local;
        let is_peer = address.registered() != local;
        let address_itself = move || match local {
            IpAddr::V4(v4) => kind_of_v4(self.owners, v4, address.prefix_len),
            IpAddr::V6(v6) => kind_of_v6(v6),
        };
        let owner = move || {
            let owner = self.owners.refusal(local);
            owner.filter(|reason| {
                *reason != Reason::GatewayAddress || !self.may_be_next_hop(child, policy, local)
            })
        };
        let peer = is_peer.then_some(Reason::PeerAddress).into_iter();
        peer.chain(iter::once_with(address_itself).flatten())
            .chain(iter::once_with(owner).flatten())
            .chain(iter::once_with(move || self.link_local(local)).flatten())
            .map(Refusal::from)
            .chain(iter::once_with(move || policy.refusals(local)).flatten())
            .chain(
                iter::once_with(move || self.state(child, address))
                    .flatten()
                    .map(Refusal::from),
            )
    }

    /// Returns the rules by the settings and the state of the child, by the state of the parent, and by the LAN.
    fn state(&self, child: &Child, address: &ChildAddress) -> impl Iterator<Item = Reason> {
        let dad = address.dad();
        [
            child.arp.is_silent(address).then_some(Reason::Silent),
            refusal_while(dad).filter(|_| dad == Dad::Failed),
            (!child.up).then_some(Reason::ChildDown),
            (!self.parent.up).then_some(Reason::ParentDown),
            // An address of a child that is down is tentative because it is kept (`keep_addr_on_down`).
            refusal_while(dad).filter(|_| dad != Dad::Failed && child.up),
            self.withheld.get(&address.local).copied(),
        ]
        .into_iter()
        .flatten()
    }

    /// Returns whether a child keeps the address of a next hop: it had the address before, or the operator
    /// made it one.
    fn may_be_next_hop(&self, child: &Child, policy: ChildPolicy<'_>, address: IpAddr) -> bool {
        policy.may_be_next_hop() || self.history.is_established(address, child.into())
    }

    /// 169.254.0.0/16 is for links without any other addresses; `fe80::/10` is what every IPv6 link
    /// runs on.
    fn link_local(&self, address: IpAddr) -> Option<Reason> {
        let is_refused = matches!(address, IpAddr::V4(v4) if v4.is_link_local())
            && !self.policy.answer_link_local;
        is_refused.then_some(Reason::TargetLinkLocal)
    }
}

fn kind_of_v4(owners: &Owners, v4: Ipv4Addr, prefix_len: u8) -> Option<Reason> {
    if v4.octets()[0] == 0 {
        Some(Reason::TargetUnspecified)
    } else if v4.is_loopback() {
        Some(Reason::TargetLoopback)
    } else if v4.is_multicast() {
        Some(Reason::TargetMulticast)
    } else if v4.is_broadcast() || broadcast(v4, prefix_len) == Some(v4) || owners.is_broadcast(v4)
    {
        Some(Reason::TargetBroadcast)
    } else {
        None
    }
}

/// The kernel lets a child take IPv4-mapped ones; the others it refuses by itself (`ipv6_add_addr`).
const fn kind_of_v6(v6: Ipv6Addr) -> Option<Reason> {
    if v6.is_unspecified() {
        Some(Reason::TargetUnspecified)
    } else if v6.is_loopback() {
        Some(Reason::TargetLoopback)
    } else if v6.is_multicast() {
        Some(Reason::TargetMulticast)
    } else if v6.to_ipv4_mapped().is_some() {
        Some(Reason::TargetV4Mapped)
    } else {
        None
    }
}
