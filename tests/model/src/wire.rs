//! Messages from the wire, and their outcome at every program that sees them.

use ipvlan_common::Reason;

use super::{
    datapath::WIRE,
    frames::{Arp, Nd, arp, ndp},
    message::Message,
    rows::Row,
    world::{CHILD_IP, CHILD_IP6},
};

/// A broadcast request of a LAN host for a child.
pub const REQUEST: Arp = arp::request(CHILD_IP);

/// Returns a solicitation of a LAN host to a child's group.
pub fn solicitation() -> Nd {
    ndp::solicitation(CHILD_IP6)
}

/// Returns a row whose message is answered for the child in `slot`.
pub fn answers(name: impl Into<String>, message: impl Into<Message>, slot: u32) -> Row {
    message.into().answered(name, WIRE, slot)
}

/// Returns a row whose message is passed, and counted for no child.
pub fn passes(name: impl Into<String>, message: impl Into<Message>, reason: Reason) -> Row {
    message.into().passed(name, WIRE, reason)
}

/// Returns a row whose message is passed, and counted as refused for the child in `slot`.
pub fn refused(
    name: impl Into<String>,
    message: impl Into<Message>,
    reason: Reason,
    slot: u32,
) -> Row {
    passes(name, message, reason).refused(reason, slot)
}
