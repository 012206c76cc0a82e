//! Which of the host's addresses its kernel answers for on the parent, and to which l2 children.
//!
//! A request of an l2 child never comes to the host: it leaves the parent. The programs answer it as the host's
//! kernel answers the same request from the wire. Where the kernel would not, another link of the host may, and
//! it would have to receive the packets.
//!
//! - IPv4 (`arp_process`): `arp_ignore` decides for an address that the host has on any link, and the reverse
//!   path filter (`ip_route_input_noref`) and `arp_filter` decide for the sender.
//! - IPv6 (`ndisc_recv_ns`): only an address of the link itself is answered.
//!
//! An address that is not on the parent is no one's conflict there: every link may have it.

use std::net::{IpAddr, Ipv4Addr};

use super::Prefix;
use crate::facts::{ArpSettings, HostAddress, Link, OnLinkRoute, Snapshot};

/// `IFA_SCOPE` of an address that is of the host alone.
const SCOPE_HOST: u8 = libc::RT_SCOPE_HOST;
const ETHERNET: u16 = 1;

/// Which l2 children the programs answer an address of the host to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnsweredTo {
    /// To all.
    #[default]
    All,
    /// To those that are not barred ([`AddressView::barred`](super::AddressView::barred)).
    Accepted,
    /// To none.
    NoChild,
}

/// What decides for one parent.
pub(super) struct HostAnswers {
    parent: u32,
    settings: ArpSettings,
    /// IPv4 prefixes of the parent's addresses.
    own: Vec<Prefix>,
    /// IPv4 routes without a gateway in tables that the host looks up, the longest first, and whether they
    /// leave by the parent.
    routes: Vec<(Prefix, bool)>,
    /// The host has an IPv4 gateway behind the parent.
    has_gateway: bool,
    /// IPv4 prefixes that the host reaches by other Ethernet links, which may be on the parent's LAN.
    elsewhere: Vec<Prefix>,
}

impl HostAnswers {
    /// `is_looked_up` returns whether the host's lookup of any destination comes to a route, and `is_above`
    /// whether a link is the parent or on top of it.
    pub(super) fn new(
        snapshot: &Snapshot,
        parent: &Link,
        is_looked_up: impl Fn(&OnLinkRoute) -> bool,
        is_above: impl Fn(u32) -> bool,
    ) -> Self {
        let host = &snapshot.host;
        let v4 = || {
            let routes = host.routes_on_link.iter();
            routes.filter(|route| route.prefix.is_ipv4())
        };
        let prefix = |route: &OnLinkRoute| Prefix::of(route.prefix, route.prefix_len);
        let is_ethernet = |ifindex| {
            let link = snapshot.link(ifindex);
            link.is_some_and(|link| link.hardware == ETHERNET)
        };
        let mut routes: Vec<(Prefix, bool)> = v4()
            .filter(|route| is_looked_up(route))
            .map(|route| (prefix(route), route.oif == parent.ifindex))
            .collect();
        // Stable: of routes for the same prefix the kernel uses the first, as the dump has them.
        routes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self {
            parent: parent.ifindex,
            settings: host.arp.get(&parent.ifindex).copied().unwrap_or_default(),
            own: host
                .addresses
                .iter()
                .filter(|it| it.ifindex == parent.ifindex && it.address.is_ipv4())
                .map(|it| Prefix::of(it.address, it.prefix_len))
                .collect(),
            routes,
            has_gateway: host
                .gateways
                .iter()
                .any(|gateway| gateway.address.is_ipv4() && gateway.oif == Some(parent.ifindex)),
            elsewhere: v4()
                .filter(|route| route.prefix_len > 0 && !is_above(route.oif))
                .filter(|route| is_ethernet(route.oif))
                .map(prefix)
                .collect(),
        }
    }

    /// Returns to whom an address of the host is answered.
    pub(super) fn of(&self, it: &HostAddress) -> AnsweredTo {
        let on_parent = it.ifindex == self.parent;
        if it.address.is_ipv6() {
            return if on_parent {
                AnsweredTo::All
            } else {
                AnsweredTo::NoChild
            };
        }
        let is_answered = match self.settings.ignore {
            1 | 2 => on_parent,
            3 => it.scope != SCOPE_HOST,
            8 => false,
            _ => true,
        };
        if !is_answered {
            AnsweredTo::NoChild
        } else if on_parent && self.settings.ignore != 2 {
            AnsweredTo::All
        } else {
            AnsweredTo::Accepted
        }
    }

    /// Returns whether a station that uses an address of the host is in conflict with it: the address is on
    /// the parent, and no other link of the host can be the one that uses it on the parent's LAN.
    ///
    /// The kernel sends ARP requests from any address of the host (`arp_announce`), and solicitations from
    /// those of the link they leave by.
    pub(super) fn is_watched(&self, it: &HostAddress) -> bool {
        let own = Prefix::of(it.address, it.prefix_len);
        let overlaps = |other: &Prefix| other.contains(own.first()) || own.contains(other.first());
        it.ifindex == self.parent && (it.address.is_ipv6() || !self.elsewhere.iter().any(overlaps))
    }

    /// Returns whether the host's kernel answers requests from this address of a child for some of its
    /// addresses only, those of [`AnsweredTo::All`].
    pub(super) fn is_barred(&self, sender: Ipv4Addr) -> bool {
        let sender = IpAddr::V4(sender);
        let ArpSettings {
            ignore,
            filter,
            rp_filter,
        } = self.settings;
        if ignore == 2 {
            return !self.own.iter().any(|prefix| prefix.contains(sender));
        }
        if (rp_filter == 0 && !filter) || self.leaves_by_parent(sender) {
            return false;
        }
        // Loose mode accepts any route, but on a link without addresses (`__fib_validate_source`).
        filter || rp_filter != 2 || self.own.is_empty()
    }

    /// Returns whether the host's packets to this address leave by the parent. Rules are not looked at; where
    /// no route without a gateway covers it, a gateway behind the parent decides.
    fn leaves_by_parent(&self, address: IpAddr) -> bool {
        let mut routes = self.routes.iter();
        let route = routes.find(|(prefix, _)| prefix.contains(address));
        route.map_or(self.has_gateway, |&(_, by_parent)| by_parent)
    }
}
