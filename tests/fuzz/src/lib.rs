//! Bytes of a fuzzer → frames, and what must hold for each: the functions that the programs are made of
//! do what the reference model says, byte for byte, and read nothing that is not theirs.

pub mod netlink;
pub mod shown;

use std::sync::LazyLock;

use ipvlan_common::{Config, ConfigFlags};
use ipvlan_model::{
    frames::{
        ETH_LEN,
        ip::{number, v6},
        ndp,
    },
    host,
    model::{Expected, model},
    program::{Origin, Program},
    world::{Entries, PARENT, SWITCHES, entries},
};

/// Longest frame.
const LONGEST: usize = 1_600;

static ENTRIES: LazyLock<Entries> = LazyLock::new(entries);

/// Runs what the fuzzer thought of, and compares.
///
/// The first byte has the switches of the parent, one bit each; the ninth is in the second byte. That has besides
/// whether the rest is a frame or changes to a valid one, whether the checksum is made right, which no fuzzer
/// guesses, and the origin of the frame. The third chooses the valid frame.
///
/// # Panics
///
/// If the programs and the model disagree.
pub fn check(input: &[u8], ethertypes: &[[u8; 2]], corpus: &[Vec<u8>]) {
    let [switches, bits, choice, rest @ ..] = input else {
        return;
    };
    let mut frame = if bits & 0x80 == 0 {
        changed(&corpus[usize::from(*choice) % corpus.len()], rest)
    } else {
        raw(ethertypes[usize::from(*choice) % ethertypes.len()], rest)
    };
    let is_icmpv6 = frame.get(12..ETH_LEN) == Some(&[0x86, 0xdd])
        && frame.get(v6::NEXT_HEADER) == Some(&number::ICMPV6);
    if bits & 0x40 == 0 && is_icmpv6 {
        frame = ndp::checksummed(frame);
    }
    if frame.len() < ETH_LEN {
        return;
    }
    const { assert!(SWITCHES.len() <= 9, "a switch has no bit") };
    let switches = u16::from_be_bytes([bits >> 3 & 1, *switches]);
    let flags = (0..)
        .zip(SWITCHES)
        .filter(|(bit, _)| switches & 1 << bit != 0)
        .fold(ConfigFlags::READY, |flags, (_, switch)| flags | switch);
    let config = [Config::new(PARENT, flags); 2];
    let origin = Origin {
        ingress_ifindex: u32::from(bits & 3),
        other_netns: bits & 4 != 0,
    };
    for &program in Program::ALL {
        let expected = Expected {
            event: None,
            ..model(program, config, &ENTRIES, &frame, origin)
        };
        let actual = host::run(program, config, &ENTRIES, &frame, origin);
        assert_eq!(actual, expected, "{}: {frame:02x?}", program.name());
    }
}

/// A frame with this ethertype.
fn raw(ethertype: [u8; 2], rest: &[u8]) -> Vec<u8> {
    let mut frame = rest[..rest.len().min(LONGEST)].to_vec();
    if let Some(place) = frame.get_mut(12..ETH_LEN) {
        place.copy_from_slice(&ethertype);
    }
    frame
}

/// A valid frame after changes of three bytes each: what, where and to what.
fn changed(valid: &[u8], changes: &[u8]) -> Vec<u8> {
    const CUT: u8 = 0;
    const APPEND: u8 = 1;

    let mut frame = valid.to_vec();
    for change in changes.as_chunks::<3>().0 {
        let [what, at, value] = *change;
        match what {
            CUT => frame.truncate(ETH_LEN.max(usize::from(at))),
            APPEND => frame.resize((frame.len() + usize::from(at)).min(LONGEST), value),
            _ => {
                if let Some(byte) = frame.get_mut(usize::from(at)) {
                    *byte = value;
                }
            }
        }
    }
    frame
}
