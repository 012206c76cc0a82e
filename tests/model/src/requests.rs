//! ARP requests from the wire, and what comes of them, at every program that sees them.

use ipvlan_common::Reason;

use super::{
    datapath::WIRE,
    frames::{Arp, arp},
    rows::{Row, row},
    world::{CHILD_IP, PARENT},
};

/// A broadcast request from the wire for a child.
pub const REQUEST: Arp = arp::request(CHILD_IP);

/// The request is answered by the parent for the child in `slot`.
pub fn answers(name: &str, request: Arp, slot: u32) -> Row {
    row(name, WIRE, request.frame()).answered(request.answered_by(PARENT).frame(), Some(slot))
}

/// The request is passed, as nothing of ours.
pub fn passes(name: impl Into<String>, request: Arp, reason: Reason) -> Row {
    row(name, WIRE, request.frame()).passes(reason)
}
