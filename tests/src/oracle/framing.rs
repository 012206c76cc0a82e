//! What can be around a message: less than all of it, padding, junk, VLAN tags.

use ipvlan_packet::{Arp, ETH_LEN, Nd, padded, tagged};

use super::{
    asker::Asker,
    case::{Cases, Framing, Message},
    world::{CHILD, MTU, PARENT_MAC},
};

const CUSTOMER: u16 = 0x8100;
const SERVICE: u16 = 0x88a8;
/// Priority 7 and drop eligible, VID 0.
const PRIORITY: u16 = 0xf000;

type Make = fn(&Asker) -> Message;

/// Messages that are answered when nothing is around them.
pub(crate) const ARP: [(&str, Make); 3] = [
    ("arp request", |asker| Message::Arp(asker.request(CHILD.v4))),
    ("arp unicast request", |asker| {
        Message::Arp(Arp {
            eth_dst: PARENT_MAC,
            ..asker.request(CHILD.v4)
        })
    }),
    ("arp probe", |asker| {
        Message::Arp(Arp {
            spa: std::net::Ipv4Addr::UNSPECIFIED,
            ..asker.request(CHILD.v4)
        })
    }),
];

/// The same for neighbour discovery.
pub(crate) const ND: [(&str, Make); 4] = [
    ("solicitation", |asker| {
        Message::Nd(asker.multicast(CHILD.v6))
    }),
    ("unicast solicitation", |asker| {
        Message::Nd(asker.unicast(CHILD.v6))
    }),
    ("unicast solicitation without option", |asker| {
        Message::Nd(Nd {
            options: Vec::new(),
            ..asker.unicast(CHILD.v6)
        })
    }),
    ("probe", |asker| Message::Nd(asker.probe(CHILD.v6))),
];

/// Tags, outermost first.
const TAGS: [&[(u16, u16)]; 12] = [
    &[(CUSTOMER, 0)],
    &[(CUSTOMER, PRIORITY)],
    &[(CUSTOMER, 1)],
    &[(CUSTOMER, 100)],
    &[(CUSTOMER, 4095)],
    &[(SERVICE, 0)],
    &[(SERVICE, 100)],
    &[(CUSTOMER, 0), (CUSTOMER, 0)],
    &[(CUSTOMER, 0), (CUSTOMER, 100)],
    &[(CUSTOMER, 100), (CUSTOMER, 0)],
    &[(SERVICE, 0), (CUSTOMER, 0)],
    &[(SERVICE, 100), (CUSTOMER, 200)],
];

/// Adds every framing of every one of `messages`.
pub(crate) fn add(cases: &mut Cases, messages: &[(&str, Make)]) {
    for (name, make) in messages {
        truncations(cases, name, *make);
        paddings(cases, name, *make);
        for tags in TAGS {
            let name = format!("{name} with tags {tags:04x?}");
            cases.add_framed(name, Framing::Tagged(tags), *make, |frame| {
                tagged(&frame, tags)
            });
        }
    }
}

fn truncations(cases: &mut Cases, name: &str, make: Make) {
    let whole = make(&Asker::new(0)).bytes().len();
    for length in ETH_LEN..whole {
        let name = format!("{name} cut off after {length} bytes");
        cases.add_framed(name, Framing::Truncated(length), make, |mut frame| {
            frame.truncate(length);
            frame
        });
    }
}

fn paddings(cases: &mut Cases, name: &str, make: Make) {
    let whole = make(&Asker::new(0)).bytes().len();
    let lengths = [whole + 1, 60, 64, 128, 1514, 4096, ETH_LEN + MTU];
    for length in lengths.into_iter().filter(|length| *length > whole) {
        let name = format!("{name} padded to {length} bytes");
        cases.add_framed(name, Framing::Padded(length), make, |frame| {
            padded(frame, length)
        });
    }
}
