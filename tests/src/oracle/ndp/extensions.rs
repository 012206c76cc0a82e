//! What is between the IPv6 header and a solicitation.

use ipvlan_packet::{
    Nd,
    ip::number::{
        AUTHENTICATION, DESTINATION, FRAGMENT, HOP_BY_HOP, ICMPV6, NOTHING, ROUTING, UDP,
    },
};

use super::WAYS;
use crate::oracle::case::Cases;

/// An option that pads a header of options to 8 bytes.
const PADDING: [u8; 6] = [1, 4, 0, 0, 0, 0];

/// Headers between the IPv6 header and the message: the first one's number and the bytes of all.
fn extension_headers() -> Vec<(&'static str, u8, Vec<u8>)> {
    let options = |next: u8| [&[next, 0][..], &PADDING].concat();
    let fragment = |field: u16| {
        let [high, low] = field.to_be_bytes();
        vec![ICMPV6, 0, high, low, 0, 0, 0, 1]
    };
    vec![
        ("hop-by-hop", HOP_BY_HOP, options(ICMPV6)),
        ("destination options", DESTINATION, options(ICMPV6)),
        ("routing", ROUTING, vec![ICMPV6, 0, 0, 0, 0, 0, 0, 0]),
        ("atomic fragment", FRAGMENT, fragment(0)),
        ("first fragment", FRAGMENT, fragment(1)),
        ("last fragment", FRAGMENT, fragment(8)),
        (
            "hop-by-hop of 16 bytes",
            HOP_BY_HOP,
            [&[ICMPV6, 1, 1, 12][..], &[0; 12]].concat(),
        ),
        (
            "hop-by-hop and destination options",
            HOP_BY_HOP,
            [options(DESTINATION), options(ICMPV6)].concat(),
        ),
        (
            "authentication",
            AUTHENTICATION,
            [&[ICMPV6, 1, 0, 0][..], &[0; 8]].concat(),
        ),
        ("no next header", NOTHING, Vec::new()),
        ("udp", UDP, Vec::new()),
    ]
}

/// Adds every header behind every way to ask.
pub(super) fn add(cases: &mut Cases) {
    for (way, make) in WAYS {
        for (header, next_header, bytes) in extension_headers() {
            cases.nd(format!("{way} behind {header}"), |asker| Nd {
                extension: Some((next_header, bytes)),
                ..make(asker)
            });
        }
    }
}
