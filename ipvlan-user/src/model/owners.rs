//! Who else holds addresses: the host and its gateways, as a parent's LAN sees them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use ipvlan_common::Reason;

use super::{
    DesiredEntry, Prefix,
    answers::{AnsweredTo, HostAnswers},
};
use crate::facts::{Child, Dad, Link, NetnsId, OnLinkRoute, Snapshot};

/// What the host holds of an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// The link of the host that holds it.
    pub(super) ifindex: u32,
    wanted: DesiredEntry,
}

impl Held {
    const fn answered_to(self) -> AnsweredTo {
        match self.wanted {
            DesiredEntry::Host { answered_to, .. } => answered_to,
            _ => AnsweredTo::NoChild,
        }
    }
}

/// What host and gateways hold.
pub(super) struct Owners {
    addresses: BTreeMap<IpAddr, Held>,
    gateways: BTreeSet<IpAddr>,
    /// Directed broadcast addresses of the host's prefixes on the parent's LAN.
    broadcasts: BTreeSet<Ipv4Addr>,
    /// Prefixes that the host reaches through the parent without a gateway.
    on_link: Vec<Prefix>,
    /// Prefixes inside of these that the host reaches through a gateway.
    inside: Vec<Prefix>,
    /// As `on_link`, of tables that the host's lookup may never come to.
    other_tables: Vec<Prefix>,
    answers: HostAnswers,
}

/// Returns the children of a parent in the agent's own netns: all that [`Owners::new`] needs of its children.
pub(super) fn own_children<'a>(snapshot: &'a Snapshot, parent: &Link) -> Vec<&'a Child> {
    let children = snapshot.children_of(NetnsId::Own).iter();
    let of_parent = children.filter(|child| child.parent_ifindex == parent.ifindex);
    of_parent.collect()
}

impl Owners {
    pub(super) fn new(snapshot: &Snapshot, parent: &Link, children: &[&Child]) -> Self {
        // A child in the host's own netns holds its addresses as a child: the driver delivers them.
        let own_children: BTreeSet<u32> = children
            .iter()
            .filter(|child| child.netns == NetnsId::Own)
            .map(|child| child.ifindex)
            .collect();
        let lan = Lan { snapshot, parent };
        let host = &snapshot.host;
        let out_of_parent = || {
            let routes = host.routes_on_link.iter();
            routes.filter(|route| route.oif == parent.ifindex)
        };
        let prefix = |route: &OnLinkRoute| Prefix::of(route.prefix, route.prefix_len);
        let mut owners = Self {
            addresses: BTreeMap::new(),
            gateways: BTreeSet::new(),
            broadcasts: BTreeSet::new(),
            on_link: out_of_parent()
                .filter(|route| is_looked_up(route.table, parent))
                .map(prefix)
                .collect(),
            inside: host
                .routes_inside
                .iter()
                .filter(|route| is_looked_up(route.table, parent))
                .map(|route| Prefix::of(route.prefix, route.prefix_len))
                .collect(),
            other_tables: out_of_parent()
                .filter(|route| !is_looked_up(route.table, parent))
                .map(prefix)
                .collect(),
            answers: HostAnswers::new(
                snapshot,
                parent,
                |route| is_looked_up(route.table, parent),
                |ifindex| lan.is_reached_by(ifindex),
            ),
        };
        for it in &host.addresses {
            if own_children.contains(&it.ifindex) {
                continue;
            }
            if let IpAddr::V4(v4) = it.address
                && lan.is_reached_by(it.ifindex)
            {
                owners.broadcasts.extend(broadcast(v4, it.prefix_len));
            }
            if it.address.is_loopback() || !lan.may_have(it.address, Some(it.ifindex)) {
                continue;
            }
            let wanted = DesiredEntry::Host {
                router: it.address.is_ipv6() && parent.forwarding,
                optimistic: it.dad() == Dad::Optimistic,
                refusal: refusal_while(it.dad()),
                answered_to: owners.answers.of(it),
                watched: owners.answers.is_watched(it),
            };
            owners.hold(it.address, it.ifindex, wanted, parent);
        }
        owners.gateways = host
            .gateways
            .iter()
            .filter(|gateway| lan.may_have(gateway.address, gateway.oif))
            .map(|gateway| gateway.address)
            // The host is its own gateway on some machines, and then its stack answers.
            .filter(|address| !owners.addresses.contains_key(address))
            .collect();
        owners
    }

    /// Of an address on several links, the parent's own says how it is advertised there, or else one that is
    /// answered to more children.
    fn hold(&mut self, address: IpAddr, ifindex: u32, wanted: DesiredEntry, parent: &Link) {
        let held = Held { ifindex, wanted };
        let entry = self.addresses.entry(address).or_insert(held);
        if entry.ifindex != parent.ifindex
            && (ifindex == parent.ifindex || held.answered_to() < entry.answered_to())
        {
            *entry = held;
        }
    }

    /// Returns whether the host's kernel answers requests from this address of a child for some of its
    /// addresses only. IPv6 knows no such thing.
    pub(super) fn is_barred(&self, sender: IpAddr) -> bool {
        matches!(sender, IpAddr::V4(sender) if self.answers.is_barred(sender))
    }

    /// The addresses that host and gateways hold.
    pub(super) fn desired_entries(&self) -> BTreeMap<IpAddr, DesiredEntry> {
        let hosts = self
            .addresses
            .iter()
            .map(|(&address, it)| (address, it.wanted));
        let gateways = self
            .gateways
            .iter()
            .map(|&address| (address, DesiredEntry::Gateway));
        hosts.chain(gateways).collect()
    }

    /// The same for one address.
    pub(super) fn desired_entry(&self, address: IpAddr) -> Option<DesiredEntry> {
        let gateway = || {
            self.gateways
                .contains(&address)
                .then_some(DesiredEntry::Gateway)
        };
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

    /// Whether it is the directed broadcast address of a prefix that the host has on the parent's LAN.
    pub(super) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        self.broadcasts.contains(&address)
    }

    /// Returns whether the host sends packets for this address out of the parent, to no gateway: no prefix that
    /// it reaches through a gateway is as long as the longest without one. Of equal ones the metric decides, which
    /// is not known here.
    pub(super) fn is_on_link(&self, address: IpAddr) -> bool {
        let [on_link, inside] = self.longest(address);
        on_link.is_some() && on_link > inside
    }

    /// Returns whether the host may send packets for this address out of the parent, to no gateway: as
    /// [`Self::is_on_link`], or by the metric, or by a table that one of its rules names.
    pub(super) fn may_be_on_link(&self, address: IpAddr) -> bool {
        let [on_link, inside] = self.longest(address);
        let mut others = self.other_tables.iter();
        on_link.is_some() && on_link >= inside || others.any(|prefix| prefix.contains(address))
    }

    /// Returns the lengths of the longest prefixes that cover an address: of those without a gateway, and of
    /// those through one.
    fn longest(&self, address: IpAddr) -> [Option<u8>; 2] {
        [&self.on_link, &self.inside].map(|prefixes| {
            let covering = prefixes.iter().filter(|prefix| prefix.contains(address));
            covering.map(|prefix| prefix.len()).max()
        })
    }
}

/// Returns whether the host's lookup of any destination comes to the table of this route: main and default
/// (`fib_default_rules_init`), or that of the VRF which the parent belongs to. A table that other rules
/// name may be one that no rule uses.
const fn is_looked_up(table: u32, parent: &Link) -> bool {
    const DEFAULT: u32 = libc::RT_TABLE_DEFAULT as u32;
    const MAIN: u32 = libc::RT_TABLE_MAIN as u32;
    matches!(table, DEFAULT | MAIN) || parent.master.is_some()
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
