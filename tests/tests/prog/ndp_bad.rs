//! Neighbour discovery that is cut short, mutilated, carried where it may not be or tagged: never
//! answered for what it is not, never read past its end.

use ipvlan_common::{ConfigFlags, Hook, Reason};
use ipvlan_ebpf::wire::message::ND_MAX;
use ipvlan_model::{
    datapath::{Datapath, EGRESS, Origin, Program, WIRE},
    frames::{
        ETH_LEN, Nd, corpus,
        ip::{self, number, v6},
        ndp::{self, NONCE, SOURCE_MAC, checksummed, option},
        padded, patched, tagged,
    },
    model::model,
    rows::{MARK, Row, check, row},
    solicitations::{multicast, own_mac, passes},
    world::{CHILD_IP6, CHILD_SLOT, HOST_IP6, L3, LAN, OTHER, PARENT, config, entries, l2_filter},
};

const NOT_DEMUX: &[Program] = &[Program::Ingress, Program::Xdp];

/// A solicitation that each program would answer, for each program.
fn solicitations() -> [(Vec<u8>, &'static [Program]); 3] {
    [
        (multicast().frame(), WIRE),
        (ndp::unicast(CHILD_IP6).frame(), WIRE),
        (ndp::from_parent(HOST_IP6, CHILD_IP6).frame(), EGRESS),
    ]
}

/// Every solicitation after `change` is passed for `reason`.
fn spoilt(
    name: &str,
    reason: Reason,
    change: impl Fn(Vec<u8>) -> Vec<u8> + Copy,
) -> impl Iterator<Item = Row> {
    solicitations()
        .into_iter()
        .flat_map(move |(frame, programs)| {
            [L3, l2_filter()].map(|flags| {
                row(name, programs, change(frame.clone()))
                    .flags(flags)
                    .passes(reason)
            })
        })
}

#[test]
fn a_field_that_no_neighbour_sends_is_refused_by_its_own_reason() {
    let byte = |at, value| move |frame| checksummed(patched(frame, at, &[value]));
    let len =
        |len: u16| move |frame| checksummed(patched(frame, v6::PAYLOAD_LEN, &len.to_be_bytes()));
    let hop_limits = [0, 1, 64, 128, 254].into_iter().flat_map(|hop_limit| {
        spoilt(
            "hop limit",
            Reason::HopLimit,
            byte(v6::HOP_LIMIT, hop_limit),
        )
    });
    let codes = [1, 2, 128, 255]
        .into_iter()
        .flat_map(|code| spoilt("code", Reason::Code, byte(ndp::CODE, code)));
    let versions = [0x00, 0x40, 0x50, 0x70, 0xf0]
        .into_iter()
        .flat_map(|version| spoilt("version", Reason::Malformed, byte(v6::VERSION, version)));
    let short = [0, 1, 8, 23]
        .into_iter()
        .flat_map(|short| spoilt("too short", Reason::Malformed, len(short)));
    let long = [33, 40, 1500, 65_535]
        .into_iter()
        .flat_map(|long| spoilt("longer than its frame", Reason::Malformed, len(long)));
    check(
        hop_limits
            .chain(codes)
            .chain(versions)
            .chain(short)
            .chain(long),
    );
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
    let (frame, programs) = (multicast().frame(), WIRE);
    check(covered.map(|at| {
        let bit = 1 << (at % 8);
        let flipped = patched(frame.clone(), at, &[frame[at] ^ bit]);
        row(format!("bit of byte {at}"), programs, flipped).passes(Reason::Checksum)
    }));
    check(
        [[0, 0], [0xff, 0xff], [0x12, 0x34]]
            .into_iter()
            .flat_map(|sum| {
                spoilt("fixed checksum", Reason::Checksum, move |frame| {
                    patched(frame, ndp::CHECKSUM, &sum)
                })
                .collect::<Vec<_>>()
            }),
    );
}

/// A sum over nothing but ones is written as zeros: one's complement has two zeros, and `ICMPv6`, other
/// than UDP, uses either.
#[test]
fn both_zeros_of_a_checksum_are_right() {
    let checksum_of = |frame: &[u8]| [frame[ndp::CHECKSUM], frame[ndp::CHECKSUM + 1]];
    let balanced = (0..=u16::MAX)
        .map(|nonce| {
            multicast().with(
                [
                    option(SOURCE_MAC, &LAN),
                    option(NONCE, &nonce.to_be_bytes()),
                ]
                .concat(),
            )
        })
        .find(|message| checksum_of(&message.frame()) == [0, 0])
        .expect("one of all sums");
    let reply = balanced.answered(PARENT, "SO", own_mac()).frame();
    check([[0, 0], [0xff, 0xff]].map(|sum| {
        let frame = patched(balanced.frame(), ndp::CHECKSUM, &sum);
        row(format!("{sum:02x?}"), WIRE, frame).advertised(reply.clone(), Some(CHILD_SLOT))
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
        let unicast = ndp::unicast(CHILD_IP6).with(options.clone());
        let own = ndp::from_parent(HOST_IP6, CHILD_IP6).with(options.clone());
        [
            passes(name, &multicast().with(options), Reason::BadOption).flags(l2_filter()),
            passes(name, &unicast, Reason::BadOption),
            row(name, EGRESS, own.frame()).passes(Reason::BadOption),
        ]
    }));
}

#[test]
fn a_message_longer_than_is_read_is_passed() {
    let with = |units: usize| {
        let rest = (0..units).flat_map(|_| option(NONCE, &[3; 6]));
        multicast().with(option(SOURCE_MAC, &LAN).into_iter().chain(rest).collect())
    };
    let most = (ND_MAX - 32) / 8;
    let answered = |asked: &Nd| {
        row("as long as is read", WIRE, asked.frame()).advertised(
            multicast().answered(PARENT, "SO", own_mac()).frame(),
            Some(CHILD_SLOT),
        )
    };
    check([answered(&with(most - 1)), answered(&with(most))]);
    check([1, 2, 60].map(|more| {
        passes(
            format!("{more} units longer"),
            &with(most + more),
            Reason::TooLong,
        )
        .flags(l2_filter())
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
    let rows = EXTENSIONS.into_iter().flat_map(|number| {
        solicitations()
            .into_iter()
            .chain([(ndp::probe(CHILD_IP6).frame(), WIRE)])
            .map(move |(frame, programs)| {
                let frame = ip::extended(&frame, number);
                row(format!("behind {number}"), programs, frame)
                    .flags(l2_filter())
                    .passes(Reason::ExtensionHeader)
            })
    });
    check(rows);
    let fragment = ip::extended(&multicast().frame(), number::FRAGMENT);
    check([[0, 0], [0, 1], [0xff, 0xf8], [0, 9]].map(|offset| {
        row(
            format!("fragment {offset:02x?}"),
            WIRE,
            patched(fragment.clone(), v6::LEN + 2, &offset),
        )
        .passes(Reason::ExtensionHeader)
    }));
    let chain = EXTENSIONS
        .into_iter()
        .fold(multicast().frame(), |frame, number| {
            ip::extended(&frame, number)
        });
    let long = patched(
        ip::extended(&multicast().frame(), number::DESTINATION),
        v6::LEN + 1,
        &[1],
    );
    let authenticated = ip::extended(&multicast().frame(), number::AUTHENTICATION);
    let echo = patched(multicast().frame(), ndp::TYPE, &[128]);
    let advertisement = ndp::announcement(CHILD_IP6).frame();
    check([
        row("chain of four", NOT_DEMUX, chain),
        row("longer header", NOT_DEMUX, long),
        row("authentication header", NOT_DEMUX, authenticated),
        row("echo request", NOT_DEMUX, echo),
        row(
            "advertisement behind one",
            NOT_DEMUX,
            ip::extended(&advertisement, number::HOP_BY_HOP),
        ),
    ]);
}

#[test]
fn other_messages_of_icmpv6_are_not_looked_at_on_the_wire() {
    let types = (0..=255).filter(|kind| ![ndp::SOLICITATION, ndp::ADVERTISEMENT].contains(kind));
    check(types.map(|kind| {
        let frame = checksummed(patched(multicast().frame(), ndp::TYPE, &[kind]));
        row(format!("type {kind}"), NOT_DEMUX, frame).flags(l2_filter())
    }));
    let headers = (0..=255_u8).filter(|number| *number != number::ICMPV6);
    check(headers.map(|number| {
        let frame = patched(multicast().frame(), v6::NEXT_HEADER, &[number]);
        row(format!("next header {number}"), NOT_DEMUX, frame)
    }));
}

#[test]
fn a_tag_in_the_frame_hides_a_solicitation_from_every_program() {
    let tags: [&[(u16, u16)]; 6] = [
        &[(0x8100, 5)],
        &[(0x8100, 4095)],
        &[(0x8100, 0)],
        &[(0x8100, 0xe000)],
        &[(0x88a8, 5), (0x8100, 7)],
        &[(0x8100, 0), (0x8100, 5)],
    ];
    check(tags.into_iter().flat_map(|tags| {
        corpus::nds().into_iter().map(move |frame| {
            row(format!("{tags:04x?}"), Program::ALL, tagged(&frame, tags)).flags(l2_filter())
        })
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
                assert_eq!(
                    outcome.code,
                    ipvlan_model::datapath::Act::Pass.code(program),
                    "{}: {len} bytes of {frame:02x?}",
                    program.name()
                );
                assert_eq!(outcome.frame, cut);
                if let Some(reason) = reason {
                    let index = ipvlan_common::counter_index(program.hook(), reason as u8);
                    expected[index as usize] += 1;
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
    check(
        [
            row("options", WIRE, [bare.frame(), behind].concat()),
            row("junk", WIRE, padded(bare.frame(), 1514)),
        ]
        .map(|row| row.advertised(reply.clone(), Some(CHILD_SLOT))),
    );
}
