//! The guard: what is never answered for and who is never answered, so that no child can spoof the
//! host, the gateway or half the LAN.

use std::net::Ipv4Addr;

use ipvlan_common::{AddressEntry, Delivery, EventKind, Owner, Reason};
use ipvlan_model::{
    datapath::WIRE,
    frames::{Arp, arp},
    requests::{REQUEST, answers, passes},
    rows::{check, row},
    world::{
        BROADCAST, CHILD_IP, CHILD_SLOT, CLAIMED_GATEWAY_IP, CLAIMED_GATEWAY_SLOT, DOWN_IP,
        DOWN_SLOT, FOREIGN_IP, GATEWAY_IP, HOST_IP, Ip, L3, LAN, LAN_IP, MULTICAST, Mac, ODD_SLOT,
        PARENT, UNSPECIFIED, ZERO, child, l2_filter,
    },
};

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
        Ipv4Addr::new(224, 0, 0, 1),
        Ipv4Addr::new(239, 255, 255, 255),
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(0, 0, 0, 5),
        Ipv4Addr::new(0, 255, 255, 255),
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
                ..arp::request(FOREIGN_IP)
            },
            Reason::Gratuitous,
        ),
        passes(
            "announcement still floods to l2 children",
            Arp {
                spa: FOREIGN_IP,
                ..arp::request(FOREIGN_IP)
            },
            Reason::Gratuitous,
        )
        .flags(l2_filter()),
        passes(
            "announcement of nothing",
            Arp {
                spa: UNSPECIFIED,
                ..arp::request(UNSPECIFIED)
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

#[test]
fn never_answers_for_an_address_that_is_no_hosts() {
    let targets: [(Ip, Reason); 9] = [
        (Ipv4Addr::new(224, 0, 0, 0), Reason::TargetMulticast),
        (Ipv4Addr::new(239, 255, 255, 255), Reason::TargetMulticast),
        (Ipv4Addr::BROADCAST, Reason::TargetBroadcast),
        (Ipv4Addr::LOCALHOST, Reason::TargetLoopback),
        (Ipv4Addr::new(127, 255, 255, 255), Reason::TargetLoopback),
        (Ipv4Addr::new(0, 0, 0, 1), Reason::TargetUnspecified),
        (Ipv4Addr::new(0, 255, 255, 255), Reason::TargetUnspecified),
        (Ipv4Addr::UNSPECIFIED, Reason::TargetUnspecified),
        (Ipv4Addr::new(224, 1, 2, 3), Reason::TargetMulticast),
    ];
    // Even where a child holds it; in l2 too, where a foreign request would be dropped.
    check(targets.into_iter().flat_map(|(tpa, reason)| {
        let target = |flags| {
            passes(format!("target {tpa:?}"), arp::request(tpa), reason)
                .entry(tpa, child(ODD_SLOT))
                .flags(flags)
        };
        [target(L3), target(l2_filter())]
    }));
    let neighbours: [Ip; 4] = [
        Ipv4Addr::new(223, 255, 255, 255),
        Ipv4Addr::new(126, 255, 255, 255),
        Ipv4Addr::new(128, 0, 0, 0),
        Ipv4Addr::new(255, 255, 255, 254),
    ];
    check(neighbours.into_iter().map(|tpa| {
        answers(&format!("{tpa:?} is a host's"), arp::request(tpa), ODD_SLOT)
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
    let odd: Ip = Ipv4Addr::new(169, 254, 1, 1);
    check(refusals.into_iter().map(|reason| {
        row(
            format!("child refused: {reason:?}"),
            WIRE,
            arp::request(odd).frame(),
        )
        .entry(odd, child(ODD_SLOT).refused(reason))
        .refused(reason, ODD_SLOT)
    }));
    // The flags of an l2 parent make no difference: these are addresses somebody here holds.
    let rows = [L3, l2_filter()].into_iter().flat_map(|flags| {
        [
            passes("the host's", arp::request(HOST_IP), Reason::HostAddress),
            row("a down child's", WIRE, arp::request(DOWN_IP).frame())
                .refused(Reason::ChildDown, DOWN_SLOT),
            row(
                "the gateway's, held by a child",
                WIRE,
                arp::request(CLAIMED_GATEWAY_IP).frame(),
            )
            .refused(Reason::GatewayAddress, CLAIMED_GATEWAY_SLOT),
            passes(
                "the gateway's, refused",
                arp::request(GATEWAY_IP),
                Reason::GatewayAddress,
            )
            .entry(
                GATEWAY_IP,
                AddressEntry::held_by(Owner::Gateway).refused(Reason::GatewayAddress),
            ),
            passes(
                "the host's, refused",
                arp::request(FOREIGN_IP),
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
        passes("the gateway's", arp::request(GATEWAY_IP), Reason::NotOurs),
        passes("nobody's here", arp::request(FOREIGN_IP), Reason::NotOurs),
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
        passes("target", arp::request(FOREIGN_IP), Reason::NotOurs).entry(FOREIGN_IP, unknown),
        row("target, in l2", WIRE, arp::request(FOREIGN_IP).frame())
            .entry(FOREIGN_IP, unknown)
            .flags(l2_filter())
            .dropped(Reason::ForeignDropped),
        answers("sender", REQUEST, CHILD_SLOT).entry(LAN_IP, unknown),
    ]);
}
