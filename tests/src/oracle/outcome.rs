//! What can come back because of a frame, exactly.

use std::net::Ipv6Addr;

use ipvlan_packet::{
    Arp, Nd,
    nd::{SOURCE_MAC, TARGET_MAC, flags, option},
};

use super::{
    case::{Case, Message},
    wire::Received,
    world::{GATEWAY, HOST_LINK_LOCAL, OURS, PARENT_MAC, is_known},
};

/// What comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing.
    Nothing,
    /// The answer of whoever has the target: to the sender's MAC, to everybody if it was a probe.
    Answer,
    /// What a kernel does that takes it for a proper request and the target for its own. It answers a
    /// solicitation only where it has a MAC for the sender: it learns none from a multicast one without
    /// option, and asks for it after a unicast one.
    Heard,
    /// What comes of it if it is passed on to an l3 or l3s child, whose kernel gets only what is for
    /// its own address, and whose answer the host routes.
    Passed,
    /// A question for the sender's MAC by the target: its kernel has something to tell it.
    Question,
    /// The answer of a router, by one of its own addresses, for the anycast address of its subnet.
    Anycast,
}

impl Outcome {
    /// Is this what came back because of `case`?
    pub(crate) fn is(self, case: &Case, received: &[Received]) -> bool {
        match (self.bytes(case), received) {
            (None, []) => true,
            (Some(expected), [only]) => only.tag.is_none() && only.bytes == expected,
            _ => false,
        }
    }

    /// The one frame that comes back because of `case`, if one does.
    pub(crate) fn bytes(self, case: &Case) -> Option<Vec<u8>> {
        match &case.message {
            Message::Arp(arp) => self.of_arp(arp),
            Message::Nd(nd) => self.of_nd(nd),
        }
    }

    fn of_arp(self, arp: &Arp) -> Option<Vec<u8>> {
        match self {
            Self::Answer | Self::Heard => Some(arp.answered_by(PARENT_MAC).frame()),
            Self::Nothing | Self::Passed | Self::Question | Self::Anycast => None,
        }
    }

    fn of_nd(self, nd: &Nd) -> Option<Vec<u8>> {
        match self {
            Self::Nothing => None,
            Self::Answer => Some(advertisement(nd)),
            Self::Heard => heard(nd),
            Self::Passed => passed(nd),
            Self::Question => Some(question(nd, nd.target)),
            Self::Anycast => Some(anycast(nd)),
        }
    }
}

fn heard(nd: &Nd) -> Option<Vec<u8>> {
    match nd.mac(SOURCE_MAC) {
        // What leaves an l2 child for the parent's own MAC stays inside.
        Some(PARENT_MAC) => None,
        Some(_) => Some(advertisement(nd)),
        None if nd.src.is_unspecified() || is_known(nd.src) => Some(advertisement(nd)),
        None if nd.dst.is_multicast() => None,
        None => Some(question(nd, nd.target)),
    }
}

fn passed(nd: &Nd) -> Option<Vec<u8>> {
    let stays_inside = OURS.contains(&nd.src);
    if nd.dst.is_multicast() || stays_inside {
        None
    } else if is_known(nd.src) {
        Some(advertisement(nd))
    } else {
        Some(question(nd, HOST_LINK_LOCAL))
    }
}

/// The advertisement of a host (RFC 4861 §7.2.4, as `ndisc_send_na` does it).
fn advertisement(asked: &Nd) -> Vec<u8> {
    advertisement_of(asked).frame()
}

fn advertisement_of(asked: &Nd) -> Nd {
    let multicast = asked.dst.is_multicast();
    let letters = match (asked.is_probe(), multicast) {
        (true, _) => "O",
        (false, true) => "SO",
        (false, false) => "S",
    };
    let mac = option(TARGET_MAC, &PARENT_MAC);
    let options = if multicast { mac } else { Vec::new() };
    asked.answered(PARENT_MAC, letters, options)
}

/// What `ndisc_send_na` makes of the target of a router's anycast address: another source, no O.
fn anycast(asked: &Nd) -> Vec<u8> {
    Nd {
        src: GATEWAY.v6,
        flags: flags("RS"),
        ..advertisement_of(asked)
    }
    .frame()
}

/// The solicitation with which `src` asks for the MAC of whoever sent `asked`.
fn question(asked: &Nd, src: Ipv6Addr) -> Vec<u8> {
    Nd::multicast(PARENT_MAC, src, asked.src)
        .with(option(SOURCE_MAC, &PARENT_MAC))
        .frame()
}
