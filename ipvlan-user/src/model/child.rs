//! What is decided about each child and each of its addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use ipvlan_common::{Delivery, Owner, Reason};

use super::{ChildKey, Deliver, EgressProgram, Policy, Wanted};
use crate::discover::snapshot::{
    Child, ChildAddress, Host, Link, LinkStats, Mode, NetnsId, Snapshot,
};

/// A child and what was decided about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildView {
    /// Its identity.
    pub key: ChildKey,
    /// Its name, in its own netns.
    pub name: String,
    /// Administratively up.
    pub up: bool,
    /// How it gets its packets.
    pub delivery: Delivery,
    /// The kernel answers requests from the wire for it: an l2 child in the host's own netns.
    pub arp_by_kernel: bool,
    /// What the kernel counted on it.
    pub stats: LinkStats,
    /// Its addresses.
    pub addresses: Vec<AddressView>,
}

/// An address of a child and what was decided about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressView {
    /// The address.
    pub address: IpAddr,
    /// Length of its prefix.
    pub prefix_len: u8,
    /// Why it is not answered for; `None` if it is.
    pub refusal: Option<Reason>,
}

impl ChildView {
    /// Keys and values for the address map. What the driver does not deliver to this child does not
    /// belong there.
    pub(super) fn wanted(&self) -> impl Iterator<Item = (Ipv4Addr, Wanted)> {
        self.addresses.iter().filter_map(|view| match view.address {
            IpAddr::V4(address) if view.refusal != Some(Reason::PeerAddress) => Some((
                address,
                Wanted::Child {
                    child: self.key,
                    delivery: self.delivery,
                    refusal: view.refusal,
                    arp_by_kernel: self.arp_by_kernel,
                },
            )),
            _ => None,
        })
    }
}

/// The facts about host and parent against which children are judged.
pub(super) struct Considered<'a> {
    host: &'a Host,
    parent: &'a Link,
    policy: Policy,
    host_addresses: BTreeSet<Ipv4Addr>,
    gateways: BTreeSet<Ipv4Addr>,
    broadcasts: BTreeSet<Ipv4Addr>,
}

impl<'a> Considered<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        parent: &'a Link,
        policy: Policy,
        children: &[&Child],
    ) -> Self {
        // A child in the host's own netns holds its addresses as a child: the driver delivers them.
        let own_children: BTreeSet<u32> = children
            .iter()
            .filter(|child| child.netns == NetnsId::Own)
            .map(|child| child.ifindex)
            .collect();
        let host = &snapshot.host;
        let mut host_addresses = BTreeSet::new();
        let mut broadcasts = BTreeSet::new();
        for address in &host.addresses {
            let IpAddr::V4(v4) = address.address else {
                continue;
            };
            if own_children.contains(&address.ifindex) {
                continue;
            }
            broadcasts.extend(broadcast(v4, address.prefix_len));
            if !v4.is_loopback() {
                host_addresses.insert(v4);
            }
        }
        let gateways = host
            .gateways
            .iter()
            .filter_map(|gateway| match gateway {
                IpAddr::V4(v4) => Some(*v4),
                IpAddr::V6(_) => None,
            })
            .collect();
        Self {
            host,
            parent,
            policy,
            host_addresses,
            gateways,
            broadcasts,
        }
    }

    /// The addresses that host and gateways hold. The host's come first: it is its own gateway on
    /// some machines, and then its stack answers.
    pub(super) fn held(&self) -> BTreeMap<Ipv4Addr, Wanted> {
        let held = |owner| move |&address: &Ipv4Addr| (address, Wanted::Held(owner));
        let hosts = self.host_addresses.iter().map(held(Owner::Host));
        let gateways = self
            .gateways
            .difference(&self.host_addresses)
            .map(held(Owner::Gateway));
        hosts.chain(gateways).collect()
    }

    pub(super) fn child(&self, child: &Child) -> ChildView {
        let delivery = if self.policy.deliver == Deliver::Redirect
            && child.netns == NetnsId::Own
            // Redirecting past the host's stack would bypass its INPUT hook, which l3s is for.
            && child.mode != Mode::L3s
        {
            Delivery::Redirect
        } else {
            Delivery::Pass
        };
        ChildView {
            key: ChildKey::from(child),
            name: child.name.clone(),
            up: child.up,
            delivery,
            arp_by_kernel: child.netns == NetnsId::Own && child.mode == Mode::L2,
            stats: child.stats,
            addresses: child
                .addresses
                .iter()
                .map(|address| AddressView {
                    address: address.local,
                    prefix_len: address.prefix_len,
                    refusal: self.refusal(child, address),
                })
                .collect(),
        }
    }

    /// Why an address of a child is not answered for. What is wrong with the address comes before
    /// what is wrong with the child for now.
    fn refusal(&self, child: &Child, address: &ChildAddress) -> Option<Reason> {
        let IpAddr::V4(v4) = address.local else {
            return Some(Reason::NotReady);
        };
        if address.registered() != address.local {
            return Some(Reason::PeerAddress);
        }
        let of_address = if v4.octets()[0] == 0 {
            Some(Reason::TargetUnspecified)
        } else if v4.is_loopback() {
            Some(Reason::TargetLoopback)
        } else if v4.is_multicast() {
            Some(Reason::TargetMulticast)
        } else if v4.is_broadcast()
            || self.broadcasts.contains(&v4)
            || broadcast(v4, address.prefix_len) == Some(v4)
        {
            Some(Reason::TargetBroadcast)
        } else if self.host_addresses.contains(&v4) {
            Some(Reason::HostAddress)
        } else if self.gateways.contains(&v4) {
            Some(Reason::GatewayAddress)
        } else if v4.is_link_local() && !self.policy.answer_link_local {
            Some(Reason::TargetLinkLocal)
        } else {
            None
        };
        let of_link = || {
            if !child.up {
                Some(Reason::ChildDown)
            } else if !self.parent.up {
                Some(Reason::ParentDown)
            } else {
                None
            }
        };
        of_address.or_else(of_link)
    }

    /// A child that the host is not on-link with gets the host's packets with a gateway's MAC on
    /// them, so the MAC does not tell.
    pub(super) fn egress_program(&self, addresses: &BTreeMap<Ipv4Addr, Wanted>) -> EgressProgram {
        let routed = addresses.iter().any(|(&address, wanted)| {
            matches!(
                wanted,
                Wanted::Child {
                    child: ChildKey {
                        netns: NetnsId::Nsid(_),
                        ..
                    },
                    refusal: None,
                    ..
                }
            ) && !self.is_on_link(address)
        });
        if routed {
            EgressProgram::Routed
        } else {
            EgressProgram::OwnMac
        }
    }

    fn is_on_link(&self, address: Ipv4Addr) -> bool {
        self.host.routes_on_link.iter().any(|route| {
            matches!(route.prefix, IpAddr::V4(prefix)
                if contains(prefix, route.prefix_len, address))
        })
    }
}

/// The directed broadcast address of the prefix an address is configured with (RFC 919); a /31
/// (RFC 3021) or /32 has none.
fn broadcast(address: Ipv4Addr, prefix_len: u8) -> Option<Ipv4Addr> {
    (prefix_len <= 30).then(|| Ipv4Addr::from_bits(address.to_bits() | !netmask(prefix_len)))
}

fn contains(prefix: Ipv4Addr, prefix_len: u8, address: Ipv4Addr) -> bool {
    (prefix.to_bits() ^ address.to_bits()) & netmask(prefix_len) == 0
}

/// Netmask of a prefix length of up to 32.
fn netmask(prefix_len: u8) -> u32 {
    u32::MAX
        .checked_shl(32_u32.saturating_sub(u32::from(prefix_len)))
        .unwrap_or(0)
}
