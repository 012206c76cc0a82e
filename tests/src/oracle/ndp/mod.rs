//! The matrix of neighbour discovery: every field by itself, options, extension headers, and who
//! asks whom in every combination.

mod extensions;
mod fields;
mod options;

use std::net::Ipv6Addr;

use ipvlan_packet::{
    BROADCAST, Mac, Nd,
    nd::{ALL_NODES, OVERRIDE, SOLICITED, SOURCE_MAC, group_mac, option, solicited_node},
};

use super::{
    asker::{Asker, Choice, OTHER_STATION},
    case::Cases,
    world::{
        CHILD, CHILD_LINK_LOCAL, DOWN, GATEWAY, HOST, KNOWN_MAC, MAPPED, PARENT_MAC, SECOND,
        SIBLING, UNOWNED, is_known,
    },
};

/// The subnet-router anycast address of the link (RFC 4291 §2.6.1).
pub(crate) const SUBNET_ROUTER: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0);

const SENDERS: [Choice<Ipv6Addr>; 12] = [
    Choice("asker", |asker| asker.v6),
    Choice("asker's link-local", |asker| asker.link_local),
    Choice("::", |_| Ipv6Addr::UNSPECIFIED),
    Choice("::1", |_| Ipv6Addr::LOCALHOST),
    Choice("mapped", |_| MAPPED),
    Choice("group", |_| ALL_NODES),
    Choice("child", |_| CHILD.v6),
    Choice("child's link-local", |_| CHILD_LINK_LOCAL),
    Choice("second", |_| SECOND.v6),
    Choice("sibling", |_| SIBLING.v6),
    Choice("host", |_| HOST.v6),
    Choice("gateway", |_| GATEWAY.v6),
];

const TARGETS: [(&str, Ipv6Addr); 13] = [
    ("child", CHILD.v6),
    ("second", SECOND.v6),
    ("link-local", CHILD_LINK_LOCAL),
    ("sibling", SIBLING.v6),
    ("down", DOWN.v6),
    ("host", HOST.v6),
    ("gateway", GATEWAY.v6),
    ("unowned", UNOWNED.v6),
    ("subnet router", SUBNET_ROUTER),
    ("::", Ipv6Addr::UNSPECIFIED),
    ("::1", Ipv6Addr::LOCALHOST),
    ("mapped", MAPPED),
    ("group", ALL_NODES),
];

/// Where a solicitation for a target goes.
struct Route(&'static str, fn(Ipv6Addr) -> (Mac, Ipv6Addr));

const ROUTES: [Route; 9] = [
    Route("group", |target| {
        let group = solicited_node(target);
        (group_mac(group), group)
    }),
    Route("group by broadcast", |target| {
        (BROADCAST, solicited_node(target))
    }),
    Route("group by unicast", |target| {
        (PARENT_MAC, solicited_node(target))
    }),
    Route("target", |target| (PARENT_MAC, target)),
    Route("target by broadcast", |target| (BROADCAST, target)),
    Route("target at a station", |target| (OTHER_STATION, target)),
    Route("another group", |_| {
        let group = solicited_node(SECOND.v6);
        (group_mac(group), group)
    }),
    Route("all nodes", |_| (group_mac(ALL_NODES), ALL_NODES)),
    Route("second", |_| (PARENT_MAC, SECOND.v6)),
];

/// Adds all of it.
pub(crate) fn add(cases: &mut Cases) {
    addresses(cases);
    fields::add(cases);
    options::add(cases);
    extensions::add(cases);
    claims(cases);
}

/// Who asks whom by which way, with and without its MAC.
fn addresses(cases: &mut Cases) {
    for Route(way, route) in &ROUTES {
        for Choice(address, src) in &SENDERS {
            for (target, of) in TARGETS {
                for (with, tells) in [("without option", false), ("with its MAC", true)] {
                    let name = format!("nd to {way}: {address} asks for {target} {with}");
                    let (eth_dst, dst) = route(of);
                    cases.nd(name, |asker| {
                        let src = src(asker);
                        let mac = if is_known(src) { KNOWN_MAC } else { asker.mac };
                        let options = if tells {
                            option(SOURCE_MAC, &mac)
                        } else {
                            Vec::new()
                        };
                        Nd {
                            eth_dst,
                            eth_src: mac,
                            dst,
                            src,
                            options,
                            ..asker.multicast(of)
                        }
                    });
                }
            }
        }
    }
}

/// A way to ask, and its name.
pub(super) type Way = (&'static str, fn(&Asker) -> Nd);

/// The ways that are answered when nothing is wrong.
pub(super) const WAYS: [Way; 4] = [
    ("solicitation", |asker| asker.multicast(CHILD.v6)),
    ("unicast solicitation", |asker| asker.unicast(CHILD.v6)),
    ("unicast solicitation without option", |asker| Nd {
        options: Vec::new(),
        ..asker.unicast(CHILD.v6)
    }),
    ("probe", |asker| asker.probe(CHILD.v6)),
];

/// Advertisements: no host answers, whichever owns the address.
fn claims(cases: &mut Cases) {
    for (target, of) in TARGETS {
        for flags in [0, OVERRIDE, SOLICITED | OVERRIDE] {
            cases.nd(
                format!("claim of {target} with flags {flags:02x}"),
                |asker| Nd {
                    flags: [flags, 0, 0, 0],
                    ..asker.claim(of)
                },
            );
        }
        cases.nd(format!("claim of {target} to the child"), |asker| Nd {
            eth_dst: PARENT_MAC,
            dst: CHILD.v6,
            ..asker.claim(of)
        });
    }
}

/// Who asks for what, where answers depend on more than the address.
pub(crate) fn add_flags(cases: &mut Cases) {
    for target in [CHILD.v6, SECOND.v6, CHILD_LINK_LOCAL, SIBLING.v6] {
        for (way, nd) in [
            (
                "solicitation",
                Asker::multicast as fn(&Asker, Ipv6Addr) -> Nd,
            ),
            ("unicast solicitation", Asker::unicast),
        ] {
            cases.nd(format!("{way} of {target}"), |asker| nd(asker, target));
        }
    }
}

/// The addresses of the child that are probed for at last.
pub(crate) const PROBED: [Ipv6Addr; 3] = [CHILD.v6, SECOND.v6, CHILD_LINK_LOCAL];

/// Probes for addresses, after everything else: an optimistic one is given up. Then who asks for them
/// gets no answer any more.
pub(crate) fn add_probes(cases: &mut Cases) {
    let targets = [SIBLING.v6].into_iter().chain(PROBED);
    for target in targets.clone() {
        cases.nd(format!("probe of {target}"), |asker| asker.probe(target));
    }
    cases.settle();
    for target in targets {
        cases.nd(
            format!("solicitation of {target} after the probe"),
            |asker| asker.multicast(target),
        );
    }
}

/// A solicitation of the subnet-router anycast address, which routers have.
pub(crate) fn add_subnet_router(cases: &mut Cases) {
    cases.nd("solicitation of the subnet router", |asker| {
        asker.multicast(SUBNET_ROUTER)
    });
    cases.nd("unicast solicitation of the subnet router", |asker| {
        asker.unicast(SUBNET_ROUTER)
    });
}
