//! ARP from the wire: who is answered, with which bytes, and who is not.

use std::net::Ipv4Addr;

use ipvlan_common::{Config, ConfigFlags, EventKind, Reason};
use ipvlan_model::{
    datapath::{Program, TC_INGRESS, WIRE, XDP},
    frames::{Arp, arp, patched},
    requests::{REQUEST, answers, passes},
    rows::{check, row},
    world::{
        BY_KERNEL_IP, CHILD_IP, CHILD_SLOT, DOWN_IP, FOREIGN_IP, GATEWAY_IP, HOST_IP, L3, LAN,
        LOCAL_IP, LOCAL_SLOT, MULTICAST, Mac, OTHER, PARENT, SIBLING_IP, SIBLING_SLOT, UNSPECIFIED,
        ZERO, config, l2_filter, l2_flood,
    },
};

#[test]
fn answers_requests_and_probes_for_children() {
    let unicast = Arp {
        eth_dst: PARENT,
        ..REQUEST
    };
    let probe = Arp {
        spa: UNSPECIFIED,
        ..REQUEST
    };
    // RFC 826 says nothing about it, the kernel leaves what it was: zero, or junk, or the right MAC.
    let filled = Arp {
        tha: OTHER,
        ..REQUEST
    };
    // Proxies and bonds send from another MAC than they ask for: the answer goes to the asker.
    let relayed = Arp {
        eth_src: OTHER,
        ..REQUEST
    };
    check([
        answers("broadcast request", REQUEST, CHILD_SLOT),
        answers(
            "unicast request, as a neighbour entry ages",
            unicast,
            CHILD_SLOT,
        ),
        answers("probe", probe, CHILD_SLOT).tells(
            EventKind::Probe,
            LAN,
            CHILD_IP,
            Some(CHILD_SLOT),
        ),
        answers(
            "probe from another MAC than eth.src",
            Arp {
                eth_src: OTHER,
                ..probe
            },
            CHILD_SLOT,
        )
        .tells(EventKind::Probe, LAN, CHILD_IP, Some(CHILD_SLOT)),
        answers("target hardware address not zero", filled, CHILD_SLOT),
        answers("sha other than eth.src", relayed, CHILD_SLOT),
        answers(
            "child in another subnet",
            arp::request(SIBLING_IP),
            SIBLING_SLOT,
        ),
        answers(
            "child in the parent's netns",
            arp::request(LOCAL_IP),
            LOCAL_SLOT,
        ),
        answers(
            "from the gateway's address",
            Arp {
                spa: GATEWAY_IP,
                ..REQUEST
            },
            CHILD_SLOT,
        ),
        answers("l2 filter: broadcast", REQUEST, CHILD_SLOT).flags(l2_filter()),
        answers("l2 filter: unicast", unicast, CHILD_SLOT).flags(l2_filter()),
        answers("l2 filter: probe", probe, CHILD_SLOT)
            .flags(l2_filter())
            .tells(EventKind::Probe, LAN, CHILD_IP, Some(CHILD_SLOT)),
        answers("l2 without filter", REQUEST, CHILD_SLOT).flags(L3 | ConfigFlags::L2),
        answers("egress switches change nothing", REQUEST, CHILD_SLOT)
            .flags(L3 | ConfigFlags::ISOLATED | ConfigFlags::VEPA),
        row(
            "hardware type 6 (IEEE 802) gets type 1",
            WIRE,
            patched(REQUEST.frame(), arp::HTYPE, &[0, 6]),
        )
        .answered(REQUEST.answered_by(PARENT).frame(), Some(CHILD_SLOT)),
    ]);
}

#[test]
fn reply_is_byte_for_byte_the_kernels() {
    let request = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // everybody
        0x02, 0x00, 0x00, 0x00, 0x99, 0x0a, // the LAN host
        0x08, 0x06, // ARP
        0x00, 0x01, 0x08, 0x00, 0x06, 0x04, // Ethernet, IPv4
        0x00, 0x01, // request
        0x02, 0x00, 0x00, 0x00, 0x99, 0x0a, 192, 168, 7, 100, // sender
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 192, 168, 7, 10, // target
    ];
    let reply = [
        0x02, 0x00, 0x00, 0x00, 0x99, 0x0a, // the LAN host
        0x02, 0x00, 0x00, 0x00, 0x34, 0x01, // the parent
        0x08, 0x06, // ARP
        0x00, 0x01, 0x08, 0x00, 0x06, 0x04, // Ethernet, IPv4
        0x00, 0x02, // reply
        0x02, 0x00, 0x00, 0x00, 0x34, 0x01, 192, 168, 7, 10, // the child is at the parent's
        0x02, 0x00, 0x00, 0x00, 0x99, 0x0a, 192, 168, 7, 100, // the asker
    ];
    check([row("request", WIRE, request.to_vec()).answered(reply.to_vec(), Some(CHILD_SLOT))]);
}

#[test]
fn looks_only_at_frames_to_everybody_and_to_the_parent() {
    let macs: [Mac; 4] = [OTHER, LAN, MULTICAST, [0x33, 0x33, 0xff, 0, 0, 1]];
    check(macs.into_iter().flat_map(|eth_dst| {
        let request = Arp { eth_dst, ..REQUEST };
        [L3, l2_filter()].map(|flags| {
            passes(format!("to {eth_dst:02x?}"), request, Reason::OtherMac).flags(flags)
        })
    }));
    // In a test run the loopback interface receives the frame, whose MAC is zero: as if a port of a bond did.
    let to_port = Arp {
        eth_dst: ZERO,
        ..REQUEST
    };
    let reply = to_port.answered_by(PARENT).frame();
    check([
        row("to a port, TC", TC_INGRESS, to_port.frame()).answered(reply, Some(CHILD_SLOT)),
        row("to a port, XDP", XDP, to_port.frame()).passes(Reason::OtherMac),
    ]);
}

#[test]
fn l2_broadcast_filter_drops_only_broadcast_requests_for_nobody() {
    let foreign = arp::request(FOREIGN_IP);
    let probe = Arp {
        spa: UNSPECIFIED,
        ..foreign
    };
    let unicast = |request| Arp {
        eth_dst: PARENT,
        ..request
    };
    let dropped = |name: &str, request: Arp| {
        row(name, WIRE, request.frame())
            .flags(l2_filter())
            .dropped(Reason::ForeignDropped)
    };
    check([
        dropped("request for nobody", foreign),
        dropped("request for the gateway", arp::request(GATEWAY_IP)),
        dropped(
            "the gateway asks for somebody else",
            Arp {
                spa: GATEWAY_IP,
                ..foreign
            },
        ),
        dropped("a host of another subnet asks for somebody", {
            Arp {
                spa: Ipv4Addr::new(10, 9, 9, 9),
                ..foreign
            }
        }),
        passes(
            "unicast request for nobody",
            unicast(foreign),
            Reason::NotOurs,
        )
        .flags(l2_filter()),
        passes("probe for nobody", probe, Reason::Probe).flags(l2_filter()),
        passes("unicast probe for nobody", unicast(probe), Reason::NotOurs).flags(l2_filter()),
        passes(
            "reply to everybody",
            Arp { oper: 2, ..foreign },
            Reason::NotRequest,
        )
        .flags(l2_filter()),
    ]);
}

#[test]
fn l2_broadcast_flood_leaves_requests_to_the_kernel() {
    let unicast = Arp {
        eth_dst: PARENT,
        ..REQUEST
    };
    check(
        [
            passes("for a child", REQUEST, Reason::LeftToKernel),
            passes("unicast for a child", unicast, Reason::LeftToKernel),
            passes("for nobody", arp::request(FOREIGN_IP), Reason::LeftToKernel),
            passes("for the host", arp::request(HOST_IP), Reason::LeftToKernel),
            passes(
                "for a down child",
                arp::request(DOWN_IP),
                Reason::LeftToKernel,
            ),
            passes(
                "the guard still comes first",
                Arp {
                    sha: ZERO,
                    ..REQUEST
                },
                Reason::SenderMac,
            ),
        ]
        .map(|row| row.flags(l2_flood())),
    );
    check([
        answers("the switch is for l2 only", REQUEST, CHILD_SLOT).flags(L3 | ConfigFlags::L2_FLOOD)
    ]);
}

#[test]
fn requests_for_an_l2_child_in_the_hosts_netns_are_left_to_the_kernel() {
    check(
        [
            ("broadcast", arp::request(BY_KERNEL_IP)),
            (
                "unicast",
                Arp {
                    eth_dst: PARENT,
                    ..arp::request(BY_KERNEL_IP)
                },
            ),
        ]
        .map(|(name, request)| passes(name, request, Reason::LeftToKernel).flags(l2_filter())),
    );
}

#[test]
fn answers_nothing_before_the_first_sync_and_during_a_change() {
    let not_ready = |name: &str, copies: [Config; 2]| {
        row(name, Program::ALL, REQUEST.frame())
            .config(copies)
            .passes(Reason::NotReady)
    };
    let [ready, _] = config(L3);
    check([
        not_ready("empty config", [Config::default(); 2]),
        not_ready("not ready", config(ConfigFlags::L2)),
        not_ready(
            "not ready, to be dropped",
            config(ConfigFlags::L2_DROP_FOREIGN),
        ),
        not_ready("new MAC in the first copy", [Config::new(OTHER, L3), ready]),
        not_ready(
            "new MAC in the second copy",
            [ready, Config::new(OTHER, L3)],
        ),
        not_ready(
            "new flags in one copy",
            [Config::new(PARENT, l2_filter()), ready],
        ),
        not_ready("ready in one copy", [ready, Config::default()]),
    ]);
}

#[test]
fn answers_nothing_after_the_deadline() {
    let stale = |name: &str, flags| {
        row(name, Program::ALL, REQUEST.frame())
            .flags(flags)
            .deadline(1)
            .passes(Reason::Stale)
    };
    check([
        stale("to be answered", L3),
        stale("to be dropped", l2_filter() | ConfigFlags::L2_DROP_FOREIGN),
    ]);
    // Not ready is worse than late.
    check([row("not ready and late", Program::ALL, REQUEST.frame())
        .config([Config::default(); 2])
        .deadline(0)
        .passes(Reason::NotReady)]);
}
