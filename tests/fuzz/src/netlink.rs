//! The decoders of the agent for rows of a netlink dump, which are private to it.

#[path = "../../../ipvlan-user/src/discover/address.rs"]
mod address;
#[path = "../../../ipvlan-user/src/discover/attribute.rs"]
mod attribute;
#[path = "../../../ipvlan-user/src/discover/link.rs"]
mod link;
#[path = "../../../ipvlan-user/src/discover/route.rs"]
mod route;
#[path = "../../../ipvlan-user/src/discover/snapshot.rs"]
mod snapshot;

/// Decodes the row in every way there is.
pub fn decode(row: &[u8]) {
    // In an allocation of its own: a read past its end is one that a sanitizer sees.
    let row: Box<[u8]> = row.into();
    let _row_or_error = link::decode_link(&row);
    let _row_or_error = address::decode_address(&row);
    let _row_or_error = route::decode_route(&row);
}
