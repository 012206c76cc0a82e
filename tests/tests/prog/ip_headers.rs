//! IP packets whose headers no program reads: fragments, options, extension headers, payloads of any length. And those
//! that the driver would not deliver.

use ipvlan_model::prelude::*;

/// By destination alone: what is behind the header is the child's business, at whatever length.
fn hairpinned_and_redirected(name: impl Into<String>, frame: Vec<u8>) -> [Row; 2] {
    let name = name.into();
    [
        row(name.clone(), EGRESS, frame.clone()).hairpinned(LOCAL_SLOT),
        row(name, DEMUX, frame).sent(Reason::Redirected, LOCAL_SLOT),
    ]
}

fn malformed(name: &str, frame: &[u8]) -> [Row; 2] {
    [DEMUX, EGRESS].map(|programs| row(name, programs, frame.to_vec()).passes(Reason::Malformed))
}

#[test]
fn fragments_and_options_follow_the_destination_like_any_packet() {
    // DF is 0x4000, MF is 0x2000.
    let fragments = [0x4000, 0x2000, 0x6000, 0x20b9, 370, 0x1fff];
    let fragments = fragments.map(|fragment| IpPacket {
        fragment,
        ..ip::from_host(LOCAL_IP)
    });
    let options = (1..=10).map(|option_words| IpPacket {
        option_words,
        ..ip::from_host(LOCAL_IP)
    });
    let packets = fragments.into_iter().chain(options);
    check(packets.flat_map(|it| hairpinned_and_redirected(format!("{it:?}"), it.frame())));
}

#[test]
fn extension_headers_and_fragments_follow_the_destination_like_any_packet() {
    const EXTENSIONS: [u8; 5] = [
        number::HOP_BY_HOP,
        number::ROUTING,
        number::FRAGMENT,
        number::DESTINATION,
        number::AUTHENTICATION,
    ];
    let packet = ip::from_host(LOCAL_IP6).frame();
    let single = EXTENSIONS.map(|number| ip::extended(&packet, number));
    let chain = (0..8).fold(packet.clone(), |frame, _| {
        ip::extended(&frame, number::DESTINATION)
    });
    // A header that says that it is followed by itself.
    let loops = patched(single[0].clone(), v6::LEN, &[number::HOP_BY_HOP]);
    let offsets = [[0x00, 0x00], [0x05, 0xa8], [0x05, 0xa9], [0xff, 0xf8]];
    let fragments = offsets.map(|offset| patched(single[2].clone(), v6::LEN + 2, &offset));
    let frames = single.into_iter().chain(fragments).chain([chain, loops]);
    check(frames.flat_map(|frame| hairpinned_and_redirected("extended", frame)));
    let headers = (0..=255_u8).filter(|number| *number != number::ICMPV6);
    check(headers.flat_map(|number| {
        let frame = patched(packet.clone(), v6::NEXT_HEADER, &[number]);
        hairpinned_and_redirected(format!("next header {number}"), frame)
    }));
}

#[test]
fn other_icmpv6_follows_the_destination_like_any_packet() {
    let types = [1, 2, 128, 129, 133, 134, 137, 143];
    check(types.into_iter().flat_map(|kind| {
        let packet = IpPacket {
            protocol: number::ICMPV6,
            payload: [&[kind][..], &[0; 31]].concat(),
            ..ip::from_host(LOCAL_IP6)
        };
        hairpinned_and_redirected(format!("type {kind}"), packet.frame())
    }));
}

#[test]
fn padding_and_large_packets_make_no_difference() {
    // A test run takes less than a page as an skb.
    let v4 = |len: u16| {
        let frame = padded(ip::from_host(LOCAL_IP).frame(), usize::from(len) + ETH_LEN);
        patched(frame, v4::TOTAL_LEN, &len.to_be_bytes())
    };
    let v6 = |len: usize| IpPacket {
        payload: vec![0x5a; len],
        ..ip::from_host(LOCAL_IP6)
    };
    // A payload length of 0 is that of a jumbogram, or of a segment that is longer than the field can say.
    let jumbo = patched(v6(1_400).frame(), v6::PAYLOAD_LEN, &[0, 0]);
    let frames = [
        padded(ip::from_host(LOCAL_IP).frame(), 60),
        v4(1500),
        v4(3000),
        v6(0).frame(),
        padded(v6(1).frame(), 60),
        v6(1_446).frame(),
        v6(3_000).frame(),
        jumbo,
    ];
    check(frames.into_iter().flat_map(|frame| {
        let name = format!("{} bytes", frame.len());
        hairpinned_and_redirected(name, frame)
    }));
}

#[test]
fn ipv4_that_the_driver_would_not_deliver_is_malformed() {
    let packet = ip::from_host(LOCAL_IP).frame();
    let len = u16::try_from(packet.len() - ETH_LEN).unwrap();
    let with = |at, bytes: &[u8]| patched(packet.clone(), at, bytes);
    let version_ihl = |byte: u8| {
        let frame = with(v4::VERSION_IHL, &[byte]);
        (format!("version and ihl {byte:02x}"), frame)
    };
    let total = |total: u16| {
        let frame = with(v4::TOTAL_LEN, &total.to_be_bytes());
        (format!("total length {total}"), frame)
    };
    // With 11 or more words of header, these 44 bytes are all header.
    let longest = u8::try_from(len / 4).unwrap();
    let short_with_options = patched(with(v4::VERSION_IHL, &[0x46]), v4::TOTAL_LEN, &[0, 23]);
    let refused = (0..5)
        .chain(longest + 1..16)
        .map(|ihl| version_ihl(0x40 | ihl))
        .chain([0, 1, 3, 5, 6, 15].map(|version| version_ihl(version << 4 | 5)))
        .chain([0, 1, 19, len + 1, 1500, 65_535].map(total))
        .chain([("total length below ihl".into(), short_with_options)]);
    check(refused.flat_map(|(name, frame)| malformed(&name, &frame)));
    let valid = (5..=longest)
        .map(|ihl| version_ihl(0x40 | ihl))
        .chain([20, len - 1, len].map(total));
    check(valid.flat_map(|(name, frame)| hairpinned_and_redirected(name, frame)));
}

#[test]
fn ipv6_that_the_driver_would_not_deliver_is_malformed() {
    let packet = ip::from_host(LOCAL_IP6).frame();
    let versions = (0..16_u8)
        .filter(|version| *version != 6)
        .map(|version| (v6::VERSION, vec![version << 4]));
    let with_len = |len: u16| (v6::PAYLOAD_LEN, len.to_be_bytes().to_vec());
    let lengths = [25, 26, 1_500, 65_535].map(with_len);
    check(versions.chain(lengths).flat_map(|(at, bytes)| {
        let frame = patched(packet.clone(), at, &bytes);
        malformed(&format!("{bytes:02x?} at {at}"), &frame)
    }));
    check([0_u16, 1, 23, 24].into_iter().flat_map(|len| {
        let frame = patched(packet.clone(), v6::PAYLOAD_LEN, &len.to_be_bytes());
        hairpinned_and_redirected("shorter than its frame", frame)
    }));
}
