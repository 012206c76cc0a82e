//! Frames that are cut short, padded, mutilated or tagged: never answered for what they are not,
//! never read past their end, nothing of theirs travels back.

use ipvlan_common::{ConfigFlags, Hook, Reason};
use ipvlan_model::{
    datapath::{Act, Datapath, EGRESS, ONE_BUFFER, Program, TC, TC_INGRESS, WIRE, XDP},
    frames::{
        Arp, ETH_LEN, arp, corpus,
        ip::{self, v4, v6},
        padded, patched, tagged, valid,
    },
    rows::{MARK, Row, check, row},
    world::{
        CHILD_IP, CHILD_SLOT, HOST_IP, L3, LOCAL_IP, LOCAL_SLOT, PARENT, config, entries, l2_filter,
    },
};

const REQUEST: Arp = arp::request(CHILD_IP);
const HOST_REQUEST: Arp = arp::from_parent(HOST_IP, CHILD_IP);
const DEMUX: &[Program] = &[Program::IngressDemux];
const ROUTED: &[Program] = &[Program::EgressRouted];

#[test]
fn reply_is_42_bytes_without_junk_whatever_the_request_was_padded_to() {
    let lens = [arp::LEN, 43, 60, 64, 590, 1514, ONE_BUFFER];
    check(lens.into_iter().flat_map(|len| {
        let answered = |programs, request: Arp| {
            row(
                format!("{len} bytes"),
                programs,
                padded(request.frame(), len),
            )
            .answered(request.answered_by(PARENT).frame(), Some(CHILD_SLOT))
        };
        [answered(WIRE, REQUEST), answered(EGRESS, HOST_REQUEST)]
    }));
    let long = |programs, request: Arp| {
        row("3500 bytes", programs, padded(request.frame(), 3500))
            .answered(request.answered_by(PARENT).frame(), Some(CHILD_SLOT))
    };
    check([long(TC_INGRESS, REQUEST), long(EGRESS, HOST_REQUEST)]);
}

#[test]
fn xdp_leaves_a_frame_that_may_be_of_many_buffers_to_tc() {
    check([ONE_BUFFER + 1, 3500, 4096, 9014, 65_535].map(|len| {
        row(format!("{len} bytes"), XDP, padded(REQUEST.frame(), len)).passes(Reason::NotWritable)
    }));
}

#[test]
fn no_prefix_of_any_valid_arp_or_ipv4_frame_is_answered() {
    let frames = [corpus::arps(), corpus::ipv4_packets()].concat();
    let rows = frames.into_iter().flat_map(|frame| {
        let is_arp = frame[12..ETH_LEN] == [8, 6];
        let to_own_mac = frame[..6] == frame[6..12];
        let whole = if is_arp { arp::LEN } else { frame.len() };
        let shortest = if is_arp { ETH_LEN } else { v4::LEN };
        (shortest..whole).flat_map(move |len| {
            let cut = frame[..len].to_vec();
            let malformed = |programs| {
                row(
                    format!("{len} bytes of {frame:02x?}"),
                    programs,
                    cut.clone(),
                )
                .passes(Reason::Malformed)
            };
            let ignored = |programs| row(format!("{len} bytes"), programs, cut.clone());
            if is_arp {
                vec![malformed(Program::ALL)]
            } else if to_own_mac {
                vec![
                    malformed(DEMUX),
                    malformed(EGRESS),
                    ignored(WIRE_WITHOUT_DEMUX),
                ]
            } else {
                let plain = ignored(&[Program::Egress]);
                vec![
                    malformed(DEMUX),
                    malformed(ROUTED),
                    plain,
                    ignored(WIRE_WITHOUT_DEMUX),
                ]
            }
        })
    });
    check(rows);
}

const WIRE_WITHOUT_DEMUX: &[Program] = &[Program::Ingress, Program::Xdp];

#[test]
fn the_kernel_itself_refuses_to_run_what_is_shorter() {
    let mut datapath = Datapath::load();
    datapath.install(config(L3), &entries());
    let before = datapath.counts();
    for frame in valid() {
        let shortest = match frame[12..ETH_LEN] {
            [0x08, 0x00] => v4::LEN,
            [0x86, 0xdd] => v6::LEN,
            _ => ETH_LEN,
        };
        for &program in Program::ALL {
            if !datapath.has(program) {
                continue;
            }
            for len in 0..v6::LEN.min(frame.len()) {
                let refused = len < ETH_LEN || (len < shortest && program.hook() != Hook::Xdp);
                let result = datapath.run(program, &frame[..len], MARK);
                assert_eq!(
                    result.is_err(),
                    refused,
                    "{}: {len} bytes of {frame:02x?}: {result:?}",
                    program.name()
                );
                if let Ok(outcome) = result
                    && len < shortest
                {
                    assert_eq!(outcome.code, Act::Pass.code(program));
                    assert_eq!(outcome.frame, frame[..len]);
                }
            }
        }
    }
    assert_eq!(datapath.counts().children, before.children);
}

#[test]
fn arp_about_anything_but_ipv4_over_ethernet_is_left_alone() {
    let fields: [(usize, &[u8]); 17] = [
        (arp::HTYPE, &[0, 0]),
        (arp::HTYPE, &[0, 7]),
        (arp::HTYPE, &[0, 32]),
        (arp::HTYPE, &[1, 0]),
        (arp::HTYPE, &[6, 0]),
        (arp::HTYPE, &[255, 255]),
        (arp::PTYPE, &[0x86, 0xdd]),
        (arp::PTYPE, &[0, 0]),
        (arp::PTYPE, &[0, 8]),
        (arp::HLEN, &[0]),
        (arp::HLEN, &[5]),
        (arp::HLEN, &[7]),
        (arp::HLEN, &[255]),
        (arp::PLEN, &[0]),
        (arp::PLEN, &[3]),
        (arp::PLEN, &[16]),
        (arp::HLEN, &[4, 6]),
    ];
    check(fields.into_iter().flat_map(|(at, bytes)| {
        [(REQUEST, WIRE), (HOST_REQUEST, EGRESS)]
            .into_iter()
            .flat_map(move |(request, programs)| {
                [L3, l2_filter()].map(|flags| {
                    row(
                        format!("{bytes:?} at {at}"),
                        programs,
                        patched(request.frame(), at, bytes),
                    )
                    .flags(flags)
                    .passes(Reason::ArpHeader)
                })
            })
    }));
}

#[test]
fn arp_other_than_a_request_is_left_alone() {
    let opers = [0, 2, 3, 4, 8, 9, 256, 65_535];
    check(opers.into_iter().flat_map(|oper| {
        [L3, l2_filter()].into_iter().flat_map(move |flags| {
            [(REQUEST, WIRE), (HOST_REQUEST, EGRESS)].map(|(request, programs)| {
                row(
                    format!("op {oper}"),
                    programs,
                    Arp { oper, ..request }.frame(),
                )
                .flags(flags)
                .passes(Reason::NotRequest)
            })
        })
    }));
}

#[test]
fn ipv4_that_the_driver_would_not_deliver_is_malformed() {
    let packet = ip::from_host(LOCAL_IP).frame();
    let len = u16::try_from(packet.len() - ETH_LEN).unwrap();
    let with = |at, bytes: &[u8]| patched(packet.clone(), at, bytes);
    let version_ihl = |byte: u8| {
        (format!("version and ihl {byte:02x}"), {
            with(v4::VERSION_IHL, &[byte])
        })
    };
    let total = |total: u16| {
        (format!("total length {total}"), {
            with(v4::TOTAL_LEN, &total.to_be_bytes())
        })
    };
    // With 11 or more words of header, these 44 bytes are all header.
    let longest = u8::try_from(len / 4).unwrap();
    let malformed = (0..5)
        .map(|ihl| version_ihl(0x40 | ihl))
        .chain((longest + 1..16).map(|ihl| version_ihl(0x40 | ihl)))
        .chain([0, 1, 3, 5, 6, 15].map(|version| version_ihl(version << 4 | 5)))
        .chain([0, 1, 19, len + 1, 1500, 65_535].map(total));
    let valid = (5..=longest)
        .map(|ihl| version_ihl(0x40 | ihl))
        .chain([20, len - 1, len].map(total));
    let short_with_options = (
        "total length below ihl".to_string(),
        patched(with(v4::VERSION_IHL, &[0x46]), v4::TOTAL_LEN, &[0, 23]),
    );
    let rows = malformed
        .chain([short_with_options])
        .flat_map(|(name, frame)| {
            [DEMUX, EGRESS].map(|programs| {
                row(name.clone(), programs, frame.clone()).passes(Reason::Malformed)
            })
        });
    check(rows);
    check(valid.flat_map(|(name, frame)| {
        [
            row(name.clone(), EGRESS, frame.clone()).hairpinned(Some(LOCAL_SLOT)),
            row(name, DEMUX, frame).sent(Reason::Redirected, Some(LOCAL_SLOT)),
        ]
    }));
}

#[test]
fn a_tag_in_the_frame_hides_it_from_every_program() {
    let tags: [&[(u16, u16)]; 7] = [
        &[(0x8100, 5)],
        &[(0x8100, 4095)],
        &[(0x8100, 0)],
        &[(0x8100, 0xe000)],
        &[(0x88a8, 5), (0x8100, 7)],
        &[(0x8100, 0), (0x8100, 5)],
        &[(0x9100, 5)],
    ];
    let rows = tags.into_iter().flat_map(|tags| {
        valid().into_iter().flat_map(move |frame| -> [Row; 2] {
            [L3, l2_filter() | ConfigFlags::ISOLATED].map(|flags| {
                row(format!("{tags:04x?}"), Program::ALL, tagged(&frame, tags)).flags(flags)
            })
        })
    });
    check(rows);
}

#[test]
fn a_length_field_in_place_of_the_ethertype_is_not_looked_at() {
    check([0_u16, 28, 46, 0x05dc].map(|len| {
        let frame = padded(REQUEST.frame(), 60);
        row(
            format!("802.3 length {len}"),
            TC,
            patched(frame, 12, &len.to_be_bytes()),
        )
    }));
}
