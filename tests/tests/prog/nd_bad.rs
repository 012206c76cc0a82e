//! Neighbour discovery that is cut short, mutilated, or carried where it may not be: never
//! answered for what it is not, never read past its end.

use ipvlan_common::counter_index;
use ipvlan_ebpf::wire::message::ND_MAX;
use ipvlan_model::{model::model, prelude::*};

/// A solicitation that each program would answer, for each program.
fn solicitations() -> [(Vec<u8>, &'static [Program]); 3] {
    [
        (solicitation().frame(), WIRE),
        (ndp::unicast(CHILD_IP6).frame(), WIRE),
        (ndp::from_parent(HOST_IP6, CHILD_IP6).frame(), EGRESS),
    ]
}

/// Every solicitation after `change` is passed for `reason`.
fn spoilt(name: &str, reason: Reason, change: impl Fn(Vec<u8>) -> Vec<u8>) -> Vec<Row> {
    let rows =
        solicitations().map(|(frame, programs)| row(name, programs, change(frame)).passes(reason));
    in_modes(&[L3, l2_filter()], rows).collect()
}

#[test]
fn a_field_that_no_neighbour_sends_is_refused_by_its_own_reason() {
    let bytes = |at, values: &[u8], reason| {
        let row = |&value: &u8| {
            spoilt(&format!("{value} at {at}"), reason, |frame| {
                checksummed(patched(frame, at, &[value]))
            })
        };
        values.iter().flat_map(row).collect::<Vec<_>>()
    };
    check(bytes(
        v6::HOP_LIMIT,
        &[0, 1, 64, 128, 254],
        Reason::HopLimit,
    ));
    check(bytes(ndp::CODE, &[1, 2, 128, 255], Reason::Code));
    let versions = [0x00, 0x40, 0x50, 0x70, 0xf0];
    check(bytes(v6::VERSION, &versions, Reason::Malformed));
    // Too short for a message, and longer than the frame.
    let lens = [0_u16, 1, 8, 23, 33, 40, 1500, 65_535];
    check(lens.into_iter().flat_map(|len| {
        spoilt(&format!("{len} bytes"), Reason::Malformed, |frame| {
            checksummed(patched(frame, v6::PAYLOAD_LEN, &len.to_be_bytes()))
        })
    }));
    // What comes first is the reason.
    check(spoilt("hop limit and code", Reason::HopLimit, |frame| {
        let frame = patched(frame, ndp::CODE, &[1]);
        patched(frame, v6::HOP_LIMIT, &[1])
    }));
    check(spoilt("code and checksum", Reason::Code, |frame| {
        patched(frame, ndp::CODE, &[1])
    }));
}

#[test]
fn a_wrong_checksum_is_found_wherever_the_error_is() {
    // Every bit of what it covers but the length, the next header and those with reasons of their own.
    let covered = (v6::SRC..v6::LEN).chain(ndp::CHECKSUM..86);
    let (frame, programs) = (solicitation().frame(), WIRE);
    check(covered.map(|at| {
        let bit = 1 << (at % 8);
        let flipped = patched(frame.clone(), at, &[frame[at] ^ bit]);
        row(format!("bit of byte {at}"), programs, flipped).passes(Reason::Checksum)
    }));
    let sums = [[0, 0], [0xff, 0xff], [0x12, 0x34]];
    check(sums.into_iter().flat_map(|sum| {
        spoilt("fixed checksum", Reason::Checksum, |frame| {
            patched(frame, ndp::CHECKSUM, &sum)
        })
    }));
}

/// A sum over nothing but ones is written as zeros: one's complement has two zeros, and `ICMPv6`, other
/// than UDP, uses either.
#[test]
fn both_zeros_of_a_checksum_are_right() {
    let checksum_of = |frame: &[u8]| [frame[ndp::CHECKSUM], frame[ndp::CHECKSUM + 1]];
    let balanced = (0..=u16::MAX)
        .map(|nonce| {
            let nonce = option(NONCE, &nonce.to_be_bytes());
            solicitation().with([option(SOURCE_MAC, &LAN), nonce].concat())
        })
        .find(|message| checksum_of(&message.frame()) == [0, 0])
        .expect("one of all sums");
    let balanced = Message::from(balanced);
    check([[0, 0], [0xff, 0xff]].map(|sum| {
        let frame = patched(balanced.frame(), ndp::CHECKSUM, &sum);
        row(format!("{sum:02x?}"), WIRE, frame).replied(&balanced, CHILD_SLOT)
    }));
}

#[test]
fn options_that_are_none_are_refused() {
    let whole = option(SOURCE_MAC, &LAN);
    let bad: [(&str, Vec<u8>); 10] = [
        ("length 0", vec![SOURCE_MAC, 0, 2, 0, 0, 0, 0x99, 0x0a]),
        ("length 0 of an unknown one", vec![253, 0, 0, 0, 0, 0, 0, 0]),
        ("length 255", vec![SOURCE_MAC, 255, 2, 0, 0, 0, 0x99, 0x0a]),
        ("one unit past the end", vec![NONCE, 2, 0, 0, 0, 0, 0, 0]),
        ("source MAC of two units", option(SOURCE_MAC, &[2; 14])),
        ("four bytes left over", [&whole[..], &[0; 4]].concat()),
        (
            "length 0 behind the MAC",
            [&whole[..], &[NONCE, 0, 0, 0, 0, 0, 0, 0]].concat(),
        ),
        (
            "past the end behind the MAC",
            [&whole[..], &[NONCE, 9, 0, 0, 0, 0, 0, 0]].concat(),
        ),
        (
            "over the end by one unit",
            [&[NONCE, 3, 0, 0, 0, 0, 0, 0][..], &whole].concat(),
        ),
        ("four bytes and nothing else", vec![SOURCE_MAC, 1, 2, 0]),
    ];
    check(bad.into_iter().flat_map(|(name, options)| {
        let with = |message: Nd| Message::from(message.with(options.clone()));
        let own = with(ndp::from_parent(HOST_IP6, CHILD_IP6));
        [
            passes(name, with(solicitation()), Reason::BadOption).flags(l2_filter()),
            passes(name, with(ndp::unicast(CHILD_IP6)), Reason::BadOption),
            own.passed(name, EGRESS, Reason::BadOption),
        ]
    }));
}

#[test]
fn a_message_longer_than_is_read_is_passed() {
    let with = |units: usize| {
        let rest = (0..units).flat_map(|_| option(NONCE, &[3; 6]));
        solicitation().with(option(SOURCE_MAC, &LAN).into_iter().chain(rest).collect())
    };
    let most = (ND_MAX - 32) / 8;
    check([most - 1, most].map(|units| answers("as long as is read", with(units), CHILD_SLOT)));
    check([1, 2, 60].map(|more| {
        let name = format!("{more} units longer");
        passes(name, with(most + more), Reason::TooLong).flags(l2_filter())
    }));
}

/// RFC 6980.
#[test]
fn a_solicitation_behind_an_extension_header_or_in_a_fragment_is_never_answered() {
    const EXTENSIONS: [u8; 4] = [
        number::HOP_BY_HOP,
        number::ROUTING,
        number::FRAGMENT,
        number::DESTINATION,
    ];
    let probe = (ndp::probe(CHILD_IP6).frame(), WIRE);
    let messages: Vec<_> = solicitations().into_iter().chain([probe]).collect();
    check(EXTENSIONS.into_iter().flat_map(|number| {
        messages.iter().map(move |(frame, programs)| {
            let frame = ip::extended(frame, number);
            row(format!("behind {number}"), programs, frame)
                .flags(l2_filter())
                .passes(Reason::ExtensionHeader)
        })
    }));
    let fragment = ip::extended(&solicitation().frame(), number::FRAGMENT);
    check([[0, 0], [0, 1], [0xff, 0xf8], [0, 9]].map(|offset| {
        let frame = patched(fragment.clone(), v6::LEN + 2, &offset);
        row(format!("fragment {offset:02x?}"), WIRE, frame).passes(Reason::ExtensionHeader)
    }));
    let frame = solicitation().frame();
    let chain = EXTENSIONS
        .into_iter()
        .fold(frame.clone(), |frame, number| ip::extended(&frame, number));
    let behind_options = ip::extended(&frame, number::DESTINATION);
    let advertisement = ndp::announcement(CHILD_IP6).frame();
    check(
        [
            ("chain of four", chain),
            ("longer header", patched(behind_options, v6::LEN + 1, &[1])),
            (
                "authentication",
                ip::extended(&frame, number::AUTHENTICATION),
            ),
            ("echo request", patched(frame, ndp::TYPE, &[128])),
            (
                "advertisement",
                ip::extended(&advertisement, number::HOP_BY_HOP),
            ),
        ]
        .map(|(name, frame)| row(name, NOT_DEMUX, frame)),
    );
}

#[test]
fn other_messages_of_icmpv6_are_not_looked_at_on_the_wire() {
    let types = (0..=255).filter(|kind| ![ndp::SOLICITATION, ndp::ADVERTISEMENT].contains(kind));
    check(types.map(|kind| {
        let frame = checksummed(patched(solicitation().frame(), ndp::TYPE, &[kind]));
        row(format!("type {kind}"), NOT_DEMUX, frame).flags(l2_filter())
    }));
    let headers = (0..=255_u8).filter(|number| *number != number::ICMPV6);
    check(headers.map(|number| {
        let frame = patched(solicitation().frame(), v6::NEXT_HEADER, &[number]);
        row(format!("next header {number}"), NOT_DEMUX, frame)
    }));
}

/// Every prefix of every frame, in every program. The model says why each is passed; that none is
/// answered or dropped is said here.
#[test]
fn no_prefix_of_any_valid_message_is_answered() {
    let flags = l2_filter() | ConfigFlags::ISOLATED | ConfigFlags::VEPA;
    let (config, entries) = (config(flags), entries());
    let mut datapath = Datapath::load();
    datapath.install(config, &entries);
    let mut expected = datapath.counts().reasons;
    for frame in [corpus::nds(), corpus::ipv6_packets()].concat() {
        let is_extended = frame[v6::NEXT_HEADER] != number::ICMPV6;
        for &program in Program::ALL {
            let shortest = if program == Program::Xdp {
                ETH_LEN
            } else {
                v6::LEN
            };
            for len in shortest..frame.len() {
                let cut = &frame[..len];
                let reason = model(program, config, &entries, cut, Origin::default()).reason;
                let passes = matches!(reason, None | Some(Reason::Malformed))
                    || is_extended && reason == Some(Reason::ExtensionHeader);
                assert!(passes, "{}: {len} bytes: {reason:?}", program.name());
                let outcome = datapath.run(program, cut, MARK).expect("run");
                let (code, name) = (Act::Pass.code(program), program.name());
                assert_eq!(outcome.code, code, "{name}: {len} bytes of {frame:02x?}");
                assert_eq!(outcome.frame, cut);
                if let Some(reason) = reason {
                    expected[counter_index(program.hook(), reason as u8) as usize] += 1;
                }
            }
        }
    }
    assert!(datapath.count(Hook::Ingress, Reason::Malformed) > 1_000);
    assert_eq!(datapath.counts().reasons, expected);
    assert_eq!(datapath.events(), []);
}

#[test]
fn what_is_behind_the_packet_is_neither_read_nor_counted() {
    // The same bytes would be options if the packet's length did not end before them.
    let behind = [option(SOURCE_MAC, &OTHER), vec![SOURCE_MAC, 0, 0, 0]].concat();
    let bare = ndp::unicast(CHILD_IP6).with(Vec::new());
    let reply = bare.answered(PARENT, "S", Vec::new()).frame();
    assert_eq!(reply[..6], LAN);
    let rows = [
        row("options", WIRE, [bare.frame(), behind].concat()),
        row("junk", WIRE, padded(bare.frame(), 1514)),
    ];
    check(rows.map(|row| row.advertised(reply.clone(), CHILD_SLOT)));
}
