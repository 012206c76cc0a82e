//! The guard: what is never answered for and who is never answered, so that no child can spoof the
//! host, the gateway or half the LAN.

use crate::common::{
    datapath::WIRE,
    frames::Arp,
    requests::{REQUEST, answers, passes},
    rows::{check, row},
    world::{
        BROADCAST, BY_KERNEL_IP, BY_KERNEL_SLOT, CHILD_IP, CHILD_SLOT, CLAIMED_GATEWAY_IP,
        CLAIMED_GATEWAY_SLOT, DOWN_IP, DOWN_SLOT, DUPLICATE_IP, DUPLICATE_SLOT, FOREIGN_IP,
        GATEWAY_IP, HOST_IP, Ip, L3, LAN, LAN_IP, MULTICAST, Mac, ODD_SLOT, OTHER, PARENT,
        PROBING_IP, PROBING_SLOT, SIBLING_IP, UNSPECIFIED, ZERO, child, l2_filter, l2_flood,
    },
};
use ipvlan_common::{AddressEntry, Delivery, EventKind, Owner, Reason};

#[test]
fn never_answers_a_sender_that_cannot_be() {
    let macs: [(Mac, Reason); 5] = [
        (PARENT, Reason::OwnSender),
        (ZERO, Reason::SenderMac),
        (BROADCAST, Reason::SenderMac),
        (MULTICAST, Reason::SenderMac),
        ([0x33, 0x33, 0xff, 0, 0, 1], Reason::SenderMac),
    ];
    let by_mac = macs.into_iter().flat_map(|(mac, reason)| {
        let source = Arp {
            eth_src: mac,
            ..REQUEST
        };
        let sender = Arp {
            sha: mac,
            ..REQUEST
        };
        [
            passes(format!("eth.src {mac:02x?}"), source, reason),
            passes(format!("sha {mac:02x?}"), sender, reason),
        ]
    });
    let addresses: [Ip; 6] = [
        [224, 0, 0, 1],
        [239, 255, 255, 255],
        [127, 0, 0, 1],
        [255, 255, 255, 255],
        [0, 0, 0, 5],
        [0, 255, 255, 255],
    ];
    let by_address = addresses.map(|spa| {
        passes(
            format!("spa {spa:?}"),
            Arp { spa, ..REQUEST },
            Reason::SenderAddress,
        )
    });
    check(by_mac.chain(by_address));
}

#[test]
fn an_announcement_stays_unanswered() {
    let claims = |spa| Arp { spa, ..REQUEST };
    check([
        passes(
            "announcement of a foreign address",
            Arp {
                spa: FOREIGN_IP,
                ..Arp::request(FOREIGN_IP)
            },
            Reason::Gratuitous,
        ),
        passes(
            "announcement still floods to l2 children",
            Arp {
                spa: FOREIGN_IP,
                ..Arp::request(FOREIGN_IP)
            },
            Reason::Gratuitous,
        )
        .flags(l2_filter()),
        passes(
            "announcement of nothing",
            Arp {
                spa: UNSPECIFIED,
                ..Arp::request(UNSPECIFIED)
            },
            Reason::Gratuitous,
        ),
        answers(
            "a probe is no claim, even if 0.0.0.0 is held",
            claims(UNSPECIFIED),
            CHILD_SLOT,
        )
        .entry(UNSPECIFIED, child(ODD_SLOT))
        .tells(EventKind::Probe, LAN, CHILD_IP, Some(CHILD_SLOT)),
    ]);
}

/// Every message in which a station says that it has `spa`.
fn claims(station: Mac, spa: Ip) -> [(&'static str, Arp); 9] {
    let to = |tpa| Arp {
        eth_src: station,
        sha: station,
        spa,
        ..Arp::request(tpa)
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
        ("asks for a multicast address", to([224, 0, 0, 1])),
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
        ("a probed", PROBING_IP, Some(PROBING_SLOT)),
        ("a duplicate", DUPLICATE_IP, Some(DUPLICATE_SLOT)),
        ("an l2 child's", BY_KERNEL_IP, Some(BY_KERNEL_SLOT)),
    ];
    let modes = [L3, l2_filter(), l2_flood()];
    let rows = (0..).zip(modes).flat_map(|(mode, flags)| {
        (0..)
            .zip(watched)
            .flat_map(move |(holder, (whose, spa, slot))| {
                (0..9_u8).map(move |index| {
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
        "the MAC told is the sender's, not the relay's",
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
            ..Arp::request(spa)
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
                        spa: [127, 0, 0, 1],
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

#[test]
fn never_answers_for_an_address_that_is_no_hosts() {
    let targets: [(Ip, Reason); 9] = [
        ([224, 0, 0, 0], Reason::TargetMulticast),
        ([239, 255, 255, 255], Reason::TargetMulticast),
        ([255, 255, 255, 255], Reason::TargetBroadcast),
        ([127, 0, 0, 1], Reason::TargetLoopback),
        ([127, 255, 255, 255], Reason::TargetLoopback),
        ([0, 0, 0, 1], Reason::TargetUnspecified),
        ([0, 255, 255, 255], Reason::TargetUnspecified),
        ([0, 0, 0, 0], Reason::TargetUnspecified),
        ([224, 1, 2, 3], Reason::TargetMulticast),
    ];
    // Even where a child holds it; in l2 too, where a foreign request would be dropped.
    check(targets.into_iter().flat_map(|(tpa, reason)| {
        let target = |flags| {
            passes(format!("target {tpa:?}"), Arp::request(tpa), reason)
                .entry(tpa, child(ODD_SLOT))
                .flags(flags)
        };
        [target(L3), target(l2_filter())]
    }));
    let neighbours: [Ip; 4] = [
        [223, 255, 255, 255],
        [126, 255, 255, 255],
        [128, 0, 0, 0],
        [255, 255, 255, 254],
    ];
    check(neighbours.into_iter().map(|tpa| {
        answers(&format!("{tpa:?} is a host's"), Arp::request(tpa), ODD_SLOT)
            .entry(tpa, child(ODD_SLOT))
    }));
}

#[test]
fn never_answers_for_the_host_the_gateway_or_a_refused_child() {
    let refusals = [
        Reason::HostAddress,
        Reason::GatewayAddress,
        Reason::ChildDown,
        Reason::TargetLinkLocal,
        Reason::PeerAddress,
        Reason::ParentDown,
        Reason::NotAllowed,
        Reason::Denied,
        Reason::Tentative,
        Reason::DadFailed,
        Reason::Probing,
        Reason::Duplicate,
    ];
    let odd: Ip = [169, 254, 1, 1];
    check(refusals.into_iter().map(|reason| {
        row(
            format!("child refused: {reason:?}"),
            WIRE,
            Arp::request(odd).frame(),
        )
        .entry(odd, child(ODD_SLOT).refused(reason))
        .refused(reason, ODD_SLOT)
    }));
    // The flags of an l2 parent make no difference: these are addresses somebody here holds.
    let rows = [L3, l2_filter()].into_iter().flat_map(|flags| {
        [
            passes("the host's", Arp::request(HOST_IP), Reason::HostAddress),
            row("a down child's", WIRE, Arp::request(DOWN_IP).frame())
                .refused(Reason::ChildDown, DOWN_SLOT),
            row(
                "the gateway's, held by a child",
                WIRE,
                Arp::request(CLAIMED_GATEWAY_IP).frame(),
            )
            .refused(Reason::GatewayAddress, CLAIMED_GATEWAY_SLOT),
            passes(
                "the gateway's, refused",
                Arp::request(GATEWAY_IP),
                Reason::GatewayAddress,
            )
            .entry(
                GATEWAY_IP,
                AddressEntry::held_by(Owner::Gateway).refused(Reason::GatewayAddress),
            ),
            passes(
                "the host's, refused",
                Arp::request(FOREIGN_IP),
                Reason::ParentDown,
            )
            .entry(
                FOREIGN_IP,
                AddressEntry::held_by(Owner::Host).refused(Reason::ParentDown),
            ),
        ]
        .map(|row| row.flags(flags))
    });
    check(rows);
    check([
        passes("the gateway's", Arp::request(GATEWAY_IP), Reason::NotOurs),
        passes("nobody's here", Arp::request(FOREIGN_IP), Reason::NotOurs),
    ]);
}

#[test]
fn an_unknown_owner_is_nobody() {
    let unknown = AddressEntry::default();
    assert_eq!(
        (unknown.owner(), unknown.delivery()),
        (None, Delivery::Pass)
    );
    check([
        passes("target", Arp::request(FOREIGN_IP), Reason::NotOurs).entry(FOREIGN_IP, unknown),
        row("target, in l2", WIRE, Arp::request(FOREIGN_IP).frame())
            .entry(FOREIGN_IP, unknown)
            .flags(l2_filter())
            .dropped(Reason::ForeignDropped),
        answers("sender", REQUEST, CHILD_SLOT).entry(LAN_IP, unknown),
    ]);
}
