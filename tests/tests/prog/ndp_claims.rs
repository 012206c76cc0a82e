//! Claims of addresses by neighbour discovery: reported to the agent and never answered.

use ipvlan_common::{AddressEntry, EventKind, Owner, Reason};
use ipvlan_model::{
    datapath::WIRE,
    frames::{
        Nd,
        ndp::{self, SOURCE_MAC, TARGET_MAC, checksummed, option},
        patched,
    },
    rows::{Row, check, row},
    solicitations::{answers, confirms, multicast, passes},
    world::{
        ALL_NODES, BY_KERNEL_IP6, BY_KERNEL_SLOT, CHILD_IP6, CHILD_LL, CHILD_SLOT,
        CLAIMED_GATEWAY_IP6, DOWN_IP6, DUPLICATE_IP6, DUPLICATE_SLOT, FOREIGN_IP6, GATEWAY_IP6,
        HOST_IP6, Ip6, L3, LAN, Mac, ODD_SLOT, OTHER, PARENT, PROBING_IP6, PROBING_SLOT,
        SIBLING_IP6, child, l2_filter, l2_flood,
    },
};

fn conflicts(name: String, message: &Nd, mac: Mac, address: Ip6, slot: Option<u32>) -> Row {
    let row = row(name, WIRE, message.frame());
    let row = match slot {
        Some(slot) => row.refused(Reason::SenderConflict, slot),
        None => row.passes(Reason::SenderConflict),
    };
    row.tells(EventKind::Claim, mac, address, slot)
}

/// Every message in which a station says that it has `address`.
fn claims(station: Mac, address: Ip6) -> [(&'static str, Nd); 7] {
    let asks = |message: Nd| {
        Nd {
            src: address,
            ..message
        }
        .with(option(SOURCE_MAC, &station))
    };
    let announces = ndp::announcement(address).with(option(TARGET_MAC, &station));
    let answers = Nd {
        eth_dst: PARENT,
        dst: HOST_IP6,
        ..announces.clone()
    };
    let relayed = Nd {
        eth_src: OTHER,
        src: FOREIGN_IP6,
        ..announces.clone()
    };
    [
        ("asks for a sibling", asks(ndp::solicitation(SIBLING_IP6))),
        ("asks for nobody", asks(ndp::solicitation(FOREIGN_IP6))),
        ("confirms a sibling", asks(ndp::unicast(SIBLING_IP6))),
        ("asks for itself", asks(ndp::solicitation(address))),
        ("announces", announces),
        ("announces by another", relayed),
        ("answers the host", answers),
    ]
}

#[test]
fn a_stranger_with_an_address_of_ours_is_told_and_never_answered() {
    let watched: [(Ip6, Option<u32>); 6] = [
        (CHILD_IP6, Some(CHILD_SLOT)),
        (CHILD_LL, Some(CHILD_SLOT)),
        (HOST_IP6, None),
        (BY_KERNEL_IP6, Some(BY_KERNEL_SLOT)),
        (PROBING_IP6, Some(PROBING_SLOT)),
        (DUPLICATE_IP6, Some(DUPLICATE_SLOT)),
    ];
    // Of those that may be the station's, solicitations are no claims; advertisements are.
    let first = |address| {
        if [PROBING_IP6, DUPLICATE_IP6].contains(&address) {
            4
        } else {
            0
        }
    };
    let modes = [L3, l2_filter(), l2_flood()];
    let rows = (0..).zip(modes).flat_map(|(mode, flags)| {
        (0..)
            .zip(watched)
            .flat_map(move |(holder, (address, slot))| {
                (first(address)..7_u8).map(move |index| {
                    // A station of its own for each row: what one may tell is bounded.
                    let station = [2, 0, 0, mode, holder, index];
                    let (what, message) = &claims(station, address)[usize::from(index)];
                    let name = format!("{address:02x?} {what}");
                    conflicts(name, message, station, address, slot).flags(flags)
                })
            })
    });
    check(rows);
}

#[test]
fn without_the_option_the_source_of_the_frame_is_told() {
    let from = |eth_src, message: Nd| Nd { eth_src, ..message }.with(Vec::new());
    check([
        conflicts(
            "solicitation".into(),
            &Nd {
                src: CHILD_IP6,
                ..from(OTHER, ndp::solicitation(FOREIGN_IP6))
            },
            OTHER,
            CHILD_IP6,
            Some(CHILD_SLOT),
        ),
        conflicts(
            "advertisement".into(),
            &from(LAN, ndp::announcement(HOST_IP6)),
            LAN,
            HOST_IP6,
            None,
        ),
    ]);
}

/// A child that took a gateway's address, or one that is down, has nothing to defend.
#[test]
fn a_child_with_an_address_that_is_not_its_own_cuts_nobody_off() {
    let unwatched = [CLAIMED_GATEWAY_IP6, GATEWAY_IP6, DOWN_IP6, FOREIGN_IP6];
    check(unwatched.into_iter().flat_map(|src| {
        let asks = |message: Nd| Nd { src, ..message };
        [
            answers("asks", &asks(multicast()), "SO", CHILD_SLOT),
            answers("asks, l2", &asks(multicast()), "SO", CHILD_SLOT).flags(l2_filter()),
            confirms("confirms", &asks(ndp::unicast(CHILD_IP6)), "S", CHILD_SLOT),
            passes("announces", &ndp::announcement(src), Reason::Advertisement),
        ]
    }));
    let refusals = [
        // The station may be the owner.
        Reason::Probing,
        Reason::Duplicate,
        Reason::ParentDown,
        Reason::NotAllowed,
        Reason::Denied,
        Reason::HostAddress,
        Reason::Tentative,
        Reason::DadFailed,
    ];
    check(refusals.map(|reason| {
        let asks = Nd {
            src: FOREIGN_IP6,
            ..multicast()
        };
        answers(format!("held, {reason:?}"), &asks, "SO", CHILD_SLOT)
            .entry(FOREIGN_IP6, child(ODD_SLOT).refused(reason))
    }));
    check([
        answers("held by a gateway, refused", &multicast(), "SO", CHILD_SLOT).entry(
            multicast().src,
            AddressEntry::held_by(Owner::Gateway).refused(Reason::GatewayAddress),
        ),
    ]);
}

#[test]
fn an_advertisement_is_never_answered_nor_dropped() {
    let unsolicited = ndp::announcement(FOREIGN_IP6);
    let solicited = ndp::solicitation(FOREIGN_IP6).answered(LAN, "SO", Vec::new());
    let router = ndp::announcement(GATEWAY_IP6);
    let claim = ndp::announcement(CHILD_IP6);
    let from = |eth_src| Nd {
        eth_src,
        ..claim.clone()
    };
    let to = |eth_dst| Nd {
        eth_dst,
        ..claim.clone()
    };
    check([L3, l2_filter(), l2_flood()].into_iter().flat_map(|flags| {
        [
            passes("unsolicited", &unsolicited, Reason::Advertisement),
            passes(
                "without options",
                &unsolicited.clone().with(Vec::new()),
                Reason::Advertisement,
            ),
            passes("solicited, to another", &solicited, Reason::OtherMac),
            passes("of a gateway", &router, Reason::Advertisement),
            passes(
                "for a multicast address",
                &ndp::announcement(ALL_NODES),
                Reason::Advertisement,
            ),
            passes("our own, come back", &from(PARENT), Reason::OwnSender),
            passes(
                "with our MAC",
                &claim.clone().with(option(TARGET_MAC, &PARENT)),
                Reason::OwnSender,
            ),
            passes("to another MAC", &to(OTHER), Reason::OtherMac),
        ]
        .map(|row| row.flags(flags))
    }));
    let forwarded = Nd {
        hop_limit: 254,
        ..claim.clone()
    };
    let frame = claim.frame();
    check([
        passes("forwarded", &forwarded, Reason::HopLimit),
        row(
            "code 1",
            WIRE,
            checksummed(patched(frame.clone(), ndp::CODE, &[1])),
        )
        .passes(Reason::Code),
        row("checksum", WIRE, patched(frame, ndp::CHECKSUM, &[0, 0])).passes(Reason::Checksum),
        passes(
            "target link-layer address of two units",
            &claim.clone().with(option(TARGET_MAC, &[0; 14])),
            Reason::BadOption,
        ),
        passes(
            "option of length 0",
            &claim.with(vec![14, 0, 0, 0, 0, 0, 0, 0]),
            Reason::BadOption,
        ),
    ]);
}
