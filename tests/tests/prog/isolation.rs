//! What leaves the parent for a child under isolation, and what never does: a packet that the parent itself
//! received, in any mode.

use std::net::{IpAddr, Ipv4Addr};

use ipvlan_common::{ConfigFlags, Reason};
use ipvlan_model::{
    datapath::{EGRESS, Origin, Program},
    frames::{
        Arp, IpPacket, Nd, arp,
        ip::{self, number},
        ndp, patched,
    },
    rows::{Row, check, row},
    world::{
        ALL_NODES, CHILD_IP, CHILD_IP6, CHILD_LL, CHILD_SLOT, DOWN_IP, DOWN_IP6, FOREIGN_IP,
        FOREIGN_IP6, GATEWAY_IP, GATEWAY_IP6, HOST_IP, HOST_IP6, HOST_LL, Ip, Ip6, L3, LAN_IP,
        LAN_IP6, LOCAL_IP, LOCAL_IP6, OTHER, PARENT, ROUTED_IP, ROUTED_IP6, ROUTED_SLOT,
        SIBLING_IP, SIBLING_IP6, UNSPECIFIED, UNSPECIFIED6, V4_MAPPED, l2_filter,
    },
};

/// Programs that do not know which netns sent a packet, and those that do.
const WITHOUT_NETNS: &[Program] = &[Program::Egress, Program::EgressRouted];
const WITH_NETNS: &[Program] = &[Program::EgressIsolated, Program::EgressRoutedIsolated];
const ROUTED: &[Program] = &[Program::EgressRouted, Program::EgressRoutedIsolated];

/// Whose address a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Host,
    Child,
    Unowned,
}

const SOURCES: [(Ip, Source); 11] = [
    (HOST_IP, Source::Host),
    (SIBLING_IP, Source::Child),
    (CHILD_IP, Source::Child),
    (DOWN_IP, Source::Child),
    (LOCAL_IP, Source::Child),
    (GATEWAY_IP, Source::Unowned),
    (LAN_IP, Source::Unowned),
    (FOREIGN_IP, Source::Unowned),
    (UNSPECIFIED, Source::Unowned),
    (Ipv4Addr::new(169, 254, 7, 7), Source::Unowned),
    (Ipv4Addr::BROADCAST, Source::Unowned),
];

const SOURCES6: [(Ip6, Source); 12] = [
    (HOST_IP6, Source::Host),
    (HOST_LL, Source::Host),
    (SIBLING_IP6, Source::Child),
    (CHILD_LL, Source::Child),
    (DOWN_IP6, Source::Child),
    (LOCAL_IP6, Source::Child),
    (GATEWAY_IP6, Source::Unowned),
    (LAN_IP6, Source::Unowned),
    (FOREIGN_IP6, Source::Unowned),
    (UNSPECIFIED6, Source::Unowned),
    (V4_MAPPED, Source::Unowned),
    (ALL_NODES, Source::Unowned),
];

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
    let l3 = L3 | ConfigFlags::ISOLATED;
    let l2 = l2_filter() | ConfigFlags::ISOLATED | ConfigFlags::CHILD_IIF;
    [l3, l3 | ConfigFlags::VEPA, l2, l2 | ConfigFlags::VEPA]
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

/// Rows for a frame to [`CHILD_IP`] or [`CHILD_IP6`], from the parent's MAC to itself.
fn rows(what: &str, address: impl Into<IpAddr>, source: Source, frame: &[u8]) -> Vec<Row> {
    let address = address.into();
    let mut rows = Vec::new();
    for (index, flags) in isolated().into_iter().enumerate() {
        for origin in ORIGINS {
            for (programs, knows_netns) in [(WITHOUT_NETNS, false), (WITH_NETNS, true)] {
                let name = format!("{what} from {address} with {flags:?}, {origin:?}");
                let row = row(name, programs, frame.to_vec())
                    .flags(flags)
                    .origin(origin);
                let switches = [index >= 2, index % 2 == 1];
                rows.push(match refusal(source, origin, switches, knows_netns) {
                    None => row.hairpinned(Some(CHILD_SLOT)),
                    Some(Reason::Sibling) => row.passes(Reason::Sibling),
                    Some(reason) => row.refused(reason, CHILD_SLOT),
                });
            }
        }
    }
    rows
}

#[test]
fn under_isolation_an_ipv4_packet_reaches_a_child_only_from_the_host_or_forwarded_by_it() {
    let fragment = |src: Ip, fragment| IpPacket {
        src: src.into(),
        fragment,
        ..ip::from_host(CHILD_IP)
    };
    check(SOURCES.into_iter().flat_map(|(src, source)| {
        [
            ("packet", fragment(src, 0)),
            ("first fragment", fragment(src, 0x2000)),
            ("last fragment", fragment(src, 185)),
            (
                "options",
                IpPacket {
                    option_words: 10,
                    ..fragment(src, 0)
                },
            ),
        ]
        .into_iter()
        .flat_map(move |(what, packet)| rows(what, src, source, &packet.frame()))
    }));
}

#[test]
fn under_isolation_an_ipv6_packet_of_any_type_reaches_a_child_only_from_the_host_or_forwarded_by_it()
 {
    /// Types of `ICMPv6`: echo request, router solicitation and advertisement, redirect.
    const TYPES: [u8; 4] = [128, 133, 134, 137];

    check(SOURCES6.into_iter().flat_map(|(src, source)| {
        let packet = |protocol, payload: Vec<u8>| IpPacket {
            src: src.into(),
            protocol,
            payload,
            ..ip::from_host(CHILD_IP6)
        };
        let advertisement = Nd {
            eth_dst: PARENT,
            src,
            dst: CHILD_IP6,
            kind: ndp::ADVERTISEMENT,
            flags: ndp::flags("SO"),
            ..ndp::from_parent(src, GATEWAY_IP6)
        };
        let messages = TYPES.map(|message| {
            let mut payload = vec![0; 40];
            payload[0] = message;
            packet(number::ICMPV6, payload).frame()
        });
        let udp = packet(number::UDP, vec![0x5a; 24]).frame();
        messages
            .into_iter()
            .chain([udp, advertisement.frame()])
            .flat_map(move |frame| rows("packet", src, source, &frame))
    }));
}

#[test]
fn under_isolation_an_arp_reply_reaches_a_child_only_from_the_host() {
    check(SOURCES.into_iter().flat_map(|(spa, source)| {
        let reply = Arp {
            eth_dst: PARENT,
            oper: 2,
            tha: PARENT,
            ..arp::from_parent(spa, CHILD_IP)
        };
        isolated().into_iter().flat_map(move |flags| {
            // ARP is not forwarded, and what the parent received is an answer of ours on its way out.
            [Origin::default(), Origin::CONTAINER, Origin::FORWARDED]
                .into_iter()
                .flat_map(move |origin| {
                    [(WITHOUT_NETNS, false), (WITH_NETNS, true)].map(|(programs, knows_netns)| {
                        let name = format!("{spa:?} with {flags:?}, {origin:?}");
                        let row = row(name, programs, reply.frame())
                            .flags(flags)
                            .origin(origin);
                        match refusal(source, origin, [true; 2], knows_netns) {
                            None => row.hairpinned(Some(CHILD_SLOT)),
                            Some(Reason::Sibling) => row.passes(Reason::Sibling),
                            Some(reason) => row.refused(reason, CHILD_SLOT),
                        }
                    })
                })
        })
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
    let v4 = |macs: [[u8; 6]; 2]| {
        IpPacket {
            eth_dst: macs[0],
            eth_src: macs[1],
            src: LAN_IP.into(),
            ..ip::from_host(ROUTED_IP)
        }
        .frame()
    };
    let v6 = |macs: [[u8; 6]; 2]| {
        IpPacket {
            eth_dst: macs[0],
            eth_src: macs[1],
            src: LAN_IP6.into(),
            ..ip::from_host(ROUTED_IP6)
        }
        .frame()
    };
    let macs = [
        ([PARENT, PARENT], true),
        ([PARENT, OTHER], false),
        ([OTHER, PARENT], false),
        ([OTHER, OTHER], false),
    ];
    let rows = macs.into_iter().flat_map(|(macs, proven)| {
        [v4(macs), v6(macs)].into_iter().flat_map(move |frame| {
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
    let l2 = l2_filter();
    let vepa = L3 | ConfigFlags::ISOLATED | ConfigFlags::VEPA;
    let received =
        |name: &str, programs, frame: Vec<u8>| row(name, programs, frame).origin(Origin::RECEIVED);
    let to_child = [L3, l2, vepa].into_iter().flat_map(|flags| {
        let frames = [
            ip::from_host(CHILD_IP).frame(),
            ip::from_host(CHILD_IP6).frame(),
        ];
        frames.map(|frame| {
            received("to a child", EGRESS, frame)
                .flags(flags)
                .refused(Reason::ReceivedHere, CHILD_SLOT)
        })
    });
    let routed = [
        IpPacket {
            eth_dst: OTHER,
            ..ip::from_host(ROUTED_IP)
        }
        .frame(),
        IpPacket {
            eth_dst: OTHER,
            ..ip::from_host(ROUTED_IP6)
        }
        .frame(),
    ]
    .map(|frame| {
        received("through a gateway", ROUTED, frame).refused(Reason::ReceivedHere, ROUTED_SLOT)
    });
    let to_host = [
        IpPacket {
            src: CHILD_IP.into(),
            ..ip::from_host(HOST_IP)
        }
        .frame(),
        IpPacket {
            src: CHILD_IP6.into(),
            ..ip::from_host(HOST_IP6)
        }
        .frame(),
    ]
    .map(|frame| {
        received("to the host", EGRESS, frame)
            .flags(vepa)
            .passes(Reason::ReceivedHere)
    });
    // Another interface of the VRF may be the parent itself.
    let vrf = [(Origin::FORWARDED, true), (Origin::default(), false)].map(|(origin, loops)| {
        let row = row("in a VRF", EGRESS, ip::from_host(CHILD_IP).frame())
            .flags(L3 | ConfigFlags::VRF)
            .origin(origin);
        if loops {
            row.refused(Reason::ReceivedHere, CHILD_SLOT)
        } else {
            row.hairpinned(Some(CHILD_SLOT))
        }
    });
    let all = to_child.chain(routed).chain(to_host).chain(vrf);
    check(all.collect::<Vec<_>>());
}
