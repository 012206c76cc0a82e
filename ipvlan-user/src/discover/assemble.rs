//! Rows of dumps in, a snapshot out: who is whose child, who holds which address.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    net::IpAddr,
    path::Path,
};

use super::{
    DiscoverError, QuotaOf,
    address::AddressRow,
    dump::{self, Routes, Rows},
    link::LinkRow,
    netns::Netnses,
    route::{RouteKind, RouteRow},
};
use crate::{
    facts::{
        AnycastAddress, Arp, ArpSettings, Child, ChildAddress, Host, HostAddress, Kind, Link,
        Lower, Master, Netns, NetnsId, OnLinkRoute, Port, ProxyArp,
    },
    netlink::{NetlinkError, Rtnl, attribute::Malformed},
};

/// What a snapshot is taken with.
pub(super) struct Assembly<'a> {
    pub(super) rtnl: &'a mut Rtnl,
    pub(super) netnses: &'a Netnses,
    pub(super) child_kinds: &'static [&'static str],
    /// How many children of a netns are read, and addresses of all of them.
    pub(super) quota_of: &'a QuotaOf,
    pub(super) parents: Option<&'a BTreeSet<u32>>,
}

/// What another netns was found to hold.
pub(super) enum Inside {
    Children(Vec<Child>),
    /// There is no such netns any more.
    Gone,
}

/// The addresses of each child of another netns.
pub(super) struct Held {
    pub(super) addresses: BTreeMap<u32, Vec<ChildAddress>>,
    /// There are more than the quota allows.
    pub(super) over_quota: bool,
}

impl Assembly<'_> {
    pub(super) fn host(
        &mut self,
        addresses: Vec<AddressRow>,
        links: &[Link],
        children: &[Child],
    ) -> Result<Host, DiscoverError> {
        let mut host = host(addresses, dump::routes(self.rtnl, self.parents)?);
        host.proxy_neighbours = dump::has_proxy_neighbours(self.rtnl)?;
        self.read_settings(&mut host, links, children)?;
        Ok(host)
    }

    /// What is in another netns.
    pub(super) fn inside(&mut self, nsid: i32) -> Result<Inside, DiscoverError> {
        let netns = NetnsId::Nsid(nsid);
        let quota = self.quota(netns);
        let links = dump::links(self.rtnl, nsid, self.child_kinds, quota)?;
        let Some(Rows { rows, exceeded }) = links else {
            return Ok(Inside::Gone);
        };
        let mut children = BTreeMap::new();
        for row in &rows {
            if let Some(parent) = self.parent(netns, row) {
                let child =
                    child(netns, parent, row, 0).map_err(|malformed| NetlinkError::Malformed {
                        request: format!("dump of links of netns with nsid {nsid}"),
                        reason: malformed.0,
                    })?;
                children.insert(row.ifindex, child);
            }
        }
        let Some(mut held) = self.held(nsid, &children.keys().copied().collect())? else {
            return Ok(Inside::Gone);
        };
        for (ifindex, child) in &mut children {
            child.addresses = held.addresses.remove(ifindex).unwrap_or_default();
            child.over_quota = exceeded || held.over_quota;
        }
        Ok(Inside::Children(children.into_values().collect()))
    }

    fn quota(&self, id: NetnsId) -> usize {
        self.netnses.get(id).map_or_else(
            || self.quota_of.of(&Netns::default()),
            |netns| self.quota_of.of(netns),
        )
    }

    /// The addresses of children in another netns; none if that is gone.
    pub(super) fn held(
        &mut self,
        nsid: i32,
        children: &BTreeSet<u32>,
    ) -> Result<Option<Held>, DiscoverError> {
        let quota = self.quota(NetnsId::Nsid(nsid));
        let rows = dump::addresses(self.rtnl, nsid, children, quota)?;
        Ok(rows.map(|Rows { rows, exceeded }| Held {
            addresses: by_link(&rows),
            over_quota: exceeded,
        }))
    }

    /// The children in our own netns. A link whose port does not read as one is none.
    pub(super) fn own_children(&self, links: &[LinkRow], addresses: &[AddressRow]) -> Vec<Child> {
        let mut addresses = by_link(addresses);
        let mut arp_ignore = None;
        let children: BTreeMap<u32, Child> = links
            .iter()
            .filter_map(|row| {
                let parent = self.parent(NetnsId::Own, row)?;
                let arp_ignore = *arp_ignore.get_or_insert_with(arp_ignore_of_all);
                let mut child = child(NetnsId::Own, parent, row, arp_ignore).ok()?;
                child.addresses = addresses.remove(&row.ifindex).unwrap_or_default();
                Some((row.ifindex, child))
            })
            .collect();
        children.into_values().collect()
    }

    /// The parent of a link of that netns, if it is a child of ours.
    fn parent(&self, netns: NetnsId, row: &LinkRow) -> Option<u32> {
        let is_child = self.child_kinds.contains(&row.kind.as_deref()?);
        let lower = self.lower(netns, row)?;
        let is_wanted = self
            .parents
            .is_none_or(|parents| parents.contains(&lower.ifindex));
        (is_child && is_wanted && lower.netns == NetnsId::Own).then_some(lower.ifindex)
    }

    /// Without an nsid of its own, the link below is in the same netns. A negative one is a netns
    /// that has none: not ours, ours has one.
    fn lower(&self, netns: NetnsId, row: &LinkRow) -> Option<Lower> {
        Some(Lower {
            ifindex: row.lower?,
            netns: row.lower_nsid.map_or(netns, |nsid| self.netnses.id(nsid)),
        })
    }

    /// Links of our own netns, ordered by ifindex.
    pub(super) fn links(&self, rows: Vec<LinkRow>) -> Vec<Link> {
        let mut links: Vec<_> = rows.into_iter().map(|row| self.link(row)).collect();
        links.sort_by_key(|link| link.ifindex);
        links
    }

    fn link(&self, row: LinkRow) -> Link {
        Link {
            lower: self.lower(NetnsId::Own, &row),
            up: row.is_up(),
            carrier: row.has_carrier(),
            ifindex: row.ifindex,
            name: row.name,
            hardware: row.hardware,
            mac: row.mac,
            mtu: row.mtu,
            forwarding_v4: row.ipv4.forwarding,
            forwarding: row.forwarding,
            kind: row.kind,
            master: row.master.map(|ifindex| Master {
                ifindex,
                kind: row.master_kind,
            }),
            xdp: row.xdp,
        }
    }

    /// Reads the settings of the parents asked for, or else of the links that have children.
    fn read_settings(
        &self,
        host: &mut Host,
        links: &[Link],
        children: &[Child],
    ) -> Result<(), DiscoverError> {
        let parents: BTreeSet<u32> = self.parents.map_or_else(
            || children.iter().map(|child| child.parent_ifindex).collect(),
            Clone::clone,
        );
        let all = OsStr::new("all");
        let (proxy_of_all, arp_of_all) = (read_proxy_arp(all)?, read_arp(all)?);
        for link in links {
            if !parents.contains(&link.ifindex) {
                continue;
            }
            let name = link.name.as_os_str();
            let (proxy, arp) = (read_proxy_arp(name)?, read_arp(name)?);
            let proxy = ProxyArp {
                proxy_arp: proxy.proxy_arp || proxy_of_all.proxy_arp,
                pvlan: proxy.pvlan || proxy_of_all.pvlan,
            };
            let arp = ArpSettings {
                ignore: arp.ignore.max(arp_of_all.ignore),
                filter: arp.filter || arp_of_all.filter,
                rp_filter: arp.rp_filter.max(arp_of_all.rp_filter),
            };
            host.proxy_arp.insert(link.ifindex, proxy);
            host.arp.insert(link.ifindex, arp);
        }
        Ok(())
    }
}

/// `arp_ignore_of_all` is that of `all` in the child's netns, 0 if it is not known. The kernel takes the larger
/// one (`IN_DEV_MAXCONF`).
fn child(
    netns: NetnsId,
    parent_ifindex: u32,
    row: &LinkRow,
    arp_ignore_of_all: i32,
) -> Result<Child, Malformed> {
    let port = row.port.unwrap_or(Ok(Port::default()))?;
    Ok(Child {
        ifindex: row.ifindex,
        name: row.name.clone(),
        alias: row.alias.clone(),
        netns,
        parent_ifindex,
        kind: Kind::Ipvlan(port),
        up: row.is_up(),
        arp: Arp::of(
            row.ipv4.arp_ignore.max(arp_ignore_of_all),
            row.is_without_arp(),
            port.mode,
        ),
        forwarding_v4: row.ipv4.forwarding,
        forwarding: row.forwarding,
        mac: row.mac,
        addresses: Vec::new(),
        stats: row.stats,
        over_quota: false,
    })
}

/// The addresses of each link, by ifindex.
pub(super) fn by_link(rows: &[AddressRow]) -> BTreeMap<u32, Vec<ChildAddress>> {
    let mut addresses: BTreeMap<u32, Vec<ChildAddress>> = BTreeMap::new();
    for row in rows {
        addresses
            .entry(row.ifindex)
            .or_default()
            .push(ChildAddress {
                local: row.local,
                peer: row.peer,
                prefix_len: row.prefix_len,
                scope: row.scope,
                flags: row.flags,
            });
    }
    for of_link in addresses.values_mut() {
        of_link.shrink_to_fit();
    }
    addresses
}

fn host(addresses: Vec<AddressRow>, routes: Routes) -> Host {
    let held: BTreeSet<IpAddr> = addresses.iter().map(|row| row.local).collect();
    let mut host = Host {
        addresses: addresses.into_iter().map(HostAddress::from).collect(),
        gateways: routes.gateways,
        next_hops: routes.next_hops,
        routes_inside: routes.inside,
        ..Host::default()
    };
    for route in routes.rows {
        let RouteRow {
            prefix,
            prefix_len,
            table,
            kind,
            gateways: _,
            next_hop: _,
            links,
        } = route;
        match kind {
            RouteKind::Local => {
                let is_address = prefix_len == host_len(prefix) && held.contains(&prefix);
                if !is_address && !prefix.is_loopback() {
                    host.local_prefixes.push((prefix, prefix_len));
                }
            }
            RouteKind::Anycast => {
                host.anycast
                    .extend(links.into_iter().map(|ifindex| AnycastAddress {
                        address: prefix,
                        ifindex,
                    }));
            }
            RouteKind::Unicast => {
                host.routes_on_link
                    .extend(links.into_iter().map(|oif| OnLinkRoute {
                        prefix,
                        prefix_len,
                        oif,
                        table,
                    }));
            }
        }
    }
    host
}

const fn host_len(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Both are or-ed with those of `all` by the kernel. A link that vanished has none.
fn read_proxy_arp(link: &OsStr) -> Result<ProxyArp, DiscoverError> {
    Ok(ProxyArp {
        proxy_arp: read_setting(link, "proxy_arp")? != 0,
        pvlan: read_setting(link, "proxy_arp_pvlan")? != 0,
    })
}

/// As [`read_proxy_arp`]. No event reports a change of these: they are read with the addresses of our own netns.
fn read_arp(link: &OsStr) -> Result<ArpSettings, DiscoverError> {
    Ok(ArpSettings {
        ignore: read_setting(link, "arp_ignore")?,
        filter: read_setting(link, "arp_filter")? != 0,
        rp_filter: read_setting(link, "rp_filter")?,
    })
}

/// Returns a number of `net.ipv4.conf`. All that is no number from 0 to 255 means the same to the kernel as 255.
fn read_setting(link: &OsStr, name: &str) -> Result<u8, DiscoverError> {
    let path = Path::new("/proc/sys/net/ipv4/conf").join(link).join(name);
    match fs::read_to_string(&path) {
        Ok(value) => Ok(value.trim().parse().unwrap_or(u8::MAX)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(DiscoverError::File { path, source }),
    }
}

/// Returns `arp_ignore` of `all` in our own netns. The kernel does not report that of another netns.
fn arp_ignore_of_all() -> i32 {
    fs::read_to_string("/proc/sys/net/ipv4/conf/all/arp_ignore")
        .ok()
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or_default()
}
