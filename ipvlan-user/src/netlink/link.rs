//! Links of the netns of the calling thread, as the library decodes them.

use std::io;

use netlink_packet_route::{RouteNetlinkMessage, link::LinkMessage};

use super::{Request, Rtnl};

const DUMP: Request = Request::own("dump of links (RTM_GETLINK)");
const ONE: Request = Request::own("link (RTM_GETLINK)");

/// Returns all links. One that cannot be decoded is left out.
pub(crate) fn all() -> io::Result<Vec<LinkMessage>> {
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let rows = Rtnl::new()?.dump_decoded(DUMP, &request)?;
    Ok(rows.into_iter().flatten().filter_map(link_of).collect())
}

/// Returns the link that a request names, if it can be decoded.
pub(crate) fn read(request: LinkMessage) -> io::Result<Option<LinkMessage>> {
    let request = RouteNetlinkMessage::GetLink(request);
    let rows = Rtnl::new()?.ask_decoded(ONE, &request, 0)?;
    Ok(rows.into_iter().find_map(link_of))
}

fn link_of(row: RouteNetlinkMessage) -> Option<LinkMessage> {
    match row {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    }
}
