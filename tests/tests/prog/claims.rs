//! Claims of addresses by ARP: reported to the agent and never answered.

use std::net::Ipv4Addr;

use ipvlan_common::{EventKind, Reason};
use ipvlan_model::{
    datapath::WIRE,
    frames::{Arp, arp},
    requests::{REQUEST, answers, passes},
    rows::{check, row},
    world::{
        BY_KERNEL_IP, BY_KERNEL_SLOT, CHILD_IP, CHILD_SLOT, CLAIMED_GATEWAY_IP, DOWN_IP,
        DUPLICATE_IP, DUPLICATE_SLOT, FOREIGN_IP, GATEWAY_IP, HOST_IP, Ip, L3, LAN, Mac, ODD_SLOT,
        OTHER, PARENT, PROBING_IP, PROBING_SLOT, SIBLING_IP, UNSPECIFIED, ZERO, child, l2_filter,
        l2_flood,
    },
};

/// Every message in which a station says that it has `spa`.
fn claims(station: Mac, spa: Ip) -> [(&'static str, Arp); 9] {
    let to = |tpa| Arp {
        eth_src: station,
        sha: station,
        spa,
        ..arp::request(tpa)
    };
    let unicast = |message| Arp {
        eth_dst: PARENT,
        ..message
    };
    let reply = |message| Arp { oper: 2, ..message };
    [
        ("asks for a sibling", to(SIBLING_IP)),
        ("asks for the LAN", to(FOREIGN_IP)),
        ("asks the parent alone", unicast(to(FOREIGN_IP))),
        ("asks for the host", to(HOST_IP)),
        (
            "asks for a multicast address",
            to(Ipv4Addr::new(224, 0, 0, 1)),
        ),
        ("announces by request", to(spa)),
        ("announces by reply", reply(to(spa))),
        ("replies to the host", unicast(reply(to(HOST_IP)))),
        ("replies to nothing", reply(to(UNSPECIFIED))),
    ]
}

/// Whatever the message is, and whomever it is for: who uses a watched address as its own claims it.
#[test]
fn a_stranger_with_an_address_of_ours_is_told_and_never_answered() {
    let watched = [
        ("a child's", CHILD_IP, Some(CHILD_SLOT)),
        ("the host's", HOST_IP, None),
        ("an l2 child's", BY_KERNEL_IP, Some(BY_KERNEL_SLOT)),
        ("a probed", PROBING_IP, Some(PROBING_SLOT)),
        ("a duplicate", DUPLICATE_IP, Some(DUPLICATE_SLOT)),
    ];
    // Of those that may be the station's, requests are no claims; announcements and replies are.
    let first = |spa| {
        if [PROBING_IP, DUPLICATE_IP].contains(&spa) {
            5
        } else {
            0
        }
    };
    let modes = [L3, l2_filter(), l2_flood()];
    let rows = (0..).zip(modes).flat_map(|(mode, flags)| {
        (0..)
            .zip(watched)
            .flat_map(move |(holder, (whose, spa, slot))| {
                (first(spa)..9_u8).map(move |index| {
                    // A station of its own for each row: what one may tell is bounded.
                    let station = [2, 0, 0, mode, holder, index];
                    let (what, message) = claims(station, spa)[usize::from(index)];
                    let name = format!("with {whose} address, {what}");
                    let row = row(name, WIRE, message.frame()).flags(flags);
                    let row = match slot {
                        Some(slot) => row.refused(Reason::SenderConflict, slot),
                        None => row.passes(Reason::SenderConflict),
                    };
                    row.tells(EventKind::Claim, station, spa, slot)
                })
            })
    });
    check(rows);
    check([row(
        "the reported MAC is the sender's, not the relay's",
        WIRE,
        Arp {
            eth_src: OTHER,
            spa: HOST_IP,
            ..REQUEST
        }
        .frame(),
    )
    .passes(Reason::SenderConflict)
    .tells(EventKind::Claim, LAN, HOST_IP, None)]);
}

/// A child that took a gateway's address, or one that is down, has nothing to defend: taking the real
/// holder for a stranger would cut it off from all the other children.
#[test]
fn a_child_with_an_address_that_is_not_its_own_cuts_nobody_off() {
    let unwatched = [
        (
            "the gateway, whose address a child took",
            CLAIMED_GATEWAY_IP,
        ),
        ("the gateway", GATEWAY_IP),
        ("a host with a down child's address", DOWN_IP),
        ("a host with nobody's address", FOREIGN_IP),
    ];
    check(unwatched.into_iter().flat_map(|(who, spa)| {
        let asks = Arp { spa, ..REQUEST };
        let announces = Arp {
            spa,
            ..arp::request(spa)
        };
        [
            answers(&format!("{who} asks for a child"), asks, CHILD_SLOT),
            answers(&format!("{who} asks for a child, l2"), asks, CHILD_SLOT).flags(l2_filter()),
            passes(format!("{who} announces"), announces, Reason::Gratuitous),
            passes(
                format!("{who} replies"),
                Arp { oper: 2, ..asks },
                Reason::NotRequest,
            ),
        ]
    }));
    let refusals = [
        // The station may be the owner.
        Reason::Probing,
        Reason::Duplicate,
        Reason::ParentDown,
        Reason::NotAllowed,
        Reason::Denied,
        Reason::PeerAddress,
        Reason::HostAddress,
        Reason::Tentative,
        Reason::DadFailed,
    ];
    check(refusals.into_iter().map(|reason| {
        let asks = Arp {
            spa: FOREIGN_IP,
            ..REQUEST
        };
        answers(&format!("held by a child, {reason:?}"), asks, CHILD_SLOT)
            .entry(FOREIGN_IP, child(ODD_SLOT).refused(reason))
    }));
}

#[test]
fn a_sender_that_cannot_be_is_no_claim() {
    let reply = |message| Arp { oper: 2, ..message };
    let claim = Arp {
        spa: CHILD_IP,
        ..REQUEST
    };
    check(
        [
            ("request", REQUEST),
            ("reply", reply(REQUEST)),
            ("claim", claim),
            ("claim by reply", reply(claim)),
        ]
        .into_iter()
        .flat_map(|(what, message)| {
            let row = |who: &str, message, reason| passes(format!("{what} {who}"), message, reason);
            [
                row(
                    "to another MAC",
                    Arp {
                        eth_dst: OTHER,
                        ..message
                    },
                    Reason::OtherMac,
                ),
                row(
                    "of our own MAC, come back",
                    Arp {
                        eth_src: PARENT,
                        ..message
                    },
                    Reason::OwnSender,
                ),
                row(
                    "of our own MAC, relayed",
                    Arp {
                        sha: PARENT,
                        ..message
                    },
                    Reason::OwnSender,
                ),
                row(
                    "from no MAC",
                    Arp {
                        sha: ZERO,
                        ..message
                    },
                    Reason::SenderMac,
                ),
                row(
                    "from a loopback address",
                    Arp {
                        spa: Ipv4Addr::LOCALHOST,
                        ..message
                    },
                    Reason::SenderAddress,
                ),
            ]
        }),
    );
    check([0, 3, 4, 8, 9, 65_535].map(|oper| {
        passes(
            format!("op {oper} claims nothing"),
            Arp { oper, ..claim },
            Reason::NotRequest,
        )
    }));
}
