//! Every field of a request, and every length, without a kernel.

use super::*;

const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// A frame on the host.
struct Slice<'a>(&'a [u8]);

impl Bytes for Slice<'_> {
    fn len(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap()
    }

    fn read<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        let at = usize::try_from(at).unwrap();
        self.0.get(at..at + N)?.try_into().ok()
    }
}

/// A DHCPDISCOVER with these options, in a packet of the right length.
fn frame(options: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 282];
    frame[..6].copy_from_slice(&[0xff; 6]);
    frame[6..12].copy_from_slice(&OWN);
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14] = 0x45;
    frame[23] = PROTOCOL_UDP;
    frame[34..38].copy_from_slice(&[0, 68, 0, 67]);
    frame[42..45].copy_from_slice(&[1, 1, 6]);
    frame[70..76].copy_from_slice(&OWN);
    frame[278..282].copy_from_slice(&MAGIC_COOKIE);
    frame.extend_from_slice(options);
    let len = |from: usize| u16::try_from(frame.len() - from).unwrap().to_be_bytes();
    let (total, udp) = (len(14), len(34));
    frame[16..18].copy_from_slice(&total);
    frame[38..40].copy_from_slice(&udp);
    frame
}

fn parse(frame: &[u8]) -> Option<Request> {
    parse_request(&Slice(frame), Mac::new(OWN))
}

#[test]
fn a_request_is_what_every_field_says() {
    let good = frame(&[53, 1, 1, 61, 3, 0, 1, 2, 255]);
    let request = parse(&good).unwrap();
    assert_eq!(
        (request.checksum_at, request.flags_at, request.flags),
        (40, 52, [0, 0])
    );
    assert!(request.is_identified);
    // Bytes of which a single value is right, or that must be zero.
    let fixed = (6..14) // the sender's MAC, and the EtherType
        .chain([23, 34, 35, 36, 37, 42, 43, 44])
        .chain(54..58) // ciaddr
        .chain(66..70) // giaddr
        .chain(278..282);
    for at in fixed {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert_eq!(parse(&bad), None, "byte {at}, bit {bit}");
        }
    }
    // Identification, the flag "don't fragment", TTL, checksums, hops, xid, secs, yiaddr, siaddr, names.
    for at in [18, 19, 22, 24, 25, 40, 41, 45, 46, 50, 58, 62, 90, 200] {
        let mut other = good.clone();
        other[at] ^= 0x40;
        assert!(parse(&other).is_some(), "byte {at}");
    }
    for len in 0..good.len() {
        assert_eq!(parse(&good[..len]), None, "{len} bytes");
    }
}

#[test]
fn options_are_found_behind_padding_and_other_options_and_not_behind_the_end() {
    let found = |before: &[u8]| {
        let mut options = before.to_vec();
        options.extend([53, 1, 3, 61, 2, 0, 9, 255]);
        parse(&frame(&options)).map(|request| request.is_identified)
    };
    for code in 1..=254 {
        if [53, 61].contains(&code) {
            continue;
        }
        for len in [0, 1, 9] {
            let mut option = vec![code, len];
            option.resize(2 + usize::from(len), 53);
            assert_eq!(found(&option), Some(true), "code {code}, {len} bytes");
        }
    }
    assert_eq!(found(&[0; 13]), Some(true));
    // Only so many are read.
    assert_eq!(found(&[0; 15]), Some(false));
    assert_eq!(found(&[0; 16]), None);
    assert_eq!(found(&[255]), None);
}

#[test]
fn only_whole_packets_are_read() {
    for word in 0..=u16::MAX {
        let mut fragment = frame(&[53, 1, 3, 255]);
        fragment[20..22].copy_from_slice(&word.to_be_bytes());
        // Neither more fragments nor an offset.
        let whole = [0, 0x4000, 0x8000, 0xc000].contains(&word);
        assert_eq!(parse(&fragment).is_some(), whole, "{word:#06x}");
    }
}

#[test]
fn every_length_of_the_options_ends_inside_the_datagram() {
    // Whatever is behind the datagram is never read.
    for before in 0..=60 {
        let mut options = vec![80, before];
        options.resize(2 + usize::from(before), 7);
        options.extend([53, 1, 1]);
        for cut in 0..=options.len() {
            let mut cut_off = frame(&options[..cut]);
            cut_off.extend_from_slice(&options[cut..]);
            let complete = cut == options.len();
            assert_eq!(
                parse(&cut_off).is_some(),
                complete,
                "{before}, cut at {cut}"
            );
        }
    }
}
