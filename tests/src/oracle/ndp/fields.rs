//! Every field of a solicitation by itself, and the MACs in it.

use ipvlan_packet::{
    Nd,
    nd::{Checksum, SOURCE_MAC, option},
};

use super::WAYS;
use crate::oracle::{
    asker::{Choice, MACS},
    case::Cases,
};

/// Adds them.
pub(super) fn add(cases: &mut Cases) {
    fields(cases);
    macs(cases);
}

/// A change of one field.
type Change = fn(&mut Nd, u8);

const FIELDS: [(&str, Change, &[u8]); 6] = [
    ("version", |nd, value| nd.version = value, &[0, 4, 5, 7, 15]),
    (
        "hop limit",
        |nd, value| nd.hop_limit = value,
        &[0, 1, 64, 254],
    ),
    ("code", |nd, value| nd.code = value, &[1, 2, 255]),
    ("type", |nd, value| nd.kind = value, &[0, 134, 137, 255]),
    (
        "reserved",
        |nd, value| nd.flags = [value; 4],
        &[1, 0x40, 0xff],
    ),
    (
        "payload length less",
        |nd, value| nd.length_error = -i16::from(value),
        &[1, 4, 7, 8, 9, 12, 16, 24, 32],
    ),
];

fn fields(cases: &mut Cases) {
    for (way, make) in WAYS {
        for (field, change, values) in FIELDS {
            for value in values {
                cases.nd(format!("{way}: {field} {value}"), |asker| {
                    let mut nd = make(asker);
                    change(&mut nd, *value);
                    nd
                });
            }
        }
        for more in [1, 4, 8, 1000] {
            cases.nd(format!("{way}: payload length more {more}"), |asker| Nd {
                length_error: more,
                ..make(asker)
            });
        }
        for checksum in [Checksum::Wrong, Checksum::Zero] {
            cases.nd(format!("{way}: checksum {checksum:?}"), |asker| Nd {
                checksum,
                ..make(asker)
            });
        }
    }
}

/// The source of the frame and the MAC in the option, in every combination.
fn macs(cases: &mut Cases) {
    for (way, make) in WAYS {
        for Choice(source, eth_src) in &MACS {
            cases.nd(format!("{way} from {source}"), |asker| Nd {
                eth_src: eth_src(asker),
                ..make(asker)
            });
            for Choice(mac, named) in &MACS {
                cases.nd(format!("{way} from {source} with MAC {mac}"), |asker| Nd {
                    eth_src: eth_src(asker),
                    options: option(SOURCE_MAC, &named(asker)),
                    ..make(asker)
                });
            }
        }
    }
}
