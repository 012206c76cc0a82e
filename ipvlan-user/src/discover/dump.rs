//! The dumps a snapshot is made of.
//!
//! A netns that vanished since it was listed is left out; every other failure fails the snapshot.

use std::collections::BTreeSet;

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{LinkAttribute, LinkMessage},
    neighbour::{NeighbourFlags, NeighbourMessage},
    route::RouteMessage,
};

use super::{
    DiscoverError,
    address::{AddressRow, decode_address},
    link::{LinkRow, decode_link},
    nexthop::{GetNextHops, NextHops, decode_next_hop},
    nsid,
    route::{RouteRow, decode_route},
    rtnl::{Request, Rtnl},
    snapshot::Gateway,
};

/// The links of our own netns, or of the one with this nsid; none if that is gone.
pub(super) fn links(
    rtnl: &mut Rtnl,
    nsid: Option<i32>,
) -> Result<Option<Vec<LinkRow>>, DiscoverError> {
    let mut message = LinkMessage::default();
    message
        .attributes
        .extend(nsid.map(LinkAttribute::IfNetnsId));
    let name = "dump of links (RTM_GETLINK)";
    let rows = rtnl.dump(
        Request { name, nsid },
        &RouteNetlinkMessage::GetLink(message),
        |payload| decode_link(payload).map(Some),
    );
    unless_gone(rtnl, nsid, rows)
}

/// The addresses of our own netns, or of the one with this nsid; none if that is gone.
pub(super) fn addresses(
    rtnl: &mut Rtnl,
    nsid: Option<i32>,
) -> Result<Option<Vec<AddressRow>>, DiscoverError> {
    let mut message = AddressMessage::default();
    message
        .attributes
        .extend(nsid.map(AddressAttribute::TargetNetNsId));
    let name = "dump of addresses (RTM_GETADDR)";
    let rows = rtnl.dump(
        Request { name, nsid },
        &RouteNetlinkMessage::GetAddress(message),
        decode_address,
    );
    unless_gone(rtnl, nsid, rows)
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
}

/// The routes of our own netns, with the next hop objects that they name.
pub(super) fn routes(rtnl: &mut Rtnl) -> Result<Routes, DiscoverError> {
    let next_hops = next_hops(rtnl)?;
    let mut routes = Routes {
        gateways: next_hops.gateways().collect(),
        rows: Vec::new(),
        next_hops: next_hops.behind_gateways().collect(),
    };
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        let gateways = &mut routes.gateways;
        let rows = rtnl.dump(
            Request::own("dump of routes (RTM_GETROUTE)"),
            &RouteNetlinkMessage::GetRoute(message),
            |payload| {
                let Some(mut row) = decode_route(payload)? else {
                    return Ok(None);
                };
                // Of a dump that is repeated they stay: the next one leaves out what is gone.
                gateways.extend(row.gateways.drain(..));
                let links = row
                    .next_hop
                    .into_iter()
                    .flat_map(|id| next_hops.links_of(id));
                row.links.extend(links);
                Ok((!row.is_through_gateways()).then_some(row))
            },
        )?;
        routes.rows.extend(rows);
    }
    Ok(routes)
}

fn next_hops(rtnl: &mut Rtnl) -> Result<NextHops, DiscoverError> {
    let request = Request::own("dump of next hops (RTM_GETNEXTHOP)");
    let rows = rtnl.dump(request, &GetNextHops, decode_next_hop)?;
    Ok(rows.into_iter().collect())
}

/// Whether our own netns has any proxy neighbour entry.
pub(super) fn has_proxy_neighbours(rtnl: &mut Rtnl) -> Result<bool, DiscoverError> {
    let mut message = NeighbourMessage::default();
    message.header.flags = NeighbourFlags::Proxy;
    let rows = rtnl.dump(
        Request::own("dump of proxy neighbours (RTM_GETNEIGH)"),
        &RouteNetlinkMessage::GetNeighbour(message),
        |_| Ok(Some(())),
    )?;
    Ok(!rows.is_empty())
}

/// The kernel answers `EINVAL` for an nsid that nobody has (any more), and for much else.
fn unless_gone<T>(
    rtnl: &mut Rtnl,
    nsid: Option<i32>,
    rows: Result<T, DiscoverError>,
) -> Result<Option<T>, DiscoverError> {
    const GONE: [i32; 3] = [libc::EINVAL, libc::ENODEV, libc::ENOENT];
    if let (Err(error), Some(nsid)) = (&rows, nsid)
        && error.errno().is_some_and(|errno| GONE.contains(&errno))
        && !nsid::exists(rtnl, nsid)?
    {
        return Ok(None);
    }
    rows.map(Some)
}
