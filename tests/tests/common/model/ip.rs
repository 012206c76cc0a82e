//! IP packets of both families, by source and destination.

use std::net::IpAddr;

use ipvlan_common::{ConfigFlags, Delivery, Owner, Reason};

use super::{
    super::frames::{ETH_LEN, ipv4, ipv6},
    Answer, Look, Question, first,
};

impl Question<'_> {
    /// Whether it is a packet that the driver would deliver (`ipvlan_get_L3_hdr`).
    pub(super) fn is_ip(&self, look: Look) -> bool {
        if look == Look::Ipv4 {
            self.is_ipv4()
        } else {
            self.is_ipv6()
        }
    }

    fn is_ipv4(&self) -> bool {
        if self.frame.len() < ipv4::LEN {
            return false;
        }
        let header = usize::from(self.frame[ipv4::VERSION_IHL] & 15) * 4;
        let total = usize::from(self.u16(ipv4::TOTAL_LEN));
        self.frame[ipv4::VERSION_IHL] & 0xf0 == 0x40
            && header >= 20
            && (header..=self.frame.len() - ETH_LEN).contains(&total)
    }

    fn is_ipv6(&self) -> bool {
        if self.frame.len() < ipv6::LEN {
            return false;
        }
        let payload_len = usize::from(self.u16(ipv6::PAYLOAD_LEN));
        // A length of 0 is that of a jumbogram (RFC 2675), whose length is in an option.
        self.frame[ipv6::VERSION] & 0xf0 == 0x60 && ipv6::LEN + payload_len <= self.frame.len()
    }

    fn source_and_destination(&self, look: Look) -> (IpAddr, IpAddr) {
        if look == Look::Ipv4 {
            (self.ip(ipv4::SRC).into(), self.ip(ipv4::DST).into())
        } else {
            (self.ip6(ipv6::SRC).into(), self.ip6(ipv6::DST).into())
        }
    }

    pub(super) fn ip_from_wire(&self, look: Look) -> Answer {
        let (_, dst) = self.source_and_destination(look);
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

    pub(super) fn ip_from_here(&self, look: Look) -> Answer {
        let (src, dst) = self.source_and_destination(look);
        let target = self.entry(dst);
        let refusal = target.and_then(|entry| entry.refusal());
        let from_child =
            self.config.has(ConfigFlags::CHECK_SOURCE) && self.held_by(src, &[Owner::Child]);
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
}
