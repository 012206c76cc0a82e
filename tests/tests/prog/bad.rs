//! Frames that are cut short, mutilated or tagged: never answered for what they are not, never read past their end.

use ipvlan_model::prelude::*;

/// A request for a child that each program would answer.
const REQUESTS: [(Arp, &[Program]); 2] = [
    (REQUEST, WIRE),
    (arp::from_parent(HOST_IP, CHILD_IP), EGRESS),
];

/// Every request after `change` is passed for `reason`.
fn spoilt(name: &str, reason: Reason, change: impl Fn(Arp) -> Vec<u8>) -> Vec<Row> {
    let rows =
        REQUESTS.map(|(request, programs)| row(name, programs, change(request)).passes(reason));
    in_modes(&[L3, l2_filter()], rows).collect()
}

#[test]
fn no_prefix_of_any_valid_arp_or_ipv4_frame_is_answered() {
    let frames = [corpus::arps(), corpus::ipv4_packets()].concat();
    check(frames.into_iter().flat_map(|frame| {
        let is_arp = frame[12..ETH_LEN] == [8, 6];
        let to_own_mac = frame[..6] == frame[6..12];
        let (shortest, whole) = if is_arp {
            (ETH_LEN, arp::LEN)
        } else {
            (v4::LEN, frame.len())
        };
        (shortest..whole).flat_map(move |len| {
            let cut = |programs| row(format!("{len} bytes"), programs, frame[..len].to_vec());
            let malformed = |programs| cut(programs).passes(Reason::Malformed);
            if is_arp {
                vec![malformed(Program::ALL)]
            } else if to_own_mac {
                vec![malformed(DEMUX), malformed(EGRESS), cut(NOT_DEMUX)]
            } else {
                let egress = [malformed(ROUTED), cut(NOT_ROUTED)];
                [malformed(DEMUX), cut(NOT_DEMUX)]
                    .into_iter()
                    .chain(egress)
                    .collect()
            }
        })
    }));
}

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
        let name = format!("{bytes:?} at {at}");
        spoilt(&name, Reason::ArpHeader, |request| {
            patched(request.frame(), at, bytes)
        })
    }));
}

#[test]
fn arp_other_than_a_request_is_left_alone() {
    let opers = [0, 2, 3, 4, 8, 9, 256, 65_535];
    check(opers.into_iter().flat_map(|oper| {
        spoilt(&format!("op {oper}"), Reason::NotRequest, |request| {
            Arp { oper, ..request }.frame()
        })
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
        let tagged =
            move |frame: Vec<u8>| row(format!("{tags:04x?}"), Program::ALL, tagged(&frame, tags));
        valid().into_iter().map(tagged)
    });
    let l2 = l2_filter();
    check(in_modes(&[L3, l2, l2 | ConfigFlags::ISOLATED], rows));
}
