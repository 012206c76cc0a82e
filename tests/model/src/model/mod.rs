//! The reference model: what every program is to do with any frame, as lists of rules of which the
//! first that applies decides. Written from the promises and the RFCs, not from the programs.

mod arp;
mod expected;
mod ip;
mod ndp;

use std::net::IpAddr;

use ipvlan_common::{AddressEntry, Config, ConfigFlags, EventKind, Hook, Owner, Reason};
use ipvlan_packet::array;

pub use self::expected::Expected;
use self::ndp::Kind;
use super::{
    frames::{ETH_LEN, arp as arp_at, ndp as nd_at},
    program::{Origin, Program, TEST_IFINDEX},
    world::{Entries, Ip, Ip6, Mac, ZERO, event},
};

/// Everything a rule may ask about.
struct Question<'a> {
    program: Program,
    frame: &'a [u8],
    origin: Origin,
    config: Config,
    entries: &'a Entries,
}

/// A reason, and the entry it is about.
type Answer = (Reason, Option<AddressEntry>);

/// Who did what with which address: an event but for the hook and the child.
type Deed = (EventKind, Mac, IpAddr);

/// What kind of frame a program looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Arp,
    Nd(Kind),
    /// A solicitation where RFC 6980 forbids it.
    ExtensionHeader,
    Ipv4,
    Ipv6,
}

/// What `program` is to do with `frame`, of at least 14 bytes, that comes from `origin`.
pub fn model(
    program: Program,
    config: [Config; 2],
    entries: &Entries,
    frame: &[u8],
    origin: Origin,
) -> Expected {
    let question = Question {
        program,
        frame,
        origin,
        config: config[0],
        entries,
    };
    let ready = config[0] == config[1] && config[0].has(ConfigFlags::READY);
    let Some(look) = question.look() else {
        return question.outcome(None, None);
    };
    let egress = question.is_egress();
    let answer = match look {
        Look::ExtensionHeader => (Reason::ExtensionHeader, None),
        _ if !ready => (Reason::NotReady, None),
        Look::Arp if egress => question.arp_from_here(),
        Look::Arp => question.arp_from_wire(),
        Look::Nd(Kind::Advertisement) => question.advertisement_from_wire(),
        Look::Nd(Kind::Solicitation) if egress => question.solicitation_from_here(),
        Look::Nd(Kind::Solicitation) => question.solicitation_from_wire(),
        Look::Ipv4 | Look::Ipv6 if !question.is_ip(look) => (Reason::Malformed, None),
        Look::Ipv4 | Look::Ipv6 if program.is_routed() && question.to_a_group() => {
            return question.outcome(Some(look), None);
        }
        Look::Ipv4 | Look::Ipv6 if egress => question.ip_from_here(look),
        Look::Ipv4 | Look::Ipv6 => question.ip_from_wire(look),
    };
    question
        .outcome(Some(look), Some(answer))
        .of_one_buffer(program, frame)
}

/// The first rule that applies.
fn first<const N: usize>(rules: [Option<Answer>; N]) -> Option<Answer> {
    rules.into_iter().flatten().next()
}

/// A rule that concerns no entry.
fn when(applies: bool, reason: Reason) -> Option<Answer> {
    about(None, applies, reason)
}

/// A rule that concerns this entry.
fn about(entry: Option<AddressEntry>, applies: bool, reason: Reason) -> Option<Answer> {
    applies.then_some((reason, entry))
}

/// Why a frame that leaves the parent is not answered or hairpinned because of its target: the host does not wait
/// for the probe of a child's address.
fn refusal_here(target: AddressEntry) -> Option<Reason> {
    let is_probing = target.owner() == Some(Owner::Child);
    target
        .refusal()
        .filter(|&reason| !(is_probing && reason == Reason::Probing))
}

/// A MAC that no single host can have.
fn is_no_host(mac: Mac) -> bool {
    mac == ZERO || mac[0] & 1 != 0
}

impl Question<'_> {
    fn is_egress(&self) -> bool {
        self.program.hook() == Hook::Egress
    }

    /// What it is to this program; `None` if it does not look at it.
    fn look(&self) -> Option<Look> {
        let hairpin = self.mac(0) == self.mac(6);
        let packets = match self.program {
            Program::Ingress | Program::Xdp | Program::XdpGeneric => false,
            Program::IngressDemux => true,
            _ => self.program.is_routed() || hairpin,
        };
        match self.frame[12..ETH_LEN] {
            [0x08, 0x06] => (!self.is_egress() || !self.was_received_here()).then_some(Look::Arp),
            [0x08, 0x00] => packets.then_some(Look::Ipv4),
            [0x86, 0xdd] => match self.recognised() {
                Some(Look::Nd(Kind::Advertisement)) if self.is_egress() => {
                    packets.then_some(Look::Ipv6)
                }
                None => packets.then_some(Look::Ipv6),
                recognised => recognised,
            },
            _ => None,
        }
    }

    fn mac(&self, at: usize) -> Mac {
        array(self.frame, at).unwrap()
    }

    fn ip(&self, at: usize) -> Ip {
        array::<4>(self.frame, at).unwrap().into()
    }

    fn ip6(&self, at: usize) -> Ip6 {
        array::<16>(self.frame, at).unwrap().into()
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.frame[at], self.frame[at + 1]])
    }

    /// Whether the destination MAC is one of the parent's. A TC program also sees which are those of the interface
    /// that received the frame: in a test run that is the loopback interface, whose MAC is zero.
    fn is_to_parent(&self) -> bool {
        let mac = self.mac(0);
        mac == self.config.mac() || self.program.hook() == Hook::Ingress && mac == ZERO
    }

    /// Whether the parent itself received the frame that leaves by it.
    fn was_received_here(&self) -> bool {
        self.origin.ingress_ifindex == TEST_IFINDEX
    }

    /// Why isolation keeps a frame with this source from a child, if it does. `forwarded`: the host received
    /// it by another interface, for certain.
    fn isolated(&self, source: impl Into<IpAddr>, forwarded: bool) -> Option<Reason> {
        if !self.config.has(ConfigFlags::ISOLATED) {
            return None;
        }
        let posing = self.origin.other_netns && self.program.asks_netns();
        match self.entry(source).and_then(|entry| entry.owner()) {
            Some(Owner::Child) => Some(Reason::Sibling),
            Some(Owner::Host) => posing.then_some(Reason::Isolated),
            Some(Owner::Gateway) | None => (!forwarded).then_some(Reason::Isolated),
        }
    }

    /// Returns what becomes of a question from the wire whose sender and target may be any. `flooded`: the driver would
    /// clone it to every l2 child, and one for an unowned address is to be dropped.
    fn asked_from_wire(
        &self,
        address: IpAddr,
        probe: bool,
        flooded: bool,
        answered: Reason,
    ) -> Answer {
        let target = self.entry(address);
        let refusal = target.and_then(|entry| entry.refusal());
        let for_nobody = refusal.is_none() && !self.held_by(address, &[Owner::Child, Owner::Host]);
        // That of the routers of a subnet (RFC 4291 §2.6.1).
        let anycast = matches!(address, IpAddr::V6(it) if it.octets()[8..] == [0; 8]);
        let by_kernel = |entry: AddressEntry| entry.by_kernel() || probe && entry.optimistic();
        first([
            when(
                self.config.has(ConfigFlags::L2 | ConfigFlags::L2_FLOOD),
                Reason::LeftToKernel,
            ),
            when(for_nobody && !flooded, Reason::NotOurs),
            when(for_nobody && probe, Reason::Probe),
            when(for_nobody && anycast, Reason::NotOurs),
            when(for_nobody, Reason::ForeignDropped),
            refusal.map(|reason| (reason, target)),
            about(
                target,
                self.held_by(address, &[Owner::Host]),
                Reason::HostAddress,
            ),
            about(target, target.is_some_and(by_kernel), Reason::LeftToKernel),
        ])
        .unwrap_or((answered, target))
    }

    /// Returns what becomes of a question that the host or an l2 child asks, whose sender and target may be any.
    fn asked_from_here(&self, source: IpAddr, address: IpAddr, answered: Reason) -> Answer {
        let target = self.entry(address);
        let refusal = target.and_then(refusal_here);
        let [to_child, to_host] =
            [Owner::Child, Owner::Host].map(|owner| self.held_by(address, &[owner]));
        let [from_child, from_host] =
            [Owner::Child, Owner::Host].map(|owner| self.held_by(source, &[owner]));
        let isolated = self.config.has(ConfigFlags::ISOLATED);
        first([
            refusal.map(|reason| (reason, target)),
            when(!to_child && !to_host, Reason::NotOurs),
            about(target, to_child && from_child, Reason::Sibling),
            about(target, to_host && !from_child, Reason::HostAddress),
            about(
                target,
                to_host && self.is_elsewhere(target, source),
                Reason::HostElsewhere,
            ),
            about(target, to_child && !from_host && isolated, Reason::Isolated),
        ])
        .unwrap_or((answered, target))
    }

    fn to_a_group(&self) -> bool {
        self.frame[0] & 1 != 0
    }

    fn entry(&self, address: impl Into<IpAddr>) -> Option<AddressEntry> {
        self.entries.get(&address.into()).copied()
    }

    /// Whether `target` is an address of the host that the host's kernel does not answer to the child with `source`.
    fn is_elsewhere(&self, target: Option<AddressEntry>, source: impl Into<IpAddr>) -> bool {
        target
            .zip(self.entry(source))
            .is_some_and(|(target, source)| {
                source.owner() == Some(Owner::Child) && !target.is_answered_to(&source)
            })
    }

    fn held_by(&self, address: impl Into<IpAddr>, owners: &[Owner]) -> bool {
        self.entry(address)
            .and_then(|entry| entry.owner())
            .is_some_and(|owner| owners.contains(&owner))
    }

    /// Whether a stranger may not have this address: the host's, or that of a child which is answered
    /// for, or would be but for a stranger.
    fn watched(&self, address: impl Into<IpAddr>) -> Option<AddressEntry> {
        let entry = self.entry(address)?;
        let watched = match entry.owner()? {
            // Unless another link of the host may use it.
            Owner::Host => entry.is_watched(),
            Owner::Child => {
                [None, Some(Reason::Probing), Some(Reason::Duplicate)].contains(&entry.refusal())
            }
            Owner::Gateway => false,
        };
        watched.then_some(entry)
    }

    fn outcome(&self, look: Option<Look>, answer: Option<Answer>) -> Expected {
        let is_ip = matches!(look, Some(Look::Ipv4 | Look::Ipv6));
        let reason = answer.map(|(reason, _)| reason);
        let entry = answer.and_then(|(_, entry)| entry);
        let mut frame = self.frame.to_vec();
        match reason {
            Some(Reason::ArpAnswered) => frame = self.arp_reply(),
            Some(Reason::NdAnswered) => frame = self.advertisement(entry.unwrap_or_default()),
            // The other egress program sees only frames whose two MACs are the same: as it is.
            Some(Reason::Hairpinned) if is_ip && self.program.is_routed() => {
                frame[..6].copy_from_slice(&self.config.mac());
            }
            _ => {}
        }
        Expected {
            event: look
                .zip(reason)
                .and_then(|(look, reason)| self.deed(look, reason))
                .map(|(kind, mac, address)| {
                    let slot = entry.unwrap_or_default().slot();
                    event(kind, self.program.hook(), mac, address, slot)
                }),
            ..Expected::new(reason, entry.map(|entry| entry.slot()), frame)
        }
    }

    /// What is worth telling the agent, of frames from the wire.
    fn deed(&self, look: Look, reason: Reason) -> Option<Deed> {
        if self.is_egress() {
            return None;
        }
        match (look, reason) {
            (Look::Arp, Reason::SenderConflict) => Some((
                EventKind::Claim,
                self.mac(arp_at::SHA),
                self.ip(arp_at::SPA).into(),
            )),
            (Look::Arp, Reason::ArpAnswered | Reason::Probing | Reason::Duplicate) => {
                self.ip(arp_at::SPA).is_unspecified().then(|| {
                    let address = self.ip(arp_at::TPA).into();
                    (self.probe_kind(), self.mac(arp_at::SHA), address)
                })
            }
            (Look::Nd(kind), Reason::SenderConflict) => {
                let address = match kind {
                    Kind::Solicitation => self.src(),
                    Kind::Advertisement => self.target(),
                };
                Some((EventKind::Claim, self.station(kind), address.into()))
            }
            (Look::Nd(_), Reason::NdAnswered | Reason::Probing | Reason::Duplicate) => {
                self.is_probe().then(|| {
                    (
                        self.probe_kind(),
                        self.mac(6),
                        self.ip6(nd_at::TARGET).into(),
                    )
                })
            }
            _ => None,
        }
    }

    /// A probe to one station is no claim of the address.
    fn probe_kind(&self) -> EventKind {
        if self.frame[0] & 1 == 1 {
            EventKind::Probe
        } else {
            EventKind::UnicastProbe
        }
    }
}
