//! IP packets of both families, by source and destination.

use std::net::IpAddr;

use ipvlan_common::{ConfigFlags, Delivery, Owner, Reason};

use super::{
    super::frames::{
        ETH_LEN,
        ip::{v4, v6},
    },
    Answer, Look, Question, about, first, refusal_here, when,
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
        if self.frame.len() < v4::LEN {
            return false;
        }
        let header = usize::from(self.frame[v4::VERSION_IHL] & 15) * 4;
        let total = usize::from(self.u16(v4::TOTAL_LEN));
        self.frame[v4::VERSION_IHL] & 0xf0 == 0x40
            && header >= 20
            && (header..=self.frame.len() - ETH_LEN).contains(&total)
    }

    fn is_ipv6(&self) -> bool {
        if self.frame.len() < v6::LEN {
            return false;
        }
        let payload_len = usize::from(self.u16(v6::PAYLOAD_LEN));
        // A length of 0 is that of a jumbogram (RFC 2675), whose length is in an option.
        self.frame[v6::VERSION] & 0xf0 == 0x60 && v6::LEN + payload_len <= self.frame.len()
    }

    fn source_and_destination(&self, look: Look) -> (IpAddr, IpAddr) {
        if look == Look::Ipv4 {
            (self.ip(v4::SRC).into(), self.ip(v4::DST).into())
        } else {
            (self.ip6(v6::SRC).into(), self.ip6(v6::DST).into())
        }
    }

    pub(super) fn ip_from_wire(&self, look: Look) -> Answer {
        let (_, dst) = self.source_and_destination(look);
        let target = self.entry(dst);
        let refusal = target.and_then(|entry| entry.refusal());
        let local = target.is_some_and(|entry| matches!(entry.delivery(), Delivery::Redirect(_)));
        first([
            when(self.mac(0) != self.config.mac(), Reason::OtherMac),
            refusal.map(|reason| (reason, target)),
            about(
                target,
                self.held_by(dst, &[Owner::Host]),
                Reason::HostAddress,
            ),
            when(!self.held_by(dst, &[Owner::Child]), Reason::NotOurs),
            about(target, local, Reason::Redirected),
        ])
        .unwrap_or((Reason::LeftToDriver, target))
    }

    pub(super) fn ip_from_here(&self, look: Look) -> Answer {
        let (src, dst) = self.source_and_destination(look);
        let (config, received) = (self.config, self.origin.ingress_ifindex);
        let target = self.entry(dst);
        let refusal = target.and_then(refusal_here);
        let to_child = self.held_by(dst, &[Owner::Child]);
        // The other egress programs see only what goes to the MAC that it comes from.
        let to_parent = self.mac(0) == config.mac() || !self.program.is_routed();
        let allowed =
            target.is_some_and(|entry| entry.routed() || to_parent && !entry.is_off_link());
        let vepa = config.has(ConfigFlags::ISOLATED | ConfigFlags::VEPA);
        let routed_here = config.has(ConfigFlags::L2)
            && self.entry(src).is_some_and(|entry| entry.routed())
            && !self.is_elsewhere(target, src);
        let lost = if to_parent { vepa } else { routed_here };
        let reaches_host = lost && self.held_by(src, &[Owner::Child]);
        let loops = self.was_received_here() || received != 0 && config.has(ConfigFlags::VRF);
        // What a container forwards has the ifindex of an interface of its own.
        let from_container = config.has(ConfigFlags::CHILD_IIF)
            && (config.has(ConfigFlags::VEPA) || !to_parent || self.mac(0) != self.mac(6));
        let isolated = self.isolated(src, received != 0 && !from_container);
        let answer = first([
            refusal.map(|reason| (reason, target)),
            about(
                target,
                self.held_by(dst, &[Owner::Host]) && !reaches_host,
                Reason::HostAddress,
            ),
            when(
                !self.held_by(dst, &[Owner::Child, Owner::Host]),
                Reason::NotOurs,
            ),
            about(target, to_child && !allowed, Reason::OffLink),
            about(target, loops, Reason::ReceivedHere),
            isolated.filter(|_| to_child).map(|reason| (reason, target)),
        ]);
        answer.unwrap_or((Reason::Hairpinned, target))
    }
}
