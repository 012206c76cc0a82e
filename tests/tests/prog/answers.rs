//! Requests and solicitations from the wire: which are answered, and with which bytes.

use ipvlan_model::prelude::*;

fn probed(name: &str, probe: impl Into<Message>, slot: u32) -> Row {
    let probe = probe.into();
    answers(name, &probe, slot).reports(EventKind::Probe, LAN, probe.target(), slot)
}

#[test]
fn answers_questions_and_probes_for_children() {
    let modes = [
        L3,
        l2_filter(),
        L3 | ConfigFlags::L2,
        // A switch for l2 only.
        L3 | ConfigFlags::L2_FLOOD,
        // Switches for egress only.
        l3_vepa(),
    ];
    let rows = both(|at| {
        let ask = Message::ask(at.child);
        [
            answers("child", &ask, CHILD_SLOT),
            answers("other subnet", Message::ask(at.sibling), SIBLING_SLOT),
            answers("parent's netns", Message::ask(at.local), LOCAL_SLOT),
            answers("unicast, as an entry ages", ask.unicast(), CHILD_SLOT),
            probed("probe", Message::probe(at.child), CHILD_SLOT),
        ]
    });
    let ask = Message::ask(CHILD_LL.into());
    let link_local = [
        answers("link-local", &ask, CHILD_SLOT),
        answers("link-local, unicast", ask.unicast(), CHILD_SLOT),
    ];
    check(in_modes(&modes, rows.chain(link_local)));
}

#[test]
fn an_arp_reply_goes_to_the_sender_that_the_request_names() {
    let probe = Message::probe(CHILD_IP.into());
    let from_gateway = Arp {
        spa: GATEWAY_IP,
        ..REQUEST
    };
    // RFC 826 defines no value, the kernel passes on what it was: zero, or junk, or the right MAC.
    let filled = Arp {
        tha: OTHER,
        ..REQUEST
    };
    // Proxies and bonds send from another MAC than the one they name.
    let relayed = Arp {
        eth_src: OTHER,
        ..REQUEST
    };
    let ieee_802 = patched(REQUEST.frame(), arp::HTYPE, &[0, 6]);
    check([
        probed("relayed probe", probe.source(OTHER), CHILD_SLOT),
        answers("target hardware address not zero", filled, CHILD_SLOT),
        answers("sha other than eth.src", relayed, CHILD_SLOT),
        answers("from the gateway's address", from_gateway, CHILD_SLOT),
        row("hardware type 6 gets type 1", WIRE, ieee_802).replied(&REQUEST.into(), CHILD_SLOT),
    ]);
}

#[test]
fn reply_is_byte_for_byte_the_kernels() {
    let request = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // broadcast
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
        0x02, 0x00, 0x00, 0x00, 0x99, 0x0a, 192, 168, 7, 100, // the sender of the request
    ];
    check([row("request", WIRE, request.to_vec()).answered(reply.to_vec(), CHILD_SLOT)]);
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
        0xfd, 0, 0, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x00, // to the sender
        0x88, 0x00, 0xe7, 0x6a, // advertisement
        0x60, 0x00, 0x00, 0x00, // S and O
        0xfd, 0, 0, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, // the child
        0x02, 0x01, 0x02, 0x00, 0x00, 0x00, 0x34, 0x01, // is at the parent's
    ];
    check([row("solicitation", WIRE, solicitation().frame())
        .advertised(advertisement.to_vec(), CHILD_SLOT)]);
}

/// 42 bytes of ARP, 86 or 78 of neighbour discovery, whatever the question was padded to.
#[test]
fn an_answer_has_its_own_length_without_junk() {
    let long = |it: Message, len| padded(it.frame(), len);
    let lens = [arp::LEN, 43, 60, 64, 87, 90, 128, 590, 1514, ONE_BUFFER];
    check(lens.into_iter().flat_map(|len| {
        both(move |at| {
            let ask = Message::ask(at.child);
            // What a station may report is bounded: an ARP probe is as long as a request.
            let probe = at.child.is_ipv6().then(|| Message::probe(at.child));
            [ask.unicast(), ask]
                .into_iter()
                .chain(probe)
                .filter(move |asked| asked.frame().len() <= len)
                .map(move |asked| {
                    let name = format!("{len} bytes");
                    let row = row(name, WIRE, long(asked.clone(), len)).replied(&asked, CHILD_SLOT);
                    if asked.is_probe() {
                        row.reports(EventKind::Probe, LAN, at.child, CHILD_SLOT)
                    } else {
                        row
                    }
                })
        })
    }));
    check(both(|at| {
        let ask = Message::ask(at.child);
        // XDP passes a frame that can be of several buffers to TC.
        let xdp = [ONE_BUFFER + 1, 3500, 4096, 9014, 65_535].map(|len| {
            row(format!("{len} bytes"), XDP, long(ask.clone(), len)).passes(Reason::NotWritable)
        });
        let tc = row("3500 bytes", TC_INGRESS, long(ask.clone(), 3500)).replied(&ask, CHILD_SLOT);
        xdp.into_iter().chain([tc])
    }));
    let options = [option(SOURCE_MAC, &LAN), option(253, &[9; 94])].concat();
    let longer = solicitation().with(options);
    check([answers("a longer question", longer, CHILD_SLOT)]);
}

#[test]
fn looks_only_at_frames_to_the_group_to_broadcast_and_to_the_parent() {
    let macs: [Mac; 7] = [
        OTHER,
        LAN,
        MULTICAST,
        ALL_NODES_MAC,
        [0x33, 0x33, 0xff, 0, 0, 1],
        group_mac(solicited_node(FOREIGN_IP6)),
        [0x33, 0x32, 0xff, 0, 0, 0x10],
    ];
    let others = macs.into_iter().flat_map(|mac| {
        both(move |at| {
            let ask = Message::ask(at.child).to(mac);
            [passes(format!("to {mac:02x?}"), ask, Reason::OtherMac)]
        })
    });
    check(in_modes(&[L3, l2_filter()], others));
    check(both(|at| {
        // In a test run the loopback interface receives the frame, whose MAC is zero: as if a port of a bond did.
        let to_port = Message::ask(at.child).to(ZERO);
        [
            to_port.answered("to a port, TC", TC_INGRESS, CHILD_SLOT),
            to_port.passed("to a port, XDP", XDP, Reason::OtherMac),
        ]
    }));
    let ask = Message::from(solicitation());
    let unicast = Message::from(ndp::unicast(CHILD_IP6));
    let to_group = unicast.to(group_mac(solicited_node(CHILD_IP6)));
    let as_group = unicast.to(group_mac(CHILD_IP6));
    check([
        answers("to the parent alone", ask.to(PARENT), CHILD_SLOT),
        answers("to broadcast", ask.to(BROADCAST), CHILD_SLOT),
        answers("unicast to broadcast", unicast.to(BROADCAST), CHILD_SLOT),
        passes("unicast to the group", to_group, Reason::OtherMac),
        // Only the MAC of a group is made of the last bytes of its address.
        passes("unicast, as if it was a group", as_group, Reason::OtherMac),
    ]);
}

#[test]
fn a_solicitation_goes_to_its_target_or_to_the_targets_group() {
    let destinations = [
        ("all nodes", ALL_NODES),
        ("another group", solicited_node(FOREIGN_IP6)),
        ("another address", FOREIGN_IP6),
        ("the host", HOST_IP6),
        ("the unspecified address", UNSPECIFIED6),
    ];
    check(destinations.map(|(name, dst)| {
        let asked = Nd {
            dst,
            eth_dst: PARENT,
            ..solicitation()
        };
        passes(name, asked, Reason::OtherDestination)
    }));
}
