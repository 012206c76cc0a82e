//! The reference model: what every program is to do with any frame, as lists of rules of which the
//! first that applies decides. Written from the promises, not from the programs.

use std::net::Ipv4Addr;

use ipvlan_common::{AddressEntry, Config, ConfigFlags, Delivery, Owner, Reason};

use super::{
    datapath::{Act, Program},
    frames::{ARP_LEN, ETH_LEN, IPV4_LEN, arp, ipv4},
    world::{BROADCAST, Entries, Ip, Mac, UNSPECIFIED, ZERO},
};

/// What is to become of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub act: Act,
    /// `None`: not looked at, so nothing is counted.
    pub reason: Option<Reason>,
    /// Child that it is counted for.
    pub slot: Option<u32>,
    pub frame: Vec<u8>,
    /// Whether `skb->mark` is zeroed.
    pub unmarked: bool,
}

/// Everything a rule may ask about.
struct Question<'a> {
    frame: &'a [u8],
    config: Config,
    entries: &'a Entries,
    /// Asked of the egress program that looks at frames for every MAC.
    routed: bool,
}

/// A reason, and the entry it is about.
type Answer = (Reason, Option<AddressEntry>);

/// What `program` is to do with `frame`.
pub fn model(program: Program, config: [Config; 2], entries: &Entries, frame: &[u8]) -> Expected {
    let question = Question {
        frame,
        config: config[0],
        entries,
        routed: program == Program::EgressRouted,
    };
    let ready = config[0] == config[1] && config[0].has(ConfigFlags::READY);
    let looked_at = match (&frame[12..ETH_LEN], program) {
        ([8, 6], _) | ([8, 0], Program::IngressDemux | Program::EgressRouted) => true,
        ([8, 0], Program::Egress) => question.to_own_mac(),
        _ => false,
    };
    if !looked_at {
        return question.outcome(None);
    }
    if !ready {
        return question.outcome(Some((Reason::NotReady, None)));
    }
    let answer = match (&frame[12..ETH_LEN], program) {
        ([8, 6], Program::Egress | Program::EgressRouted) => Some(question.arp_from_here()),
        ([8, 6], _) => Some(question.arp_from_wire()),
        (_, Program::IngressDemux) => Some(question.ipv4_from_wire()),
        (_, Program::EgressRouted) if question.mac(0)[0] & 1 != 0 && question.is_ipv4() => None,
        _ => Some(question.ipv4_from_here()),
    };
    question.outcome(answer)
}

/// The first rule that applies.
fn first<const N: usize>(rules: [(bool, Answer); N]) -> Option<Answer> {
    rules
        .into_iter()
        .find_map(|(applies, answer)| applies.then_some(answer))
}

impl Question<'_> {
    fn mac(&self, at: usize) -> Mac {
        self.frame[at..at + 6].try_into().unwrap()
    }

    fn ip(&self, at: usize) -> Ip {
        self.frame[at..at + 4].try_into().unwrap()
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.frame[at], self.frame[at + 1]])
    }

    fn to_own_mac(&self) -> bool {
        self.mac(0) == self.mac(6)
    }

    fn entry(&self, address: Ip) -> Option<AddressEntry> {
        self.entries.get(&address).copied()
    }

    fn held_by(&self, address: Ip, owners: &[Owner]) -> bool {
        self.entry(address)
            .and_then(|entry| entry.owner())
            .is_some_and(|owner| owners.contains(&owner))
    }

    fn is_arp_for_ipv4_over_ethernet(&self) -> bool {
        self.frame.len() >= ARP_LEN
            && [1, 6].contains(&self.u16(arp::HTYPE))
            && self.u16(arp::PTYPE) == 0x0800
            && self.frame[arp::HLEN] == 6
            && self.frame[arp::PLEN] == 4
    }

    /// Rules about a target that nobody may be answered for, whoever asks.
    fn never_a_target(address: Ip) -> Option<Answer> {
        let address = Ipv4Addr::from(address);
        first([
            (address.is_multicast(), (Reason::TargetMulticast, None)),
            (address.is_broadcast(), (Reason::TargetBroadcast, None)),
            (address.is_loopback(), (Reason::TargetLoopback, None)),
            (address.octets()[0] == 0, (Reason::TargetUnspecified, None)),
        ])
    }

    fn arp_from_wire(&self) -> Answer {
        if !self.is_arp_for_ipv4_over_ethernet() {
            return (Reason::Malformed, None);
        }
        let (parent, config) = (self.config.mac(), self.config);
        let (eth_dst, eth_src, sha) = (self.mac(0), self.mac(6), self.mac(arp::SHA));
        let (spa, tpa) = (self.ip(arp::SPA), self.ip(arp::TPA));
        let no_host = |mac: Mac| mac == ZERO || mac[0] & 1 != 0;
        let probe = spa == UNSPECIFIED;
        let target = self.entry(tpa);
        let for_nobody = target.is_none_or(|entry| {
            entry.refusal().is_none() && !self.held_by(tpa, &[Owner::Child, Owner::Host])
        });
        let flooded = eth_dst == BROADCAST && config.has(ConfigFlags::L2_DROP_FOREIGN);
        let refusal = target.and_then(|entry| entry.refusal());
        let no_target = Self::never_a_target(tpa);

        first([
            (self.u16(arp::OPER) != 1, (Reason::NotRequest, None)),
            (
                eth_dst != BROADCAST && eth_dst != parent,
                (Reason::OtherMac, None),
            ),
            ([eth_src, sha].contains(&parent), (Reason::OwnSender, None)),
            (no_host(eth_src) || no_host(sha), (Reason::SenderMac, None)),
            (
                !probe && Self::never_a_target(spa).is_some(),
                (Reason::SenderAddress, None),
            ),
            (spa == tpa, (Reason::Gratuitous, None)),
            (
                no_target.is_some(),
                no_target.unwrap_or((Reason::Unknown, None)),
            ),
            (
                config.has(ConfigFlags::L2 | ConfigFlags::L2_FLOOD),
                (Reason::LeftToKernel, None),
            ),
            (
                refusal.is_some(),
                (refusal.unwrap_or(Reason::Unknown), target),
            ),
            (
                self.held_by(tpa, &[Owner::Host]),
                (Reason::HostAddress, target),
            ),
            (for_nobody && !flooded, (Reason::NotOurs, None)),
            (for_nobody && probe, (Reason::Probe, None)),
            (for_nobody, (Reason::ForeignDropped, None)),
            (
                target.is_some_and(|entry| entry.by_kernel()),
                (Reason::LeftToKernel, target),
            ),
            (
                !probe && self.held_by(spa, &[Owner::Child, Owner::Host]),
                (Reason::SenderConflict, target),
            ),
        ])
        .unwrap_or((Reason::ArpAnswered, target))
    }

    fn arp_from_here(&self) -> Answer {
        if !self.is_arp_for_ipv4_over_ethernet() {
            return (Reason::Malformed, None);
        }
        let (parent, oper) = (self.config.mac(), self.u16(arp::OPER));
        let eth_dst = self.mac(0);
        let (spa, tpa) = (self.ip(arp::SPA), self.ip(arp::TPA));
        let l2 = self.config.has(ConfigFlags::L2);
        let target = self.entry(tpa);
        let refusal = target.and_then(|entry| entry.refusal());
        let to_child = self.held_by(tpa, &[Owner::Child]);
        let to_host = self.held_by(tpa, &[Owner::Host]);
        let from_child = self.held_by(spa, &[Owner::Child]);
        let no_target = Self::never_a_target(tpa);

        first([
            (
                self.mac(6) != parent || self.mac(arp::SHA) != parent,
                (Reason::SenderMac, None),
            ),
            (
                l2 && oper == 2 && eth_dst == parent && to_child && refusal.is_none(),
                (Reason::Hairpinned, target),
            ),
            (oper != 1, (Reason::NotRequest, None)),
            (
                eth_dst != BROADCAST && eth_dst != parent,
                (Reason::OtherMac, None),
            ),
            (spa == UNSPECIFIED, (Reason::Probe, None)),
            (spa == tpa, (Reason::Gratuitous, None)),
            (
                no_target.is_some(),
                no_target.unwrap_or((Reason::Unknown, None)),
            ),
            (
                refusal.is_some(),
                (refusal.unwrap_or(Reason::Unknown), target),
            ),
            (!to_child && !to_host, (Reason::NotOurs, None)),
            (to_child && from_child, (Reason::Sibling, target)),
            (
                to_host && !(l2 && from_child),
                (Reason::HostAddress, target),
            ),
        ])
        .unwrap_or((Reason::ArpAnswered, target))
    }

    fn is_ipv4(&self) -> bool {
        if self.frame.len() < IPV4_LEN {
            return false;
        }
        let header = usize::from(self.frame[ipv4::VERSION_IHL] & 15) * 4;
        let total = usize::from(self.u16(ipv4::TOTAL_LEN));
        self.frame[ipv4::VERSION_IHL] & 0xf0 == 0x40
            && header >= 20
            && (header..=self.frame.len() - ETH_LEN).contains(&total)
    }

    fn ipv4_from_wire(&self) -> Answer {
        if !self.is_ipv4() {
            return (Reason::Malformed, None);
        }
        let dst = self.ip(ipv4::DST);
        let target = self.entry(dst);
        let refusal = target.and_then(|entry| entry.refusal());
        let local = target.is_some_and(|entry| entry.delivery() == Delivery::Redirect);
        first([
            (self.mac(0) != self.config.mac(), (Reason::OtherMac, None)),
            (
                refusal.is_some(),
                (refusal.unwrap_or(Reason::Unknown), target),
            ),
            (
                self.held_by(dst, &[Owner::Host]),
                (Reason::HostAddress, target),
            ),
            (!self.held_by(dst, &[Owner::Child]), (Reason::NotOurs, None)),
            (local, (Reason::Redirected, target)),
        ])
        .unwrap_or((Reason::LeftToDriver, target))
    }

    fn ipv4_from_here(&self) -> Answer {
        if !self.is_ipv4() {
            return (Reason::Malformed, None);
        }
        let dst = self.ip(ipv4::DST);
        let target = self.entry(dst);
        let refusal = target.and_then(|entry| entry.refusal());
        let from_child = self.config.has(ConfigFlags::CHECK_SOURCE)
            && self.held_by(self.ip(ipv4::SRC), &[Owner::Child]);
        let vepa = from_child && self.config.has(ConfigFlags::VEPA);
        let answer = first([
            (
                refusal.is_some(),
                (refusal.unwrap_or(Reason::Unknown), target),
            ),
            (
                self.held_by(dst, &[Owner::Host]) && !vepa,
                (Reason::HostAddress, target),
            ),
            (
                !self.held_by(dst, &[Owner::Child, Owner::Host]),
                (Reason::NotOurs, None),
            ),
            (
                self.held_by(dst, &[Owner::Child]) && from_child,
                (Reason::Sibling, target),
            ),
        ]);
        answer.unwrap_or((Reason::Hairpinned, target))
    }

    fn outcome(&self, answer: Option<Answer>) -> Expected {
        let is_ip = self.frame[12..ETH_LEN] == [8, 0];
        let reason = answer.map(|(reason, _)| reason);
        let mut frame = self.frame.to_vec();
        match reason {
            Some(Reason::ArpAnswered) => frame = self.reply(),
            // The other egress program sees only frames whose two MACs are the same: as it is.
            Some(Reason::Hairpinned) if is_ip && self.routed => {
                frame[..6].copy_from_slice(&self.config.mac());
            }
            _ => {}
        }
        let slot = answer
            .filter(|(reason, _)| {
                ![Reason::LeftToDriver, Reason::LeftToKernel, Reason::Sibling].contains(reason)
            })
            .and_then(|(_, entry)| entry)
            .filter(|entry| entry.ifindex() != 0)
            .map(|entry| entry.slot());
        Expected {
            act: match reason {
                Some(Reason::ArpAnswered | Reason::Hairpinned | Reason::Redirected) => Act::Send,
                Some(Reason::ForeignDropped) => Act::Drop,
                _ => Act::Pass,
            },
            reason,
            slot,
            frame,
            unmarked: reason == Some(Reason::Hairpinned),
        }
    }

    /// RFC 826: swap the pairs, fill in the own MAC, op 2.
    fn reply(&self) -> Vec<u8> {
        let parent = self.config.mac();
        let asker = &self.frame[arp::SHA..arp::THA];
        let mut reply = Vec::new();
        reply.extend_from_slice(&asker[..6]);
        reply.extend_from_slice(&parent);
        reply.extend_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
        reply.extend_from_slice(&parent);
        reply.extend_from_slice(&self.ip(arp::TPA));
        reply.extend_from_slice(asker);
        reply
    }
}
