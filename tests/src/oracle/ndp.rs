//! The matrix of neighbour discovery: every field by itself, options, extension headers, and who
//! asks whom in every combination.

use std::net::Ipv6Addr;

use super::{
    case::{Cases, Message},
    frames::{
        ALL_NODES, Asker, BROADCAST, Checksum, GROUP, Mac, Nd, OTHER_STATION, OVERRIDE, SOLICITED,
        SOURCE_MAC, TARGET_MAC, ZERO, group_mac, mac_option, solicited_node,
    },
    world::{CHILD, CHILD_LINK_LOCAL, DOWN, GATEWAY, HOST, NOBODY, PARENT_MAC, SECOND, SIBLING},
};

/// A value of a field that can depend on who asks.
struct Choice<T>(&'static str, fn(&Asker) -> T);

/// An IPv4-mapped address.
const MAPPED: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0x0a4d, 1);
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
    ("nobody", NOBODY.v6),
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

const OPTIONS: [Choice<Vec<u8>>; 2] = [
    Choice("without option", |_| Vec::new()),
    Choice("with its MAC", |asker| mac_option(SOURCE_MAC, asker.mac)),
];

/// Adds all of it.
pub(crate) fn add(cases: &mut Cases) {
    addresses(cases);
    fields(cases);
    macs(cases);
    options(cases);
    extensions(cases);
    claims(cases);
}

/// Who asks whom by which way, with and without its MAC.
fn addresses(cases: &mut Cases) {
    for Route(way, route) in &ROUTES {
        for Choice(address, src) in &SENDERS {
            for (target, of) in TARGETS {
                for Choice(with, options) in &OPTIONS {
                    let name = format!("nd to {way}: {address} asks for {target} {with}");
                    let (eth_dst, dst) = route(of);
                    cases.add(name, |asker| {
                        Message::Nd(Nd {
                            eth_dst,
                            dst,
                            src: src(asker),
                            options: options(asker),
                            ..Nd::multicast(asker, of)
                        })
                    });
                }
            }
        }
    }
}

/// A way to ask, and its name.
type Way = (&'static str, fn(&Asker) -> Nd);

/// The ways that are answered when nothing is wrong.
const WAYS: [Way; 4] = [
    ("solicitation", |asker| Nd::multicast(asker, CHILD.v6)),
    ("unicast solicitation", |asker| Nd::unicast(asker, CHILD.v6)),
    ("unicast solicitation without option", |asker| Nd {
        options: Vec::new(),
        ..Nd::unicast(asker, CHILD.v6)
    }),
    ("probe", |asker| Nd::probe(asker, CHILD.v6)),
];

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
                cases.add(format!("{way}: {field} {value}"), |asker| {
                    let mut nd = make(asker);
                    change(&mut nd, *value);
                    Message::Nd(nd)
                });
            }
        }
        for more in [1, 4, 8, 1000] {
            cases.add(format!("{way}: payload length more {more}"), |asker| {
                Message::Nd(Nd {
                    length_error: more,
                    ..make(asker)
                })
            });
        }
        for checksum in [Checksum::Wrong, Checksum::Zero] {
            cases.add(format!("{way}: checksum {checksum:?}"), |asker| {
                Message::Nd(Nd {
                    checksum,
                    ..make(asker)
                })
            });
        }
    }
}

const MACS: [Choice<Mac>; 6] = [
    Choice("asker", |asker| asker.mac),
    Choice("station", |_| OTHER_STATION),
    Choice("parent", |_| PARENT_MAC),
    Choice("zero", |_| ZERO),
    Choice("group", |_| GROUP),
    Choice("broadcast", |_| BROADCAST),
];

/// The source of the frame and the MAC in the option, in every combination.
fn macs(cases: &mut Cases) {
    for (way, make) in WAYS {
        for Choice(source, eth_src) in &MACS {
            cases.add(format!("{way} from {source}"), |asker| {
                Message::Nd(Nd {
                    eth_src: eth_src(asker),
                    ..make(asker)
                })
            });
            for Choice(mac, option) in &MACS {
                cases.add(format!("{way} from {source} with MAC {mac}"), |asker| {
                    Message::Nd(Nd {
                        eth_src: eth_src(asker),
                        options: mac_option(SOURCE_MAC, option(asker)),
                        ..make(asker)
                    })
                });
            }
        }
    }
}

/// Numbers of options (RFC 4861 §4.6, RFC 3971, RFC 7527).
const NONCE: u8 = 14;
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
    Choice("target MAC", |asker| mac_option(TARGET_MAC, asker.mac)),
    Choice("target MAC of two units", |_| filled(TARGET_MAC, 2, 16)),
    Choice("two MACs", |asker| {
        [own(asker), mac_option(SOURCE_MAC, OTHER_STATION)].concat()
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
        [own(asker), mac_option(TARGET_MAC, OTHER_STATION)].concat()
    }),
];

fn own(asker: &Asker) -> Vec<u8> {
    mac_option(SOURCE_MAC, asker.mac)
}

/// An option of `kind` that says it is `units` long, and is `length` bytes.
fn filled(kind: u8, units: u8, length: usize) -> Vec<u8> {
    let mut option = vec![0x5a; length];
    option[0] = kind;
    option[1] = units;
    option
}

fn options(cases: &mut Cases) {
    for (way, make) in WAYS {
        for Choice(list, options) in &OPTION_LISTS {
            cases.add(format!("{way}: options {list}"), |asker| {
                Message::Nd(Nd {
                    options: options(asker),
                    ..make(asker)
                })
            });
        }
        // Up to more than the programs read, with the MAC behind all others.
        for count in [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128] {
            cases.add(format!("{way}: MAC behind {count} unknown"), |asker| {
                let many = filled(UNKNOWN, 1, 8).repeat(count);
                Message::Nd(Nd {
                    options: [many, own(asker)].concat(),
                    ..make(asker)
                })
            });
            cases.add(format!("{way}: nonce of {count} units"), |asker| {
                let units = u8::try_from(count).unwrap_or(u8::MAX);
                let mut options = make(asker).options;
                options.extend(filled(NONCE, units, usize::from(units) * 8));
                Message::Nd(Nd {
                    options,
                    ..make(asker)
                })
            });
        }
    }
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const ICMPV6: u8 = 58;
const NOTHING: u8 = 59;
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
        ("udp", 17, Vec::new()),
    ]
}

fn extensions(cases: &mut Cases) {
    for (way, make) in WAYS {
        for (header, next_header, bytes) in extension_headers() {
            cases.add(format!("{way} behind {header}"), |asker| {
                Message::Nd(Nd {
                    extension: Some((next_header, bytes)),
                    ..make(asker)
                })
            });
        }
    }
}

/// Advertisements: nobody answers, whoever's address it is.
fn claims(cases: &mut Cases) {
    for (target, of) in TARGETS {
        for flags in [0, OVERRIDE, SOLICITED | OVERRIDE] {
            cases.add(
                format!("claim of {target} with flags {flags:02x}"),
                |asker| {
                    Message::Nd(Nd {
                        flags: [flags, 0, 0, 0],
                        ..Nd::claim(asker, of)
                    })
                },
            );
        }
        cases.add(format!("claim of {target} to the child"), |asker| {
            Message::Nd(Nd {
                eth_dst: PARENT_MAC,
                dst: CHILD.v6,
                ..Nd::claim(asker, of)
            })
        });
    }
}

/// Who asks for what, where answers depend on more than the address.
pub(crate) fn add_flags(cases: &mut Cases) {
    for target in [CHILD.v6, SECOND.v6, CHILD_LINK_LOCAL, SIBLING.v6] {
        for (way, nd) in [
            ("solicitation", Nd::multicast as fn(&Asker, Ipv6Addr) -> Nd),
            ("unicast solicitation", Nd::unicast),
        ] {
            cases.add(format!("{way} of {target}"), |asker| {
                Message::Nd(nd(asker, target))
            });
        }
    }
}

/// The probe for an address, after everything else: an optimistic one is given up.
pub(crate) fn add_probes(cases: &mut Cases) {
    for target in [CHILD.v6, SECOND.v6, CHILD_LINK_LOCAL, SIBLING.v6] {
        cases.add(format!("probe of {target}"), |asker| {
            Message::Nd(Nd::probe(asker, target))
        });
        cases.add(
            format!("solicitation of {target} after the probe"),
            |asker| Message::Nd(Nd::multicast(asker, target)),
        );
    }
}

/// A solicitation of the subnet-router anycast address, which routers have.
pub(crate) fn add_subnet_router(cases: &mut Cases) {
    cases.add("solicitation of the subnet router", |asker| {
        Message::Nd(Nd::multicast(asker, SUBNET_ROUTER))
    });
    cases.add("unicast solicitation of the subnet router", |asker| {
        Message::Nd(Nd::unicast(asker, SUBNET_ROUTER))
    });
}
