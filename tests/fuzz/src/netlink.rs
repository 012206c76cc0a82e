//! The decoders of the agent for rows of a netlink dump and for events, which are private to it.

#[path = "../../../ipvlan-user/src/discover"]
mod discover {
    mod address;
    mod attribute;
    mod link;
    mod nexthop;
    mod number;
    mod route;
    mod snapshot;
    mod wake;

    pub(super) fn decode(row: &[u8]) {
        let _row_or_error = link::decode_link(row);
        let _row_or_error = address::decode_address(row);
        let _row_or_error = route::decode_route(row);
        let _row_or_error = nexthop::decode_next_hop(row);
        let _row_or_error = number::decode_nsid(row);
        let known = wake::KnownRoutes::default();
        let _was_complete = wake::Wake::default().add_events(Some(1), row, &known);
    }
}

/// Decodes the row, or datagram of events, in every way there is.
pub fn decode(row: &[u8]) {
    // In an allocation of its own: a read past its end is one that a sanitizer sees.
    let row: Box<[u8]> = row.into();
    discover::decode(&row);
}
