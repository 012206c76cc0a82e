//! What our own netns holds, apart from its links.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::Dad;

/// What the host itself holds, and what it would send elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Addresses of all links of our own netns, both families.
    pub addresses: Vec<HostAddress>,
    /// Next hops of all routes of all tables, and of all next hop objects; both families.
    pub gateways: BTreeSet<Gateway>,
    /// Ids of the next hop objects that lead through gateways only.
    pub next_hops: BTreeSet<u32>,
    /// Unicast routes with a device and no gateway, of all tables: what the host is on-link with.
    pub routes_on_link: Vec<OnLinkRoute>,
    /// Routes through gateways whose prefix lies in one of `routes_on_link` out of a parent: the host is not
    /// on-link with these addresses. Empty if there are more than 65 536 routes through gateways in a family.
    pub routes_inside: BTreeSet<RouteInside>,
    /// Routes of type `local` that are not just one of `addresses` (`AnyIP`), other than
    /// 127.0.0.0/8.
    pub local_prefixes: Vec<(IpAddr, u8)>,
    /// Anycast addresses of all links of our own netns.
    pub anycast: Vec<AnycastAddress>,
    /// Whether there is any proxy neighbour entry (`ip neigh add proxy`).
    pub proxy_neighbours: bool,
    /// Proxy ARP settings by ifindex of the parent.
    pub proxy_arp: BTreeMap<u32, ProxyArp>,
    /// Settings of ARP answers by ifindex of the parent.
    pub arp: BTreeMap<u32, ArpSettings>,
}

/// An address of a link of our own netns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAddress {
    /// The address the host answers to (`IFA_LOCAL`; never the peer's).
    pub address: IpAddr,
    /// Length of the prefix it is configured with.
    pub prefix_len: u8,
    /// The link that holds it.
    pub ifindex: u32,
    /// `IFA_F_*`.
    pub flags: u32,
    /// `RT_SCOPE_*`.
    pub scope: u8,
}

impl HostAddress {
    /// How far duplicate address detection is.
    #[must_use]
    pub const fn dad(&self) -> Dad {
        Dad::of(self.flags)
    }
}

/// An anycast address that the host answers for: of the routers of a prefix (RFC 4291 §2.6.1) where
/// it forwards, or joined by a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnycastAddress {
    /// The address; always IPv6.
    pub address: IpAddr,
    /// The link it answers on.
    pub ifindex: u32,
}

/// Next hop of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gateway {
    /// Its address.
    pub address: IpAddr,
    /// The link it is behind, which a link-local address is of; none if the route does not say.
    pub oif: Option<u32>,
}

/// A prefix that the host reaches without a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnLinkRoute {
    /// First address of the prefix.
    pub prefix: IpAddr,
    /// Its length.
    pub prefix_len: u8,
    /// The link it leaves by.
    pub oif: u32,
    /// The table it is in (254 is main).
    pub table: u32,
}

/// A route through a gateway inside a prefix that the host is otherwise on-link with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteInside {
    /// First address of the prefix.
    pub prefix: IpAddr,
    /// Its length.
    pub prefix_len: u8,
    /// The table it is in (254 is main).
    pub table: u32,
}

/// `proxy_arp` and `proxy_arp_pvlan` of a link, each or-ed with that of `all` as the kernel does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyArp {
    /// Answers for addresses routed through other links.
    pub proxy_arp: bool,
    /// Answers for addresses on this link.
    pub pvlan: bool,
}

/// What decides whether the kernel answers an ARP request on a link for an address of the host. Each is
/// combined with that of `all` as the kernel does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArpSettings {
    /// `arp_ignore`: the greater of both.
    pub ignore: u8,
    /// `arp_filter`: either.
    pub filter: bool,
    /// `rp_filter`: the greater of both.
    pub rp_filter: u8,
}

impl ProxyArp {
    /// Whether the host may answer ARP requests for addresses it does not hold.
    #[must_use]
    pub const fn any(self) -> bool {
        self.proxy_arp || self.pvlan
    }
}
