//! The matrix of ARP: every field of the header by itself, and who asks whom in every combination.

use std::net::Ipv4Addr;

use ipvlan_packet::{
    Arp, BROADCAST, Mac, ZERO,
    arp::{REPLY, REQUEST},
};

use super::{
    asker::{Choice, GROUP, MACS, OTHER_STATION},
    case::Cases,
    world::{CHILD, DOWN, GATEWAY, HOST, PARENT_MAC, SECOND, SIBLING, UNOWNED},
};
use crate::family::Pair;

/// Where a request that is answered goes.
const ANSWERED_AT: [(&str, Mac); 2] = [("broadcast", BROADCAST), ("parent", PARENT_MAC)];

const DESTINATIONS: [(&str, Mac); 5] = [
    ("broadcast", BROADCAST),
    ("parent", PARENT_MAC),
    ("station", OTHER_STATION),
    ("group", GROUP),
    ("zero", ZERO),
];

const SENDERS: [Choice<Ipv4Addr>; 17] = [
    Choice("asker", |asker| asker.v4),
    Choice("0.0.0.0", |_| Ipv4Addr::UNSPECIFIED),
    Choice("0.0.0.1", |_| Ipv4Addr::new(0, 0, 0, 1)),
    Choice("127.0.0.1", |_| Ipv4Addr::LOCALHOST),
    Choice("224.0.0.1", |_| Ipv4Addr::new(224, 0, 0, 1)),
    Choice("239.255.255.255", |_| Ipv4Addr::new(239, 255, 255, 255)),
    Choice("240.0.0.1", |_| Ipv4Addr::new(240, 0, 0, 1)),
    Choice("255.255.255.255", |_| Ipv4Addr::BROADCAST),
    Choice("10.77.255.255", |_| Ipv4Addr::new(10, 77, 255, 255)),
    Choice("10.77.0.0", |_| Ipv4Addr::new(10, 77, 0, 0)),
    Choice("169.254.1.1", |_| Ipv4Addr::new(169, 254, 1, 1)),
    Choice("192.0.2.1", |_| Ipv4Addr::new(192, 0, 2, 1)),
    Choice("child", |_| CHILD.v4),
    Choice("second", |_| SECOND.v4),
    Choice("sibling", |_| SIBLING.v4),
    Choice("host", |_| HOST.v4),
    Choice("gateway", |_| GATEWAY.v4),
];

const TARGETS: [(&str, Pair); 7] = [
    ("child", CHILD),
    ("second", SECOND),
    ("sibling", SIBLING),
    ("down", DOWN),
    ("host", HOST),
    ("gateway", GATEWAY),
    ("unowned", UNOWNED),
];

/// Targets that are no host's address.
const ODD_TARGETS: [Ipv4Addr; 9] = [
    Ipv4Addr::UNSPECIFIED,
    Ipv4Addr::new(0, 0, 0, 1),
    Ipv4Addr::LOCALHOST,
    Ipv4Addr::new(224, 0, 0, 1),
    Ipv4Addr::new(240, 0, 0, 1),
    Ipv4Addr::BROADCAST,
    Ipv4Addr::new(10, 77, 255, 255),
    Ipv4Addr::new(10, 77, 0, 0),
    Ipv4Addr::new(169, 254, 1, 1),
];

/// Adds all of it.
pub(crate) fn add(cases: &mut Cases) {
    headers(cases);
    addresses(cases);
    sources(cases);
    odd_targets(cases);
    claims(cases);
}

/// The four fields that say which protocol it is, in every combination, and every operation.
fn headers(cases: &mut Cases) {
    for htype in [0, 1, 6, 7, 32, 0xffff] {
        for ptype in [0x0800, 0x0806, 0x86dd, 0] {
            for hlen in [0, 5, 6, 7, 255] {
                for plen in [0, 3, 4, 5, 16] {
                    let name = format!("arp htype {htype} ptype {ptype:04x} lengths {hlen} {plen}");
                    cases.arp(name, |asker| Arp {
                        htype,
                        ptype,
                        hlen,
                        plen,
                        ..asker.request(CHILD.v4)
                    });
                }
            }
        }
    }
    for oper in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 25, 0x0100, 0xffff] {
        for (destination, eth_dst) in ANSWERED_AT {
            cases.arp(format!("arp operation {oper} to {destination}"), |asker| {
                Arp {
                    eth_dst,
                    oper,
                    ..asker.request(CHILD.v4)
                }
            });
        }
    }
}

/// Who asks whom: destination of the frame, sender MAC, sender address, target address.
fn addresses(cases: &mut Cases) {
    for (destination, eth_dst) in DESTINATIONS {
        for Choice(mac, sha) in &MACS {
            for Choice(address, spa) in &SENDERS {
                for (of, target) in TARGETS {
                    let name = format!("arp to {destination}: {address} at {mac} asks for");
                    cases.arp(format!("{name} {of}"), |asker| Arp {
                        eth_dst,
                        sha: sha(asker),
                        spa: spa(asker),
                        ..asker.request(target.v4)
                    });
                }
            }
        }
    }
}

/// The source of the frame need not be the sender's MAC, and the target's MAC can be anything.
fn sources(cases: &mut Cases) {
    for Choice(source, eth_src) in &MACS {
        for Choice(mac, sha) in &MACS {
            for Choice(target_mac, tha) in &MACS {
                for (destination, eth_dst) in ANSWERED_AT {
                    let name =
                        format!("arp from {source} to {destination}: {mac}, target {target_mac}");
                    cases.arp(name, |asker| Arp {
                        eth_dst,
                        eth_src: eth_src(asker),
                        sha: sha(asker),
                        tha: tha(asker),
                        ..asker.request(CHILD.v4)
                    });
                }
            }
        }
    }
}

fn odd_targets(cases: &mut Cases) {
    for tpa in ODD_TARGETS {
        for (destination, eth_dst) in ANSWERED_AT {
            cases.arp(format!("arp to {destination} asks for {tpa}"), |asker| {
                Arp {
                    eth_dst,
                    ..asker.request(tpa)
                }
            });
        }
    }
}

/// Announcements and replies: no host answers, whichever owns the address.
fn claims(cases: &mut Cases) {
    for (owner, claimed) in TARGETS {
        for (operation, oper) in [("request", REQUEST), ("reply", REPLY)] {
            for (destination, eth_dst) in ANSWERED_AT {
                for (target, tpa) in [("itself", claimed.v4), ("child", CHILD.v4)] {
                    let name = format!(
                        "arp {operation} to {destination}: {owner} claimed before {target}"
                    );
                    cases.arp(name, |asker| Arp {
                        eth_dst,
                        oper,
                        spa: claimed.v4,
                        ..asker.request(tpa)
                    });
                }
            }
        }
    }
}
