//! Neighbour solicitations from the wire: who is answered, with which bytes, and who is not.

use ipvlan_common::{ConfigFlags, EventKind, Reason};
use ipvlan_model::{
    datapath::{ONE_BUFFER, TC_INGRESS, WIRE, XDP},
    frames::{
        Nd,
        ndp::{self, NONCE, SOURCE_MAC, option},
        padded,
    },
    rows::{check, row},
    solicitations::{answers, confirms, multicast, own_mac, passes},
    world::{
        ALL_NODES, ALL_NODES_MAC, BROADCAST, CHILD_IP6, CHILD_LL, CHILD_SLOT, FOREIGN_IP6,
        HOST_IP6, L3, LAN, LOCAL_IP6, LOCAL_SLOT, MULTICAST, Mac, OPTIMISTIC_IP6, OPTIMISTIC_SLOT,
        OTHER, PARENT, ROUTER_IP6, ROUTER_SLOT, SIBLING_IP6, SIBLING_SLOT, UNSPECIFIED6, ZERO,
        child, group_mac, l2_filter, solicited_node,
    },
};

#[test]
fn answers_what_goes_to_the_group_with_its_mac() {
    let asked = multicast();
    let rows = [
        L3,
        l2_filter(),
        L3 | ConfigFlags::L2,
        L3 | ConfigFlags::L2_FLOOD,
    ]
    .into_iter()
    .flat_map(|flags| {
        let group = |target| ndp::solicitation(target);
        [
            answers("child", &asked, "SO", CHILD_SLOT),
            answers("link-local", &group(CHILD_LL), "SO", CHILD_SLOT),
            answers("other subnet", &group(SIBLING_IP6), "SO", SIBLING_SLOT),
            answers("parent's netns", &group(LOCAL_IP6), "SO", LOCAL_SLOT),
            answers("forwards", &group(ROUTER_IP6), "RSO", ROUTER_SLOT),
            answers("optimistic", &group(OPTIMISTIC_IP6), "S", OPTIMISTIC_SLOT),
        ]
        .map(|row| row.flags(flags))
    });
    check(rows);
    check([answers(
        "optimistic and forwards",
        &ndp::solicitation(FOREIGN_IP6),
        "RS",
        CHILD_SLOT,
    )
    .entry(
        FOREIGN_IP6,
        child(CHILD_SLOT).with_optimistic().with_router(),
    )]);
}

#[test]
fn confirms_what_goes_to_the_target_without_an_option() {
    let rows = [L3, l2_filter()].into_iter().flat_map(|flags| {
        let unicast = |target| ndp::unicast(target);
        [
            confirms("child", &unicast(CHILD_IP6), "S", CHILD_SLOT),
            confirms("link-local", &unicast(CHILD_LL), "S", CHILD_SLOT),
            confirms("forwards", &unicast(ROUTER_IP6), "RS", ROUTER_SLOT),
            confirms("optimistic", &unicast(OPTIMISTIC_IP6), "S", OPTIMISTIC_SLOT),
            confirms(
                "without a source link-layer address: to the sender of the frame",
                &unicast(CHILD_IP6).with(Vec::new()),
                "S",
                CHILD_SLOT,
            ),
        ]
        .map(|row| row.flags(flags))
    });
    check(rows);
}

#[test]
fn answers_duplicate_address_detection_to_all_nodes() {
    let probe = ndp::probe(CHILD_IP6);
    let bare = ndp::probe(CHILD_IP6).with(Vec::new());
    let router = ndp::probe(ROUTER_IP6);
    let rows = [L3, l2_filter()].into_iter().flat_map(|flags| {
        let told = |name: &str, probe: &Nd, letters, slot| {
            answers(name, probe, letters, slot).flags(flags).tells(
                EventKind::Probe,
                LAN,
                probe.target,
                Some(slot),
            )
        };
        [
            told("with a nonce", &probe, "O", CHILD_SLOT),
            told("without options", &bare, "O", CHILD_SLOT),
            told("for one that forwards", &router, "RO", ROUTER_SLOT),
        ]
    });
    check(rows);
    // The kernel gives an optimistic address up instead of defending it.
    check([L3, l2_filter()].map(|flags| {
        passes(
            "optimistic",
            &ndp::probe(OPTIMISTIC_IP6),
            Reason::LeftToKernel,
        )
        .flags(flags)
    }));
}

#[test]
fn advertisement_is_byte_for_byte_the_kernels() {
    let advertisement = [
        0x02, 0x00, 0x00, 0x00, 0x99, 0x0a, // the LAN host
        0x02, 0x00, 0x00, 0x00, 0x34, 0x01, // the parent
        0x86, 0xdd, // IPv6
        0x60, 0x00, 0x00, 0x00, // version 6
        0x00, 0x20, 0x3a, 0xff, // 32 bytes, ICMPv6, hop limit 255
        0xfd, 0, 0, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, // from the child
        0xfd, 0, 0, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x00, // to the asker
        0x88, 0x00, 0xe7, 0x6a, // advertisement
        0x60, 0x00, 0x00, 0x00, // S and O
        0xfd, 0, 0, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, // the child
        0x02, 0x01, 0x02, 0x00, 0x00, 0x00, 0x34, 0x01, // is at the parent's
    ];
    check([row("solicitation", WIRE, multicast().frame())
        .advertised(advertisement.to_vec(), Some(CHILD_SLOT))]);
}

#[test]
fn the_answer_goes_to_whom_the_option_says() {
    let relayed = Nd {
        eth_src: OTHER,
        ..multicast()
    };
    let options = [
        (
            "nonce before it",
            [option(NONCE, &[7; 6]), option(SOURCE_MAC, &LAN)].concat(),
        ),
        (
            "of two the first",
            [option(SOURCE_MAC, &LAN), option(SOURCE_MAC, &OTHER)].concat(),
        ),
        (
            "nothing is expected of the second",
            [option(SOURCE_MAC, &LAN), option(SOURCE_MAC, &[0; 14])].concat(),
        ),
        (
            "unknown options, of any length",
            [
                option(SOURCE_MAC, &LAN),
                option(253, &[9; 40]),
                option(0, &[]),
            ]
            .concat(),
        ),
        (
            "a target link-layer address means nothing here",
            [option(SOURCE_MAC, &LAN), own_mac()].concat(),
        ),
    ];
    check([answers("sent by another", &relayed, "SO", CHILD_SLOT)]);
    check(options.into_iter().map(|(name, options)| {
        let asked = relayed.clone().with(options);
        let advertisement = multicast().answered(PARENT, "SO", own_mac()).frame();
        row(name, WIRE, asked.frame()).advertised(advertisement, Some(CHILD_SLOT))
    }));
    check([answers(
        "without the option, to the source of the frame",
        &relayed.with(option(NONCE, &[7; 6])),
        "SO",
        CHILD_SLOT,
    )]);
}

#[test]
fn an_answer_has_its_own_length_without_junk() {
    let probe = ndp::probe(CHILD_IP6);
    let long = multicast().with([option(SOURCE_MAC, &LAN), option(253, &[9; 94])].concat());
    check([87, 90, 128, 1514, ONE_BUFFER].into_iter().flat_map(|len| {
        let padded = |frame| padded(frame, len);
        let name = format!("{len} bytes");
        let answer = |asked: &Nd, flags| asked.answered(PARENT, flags, own_mac()).frame();
        let unicast = ndp::unicast(CHILD_IP6);
        let confirmation = unicast.answered(PARENT, "S", Vec::new()).frame();
        [
            row(name.clone(), WIRE, padded(multicast().frame()))
                .advertised(answer(&multicast(), "SO"), Some(CHILD_SLOT)),
            row(name.clone(), WIRE, padded(unicast.frame()))
                .advertised(confirmation, Some(CHILD_SLOT)),
            row(name, WIRE, padded(probe.frame()))
                .advertised(answer(&probe, "O"), Some(CHILD_SLOT))
                .tells(EventKind::Probe, LAN, CHILD_IP6, Some(CHILD_SLOT)),
        ]
    }));
    check([answers("a longer question", &long, "SO", CHILD_SLOT)]);
    let advertisement = multicast().answered(PARENT, "SO", own_mac()).frame();
    check([
        row("3500 bytes", TC_INGRESS, padded(multicast().frame(), 3500))
            .advertised(advertisement, Some(CHILD_SLOT)),
    ]);
    // One that may be of many buffers is left to TC.
    check([ONE_BUFFER + 1, 3500, 4096, 9014, 65_535].map(|len| {
        row(
            format!("{len} bytes"),
            XDP,
            padded(multicast().frame(), len),
        )
        .passes(Reason::NotWritable)
    }));
}

#[test]
fn looks_only_at_frames_to_the_group_to_everybody_and_to_the_parent() {
    let to = |eth_dst: Mac| Nd {
        eth_dst,
        ..multicast()
    };
    let others = [
        OTHER,
        LAN,
        MULTICAST,
        ALL_NODES_MAC,
        group_mac(solicited_node(FOREIGN_IP6)),
        [0x33, 0x32, 0xff, 0, 0, 0x10],
    ];
    check(others.into_iter().flat_map(|eth_dst| {
        [L3, l2_filter()].map(|flags| {
            passes(format!("to {eth_dst:02x?}"), &to(eth_dst), Reason::OtherMac).flags(flags)
        })
    }));
    // In a test run the loopback interface receives the frame, whose MAC is zero: as if a port of a bond did.
    let to_port = to(ZERO);
    let advertisement = to_port.answered(PARENT, "SO", own_mac()).frame();
    check([
        row("to a port, TC", TC_INGRESS, to_port.frame())
            .advertised(advertisement, Some(CHILD_SLOT)),
        row("to a port, XDP", XDP, to_port.frame()).passes(Reason::OtherMac),
    ]);
    check([
        answers("to the parent alone", &to(PARENT), "SO", CHILD_SLOT),
        answers("to everybody", &to(BROADCAST), "SO", CHILD_SLOT),
        confirms(
            "unicast to everybody",
            &Nd {
                eth_dst: BROADCAST,
                ..ndp::unicast(CHILD_IP6)
            },
            "S",
            CHILD_SLOT,
        ),
        passes(
            "unicast to the group's MAC",
            &Nd {
                eth_dst: group_mac(solicited_node(CHILD_IP6)),
                ..ndp::unicast(CHILD_IP6)
            },
            Reason::OtherMac,
        ),
    ]);
}

#[test]
fn a_solicitation_goes_to_its_target_or_to_the_targets_group() {
    let to = |dst| Nd {
        dst,
        eth_dst: PARENT,
        ..multicast()
    };
    check([
        passes("all nodes", &to(ALL_NODES), Reason::OtherDestination),
        passes(
            "another group",
            &to(solicited_node(FOREIGN_IP6)),
            Reason::OtherDestination,
        ),
        passes(
            "another address",
            &to(FOREIGN_IP6),
            Reason::OtherDestination,
        ),
        passes("the host", &to(HOST_IP6), Reason::OtherDestination),
        passes("nobody", &to(UNSPECIFIED6), Reason::OtherDestination),
        answers(
            "a sibling with the same group",
            &ndp::solicitation(SIBLING_IP6),
            "SO",
            SIBLING_SLOT,
        ),
    ]);
}
