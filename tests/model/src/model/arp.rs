//! ARP (RFC 826, RFC 5227).

use ipvlan_common::{ConfigFlags, Owner, Reason};

use super::{
    super::{
        frames::arp,
        world::{BROADCAST, Ip, UNSPECIFIED},
    },
    Answer, Question, about, first, is_no_host, refusal_here, when,
};

const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// Rules about a target that nobody may be answered for, whoever asks.
fn never_a_target(address: Ip) -> Option<Answer> {
    first([
        when(address.is_multicast(), Reason::TargetMulticast),
        when(address.is_broadcast(), Reason::TargetBroadcast),
        when(address.is_loopback(), Reason::TargetLoopback),
        when(address.octets()[0] == 0, Reason::TargetUnspecified),
    ])
}

impl Question<'_> {
    /// A message about something else than IPv4 over Ethernet.
    fn unreadable_arp(&self) -> Option<Answer> {
        if self.frame.len() < arp::LEN {
            return Some((Reason::Malformed, None));
        }
        let known = [1, 6].contains(&self.u16(arp::HTYPE))
            && self.u16(arp::PTYPE) == 0x0800
            && self.frame[arp::HLEN] == 6
            && self.frame[arp::PLEN] == 4;
        (!known).then_some((Reason::ArpHeader, None))
    }

    pub(super) fn arp_from_wire(&self) -> Answer {
        if let Some(answer) = self.unreadable_arp() {
            return answer;
        }
        let (parent, config) = (self.config.mac(), self.config);
        let (eth_dst, eth_src, sha) = (self.mac(0), self.mac(6), self.mac(arp::SHA));
        let (spa, tpa) = (self.ip(arp::SPA), self.ip(arp::TPA));
        let oper = self.u16(arp::OPER);
        let probe = spa == UNSPECIFIED;
        let claimed = self.watched(spa);
        let asserts = oper == REPLY || spa == tpa;
        let flooded = eth_dst == BROADCAST && config.has(ConfigFlags::L2_DROP_FOREIGN);
        first([
            when(
                eth_dst != BROADCAST && !self.is_to_parent(),
                Reason::OtherMac,
            ),
            when([eth_src, sha].contains(&parent), Reason::OwnSender),
            when(is_no_host(eth_src) || is_no_host(sha), Reason::SenderMac),
            when(
                !probe && never_a_target(spa).is_some(),
                Reason::SenderAddress,
            ),
            when(![REQUEST, REPLY].contains(&oper), Reason::NotRequest),
            about(
                claimed,
                !probe && claimed.is_some_and(|entry| asserts || entry.refusal().is_none()),
                Reason::SenderConflict,
            ),
            when(oper != REQUEST, Reason::NotRequest),
            when(spa == tpa, Reason::Gratuitous),
            never_a_target(tpa),
        ])
        .unwrap_or_else(|| self.asked_from_wire(tpa.into(), probe, flooded, Reason::ArpAnswered))
    }

    pub(super) fn arp_from_here(&self) -> Answer {
        if let Some(answer) = self.unreadable_arp() {
            return answer;
        }
        let (parent, oper) = (self.config.mac(), self.u16(arp::OPER));
        let eth_dst = self.mac(0);
        let (spa, tpa) = (self.ip(arp::SPA), self.ip(arp::TPA));
        let target = self.entry(tpa);
        let reply = oper == REPLY
            && eth_dst == parent
            && self.held_by(tpa, &[Owner::Child])
            && target.and_then(refusal_here).is_none();
        let isolated = self.isolated(spa, false).filter(|_| reply);
        first([
            when(
                self.mac(6) != parent || self.mac(arp::SHA) != parent,
                Reason::SenderMac,
            ),
            isolated.map(|reason| (reason, target)),
            about(target, reply, Reason::Hairpinned),
            when(oper != REQUEST, Reason::NotRequest),
            when(eth_dst != BROADCAST && eth_dst != parent, Reason::OtherMac),
            when(spa == UNSPECIFIED, Reason::Probe),
            when(spa == tpa, Reason::Gratuitous),
            never_a_target(tpa),
        ])
        .unwrap_or_else(|| self.asked_from_here(spa.into(), tpa.into(), Reason::ArpAnswered))
    }

    /// RFC 826: swap the pairs, fill in the own MAC, op 2.
    pub(super) fn arp_reply(&self) -> Vec<u8> {
        let parent = self.config.mac();
        let asker = &self.frame[arp::SHA..arp::THA];
        let mut reply = Vec::new();
        reply.extend_from_slice(&asker[..6]);
        reply.extend_from_slice(&parent);
        reply.extend_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
        reply.extend_from_slice(&parent);
        reply.extend(self.ip(arp::TPA).octets());
        reply.extend_from_slice(asker);
        reply
    }
}
