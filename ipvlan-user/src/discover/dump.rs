//! The dumps a snapshot is made of.
//!
//! Another netns is asked for no more than its children: the kernel selects links by kind, and addresses by
//! ifindex. Rows that exceed a limit are not read. A netns that vanished since it was listed is left out.

use std::collections::BTreeSet;

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage},
    neighbour::{NeighbourFlags, NeighbourMessage},
    route::RouteMessage,
};

use super::{
    address::{AddressRow, decode_address},
    link::{LinkRow, decode_link},
    nexthop::{GetNextHops, NextHops, decode_next_hop},
    nsid,
    route::{RouteKind, RouteRow, decode_route, lies_in},
};
use crate::{
    facts::{Gateway, RouteInside},
    netlink::{End, Limit, NetlinkError, Request, Rtnl},
};

const LINKS: &str = "dump of links (RTM_GETLINK)";
const ADDRESSES: &str = "dump of addresses (RTM_GETADDR)";
/// Up to this many children of a netns are asked for their addresses one by one.
const CHILDREN: usize = 8;
/// Addresses of other links that a dump of all addresses of a netns may contain. With more of them the
/// children are asked for one by one.
const UNRELATED: usize = 1024;

/// Routes through gateways of one family that are compared with routes without one. There are fewer on any host
/// but a router of the internet.
const THROUGH_GATEWAYS: usize = 65_536;

/// Rows of another netns.
#[derive(Debug)]
pub(super) struct Rows<T> {
    pub(super) rows: Vec<T>,
    /// There are more than the limit allows; those are missing.
    pub(super) exceeded: bool,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            exceeded: false,
        }
    }
}

/// Returns all links of our own netns.
pub(super) fn own_links(rtnl: &mut Rtnl) -> Result<Vec<LinkRow>, NetlinkError> {
    let message = RouteNetlinkMessage::GetLink(LinkMessage::default());
    rtnl.dump(Request::own(LINKS), &message, |payload| {
        decode_link(payload).map(Some)
    })
}

/// Returns the links of these kinds of the netns with this nsid, `limit` at most; none if it is gone.
pub(super) fn links(
    rtnl: &mut Rtnl,
    nsid: i32,
    kinds: &[&str],
    limit: usize,
) -> Result<Option<Rows<LinkRow>>, NetlinkError> {
    let mut all = Rows::default();
    for &kind in kinds {
        let mut rows = links_of_kind(rtnl, nsid, kind, limit - all.rows.len(), 0);
        if let Ok((found, End::TooManyOthers)) = &rows
            && !found.is_empty()
        {
            rows = links_of_kind(rtnl, nsid, kind, limit - all.rows.len(), usize::MAX);
        }
        let Some((rows, end)) = unless_gone(rtnl, nsid, rows)? else {
            return Ok(None);
        };
        all.rows.extend(rows);
        all.exceeded |= end == End::TooManyRows;
    }
    Ok(Some(all))
}

/// The kernel ignores a kind that it does not know, and there is no link of it then: the first link of
/// another kind (`others` of them) ends the dump.
fn links_of_kind(
    rtnl: &mut Rtnl,
    nsid: i32,
    kind: &str,
    rows: usize,
    others: usize,
) -> Result<(Vec<LinkRow>, End), NetlinkError> {
    let mut message = LinkMessage::default();
    let info = LinkInfo::Kind(InfoKind::from(kind));
    message.attributes = vec![
        LinkAttribute::IfNetnsId(nsid),
        LinkAttribute::LinkInfo(vec![info]),
    ];
    rtnl.dump_some(
        Request {
            name: LINKS,
            nsid: Some(nsid),
        },
        &RouteNetlinkMessage::GetLink(message),
        Limit { rows, others },
        |payload| decode_link(payload).map(|link| Some(link).filter(|it| it.is_of_kind(kind))),
    )
}

/// Returns all addresses of our own netns.
pub(super) fn own_addresses(rtnl: &mut Rtnl) -> Result<Vec<AddressRow>, NetlinkError> {
    let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    rtnl.dump(Request::own(ADDRESSES), &message, decode_address)
}

/// Returns the addresses of these links of the netns with this nsid, `limit` at most; none if it is gone.
pub(super) fn addresses(
    rtnl: &mut Rtnl,
    nsid: i32,
    links: &BTreeSet<u32>,
    limit: usize,
) -> Result<Option<Rows<AddressRow>>, NetlinkError> {
    if links.len() > CHILDREN {
        let all = addresses_of_links(rtnl, nsid, links, &[None], limit, UNRELATED);
        match unless_gone(rtnl, nsid, all)? {
            Some(None) => {}
            Some(Some(rows)) => return Ok(Some(rows)),
            None => return Ok(None),
        }
    }
    let each: Vec<Option<u32>> = links.iter().copied().map(Some).collect();
    let rows = addresses_of_links(rtnl, nsid, links, &each, limit, usize::MAX);
    Ok(unless_gone(rtnl, nsid, rows)?.map(Option::unwrap_or_default))
}

/// Makes a dump for each of `filters` (an ifindex, or all links) and family. Returns none if one of them has
/// more than `others` rows that are not of `links`.
fn addresses_of_links(
    rtnl: &mut Rtnl,
    nsid: i32,
    links: &BTreeSet<u32>,
    filters: &[Option<u32>],
    limit: usize,
    others: usize,
) -> Result<Option<Rows<AddressRow>>, NetlinkError> {
    let mut all = Rows::default();
    for &filter in filters {
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = AddressMessage::default();
            message.header.family = family;
            message.header.index = filter.unwrap_or_default();
            message.attributes = vec![AddressAttribute::TargetNetNsId(nsid)];
            let is_v6 = family == AddressFamily::Inet6;
            let request = Request {
                name: ADDRESSES,
                nsid: Some(nsid),
            };
            let message = RouteNetlinkMessage::GetAddress(message);
            let limit = Limit {
                rows: limit - all.rows.len(),
                others,
            };
            // A kernel without IPv6 returns the rows of all families.
            let wanted =
                |row: &AddressRow| row.local.is_ipv6() == is_v6 && links.contains(&row.ifindex);
            let decode = |payload: &[u8]| Ok(decode_address(payload)?.filter(wanted));
            // Changes during a dump of one link's addresses are not reported (6.18 and before).
            let rows = if filter.is_some() {
                rtnl.dump_steady(request, &message, limit, decode)
            } else {
                rtnl.dump_some(request, &message, limit, decode)
            };
            match rows {
                Ok((_, End::TooManyOthers)) => return Ok(None),
                Ok((rows, end)) => {
                    all.rows.extend(rows);
                    all.exceeded |= end == End::TooManyRows;
                }
                // The link is gone, or does not have this family (a small MTU switches it off).
                Err(error) if error.errno() == Some(libc::ENODEV) && filter.is_some() => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Some(all))
}

/// The routes of our own netns.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// Next hops of all of them.
    pub(super) gateways: BTreeSet<Gateway>,
    /// Those that say more than their next hops. A full routing table takes no memory beyond its next hops.
    pub(super) rows: Vec<RouteRow>,
    /// Ids of the next hop objects that lead through gateways only.
    pub(super) next_hops: BTreeSet<u32>,
    /// Those through gateways that lie in one of `rows` without a gateway, out of a parent.
    pub(super) inside: BTreeSet<RouteInside>,
}

/// The routes of our own netns, with the next hop objects that they name. Without `parents` all links are.
pub(super) fn routes(
    rtnl: &mut Rtnl,
    parents: Option<&BTreeSet<u32>>,
) -> Result<Routes, NetlinkError> {
    let next_hops = next_hops(rtnl)?;
    let mut routes = Routes {
        gateways: next_hops.gateways().collect(),
        rows: Vec::new(),
        next_hops: next_hops.behind_gateways().collect(),
        inside: BTreeSet::new(),
    };
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        let gateways = &mut routes.gateways;
        let mut inside = BTreeSet::new();
        let rows = rtnl.dump(
            Request::own("dump of routes (RTM_GETROUTE)"),
            &RouteNetlinkMessage::GetRoute(message),
            |payload| {
                let Some(mut row) = decode_route(payload)? else {
                    return Ok(None);
                };
                let mut next_hop = row.next_hop.into_iter();
                let has_gateway =
                    !row.gateways.is_empty() || next_hop.any(|id| next_hops.has_gateway(id));
                // Of a dump that is repeated they stay: the next one leaves out what is gone.
                gateways.extend(row.gateways.drain(..));
                let links = row
                    .next_hop
                    .into_iter()
                    .flat_map(|id| next_hops.links_of(id));
                row.links.extend(links);
                if (has_gateway || row.is_through_gateways()) && inside.len() <= THROUGH_GATEWAYS {
                    inside.insert(RouteInside {
                        prefix: row.prefix,
                        prefix_len: row.prefix_len,
                        table: row.table,
                    });
                }
                Ok((!row.is_through_gateways()).then_some(row))
            },
        )?;
        if inside.len() <= THROUGH_GATEWAYS {
            inside.retain(|route| rows.iter().any(|row| is_inside(*route, row, parents)));
            routes.inside.extend(inside);
        }
        routes.rows.extend(rows);
    }
    Ok(routes)
}

/// Returns whether a route through a gateway lies in a route that leaves by a parent without one.
fn is_inside(route: RouteInside, row: &RouteRow, parents: Option<&BTreeSet<u32>>) -> bool {
    let mut links = row.links.iter();
    row.kind == RouteKind::Unicast
        && lies_in(
            (route.prefix, route.prefix_len),
            (row.prefix, row.prefix_len),
        )
        && links.any(|oif| parents.is_none_or(|parents| parents.contains(oif)))
}

fn next_hops(rtnl: &mut Rtnl) -> Result<NextHops, NetlinkError> {
    let request = Request::own("dump of next hops (RTM_GETNEXTHOP)");
    let rows = rtnl.dump(request, &GetNextHops, decode_next_hop)?;
    Ok(rows.into_iter().collect())
}

/// Whether our own netns has any proxy neighbour entry.
pub(super) fn has_proxy_neighbours(rtnl: &mut Rtnl) -> Result<bool, NetlinkError> {
    let mut message = NeighbourMessage::default();
    message.header.flags = NeighbourFlags::Proxy;
    let rows = rtnl.dump(
        Request::own("dump of proxy neighbours (RTM_GETNEIGH)"),
        &RouteNetlinkMessage::GetNeighbour(message),
        |_| Ok(Some(())),
    )?;
    Ok(!rows.is_empty())
}

/// The kernel answers `EINVAL` for an nsid that is not in use (any more), and for much else.
fn unless_gone<T>(
    rtnl: &mut Rtnl,
    nsid: i32,
    rows: Result<T, NetlinkError>,
) -> Result<Option<T>, NetlinkError> {
    const GONE: [i32; 3] = [libc::EINVAL, libc::ENODEV, libc::ENOENT];
    if let Err(error) = &rows
        && error.errno().is_some_and(|errno| GONE.contains(&errno))
        && !nsid::exists(rtnl, nsid)?
    {
        return Ok(None);
    }
    rows.map(Some)
}
