//! What can be around a message: less than all of it, padding, junk, VLAN tags.

use std::net::Ipv4Addr;

use ipvlan_packet::{Arp, ETH_LEN, padded, tagged};

use super::{
    asker::Asker,
    case::{Cases, Framing, Message},
    ndp::WAYS,
    world::{CHILD, MTU, PARENT_MAC},
};

const CUSTOMER: u16 = 0x8100;
const SERVICE: u16 = 0x88a8;
/// Priority 7 and drop eligible, VID 0.
const PRIORITY: u16 = 0xf000;

/// A way to ask by ARP, and its name.
type ArpWay = (&'static str, fn(&Asker) -> Arp);

/// Messages that are answered when nothing is around them.
const ARP: [ArpWay; 3] = [
    ("arp request", |asker| asker.request(CHILD.v4)),
    ("arp unicast request", |asker| {
        asker.request(CHILD.v4).to(PARENT_MAC)
    }),
    ("arp probe", |asker| Arp {
        spa: Ipv4Addr::UNSPECIFIED,
        ..asker.request(CHILD.v4)
    }),
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

/// Adds every framing of every ARP message.
pub(crate) fn add_arp(cases: &mut Cases) {
    for (name, make) in ARP {
        add(cases, name, |asker| Message::Arp(make(asker)));
    }
}

/// Adds every framing of every solicitation.
pub(crate) fn add_nd(cases: &mut Cases) {
    for (name, make) in WAYS {
        add(cases, name, |asker| Message::Nd(make(asker)));
    }
}

fn add(cases: &mut Cases, name: &str, make: impl Fn(&Asker) -> Message + Copy) {
    let whole = make(&Asker::new(0)).bytes().len();
    for length in ETH_LEN..whole {
        let name = format!("{name} cut off after {length} bytes");
        let cut = |frame: Vec<u8>| frame[..length].to_vec();
        cases.framed(name, Framing::Truncated(length), make, cut);
    }
    let lengths = [whole + 1, 60, 64, 128, 1514, 4096, ETH_LEN + MTU];
    for length in lengths.into_iter().filter(|length| *length > whole) {
        let name = format!("{name} padded to {length} bytes");
        let pad = |frame| padded(frame, length);
        cases.framed(name, Framing::Padded(length), make, pad);
    }
    for tags in TAGS {
        let name = format!("{name} with tags {tags:04x?}");
        let tag = |frame: Vec<u8>| tagged(&frame, tags);
        cases.framed(name, Framing::Tagged(tags), make, tag);
    }
}
