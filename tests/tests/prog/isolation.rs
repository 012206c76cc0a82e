//! What leaves the parent for a child under isolation, and what never does: a packet that the parent itself
//! received, in any mode.

use ipvlan_model::prelude::*;

/// Programs that do not know which netns sent a packet, and those that do.
const WITHOUT_NETNS: &[Program] = &[Program::Egress, Program::EgressRouted];
const WITH_NETNS: &[Program] = &[Program::EgressIsolated, Program::EgressRoutedIsolated];

/// Whose address a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Host,
    Child,
    Unowned,
}

fn sources() -> impl Iterator<Item = (IpAddr, Source)> {
    let sources = both(|at| {
        [
            (at.host, Source::Host),
            (at.sibling, Source::Child),
            (at.child, Source::Child),
            (at.down, Source::Child),
            (at.local, Source::Child),
            (at.gateway, Source::Unowned),
            (at.lan, Source::Unowned),
            (at.foreign, Source::Unowned),
            (at.unspecified, Source::Unowned),
        ]
    });
    sources.chain([
        (Ipv4Addr::new(169, 254, 7, 7).into(), Source::Unowned),
        (Ipv4Addr::BROADCAST.into(), Source::Unowned),
        (HOST_LL.into(), Source::Host),
        (CHILD_LL.into(), Source::Child),
        (V4_MAPPED.into(), Source::Unowned),
        (ALL_NODES.into(), Source::Unowned),
    ])
}

const ORIGINS: [Origin; 4] = [
    Origin {
        ingress_ifindex: 0,
        other_netns: false,
    },
    Origin::CONTAINER,
    Origin::FORWARDED,
    Origin::RECEIVED,
];

/// The flags of `private` and `vepa` in every mode.
fn isolated() -> [ConfigFlags; 4] {
    let l2 = l2_filter() | ConfigFlags::ISOLATED | ConfigFlags::CHILD_IIF;
    [l3_private(), l3_vepa(), l2, l2 | ConfigFlags::VEPA]
}

/// Why a packet with this source and origin does not reach a child.
fn refusal(source: Source, origin: Origin, flags: [bool; 2], knows_netns: bool) -> Option<Reason> {
    let [child_iif, vepa] = flags;
    match source {
        _ if origin == Origin::RECEIVED => Some(Reason::ReceivedHere),
        Source::Child => Some(Reason::Sibling),
        Source::Host => (knows_netns && origin.other_netns).then_some(Reason::Isolated),
        Source::Unowned if origin == Origin::FORWARDED && !(child_iif && vepa) => None,
        Source::Unowned => Some(Reason::Isolated),
    }
}

/// Rows for a frame from `address` to [`CHILD_IP`] or [`CHILD_IP6`], from the parent's MAC to itself. `forwards`: the
/// host forwards such frames.
fn rows(
    address: IpAddr,
    source: Source,
    origins: &[Origin],
    forwards: bool,
    frame: &[u8],
) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, flags) in isolated().into_iter().enumerate() {
        for &origin in origins {
            for (programs, knows_netns) in [(WITHOUT_NETNS, false), (WITH_NETNS, true)] {
                let name = format!("from {address} with {flags:?}, {origin:?}");
                let row = row(name, programs, frame.to_vec())
                    .flags(flags)
                    .origin(origin);
                let switches = [!forwards || index >= 2, !forwards || index % 2 == 1];
                rows.push(match refusal(source, origin, switches, knows_netns) {
                    None => row.hairpinned(CHILD_SLOT),
                    Some(Reason::Sibling) => row.passes(Reason::Sibling),
                    Some(reason) => row.refused(reason, CHILD_SLOT),
                });
            }
        }
    }
    rows
}

#[test]
fn under_isolation_a_packet_of_any_type_reaches_a_child_only_from_the_host_or_forwarded_by_it() {
    /// Types of `ICMPv6`: echo request, router solicitation and advertisement, redirect.
    const TYPES: [u8; 4] = [128, 133, 134, 137];

    check(sources().flat_map(|(address, source)| {
        let packets: Vec<Vec<u8>> = match address {
            IpAddr::V4(_) => {
                let with = |fragment, option_words| IpPacket {
                    fragment,
                    option_words,
                    ..ip::from_host(CHILD_IP).with_src(address)
                };
                let packets = [(0, 0), (0x2000, 0), (185, 0), (0, 10)];
                packets
                    .map(|(fragment, words)| with(fragment, words).frame())
                    .into()
            }
            IpAddr::V6(src) => {
                let udp = IpPacket {
                    payload: vec![0x5a; 24],
                    ..ip::from_host(CHILD_IP6).with_src(src)
                };
                let messages = TYPES.map(|kind| IpPacket {
                    protocol: number::ICMPV6,
                    payload: [&[kind][..], &[0; 39]].concat(),
                    ..udp.clone()
                });
                let advertisement = Nd {
                    eth_dst: PARENT,
                    src,
                    dst: CHILD_IP6,
                    kind: ndp::ADVERTISEMENT,
                    flags: ndp::flags("SO"),
                    ..ndp::from_parent(src, GATEWAY_IP6)
                };
                let packets = messages.iter().chain([&udp]).map(IpPacket::frame);
                packets.chain([advertisement.frame()]).collect()
            }
        };
        let rows = move |frame: Vec<u8>| rows(address, source, &ORIGINS, true, &frame);
        packets.into_iter().flat_map(rows)
    }));
}

#[test]
fn under_isolation_an_arp_reply_reaches_a_child_only_from_the_host() {
    // ARP is not forwarded, and what the parent received is an answer of ours on its way out.
    let [origins @ .., _] = ORIGINS;
    check(sources().flat_map(|(address, source)| {
        let IpAddr::V4(spa) = address else {
            return Vec::new();
        };
        let reply = Arp {
            eth_dst: PARENT,
            oper: 2,
            tha: PARENT,
            ..arp::from_parent(spa, CHILD_IP)
        };
        rows(address, source, &origins, false, &reply.frame())
    }));
}

#[test]
fn under_isolation_no_request_or_odd_arp_message_reaches_a_child() {
    let message = |oper, spa| Arp {
        eth_dst: PARENT,
        oper,
        ..arp::from_parent(spa, CHILD_IP)
    };
    let rows = isolated().into_iter().flat_map(|flags| {
        let row = move |name: &str, frame| row(name, EGRESS, frame).flags(flags);
        let odd = [0, 3, 4, 8, 9, 0x200, 0xffff].map(|oper| {
            row("other operation", message(oper, GATEWAY_IP).frame()).passes(Reason::NotRequest)
        });
        let rarp = patched(message(2, HOST_IP).frame(), 12, &[0x80, 0x35]);
        odd.into_iter().chain([
            row("request", message(1, GATEWAY_IP).frame()).refused(Reason::Isolated, CHILD_SLOT),
            row("request", message(1, LAN_IP).frame()).refused(Reason::Isolated, CHILD_SLOT),
            row("request", message(1, SIBLING_IP).frame()).passes(Reason::Sibling),
            row("RARP", rarp),
        ])
    });
    check(rows);
}

#[test]
fn multicast_and_unowned_destinations_to_the_own_mac_are_passed_on() {
    let rows = isolated().into_iter().flat_map(|flags| {
        let v4 = [[224, 0, 0, 1], [255, 255, 255, 255], [192, 168, 7, 255]]
            .map(|dst| ip::from_host(dst).frame());
        let v6 = [ALL_NODES, UNSPECIFIED6].map(|dst| ip::from_host(dst).frame());
        v4.into_iter().chain(v6).flat_map(move |frame| {
            ORIGINS.map(|origin| {
                row("no child's", EGRESS, frame.clone())
                    .flags(flags)
                    .origin(origin)
                    .passes(Reason::NotOurs)
            })
        })
    });
    check(rows);
}

/// An l2 child chooses both MACs of its frames. What it forwards has the ifindex of an interface of its own.
#[test]
fn an_l2_child_under_isolation_cannot_pass_for_a_forwarding_host() {
    let [l3, _, l2, _] = isolated();
    let macs = [
        ([PARENT, PARENT], true),
        ([PARENT, OTHER], false),
        ([OTHER, PARENT], false),
        ([OTHER, OTHER], false),
    ];
    let rows = macs.into_iter().flat_map(|(macs, proven)| {
        both(move |at| {
            let packet = IpPacket {
                eth_src: macs[1],
                ..ip::from_host(at.routed).with_src(at.lan).to(macs[0])
            };
            let frame = packet.frame();
            [(l3, true), (l2, proven)].map(|(flags, reaches)| {
                let name = format!("{macs:02x?} with {flags:?}");
                let mut readdressed = frame.clone();
                readdressed[..6].copy_from_slice(&PARENT);
                let row = row(name, ROUTED, frame.clone())
                    .flags(flags)
                    .origin(Origin::FORWARDED);
                if reaches {
                    row.hairpinned(Some(ROUTED_SLOT)).becomes(readdressed)
                } else {
                    row.refused(Reason::Isolated, ROUTED_SLOT)
                }
            })
        })
    });
    check(rows);
}

#[test]
fn what_the_parent_received_is_never_hairpinned() {
    let received = |name: &str, programs, packet: IpPacket| {
        row(name, programs, packet.frame()).origin(Origin::RECEIVED)
    };
    let flags = |row: Row| [L3, l2_filter(), l3_vepa()].map(|flags| row.clone().flags(flags));
    check(both(|at| {
        let to_child = received("to a child", EGRESS, ip::from_host(at.child))
            .refused(Reason::ReceivedHere, CHILD_SLOT);
        let routed = received("by a gateway", ROUTED, ip::from_host(at.routed).to(OTHER))
            .refused(Reason::ReceivedHere, ROUTED_SLOT);
        let to_host = ip::from_host(at.host).with_src(at.child);
        let to_host = received("to the host", EGRESS, to_host)
            .flags(l3_vepa())
            .passes(Reason::ReceivedHere);
        flags(to_child).into_iter().chain([routed, to_host])
    }));
    // Another interface of the VRF may be the parent itself.
    check(both(|at| {
        let in_vrf =
            row("in a VRF", EGRESS, ip::from_host(at.child).frame()).flags(L3 | ConfigFlags::VRF);
        [
            in_vrf.clone().hairpinned(CHILD_SLOT),
            in_vrf
                .origin(Origin::FORWARDED)
                .refused(Reason::ReceivedHere, CHILD_SLOT),
        ]
    }));
}
