//! Where the agent's answers differ from the kernel's on purpose: the only place.
//!
//! A row holds for every frame that it covers and that the kernel treats as it says: then ours must
//! come out as it says, too. A row that no frame needs any more fails the comparison.

use std::net::Ipv4Addr;

use super::{
    case::{Case, Message},
    frames::{Arp, BROADCAST, GROUP, Mac, ZERO},
    outcome::Outcome,
    setting::Setting,
    wire::Received,
    world::{CHILD, GATEWAY, HOST, PARENT_MAC, SECOND, SIBLING, Traits},
};
use crate::demo::mode::Mode;

/// A difference that is meant to be.
#[derive(Debug)]
pub(crate) struct Exception {
    /// Which frames, in words.
    pub frames: &'static str,
    /// Why.
    pub reason: &'static str,
    /// Where.
    settings: fn(&Setting) -> bool,
    /// Which frames.
    covers: fn(&Case) -> bool,
    /// What the kernel does.
    kernel: Outcome,
    /// What we do.
    pub ours: Outcome,
}

impl Exception {
    /// Must it occur in this setting?
    #[must_use]
    pub(crate) fn is_due(&self, setting: &Setting) -> bool {
        (self.settings)(setting)
    }

    /// Is this what `case` is an exception by, `by_kernel` having come from the kernel?
    #[must_use]
    pub(crate) fn applies(&self, setting: &Setting, case: &Case, by_kernel: &[Received]) -> bool {
        (self.settings)(setting) && (self.covers)(case) && self.kernel.is(case, by_kernel)
    }
}

/// All of them.
pub(crate) const EXCEPTIONS: &[Exception] = &[
    Exception {
        frames: "ARP requests with a sender MAC that is zero or a group",
        reason: "no station has such a MAC, and the answer to a group would go to many (guard)",
        settings: routed,
        covers: |case| asks_child(case, |arp| is_odd(arp.sha) || is_odd(arp.eth_src)),
        kernel: Outcome::Answer,
        ours: Outcome::Nothing,
    },
    Exception {
        frames: "ARP requests from the parent's own MAC",
        reason: "they come back from a loop, or somebody pretends to be us (guard)",
        settings: routed,
        covers: |case| asks_child(case, |arp| [arp.sha, arp.eth_src].contains(&PARENT_MAC)),
        kernel: Outcome::Answer,
        ours: Outcome::Nothing,
    },
    Exception {
        frames: "ARP requests from 0.0.0.0/8, except from 0.0.0.0",
        reason: "no station has such an address (guard); the kernel checks it only where the child has \
                 a route that makes it martian",
        settings: routed,
        covers: |case| {
            arp(case, |arp| {
                arp.spa.octets()[0] == 0 && !arp.spa.is_unspecified()
            })
        },
        kernel: Outcome::Answer,
        ours: Outcome::Nothing,
    },
    Exception {
        frames: "ARP requests from an address of the host or of a child by a foreign MAC",
        reason: "a conflict: told as an event, and the impostor gets no answer; the kernel notices only \
                 addresses of the child that is asked for",
        settings: routed,
        covers: |case| {
            let ours = [CHILD, SECOND, SIBLING, HOST].map(|pair| pair.v4);
            asks_child(case, |arp| ours.contains(&arp.spa))
        },
        kernel: Outcome::Answer,
        ours: Outcome::Nothing,
    },
    Exception {
        frames: "ARP requests for the gateway's address, which a child holds",
        reason: "an answer would cut the LAN off from its gateway (guard)",
        settings: routed,
        covers: |case| asks_child(case, |arp| arp.tpa == GATEWAY.v4),
        kernel: Outcome::Answer,
        ours: Outcome::Nothing,
    },
    Exception {
        frames: "ARP requests from the broadcast address of the child's subnet",
        reason: "the programs know addresses, not the lengths of their prefixes; the answer goes to one \
                 station, by its MAC, and harms nobody",
        settings: everywhere,
        covers: |case| {
            asks_child(case, |arp| {
                arp.spa == SUBNET_BROADCAST
                    && arp.tpa != GATEWAY.v4
                    && [BROADCAST, PARENT_MAC].contains(&arp.eth_dst)
                    && !is_odd(arp.sha)
                    && arp.sha != PARENT_MAC
            })
        },
        kernel: Outcome::Nothing,
        ours: Outcome::Answer,
    },
    Exception {
        frames: "ARP requests to an Ethernet group",
        reason: "requests go to everybody or to one station (RFC 826, RFC 1122 §2.3.2.1); the driver clones \
                 to l2 children whatever is for a group, and their kernel does not look at it again",
        settings: routed,
        covers: |case| asks_child(case, |arp| arp.eth_dst == GROUP),
        kernel: Outcome::Answer,
        ours: Outcome::Nothing,
    },
    Exception {
        frames: "ARP requests for the host from a child's address and the parent's MAC",
        reason: "the host's reply to its own MAC is for the child, and is turned around to it",
        settings: switched,
        covers: |case| {
            let children = [CHILD, SECOND, SIBLING].map(|pair| pair.v4);
            arp(case, |arp| {
                arp.sha == PARENT_MAC && children.contains(&arp.spa) && arp.tpa == HOST.v4
            })
        },
        kernel: Outcome::Answer,
        ours: Outcome::Nothing,
    },
];

/// The broadcast address of 10.77.0.0/16.
const SUBNET_BROADCAST: Ipv4Addr = Ipv4Addr::new(10, 77, 255, 255);

/// The whole matrix, to children that have no neighbour discovery of their own: what we do not answer
/// stays unanswered.
fn routed(setting: &Setting) -> bool {
    everywhere(setting) && setting.mode != Mode::L2
}

/// The whole matrix, to children whose own kernel answers what we do not.
fn switched(setting: &Setting) -> bool {
    everywhere(setting) && setting.mode == Mode::L2
}

/// The whole matrix.
fn everywhere(setting: &Setting) -> bool {
    setting.traits == Traits::default()
}

/// Is it a message about an address that a child has?
fn asks_child(case: &Case, is: impl FnOnce(&Arp) -> bool) -> bool {
    let children = [CHILD, SECOND, SIBLING, GATEWAY].map(|pair| pair.v4);
    arp(case, |arp| children.contains(&arp.tpa) && is(arp))
}

fn arp(case: &Case, is: impl FnOnce(&Arp) -> bool) -> bool {
    match &case.message {
        Message::Arp(message) => is(message),
        Message::Nd(_) => false,
    }
}

fn is_odd(mac: Mac) -> bool {
    mac == ZERO || mac[0] & 1 != 0
}
