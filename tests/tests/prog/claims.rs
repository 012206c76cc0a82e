//! Claims of addresses by ARP and by neighbour discovery: reported to the agent and never answered.

use ipvlan_model::prelude::*;

/// The message is a claim of `address` by the station with `mac`.
fn conflicts(
    name: impl Into<String>,
    message: impl Into<Message>,
    mac: Mac,
    address: impl Into<IpAddr>,
    slot: Option<u32>,
) -> Row {
    let reason = Reason::SenderConflict;
    passes(name, message, reason)
        .withheld(reason, slot)
        .reports(EventKind::Claim, mac, address, slot)
}

/// Every ARP message in which a station uses `spa` as its own: questions, which a station whose address is being probed
/// for may send, and assertions.
fn arp_claims(station: Mac, spa: Ip) -> [Vec<(&'static str, Arp)>; 2] {
    let to = |tpa| Arp {
        eth_src: station,
        sha: station,
        spa,
        ..arp::request(tpa)
    };
    let reply = |message| Arp { oper: 2, ..message };
    let multicast = Ipv4Addr::new(224, 0, 0, 1);
    [
        vec![
            ("asks for a sibling", to(SIBLING_IP)),
            ("asks for the LAN", to(FOREIGN_IP)),
            ("asks the parent alone", to(FOREIGN_IP).to(PARENT)),
            ("asks for the host", to(HOST_IP)),
            ("asks for a multicast address", to(multicast)),
        ],
        vec![
            ("announces by request", to(spa)),
            ("announces by reply", reply(to(spa))),
            ("replies to the host", reply(to(HOST_IP)).to(PARENT)),
            ("replies to nothing", reply(to(UNSPECIFIED))),
        ],
    ]
}

/// The same by neighbour discovery.
fn nd_claims(station: Mac, address: Ip6) -> [Vec<(&'static str, Nd)>; 2] {
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
        vec![
            ("asks for a sibling", asks(ndp::solicitation(SIBLING_IP6))),
            ("asks for the LAN", asks(ndp::solicitation(FOREIGN_IP6))),
            ("confirms a sibling", asks(ndp::unicast(SIBLING_IP6))),
            ("asks for itself", asks(ndp::solicitation(address))),
        ],
        vec![
            ("announces", announces),
            ("announces by another", relayed),
            ("answers the host", answers),
        ],
    ]
}

fn claims(station: Mac, address: IpAddr) -> [Vec<(&'static str, Message)>; 2] {
    match address {
        IpAddr::V4(address) => arp_claims(station, address).map(messages),
        IpAddr::V6(address) => nd_claims(station, address).map(messages),
    }
}

fn messages<M: Into<Message>>(claims: Vec<(&'static str, M)>) -> Vec<(&'static str, Message)> {
    let claims = claims.into_iter();
    claims.map(|(what, it)| (what, it.into())).collect()
}

/// Whatever the message is, and whomever it is for: a station that uses a watched address as its own claims it.
#[test]
fn a_station_with_an_address_of_ours_is_reported_and_never_answered() {
    let watched: Vec<(IpAddr, Option<u32>)> = both(|at| {
        [
            (at.child, Some(CHILD_SLOT)),
            (at.host, None),
            (at.by_kernel, Some(BY_KERNEL_SLOT)),
            (at.probing, Some(PROBING_SLOT)),
            (at.duplicate, Some(DUPLICATE_SLOT)),
        ]
    })
    .chain([(CHILD_LL.into(), Some(CHILD_SLOT))])
    .collect();
    let mut rows = Vec::new();
    for (mode, flags) in (0..).zip([L3, l2_filter(), l2_flood()]) {
        for (owner, &(address, slot)) in (0..).zip(&watched) {
            // A station of its own for each row: what one may report is bounded.
            let station = |index| [2, 0, 0, mode, owner, index];
            let count = claims(ZERO, address).concat().len();
            for index in 0..u8::try_from(count).unwrap() {
                let [questions, assertions] = claims(station(index), address);
                let is_question = usize::from(index) < questions.len();
                // Where the station may be the owner, a question is no claim.
                if is_question && matches!(slot, Some(PROBING_SLOT | DUPLICATE_SLOT)) {
                    continue;
                }
                let (what, message) = &[questions, assertions].concat()[usize::from(index)];
                let name = format!("with {address}, {what}");
                let row = conflicts(name, message, station(index), address, slot);
                rows.push(row.flags(flags));
            }
        }
    }
    check(rows);
}

#[test]
fn the_reported_mac_is_the_senders_or_that_of_the_frame_where_none_is_named() {
    let relayed = Arp {
        eth_src: OTHER,
        spa: HOST_IP,
        ..REQUEST
    };
    let solicitation = Nd {
        eth_src: OTHER,
        src: CHILD_IP6,
        ..ndp::solicitation(FOREIGN_IP6).with(Vec::new())
    };
    let advertisement = ndp::announcement(HOST_IP6).with(Vec::new());
    let slot = Some(CHILD_SLOT);
    check([
        conflicts("relayed", relayed, LAN, HOST_IP, None),
        conflicts("solicitation", solicitation, OTHER, CHILD_IP6, slot),
        conflicts("advertisement", advertisement, LAN, HOST_IP6, None),
    ]);
}

/// A child that took a gateway's address, or one that is down, has nothing to defend: taking the real owner for a
/// stranger would cut it off from all the other children.
#[test]
fn a_child_with_an_address_that_is_not_its_own_cuts_no_station_off() {
    check(both(|at| {
        let unwatched = [at.claimed_gateway, at.gateway, at.down, at.foreign];
        unwatched.into_iter().flat_map(move |src| {
            let asks = Message::ask(at.child).sender(src);
            let (announced, answer) = match &asks {
                Message::Arp(asks) => (Reason::Gratuitous, Some(Arp { oper: 2, ..*asks })),
                Message::Nd(_) => (Reason::Advertisement, None),
            };
            let announcement = Message::announcement(src);
            let reply = answer.map(|it| passes("replies", it, Reason::NotRequest));
            let rows = [
                answers(format!("{src} asks"), &asks, CHILD_SLOT),
                answers("asks, l2", &asks, CHILD_SLOT).flags(l2_filter()),
                answers("asks the child alone", asks.unicast(), CHILD_SLOT),
                passes("announces", announcement, announced),
            ];
            rows.into_iter().chain(reply)
        })
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
    check(both(|at| {
        let asks = Message::ask(at.child).sender(at.foreign);
        let held = refusals.map(|reason| {
            answers(format!("held by a child, {reason:?}"), &asks, CHILD_SLOT)
                .entry(at.foreign, child(ODD_SLOT).refused(reason))
        });
        let gateway = AddressEntry::held_by(Owner::Gateway).refused(Reason::GatewayAddress);
        let asks = Message::ask(at.child);
        let refused = answers("held by a gateway, refused", asks, CHILD_SLOT);
        held.into_iter().chain([refused.entry(at.lan, gateway)])
    }));
}

#[test]
fn an_announcement_is_never_answered_nor_dropped() {
    let rows = [FOREIGN_IP, UNSPECIFIED].map(|address| {
        let announcement = Message::announcement(address.into());
        passes(format!("of {address}"), announcement, Reason::Gratuitous)
    });
    check(in_modes(&[L3, l2_filter()], rows));
    let probe = Message::probe(CHILD_IP.into());
    check([
        answers("a probe, even if 0.0.0.0 is held", probe, CHILD_SLOT)
            .entry(UNSPECIFIED, child(ODD_SLOT))
            .reports(EventKind::Probe, LAN, CHILD_IP, CHILD_SLOT),
    ]);
}

#[test]
fn an_arp_message_of_an_impossible_sender_is_no_claim() {
    let reply = |message| Arp { oper: 2, ..message };
    let claim = Arp {
        spa: CHILD_IP,
        ..REQUEST
    };
    let messages = [REQUEST, reply(REQUEST), claim, reply(claim)];
    check(messages.into_iter().flat_map(|it| {
        let it = Message::from(it);
        let loopback = it.sender(Ipv4Addr::LOCALHOST.into());
        [
            ("to another MAC", it.to(OTHER), Reason::OtherMac),
            ("from our MAC", it.source(PARENT), Reason::OwnSender),
            ("names our MAC", it.naming(PARENT), Reason::OwnSender),
            ("names no MAC", it.naming(ZERO), Reason::SenderMac),
            ("from loopback", loopback, Reason::SenderAddress),
        ]
        .map(|(name, it, reason)| passes(name, it, reason))
    }));
    check([0, 3, 4, 8, 9, 65_535].map(|oper| {
        let name = format!("op {oper} claims nothing");
        passes(name, Arp { oper, ..claim }, Reason::NotRequest)
    }));
}

#[test]
fn an_advertisement_is_never_answered_nor_dropped() {
    let unsolicited = ndp::announcement(FOREIGN_IP6);
    let solicited = ndp::solicitation(FOREIGN_IP6).answered(LAN, "SO", Vec::new());
    let claim = ndp::announcement(CHILD_IP6);
    let bare = unsolicited.clone().with(Vec::new());
    let rows = [
        ("unsolicited", unsolicited),
        ("without options", bare),
        ("of a gateway", ndp::announcement(GATEWAY_IP6)),
        ("for a multicast address", ndp::announcement(ALL_NODES)),
    ]
    .map(|(name, message)| passes(name, message, Reason::Advertisement));
    let by = Message::from(&claim);
    let others = [
        ("solicited, to another", solicited.into(), Reason::OtherMac),
        ("to another MAC", by.to(OTHER), Reason::OtherMac),
        ("our own", by.source(PARENT), Reason::OwnSender),
        ("names our MAC", by.naming(PARENT), Reason::OwnSender),
    ]
    .map(|(name, message, reason)| passes(name, message, reason));
    let rows = rows.into_iter().chain(others);
    check(in_modes(&[L3, l2_filter(), l2_flood()], rows));
    let forwarded = Nd {
        hop_limit: 254,
        ..claim.clone()
    };
    let two_units = claim.clone().with(option(TARGET_MAC, &[0; 14]));
    let no_length = claim.clone().with(vec![14, 0, 0, 0, 0, 0, 0, 0]);
    let frame = claim.frame();
    let code = checksummed(patched(frame.clone(), ndp::CODE, &[1]));
    let checksum = patched(frame, ndp::CHECKSUM, &[0, 0]);
    check([
        passes("forwarded", forwarded, Reason::HopLimit),
        row("code 1", WIRE, code).passes(Reason::Code),
        row("checksum", WIRE, checksum).passes(Reason::Checksum),
        passes("MAC option of two units", two_units, Reason::BadOption),
        passes("option of length 0", no_length, Reason::BadOption),
    ]);
}
