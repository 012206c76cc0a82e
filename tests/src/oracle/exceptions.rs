//! Where the agent's answers differ from the kernel's on purpose: the only place.
//!
//! A row holds for every frame that it covers and that the kernel treats as it says: then ours must
//! come out as it says, too. A row that no frame needs any more fails the comparison.

use super::{
    asker::GROUP,
    case::Case,
    covers::{self, arp, asks_child, is_odd, nd},
    ndp::SUBNET_ROUTER,
    outcome::Outcome,
    setting::Setting,
    wire::Received,
    world::{CHILD, GATEWAY, HOST, MAPPED, PARENT_MAC, SECOND, SIBLING, Traits},
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
    pub(crate) fn is_due(&self, setting: &Setting) -> bool {
        (self.settings)(setting)
    }

    /// Is this what `case` is an exception by, `by_kernel` having come from the kernel?
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
            asks_child(case, |arp| {
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
                arp.spa == covers::SUBNET_BROADCAST && covers::is_welcome(arp)
            })
        },
        kernel: Outcome::Nothing,
        ours: Outcome::Answer,
    },
    Exception {
        frames: "ARP requests from the gateway, whose address a child has taken",
        reason: "the child's kernel takes the sender for itself; the real gateway must reach the children",
        settings: everywhere,
        covers: |case| {
            asks_child(case, |arp| {
                arp.spa == GATEWAY.v4 && arp.tpa != SIBLING.v4 && covers::is_welcome(arp)
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
        reason: "the host's reply to its own MAC is for the child, and is turned around to it, whatever the mode: \
                 it may be another since a moment ago",
        settings: everywhere,
        covers: |case| {
            let children = [CHILD, SECOND, SIBLING].map(|pair| pair.v4);
            arp(case, |arp| {
                arp.sha == PARENT_MAC && children.contains(&arp.spa) && arp.tpa == HOST.v4
            })
        },
        kernel: Outcome::Answer,
        ours: Outcome::Nothing,
    },
    Exception {
        frames: "solicitations for the gateway's address, which a child holds",
        reason: "an answer would cut the LAN off from its gateway (guard)",
        settings: routed,
        covers: |case| nd(case, |nd| nd.target == GATEWAY.v6),
        kernel: Outcome::Heard,
        ours: Outcome::Passed,
    },
    Exception {
        frames: "solicitations with a sender MAC that is zero or a group",
        reason: "no station has such a MAC, and the answer to a group would go to many (guard)",
        settings: routed,
        covers: |case| nd(case, covers::has_odd_mac),
        kernel: Outcome::Heard,
        ours: Outcome::Passed,
    },
    Exception {
        frames: "solicitations from the parent's own MAC",
        reason: "they come back from a loop, or somebody pretends to be us (guard)",
        settings: routed,
        covers: |case| nd(case, covers::has_own_mac),
        kernel: Outcome::Heard,
        ours: Outcome::Passed,
    },
    Exception {
        frames: "solicitations from an address of the host or of a child by a foreign MAC",
        reason: "a conflict: told as an event, and the impostor gets no answer; the kernel does not look at it",
        settings: routed,
        covers: |case| nd(case, covers::is_impostor),
        kernel: Outcome::Heard,
        ours: Outcome::Passed,
    },
    Exception {
        frames: "solicitations from an IPv4-mapped address",
        reason: "no node sends from one (RFC 4291 §2.5.5.2, guard)",
        settings: routed,
        covers: |case| nd(case, |nd| nd.src == MAPPED),
        kernel: Outcome::Heard,
        ours: Outcome::Passed,
    },
    Exception {
        frames: "solicitations to a group or an address that is not the target's",
        reason: "they go to the target or to its group (RFC 4861 §4.3); the kernel takes what is for any of its own",
        settings: routed,
        covers: |case| nd(case, covers::is_elsewhere),
        kernel: Outcome::Heard,
        ours: Outcome::Passed,
    },
    Exception {
        frames: "solicitations of more than 128 bytes",
        reason: "the programs read no more; with link-layer address and nonce there are 40",
        settings: routed,
        covers: |case| nd(case, covers::is_long),
        kernel: Outcome::Heard,
        ours: Outcome::Passed,
    },
    Exception {
        frames: "solicitations behind extension headers",
        reason: "fragments are forbidden (RFC 6980), and nobody sends others; the programs read none",
        settings: routed,
        covers: |case| nd(case, covers::is_extended),
        kernel: Outcome::Heard,
        ours: Outcome::Passed,
    },
    Exception {
        frames: "solicitations behind an authentication header",
        reason: "the child's kernel reports an unknown header, by way of the host where it is routed",
        settings: routed,
        covers: |case| nd(case, covers::is_extended),
        kernel: Outcome::Question,
        ours: Outcome::Passed,
    },
    Exception {
        frames: "solicitations sent to the target's group, in a frame to the parent alone",
        reason: "the driver finds no child for it, except for a probe; the answer harms nobody",
        settings: everywhere,
        covers: |case| nd(case, covers::is_group_by_unicast),
        kernel: Outcome::Nothing,
        ours: Outcome::Answer,
    },
    Exception {
        frames: "solicitations that do not tell the sender's MAC",
        reason: "the source of the frame is the sender's MAC, and is answered; the kernel does not look there and asks, or says nothing if it was not asked alone",
        settings: everywhere,
        covers: |case| nd(case, covers::has_no_mac),
        kernel: Outcome::Heard,
        ours: Outcome::Answer,
    },
    Exception {
        frames: "solicitations for the host to a group of a child",
        reason: "the agent joins the groups of l3 and l3s children, in the host's kernel, which then answers for itself, too",
        settings: routed,
        covers: covers::asks_host_by_group_of_child,
        kernel: Outcome::Nothing,
        ours: Outcome::Heard,
    },
    Exception {
        frames: "requests with two priority tags",
        reason: "the kernel takes both for none; the programs look behind one",
        settings: routed,
        covers: covers::has_two_priority_tags,
        kernel: Outcome::Heard,
        ours: Outcome::Passed,
    },
    Exception {
        frames: "unicast solicitations with two priority tags",
        reason: "the driver sees the second tag and no packet; the stack, on its way to an l3s child, has taken it off",
        settings: by_stack,
        covers: covers::has_two_priority_tags,
        kernel: Outcome::Nothing,
        ours: Outcome::Passed,
    },
    Exception {
        frames: "solicitations for the anycast address of routers",
        reason: "it is in no map: others on the LAN have it, too",
        settings: router,
        covers: |case| covers::solicits(case, |nd| nd.target == SUBNET_ROUTER),
        kernel: Outcome::Anycast,
        ours: Outcome::Nothing,
    },
];

/// The whole matrix, to children that have no neighbour discovery of their own: what we do not answer
/// stays unanswered, or is answered by way of the host.
fn routed(setting: &Setting) -> bool {
    everywhere(setting) && setting.mode != Mode::L2
}

/// The same, where frames go through the host's stack.
fn by_stack(setting: &Setting) -> bool {
    everywhere(setting) && setting.mode == Mode::L3s
}

/// The whole matrix.
fn everywhere(setting: &Setting) -> bool {
    setting.traits == Traits::default()
}

/// The child is a router.
fn router(setting: &Setting) -> bool {
    setting.traits.router
}
