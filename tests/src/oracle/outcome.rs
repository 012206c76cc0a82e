//! What can come back because of a frame, exactly.

use super::{
    case::{Case, Message},
    frames::{
        ADVERTISEMENT, ALL_NODES, Mac, Nd, OVERRIDE, SOLICITED, SOURCE_MAC, TARGET_MAC, group_mac,
        mac_option, solicited_node,
    },
    wire::Received,
    world::PARENT_MAC,
};

/// What comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing.
    Nothing,
    /// The answer that an l2 child gives: to the sender's MAC, to everybody if it was a probe.
    Answer,
    /// A solicitation of the sender's address: the target does not know where to send its answer.
    #[allow(
        dead_code,
        reason = "for the exceptions of neighbour discovery, which are not all written down yet"
    )]
    Question,
}

impl Outcome {
    /// Is this what came back because of `case`?
    #[must_use]
    pub(crate) fn is(self, case: &Case, received: &[Received]) -> bool {
        let expected = match self {
            Self::Nothing => None,
            Self::Answer => Some(answer(&case.message)),
            Self::Question => match &case.message {
                Message::Arp(_) => return false,
                Message::Nd(nd) => Some(question(nd)),
            },
        };
        match (expected, received) {
            (None, []) => true,
            (Some(expected), [only]) => only.tag.is_none() && only.bytes == expected,
            _ => false,
        }
    }
}

fn answer(message: &Message) -> Vec<u8> {
    match message {
        Message::Arp(arp) => arp.answer(),
        Message::Nd(nd) => advertisement(nd),
    }
}

/// The advertisement of a host (RFC 4861 §7.2.4, as `ndisc_send_na` does it).
fn advertisement(asked: &Nd) -> Vec<u8> {
    let probe = asked.src.is_unspecified();
    let multicast = asked.dst.is_multicast();
    let (eth_dst, dst) = if probe {
        (group_mac(ALL_NODES), ALL_NODES)
    } else {
        (source_mac(asked).unwrap_or(asked.eth_src), asked.src)
    };
    let mut flags = 0;
    if !probe {
        flags |= SOLICITED;
    }
    if probe || multicast {
        flags |= OVERRIDE;
    }
    Nd {
        eth_dst,
        eth_src: PARENT_MAC,
        src: asked.target,
        dst,
        kind: ADVERTISEMENT,
        flags: [flags, 0, 0, 0],
        options: if multicast {
            mac_option(TARGET_MAC, PARENT_MAC)
        } else {
            Vec::new()
        },
        ..valid(asked)
    }
    .bytes()
}

/// The solicitation that the target sends for the address of `asked`.
fn question(asked: &Nd) -> Vec<u8> {
    let group = solicited_node(asked.src);
    Nd {
        eth_dst: group_mac(group),
        eth_src: PARENT_MAC,
        src: asked.target,
        dst: group,
        target: asked.src,
        flags: [0; 4],
        options: mac_option(SOURCE_MAC, PARENT_MAC),
        ..valid(asked)
    }
    .bytes()
}

/// `message` with nothing wrong in its headers.
fn valid(message: &Nd) -> Nd {
    Nd {
        version: 6,
        length_error: 0,
        hop_limit: 255,
        extension: None,
        code: 0,
        checksum: super::frames::Checksum::Right,
        ..message.clone()
    }
}

/// The first source link-layer address among the options.
fn source_mac(nd: &Nd) -> Option<Mac> {
    let mut rest = &nd.options[..];
    while let [kind, units, ..] = rest {
        let length = usize::from(*units) * 8;
        let option = rest.get(..length).filter(|option| !option.is_empty())?;
        if *kind == SOURCE_MAC {
            return option.get(2..8)?.try_into().ok();
        }
        rest = &rest[length..];
    }
    None
}
