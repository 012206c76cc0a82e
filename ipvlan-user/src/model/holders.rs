//! Who else holds addresses: the host and its gateways, as a parent's LAN sees them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use ipvlan_common::Reason;

use super::{Prefix, Wanted};
use crate::discover::snapshot::{Child, Dad, Link, NetnsId, OnLinkRoute, Snapshot};

/// What the host holds of an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// The link of the host that holds it.
    pub(super) ifindex: u32,
    wanted: Wanted,
}

/// What host and gateways hold.
pub(super) struct Holders {
    addresses: BTreeMap<IpAddr, Held>,
    gateways: BTreeSet<IpAddr>,
    /// Directed broadcast addresses of the host's prefixes.
    broadcasts: BTreeSet<Ipv4Addr>,
    /// Prefixes that the host reaches through the parent without a gateway.
    on_link: Vec<Prefix>,
}

impl Holders {
    pub(super) fn new(snapshot: &Snapshot, parent: &Link, children: &[&Child]) -> Self {
        // A child in the host's own netns holds its addresses as a child: the driver delivers them.
        let own_children: BTreeSet<u32> = children
            .iter()
            .filter(|child| child.netns == NetnsId::Own)
            .map(|child| child.ifindex)
            .collect();
        let lan = Lan { snapshot, parent };
        let host = &snapshot.host;
        let mut holders = Self {
            addresses: BTreeMap::new(),
            gateways: BTreeSet::new(),
            broadcasts: BTreeSet::new(),
            on_link: host
                .routes_on_link
                .iter()
                .filter(|route| route.oif == parent.ifindex && is_looked_up(route, parent))
                .map(|route| Prefix::of(route.prefix, route.prefix_len))
                .collect(),
        };
        for it in &host.addresses {
            if own_children.contains(&it.ifindex) {
                continue;
            }
            if let IpAddr::V4(v4) = it.address {
                holders.broadcasts.extend(broadcast(v4, it.prefix_len));
            }
            if it.address.is_loopback() || !lan.may_have(it.address, Some(it.ifindex)) {
                continue;
            }
            let wanted = Wanted::Host {
                router: it.address.is_ipv6() && parent.forwarding,
                optimistic: it.dad() == Dad::Optimistic,
                refusal: refusal_while(it.dad()),
            };
            holders.hold(it.address, it.ifindex, wanted, parent);
        }
        holders.gateways = host
            .gateways
            .iter()
            .filter(|gateway| lan.may_have(gateway.address, gateway.oif))
            .map(|gateway| gateway.address)
            // The host is its own gateway on some machines, and then its stack answers.
            .filter(|address| !holders.addresses.contains_key(address))
            .collect();
        holders
    }

    /// Of an address on several links, the parent's own says how it is advertised there.
    fn hold(&mut self, address: IpAddr, ifindex: u32, wanted: Wanted, parent: &Link) {
        let held = Held { ifindex, wanted };
        let entry = self.addresses.entry(address).or_insert(held);
        if ifindex == parent.ifindex && entry.ifindex != parent.ifindex {
            *entry = held;
        }
    }

    /// The addresses that host and gateways hold.
    pub(super) fn wanted(&self) -> BTreeMap<IpAddr, Wanted> {
        let hosts = self
            .addresses
            .iter()
            .map(|(&address, it)| (address, it.wanted));
        let gateways = self
            .gateways
            .iter()
            .map(|&address| (address, Wanted::Gateway));
        hosts.chain(gateways).collect()
    }

    /// The same for one address.
    pub(super) fn wanted_of(&self, address: IpAddr) -> Option<Wanted> {
        let gateway = || self.gateways.contains(&address).then_some(Wanted::Gateway);
        self.host(address).map(|held| held.wanted).or_else(gateway)
    }

    /// What the host holds of this address.
    pub(super) fn host(&self, address: IpAddr) -> Option<Held> {
        self.addresses.get(&address).copied()
    }

    /// Why an address that host or gateways have a claim on is not a child's to answer for.
    pub(super) fn refusal(&self, address: IpAddr) -> Option<Reason> {
        if self.addresses.contains_key(&address) {
            Some(Reason::HostAddress)
        } else if self.gateways.contains(&address) {
            Some(Reason::GatewayAddress)
        } else {
            None
        }
    }

    /// Returns whether it is the address of a next hop of the host's routes, and not the host's.
    pub(super) fn is_gateway(&self, address: IpAddr) -> bool {
        self.gateways.contains(&address)
    }

    /// Whether it is the directed broadcast address of a prefix of the host.
    pub(super) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        self.broadcasts.contains(&address)
    }

    /// Returns whether the host sends packets for this address out of the parent, to no gateway.
    pub(super) fn is_on_link(&self, address: IpAddr) -> bool {
        self.on_link.iter().any(|prefix| prefix.contains(address))
    }
}

/// Returns whether the host's lookup of any destination comes to the table of this route: main and default
/// (`fib_default_rules_init`), or that of the VRF which the parent belongs to. A table that other rules
/// name may be one that no rule uses.
const fn is_looked_up(route: &OnLinkRoute, parent: &Link) -> bool {
    const DEFAULT: u32 = libc::RT_TABLE_DEFAULT as u32;
    const MAIN: u32 = libc::RT_TABLE_MAIN as u32;
    matches!(route.table, DEFAULT | MAIN) || parent.master.is_some()
}

/// The link that a parent's stations share.
struct Lan<'a> {
    snapshot: &'a Snapshot,
    parent: &'a Link,
}

impl Lan<'_> {
    /// Whether an address seen behind a link of the host can be one of this LAN. A link-local IPv6
    /// address is another one on every other link; of an unknown link it is taken to be.
    fn may_have(&self, address: IpAddr, ifindex: Option<u32>) -> bool {
        !is_link_local_v6(address) || ifindex.is_none_or(|ifindex| self.is_reached_by(ifindex))
    }

    /// By the parent itself, or by a link on top of it: a child, a macvlan. A VLAN is a LAN of its
    /// own.
    fn is_reached_by(&self, ifindex: u32) -> bool {
        ifindex == self.parent.ifindex
            || self.snapshot.link(ifindex).is_some_and(|link| {
                link.kind.as_deref() != Some("vlan")
                    && link.lower.is_some_and(|lower| {
                        lower.netns == NetnsId::Own && lower.ifindex == self.parent.ifindex
                    })
            })
    }
}

/// Whether it is in `fe80::/10`: of these there is one on every link.
pub(super) const fn is_link_local_v6(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Returns whether it is in `fe80::/10` or 169.254.0.0/16.
pub(super) const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Why an address in this state is not answered for (RFC 4862 §5.4, RFC 4429 §3.3).
pub(super) const fn refusal_while(dad: Dad) -> Option<Reason> {
    match dad {
        Dad::Done | Dad::Optimistic => None,
        Dad::Tentative => Some(Reason::Tentative),
        Dad::Failed => Some(Reason::DadFailed),
    }
}

/// The directed broadcast address of the prefix an address is configured with (RFC 919); a /31
/// (RFC 3021) or /32 has none.
pub(super) fn broadcast(address: Ipv4Addr, prefix_len: u8) -> Option<Ipv4Addr> {
    (prefix_len <= 30).then(|| {
        let behind = u32::MAX.checked_shr(u32::from(prefix_len)).unwrap_or(0);
        Ipv4Addr::from_bits(address.to_bits() | behind)
    })
}
