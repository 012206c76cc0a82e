//! What is behind the target of a solicitation.

use ipvlan_packet::{
    Nd,
    nd::{NONCE, SOURCE_MAC, TARGET_MAC, option},
};

use super::WAYS;
use crate::oracle::{
    asker::{Asker, Choice, OTHER_STATION},
    case::Cases,
};

/// The type of an option that no receiver knows.
const UNKNOWN: u8 = 0xc8;

/// What comes instead of the options.
const OPTION_LISTS: [Choice<Vec<u8>>; 22] = [
    Choice("nonce", |_| filled(NONCE, 1, 8)),
    Choice("nonce before MAC", |asker| {
        [filled(NONCE, 1, 8), own(asker)].concat()
    }),
    Choice("MAC before nonce", |asker| {
        [own(asker), filled(NONCE, 1, 8)].concat()
    }),
    Choice("unknown before MAC", |asker| {
        [filled(UNKNOWN, 1, 8), own(asker)].concat()
    }),
    Choice("long unknown before MAC", |asker| {
        [filled(UNKNOWN, 3, 24), own(asker)].concat()
    }),
    Choice("type 0 before MAC", |asker| {
        [filled(0, 1, 8), own(asker)].concat()
    }),
    Choice("target MAC", |asker| option(TARGET_MAC, &asker.mac)),
    Choice("target MAC of two units", |_| filled(TARGET_MAC, 2, 16)),
    Choice("two MACs", |asker| {
        [own(asker), option(SOURCE_MAC, &OTHER_STATION)].concat()
    }),
    Choice("the same MAC twice", |asker| {
        [own(asker), own(asker)].concat()
    }),
    Choice("MAC of two units", |asker| {
        [&[SOURCE_MAC, 2][..], &asker.mac, &[0; 8]].concat()
    }),
    Choice("MAC, then one of two units", |asker| {
        [own(asker), filled(SOURCE_MAC, 2, 16)].concat()
    }),
    Choice("MAC of three units", |_| filled(SOURCE_MAC, 3, 24)),
    Choice("MAC of length 0", |asker| {
        [&[SOURCE_MAC, 0][..], &asker.mac].concat()
    }),
    Choice("unknown of length 0", |_| filled(UNKNOWN, 0, 8)),
    Choice("MAC, then length 0", |asker| {
        [own(asker), filled(UNKNOWN, 0, 8)].concat()
    }),
    Choice("unknown longer than the packet", |_| filled(UNKNOWN, 2, 8)),
    Choice("unknown of 255 units", |_| filled(UNKNOWN, 255, 8)),
    Choice("MAC longer than the packet", |_| filled(SOURCE_MAC, 2, 8)),
    Choice("half an option", |asker| {
        [own(asker), vec![UNKNOWN, 1, 0, 0]].concat()
    }),
    Choice("one byte more", |asker| [own(asker), vec![0]].concat()),
    Choice("MAC, then target MAC", |asker| {
        [own(asker), option(TARGET_MAC, &OTHER_STATION)].concat()
    }),
];

fn own(asker: &Asker) -> Vec<u8> {
    option(SOURCE_MAC, &asker.mac)
}

/// An option of `kind` that says it is `units` long, and is `length` bytes.
fn filled(kind: u8, units: u8, length: usize) -> Vec<u8> {
    let mut option = vec![0x5a; length];
    option[0] = kind;
    option[1] = units;
    option
}

/// Adds every list of options, and ever longer ones.
pub(super) fn add(cases: &mut Cases) {
    for (way, make) in WAYS {
        for Choice(list, options) in &OPTION_LISTS {
            cases.nd(format!("{way}: options {list}"), |asker| Nd {
                options: options(asker),
                ..make(asker)
            });
        }
        // Up to more than the programs read, with the MAC behind all others.
        for count in [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128] {
            cases.nd(format!("{way}: MAC behind {count} unknown"), |asker| {
                let many = filled(UNKNOWN, 1, 8).repeat(count);
                Nd {
                    options: [many, own(asker)].concat(),
                    ..make(asker)
                }
            });
            cases.nd(format!("{way}: nonce of {count} units"), |asker| {
                let units = u8::try_from(count).unwrap_or(u8::MAX);
                let mut options = make(asker).options;
                options.extend(filled(NONCE, units, usize::from(units) * 8));
                Nd {
                    options,
                    ..make(asker)
                }
            });
        }
    }
}
