//! The decisions of the programs, run on this machine as plain functions: what the hooks put together
//! from the same parts. For property tests and fuzzers, which want to see every read, where the kernel
//! shows only what came out.

use std::net::IpAddr;

use ipvlan_common::{AddressEntry, Config, ConfigFlags, Hook, Reason};
use ipvlan_ebpf::{
    decide::{
        Addresses, Decision, arp, deliver, hairpin,
        nd::{self, NdDecision},
        origin,
    },
    parse::{
        Ip, ND_START, Nd, NdClass, NdKind, classify_nd, is_to_own_mac, parse_arp, parse_ipv4,
        parse_ipv6, parse_nd, parse_nd_header, parse_short_nd, short_message,
    },
    reply::{
        arp::reply_arp,
        nd::{Advertisement, ReplyTo},
    },
    wire::{
        Frame, Ip6, Mac,
        message::{Message, ND_MAX},
    },
};

use super::{
    model::Expected,
    program::{Origin, Program, TEST_IFINDEX},
    world::Entries,
};

/// What was in the memory for messages before: an earlier one, longer than this.
const STALE: u8 = 0xa5;

struct Table<'a>(&'a Entries);

/// An skb with this origin, as this program sees it.
struct Skb(Program, Origin);

impl origin::Origin for Skb {
    fn ingress_ifindex(&self) -> u32 {
        self.1.ingress_ifindex
    }

    fn parent(&self) -> u32 {
        TEST_IFINDEX
    }

    fn is_from_other_netns(&self) -> bool {
        self.0.asks_netns() && self.1.other_netns
    }
}

impl Addresses<[u8; 4]> for Table<'_> {
    fn get(&self, address: [u8; 4]) -> Option<AddressEntry> {
        self.0.get(&IpAddr::from(address)).copied()
    }
}

impl Addresses<Ip6> for Table<'_> {
    fn get(&self, address: Ip6) -> Option<AddressEntry> {
        self.0.get(&IpAddr::from(address.bytes())).copied()
    }
}

/// A decision, and the frame if it is another.
type Outcome = (Decision, Option<Vec<u8>>);

struct Run<'a> {
    program: Program,
    /// In an allocation of its own: a read past its end is one that a sanitizer sees.
    frame: Box<[u8]>,
    skb: Skb,
    config: Config,
    table: Table<'a>,
}

/// What `program` makes of `frame`, of at least 14 bytes, that comes from `origin`. Events, which need the
/// kernel, are left out.
pub fn run(
    program: Program,
    config: [Config; 2],
    entries: &Entries,
    frame: &[u8],
    origin: Origin,
) -> Expected {
    let run = Run {
        program,
        frame: frame.into(),
        skb: Skb(program, origin),
        config: config[0],
        table: Table(entries),
    };
    let ready = config[0] == config[1] && config[0].has(ConfigFlags::READY);
    let (decision, changed) = run.outcome(ready).unzip();
    let expected = Expected::new(
        decision.map(|decision| decision.reason),
        decision.map(|decision| decision.slot),
        changed.flatten().unwrap_or_else(|| frame.to_vec()),
    );
    expected.of_one_buffer(program, frame)
}

const fn unchanged(decision: Decision) -> Outcome {
    (decision, None)
}

impl Run<'_> {
    fn frame(&self) -> Frame<'_> {
        Frame::from(&self.frame[..])
    }

    const fn own(&self) -> Mac {
        Mac::new(self.config.mac())
    }

    /// Whether a TC program sees a frame to the MAC of the interface that received it: in a test run that is
    /// the loopback interface, whose MAC is zero.
    fn is_own(&self) -> bool {
        self.program.hook() == Hook::Ingress && self.frame[..6] == [0; 6]
    }

    fn is_egress(&self) -> bool {
        self.program.hook() == Hook::Egress
    }

    fn outcome(&self, ready: bool) -> Option<Outcome> {
        let not_ready = || Some(unchanged(Decision::unattributed(Reason::NotReady)));
        match self.frame[12..14] {
            [0x08, 0x06] if self.is_egress() && self.skb.1.ingress_ifindex == TEST_IFINDEX => None,
            [0x08, 0x06] if !ready => not_ready(),
            [0x08, 0x06] => Some(self.arp()),
            [0x08, 0x00] => self.packet(ready, |run| parse_ipv4(run.frame(), run.frame.len())),
            [0x86, 0xdd] => match classify_nd(self.frame()) {
                NdClass::BehindExtension => {
                    Some(unchanged(Decision::unattributed(Reason::ExtensionHeader)))
                }
                NdClass::Nd(kind) if !(self.is_egress() && kind == NdKind::Advertisement) => {
                    if ready {
                        Some(self.nd(kind))
                    } else {
                        not_ready()
                    }
                }
                _ => self.packet(ready, |run| parse_ipv6(run.frame(), run.frame.len())),
            },
            _ => None,
        }
    }

    fn arp(&self) -> Outcome {
        let message = match parse_arp(self.frame()) {
            Ok(message) => message,
            Err(reason) => return unchanged(Decision::unattributed(reason)),
        };
        let decision = if self.is_egress() {
            arp::decide_egress(&message, self.config, &self.table, &self.skb)
        } else {
            arp::decide_ingress(&message, self.config, &self.table, &self.is_own())
        };
        let reply = || reply_arp(&message, self.own()).bytes().to_vec();
        (
            decision,
            (decision.reason == Reason::ArpAnswered).then(reply),
        )
    }

    fn nd(&self, kind: NdKind) -> Outcome {
        let header = parse_nd_header(self.frame(), self.frame.len());
        let parsed = header.and_then(|header| {
            let mut bytes = [STALE; ND_MAX];
            bytes[..header.len].copy_from_slice(&self.frame[ND_START..ND_START + header.len]);
            let mut message = Message([0; ND_MAX / 8]);
            for (unit, bytes) in message.0.iter_mut().zip(bytes.as_chunks::<8>().0) {
                *unit = u64::from_ne_bytes(*bytes);
            }
            let parsed = parse_nd(header, kind, &message);
            // The programs read a message of at most one option in place.
            if let Some(short) = short_message(self.frame(), header.len) {
                assert_eq!(parse_short_nd(header, kind, short), parsed);
            }
            parsed
        });
        match parsed {
            Ok(nd) => self.decide_nd(&nd, kind),
            Err(reason) => unchanged(Decision::unattributed(reason)),
        }
    }

    fn decide_nd(&self, nd: &Nd, kind: NdKind) -> Outcome {
        if kind == NdKind::Advertisement {
            return unchanged(nd::decide_advertisement(
                nd,
                self.config,
                &self.table,
                &self.is_own(),
            ));
        }
        let NdDecision { decision, flags } = if self.is_egress() {
            nd::decide_egress(nd, self.config, &self.table)
        } else {
            nd::decide_ingress(nd, self.config, &self.table, &self.is_own())
        };
        let reply = || {
            let to = ReplyTo::new(nd.mac(), flags);
            Advertisement::answering(self.frame(), to, self.config).map(|reply| reply.to_vec())
        };
        let answered = decision.reason == Reason::NdAnswered;
        (decision, answered.then(reply).flatten())
    }

    fn packet<A: Copy>(
        &self,
        ready: bool,
        parse: impl Fn(&Self) -> Result<Ip<A>, Reason>,
    ) -> Option<Outcome>
    where
        for<'a> Table<'a>: Addresses<A>,
    {
        match self.program {
            Program::Ingress | Program::Xdp | Program::XdpGeneric => return None,
            Program::Egress | Program::EgressIsolated if !is_to_own_mac(self.frame()) => {
                return None;
            }
            _ if !ready => return Some(unchanged(Decision::unattributed(Reason::NotReady))),
            _ => {}
        }
        let packet = match parse(self) {
            Ok(packet) => packet,
            Err(reason) => return Some(unchanged(Decision::unattributed(reason))),
        };
        if self.program == Program::IngressDemux {
            return Some(unchanged(deliver::decide(
                &packet,
                self.config,
                &self.table,
            )));
        }
        let routed = self.program.is_routed();
        if routed && packet.eth_dst.is_group() {
            return None;
        }
        let (config, table, skb) = (self.config, &self.table, &self.skb);
        let decision = if routed {
            hairpin::decide::<true, A>(&packet, config, table, skb)
        } else {
            hairpin::decide::<false, A>(&packet, config, table, skb)
        };
        let aimed = decision.reason == Reason::Hairpinned && routed;
        let at_parent = || [&self.config.mac()[..], &self.frame[6..]].concat();
        Some((decision, aimed.then(at_parent)))
    }
}
