use super::*;
use crate::wire::{checksum, message::Message};

/// `fe80::2` asks `ff02::1:ff00:1` who has `fe80::1`, without options; checksum left out.
fn solicitation(options: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x33, 0x33, 0xff, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd];
    let len = u8::try_from(ND_LEN + options.len()).unwrap_or(u8::MAX);
    frame.extend([0x60, 0, 0, 0, 0, len, 58, 255]);
    frame.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    frame.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 1]);
    frame.extend([135, 0, 0, 0, 0, 0, 0, 0]);
    frame.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    frame.extend(options);
    frame
}

fn message(bytes: &[u8]) -> Message {
    // What an earlier, longer message may have left there.
    let mut padded = [0xa5; ND_MAX];
    padded[..bytes.len()].copy_from_slice(bytes);
    let mut message = Message([0; ND_MAX / 8]);
    for (unit, bytes) in message.0.iter_mut().zip(padded.chunks_exact(8)) {
        *unit = u64::from_ne_bytes(bytes.try_into().unwrap());
    }
    message
}

/// With the right checksum for its length, so that only options decide.
fn options(options: &[u8]) -> Result<Option<Mac>, Reason> {
    let mut frame = solicitation(options);
    let mut bytes = frame[ND_START..].to_vec();
    let header = NdHeader {
        len: bytes.len(),
        ..parse_nd_header(Frame::from(&solicitation(&[])[..]), 78).unwrap()
    };
    let sum = checksum::pseudo_header(header.src, header.dst, bytes.len())
        + bytes
            .chunks(2)
            .map(|pair| u64::from(u16::from_ne_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
            .sum::<u64>();
    bytes[2..4].copy_from_slice(&(!checksum::fold(sum)).to_ne_bytes());
    let parsed = parse_nd(header, NdKind::Solicitation, &message(&bytes));
    frame[ND_START..].copy_from_slice(&bytes);
    let short = short_message(Frame::from(&frame[..]), header.len);
    assert_eq!(short.is_some(), matches!(options.len(), 0 | 8));
    if let Some(short) = short {
        assert_eq!(parse_short_nd(header, NdKind::Solicitation, short), parsed);
    }
    let nd = parsed?;
    Ok(nd.has_link_layer.then_some(nd.link_layer))
}

#[test]
fn fields_come_from_where_rfc_4861_puts_them() {
    let frame = solicitation(&[]);
    let header = parse_nd_header(Frame::from(&frame[..]), frame.len()).unwrap();
    assert_eq!(header.eth_dst.bytes(), [0x33, 0x33, 0xff, 0, 0, 1]);
    assert_eq!(header.eth_src.bytes(), [2, 0, 0, 0, 0, 2]);
    assert_eq!(header.target.solicited_node(), header.dst);
    assert_eq!(header.src.bytes()[15], 2);
    assert_eq!(header.len, ND_LEN);
    assert_eq!(
        classify_nd(Frame::from(&frame[..])),
        NdClass::Nd(NdKind::Solicitation)
    );
    for len in 0..frame.len() {
        let prefix = Frame::from(&frame[..len]);
        assert_eq!(parse_nd_header(prefix, len), Err(Reason::Malformed));
        assert_eq!(classify_nd(prefix) == NdClass::Other, len < CLASSIFY_LEN);
    }
}

#[test]
fn every_value_of_every_checked_byte() {
    type Good = fn(u8) -> bool;
    let good: [(usize, Good, Reason); 7] = [
        (12, |high| high == 0x86, Reason::EtherType),
        (13, |low| low == 0xdd, Reason::EtherType),
        (14, |version| version >> 4 == 6, Reason::Malformed),
        (18, |len| len == 0, Reason::Malformed),
        (19, |len| len == 24, Reason::Malformed),
        (21, |hop_limit| hop_limit == 255, Reason::HopLimit),
        (55, |code| code == 0, Reason::Code),
    ];
    for (at, good, reason) in good {
        for value in 0..=u8::MAX {
            let mut frame = solicitation(&[]);
            frame[at] = value;
            let parsed = parse_nd_header(Frame::from(&frame[..]), frame.len());
            let expected = if good(value) { Ok(()) } else { Err(reason) };
            assert_eq!(parsed.map(drop), expected, "{value} at {at}");
        }
    }
}

#[test]
fn options_are_those_the_kernel_accepts() {
    const MAC: [u8; 8] = [1, 1, 2, 0, 0, 0, 0, 2];
    const OTHER: [u8; 8] = [1, 1, 2, 0, 0, 0, 0, 3];
    const NONCE: [u8; 8] = [14, 1, 1, 2, 3, 4, 5, 6];
    let mac = Ok(Some(Mac::new([2, 0, 0, 0, 0, 2])));
    let bad = Err(Reason::BadOption);
    let long = [&[14, 12][..], &[0; 94], &MAC].concat();
    let rows: [(&[u8], _); 16] = [
        (&[], Ok(None)),
        (&MAC, mac),
        (&NONCE, Ok(None)),
        (&[NONCE, MAC].concat(), mac),
        (&[MAC, NONCE].concat(), mac),
        (&[MAC, OTHER].concat(), mac),
        (&[MAC, [1, 2, 0, 0, 0, 0, 0, 0], OTHER].concat(), mac),
        (&[1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], bad),
        (&[NONCE, [0; 8]].concat(), bad),
        (&[14, 2, 0, 0, 0, 0, 0, 0], bad),
        (&[14, 255, 0, 0, 0, 0, 0, 0], bad),
        (&[1, 0, 2, 0, 0, 0, 0, 2], bad),
        (&[2, 1, 2, 0, 0, 0, 0, 2], Ok(None)),
        (&MAC[..4], bad),
        (&long, mac),
        (&[MAC; 13].concat(), mac),
    ];
    for (bytes, expected) in rows {
        assert_eq!(options(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn what_is_too_long_to_read_is_told_apart() {
    let frame = solicitation(&[0; ND_MAX]);
    let mut frame = frame[..ND_START + ND_MAX + 8].to_vec();
    for (len, expected) in [(ND_MAX, Ok(())), (ND_MAX + 8, Err(Reason::TooLong))] {
        let bytes = u16::try_from(len).unwrap().to_be_bytes();
        frame[18..20].copy_from_slice(&bytes);
        let parsed = parse_nd_header(Frame::from(&frame[..]), frame.len());
        assert_eq!(parsed.map(drop), expected);
    }
}

#[test]
fn a_wrong_checksum_is_found_wherever_the_bit_is() {
    // Checksum of the frame of `solicitation(&[])`.
    let frame = solicitation(&[]);
    let header = parse_nd_header(Frame::from(&frame[..]), frame.len()).unwrap();
    let mut bytes = frame[ND_START..].to_vec();
    let sum = checksum::pseudo_header(header.src, header.dst, bytes.len())
        + bytes
            .chunks_exact(2)
            .map(|pair| u64::from(u16::from_ne_bytes([pair[0], pair[1]])))
            .sum::<u64>();
    bytes[2..4].copy_from_slice(&(!checksum::fold(sum)).to_ne_bytes());
    let parse = |bytes: &[u8]| parse_nd(header, NdKind::Solicitation, &message(bytes));
    assert!(parse(&bytes).is_ok());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(parse(&flipped), Err(Reason::Checksum), "bit {bit}");
    }
}

#[test]
fn behind_an_extension_header_only_a_solicitation_is_told() {
    let plain = solicitation(&[]);
    for next in 0..=u8::MAX {
        for (length, kind) in [(0, 135), (0, 136), (1, 135)] {
            let mut frame = plain.clone();
            frame[20] = next;
            frame.splice(ND_START..ND_START, [58, length, 0, 0, 0, 0, 0, 0]);
            frame[ND_START + 8] = kind;
            let expected = match (next, length, kind) {
                (58, ..) => continue,
                (0 | 43 | 60, 0, 135) | (44, _, 135) => NdClass::BehindExtension,
                _ => NdClass::Other,
            };
            assert_eq!(
                classify_nd(Frame::from(&frame[..])),
                expected,
                "{next} {length}"
            );
        }
    }
}
