//! Neighbour solicitations from the wire, and what comes of them, at every program that sees them.

use ipvlan_common::Reason;

use super::{
    datapath::WIRE,
    frames::{
        Nd,
        ndp::{self, TARGET_MAC, option},
    },
    rows::{Row, row},
    world::{CHILD_IP6, PARENT},
};

/// A solicitation from the wire for a child, to the child's group.
pub fn multicast() -> Nd {
    ndp::solicitation(CHILD_IP6)
}

/// The option that a multicast solicitation is answered with.
pub fn own_mac() -> Vec<u8> {
    option(TARGET_MAC, &PARENT)
}

/// The solicitation, sent to a group, is answered with these flags and the parent's MAC for the child
/// in `slot`.
pub fn answers(name: impl Into<String>, asked: &Nd, flags: &str, slot: u32) -> Row {
    let advertisement = asked.answered(PARENT, flags, own_mac()).frame();
    assert_eq!(advertisement.len(), 86);
    row(name, WIRE, asked.frame()).advertised(advertisement, Some(slot))
}

/// The solicitation, sent to its target, is answered with these flags and no option.
pub fn confirms(name: impl Into<String>, asked: &Nd, flags: &str, slot: u32) -> Row {
    let advertisement = asked.answered(PARENT, flags, Vec::new()).frame();
    assert_eq!(advertisement.len(), 78);
    row(name, WIRE, asked.frame()).advertised(advertisement, Some(slot))
}

/// The message is passed, as nothing of ours.
pub fn passes(name: impl Into<String>, message: &Nd, reason: Reason) -> Row {
    row(name, WIRE, message.frame()).passes(reason)
}
