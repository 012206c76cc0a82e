//! Messages from the wire for a child, and what comes of them, at every program that sees them.

use ipvlan_common::Reason;

use super::{
    datapath::WIRE,
    frames::{Arp, Nd, arp, ndp},
    message::Message,
    rows::Row,
    world::{CHILD_IP, CHILD_IP6},
};

/// A broadcast request for a child.
pub const REQUEST: Arp = arp::request(CHILD_IP);

/// A solicitation to a child's group.
pub fn solicitation() -> Nd {
    ndp::solicitation(CHILD_IP6)
}

/// The message is answered for the child in `slot`.
pub fn answers(name: impl Into<String>, message: impl Into<Message>, slot: u32) -> Row {
    message.into().answered(name, WIRE, slot)
}

/// The message is passed, and counted for no child.
pub fn passes(name: impl Into<String>, message: impl Into<Message>, reason: Reason) -> Row {
    message.into().passed(name, WIRE, reason)
}

/// The message is passed, and counted as refused for the child in `slot`.
pub fn refused(
    name: impl Into<String>,
    message: impl Into<Message>,
    reason: Reason,
    slot: u32,
) -> Row {
    passes(name, message, reason).refused(reason, slot)
}
