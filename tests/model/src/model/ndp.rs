//! Neighbour discovery (RFC 4861, RFC 4862, RFC 4429, RFC 6980).

use std::net::Ipv6Addr;

use ipvlan_common::{AddressEntry, ConfigFlags, Reason};
use ipvlan_ebpf::wire::message::ND_MAX;
use ipvlan_packet::checksum::RIGHT;

use super::{
    super::{
        frames::{
            Nd,
            ip::{number, v6},
            ndp::{self, flags, option},
        },
        world::{
            ALL_NODES, ALL_NODES_MAC, BROADCAST, Ip6, Mac, UNSPECIFIED6, group_mac, solicited_node,
        },
    },
    Answer, Look, Question, about, first, is_no_host, when,
};

/// Length of a message without options.
const FIXED: usize = 24;

/// The two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Solicitation,
    Advertisement,
}

impl Question<'_> {
    /// A message about neighbours, by its types alone.
    pub(super) fn recognised(&self) -> Option<Look> {
        let byte = |at: usize| self.frame.get(at).copied();
        match byte(v6::NEXT_HEADER)? {
            number::ICMPV6 => match byte(ndp::TYPE)? {
                ndp::SOLICITATION => Some(Look::Nd(Kind::Solicitation)),
                ndp::ADVERTISEMENT => Some(Look::Nd(Kind::Advertisement)),
                _ => None,
            },
            extension @ (number::HOP_BY_HOP
            | number::ROUTING
            | number::FRAGMENT
            | number::DESTINATION) => {
                let short = extension == number::FRAGMENT || byte(v6::LEN + 1)? == 0;
                let solicitation =
                    byte(v6::LEN)? == number::ICMPV6 && byte(v6::LEN + 8)? == ndp::SOLICITATION;
                (short && solicitation).then_some(Look::ExtensionHeader)
            }
            _ => None,
        }
    }

    pub(super) fn src(&self) -> Ip6 {
        self.ip6(v6::SRC)
    }

    fn dst(&self) -> Ip6 {
        self.ip6(v6::DST)
    }

    pub(super) fn target(&self) -> Ip6 {
        self.ip6(ndp::TARGET)
    }

    /// Duplicate address detection (RFC 4862 §5.4.2).
    pub(super) fn is_probe(&self) -> bool {
        self.src() == UNSPECIFIED6
    }

    /// The first option of this type, and whether all of them fit (RFC 4861 §4.6).
    fn options(&self, wanted: u8) -> Result<Option<&[u8]>, Reason> {
        let end = v6::LEN + usize::from(self.u16(v6::PAYLOAD_LEN));
        let mut rest = &self.frame[ndp::OPTIONS..end];
        let mut found = None;
        while !rest.is_empty() {
            let len = 8 * usize::from(*rest.get(1).ok_or(Reason::BadOption)?);
            if len == 0 || len > rest.len() {
                return Err(Reason::BadOption);
            }
            let (option, behind) = rest.split_at(len);
            if option[0] == wanted && found.is_none() {
                found = Some(option);
            }
            rest = behind;
        }
        Ok(found)
    }

    /// The MAC in the option that tells one, if there is one and the message is readable.
    fn link_layer(&self, kind: Kind) -> Result<Option<Mac>, Reason> {
        let wanted = match kind {
            Kind::Solicitation => ndp::SOURCE_MAC,
            Kind::Advertisement => ndp::TARGET_MAC,
        };
        let Some(option) = self.options(wanted)? else {
            return Ok(None);
        };
        let mac = option[2..].try_into();
        Ok(Some(mac.map_err(|_| Reason::BadOption)?))
    }

    /// The MAC that a message, known to be readable, asks from or claims with.
    pub(super) fn station(&self, kind: Kind) -> Mac {
        let link_layer = self.link_layer(kind).ok().flatten();
        link_layer.unwrap_or(self.mac(6))
    }

    /// What makes it no message at all (RFC 4861 §7.1.1, §7.1.2).
    fn unreadable_nd(&self, kind: Kind) -> Option<Answer> {
        let malformed = Some((Reason::Malformed, None));
        if self.frame.len() < ndp::LEN {
            return malformed;
        }
        let len = usize::from(self.u16(v6::PAYLOAD_LEN));
        if self.frame[v6::VERSION] >> 4 != 6 || len < FIXED || v6::LEN + len > self.frame.len() {
            return malformed;
        }
        first([
            when(self.frame[v6::HOP_LIMIT] != 255, Reason::HopLimit),
            when(self.frame[ndp::CODE] != 0, Reason::Code),
            when(len > ND_MAX, Reason::TooLong),
            // The programs sum words of four bytes. No message whose options are whole is refused
            // for it: only the reason is another than that of its options.
            when(
                len % 4 != 0 || ndp::checksum(self.frame) != Some(RIGHT),
                Reason::Checksum,
            ),
            when(self.link_layer(kind).is_err(), Reason::BadOption),
        ])
    }

    /// Whether its MAC is one that a frame to its destination address may have.
    fn is_addressed_here(&self) -> bool {
        let dst = self.dst();
        let group = dst.is_multicast().then(|| group_mac(dst));
        self.is_to_parent() || [Some(BROADCAST), group].contains(&Some(self.mac(0)))
    }

    /// Rules about sender and target that hold in both directions, behind those about MACs.
    fn never_answered(&self) -> Option<Answer> {
        let (src, dst, target) = (self.src(), self.dst(), self.target());
        let is_v4_mapped = |address: Ipv6Addr| address.to_ipv4_mapped().is_some();
        let to_a_solicited_node = dst.octets()[..13] == solicited_node(UNSPECIFIED6).octets()[..13];
        let probe = self.is_probe();
        let link_layer = self.link_layer(Kind::Solicitation).ok().flatten();
        let right_destination = if dst.is_multicast() {
            dst == solicited_node(target)
        } else {
            dst == target
        };
        first([
            when(
                src.is_multicast() || src.is_loopback() || is_v4_mapped(src),
                Reason::SenderAddress,
            ),
            when(probe && link_layer.is_some(), Reason::DadLinkLayer),
            when(probe && !to_a_solicited_node, Reason::DadDestination),
            when(!self.is_addressed_here(), Reason::OtherMac),
            when(target.is_multicast(), Reason::TargetMulticast),
            when(target.is_unspecified(), Reason::TargetUnspecified),
            when(target.is_loopback(), Reason::TargetLoopback),
            when(is_v4_mapped(target), Reason::TargetV4Mapped),
            when(!right_destination, Reason::OtherDestination),
        ])
    }

    pub(super) fn solicitation_from_wire(&self) -> Answer {
        if let Some(answer) = self.unreadable_nd(Kind::Solicitation) {
            return answer;
        }
        let (parent, config) = (self.config.mac(), self.config);
        let macs = [self.mac(6), self.station(Kind::Solicitation)];
        let probe = self.is_probe();
        let claimed = self.watched(self.src());
        let flooded = self.dst().is_multicast() && config.has(ConfigFlags::L2_DROP_FOREIGN_ND);
        let target = self.target().into();
        first([
            when(macs.contains(&parent), Reason::OwnSender),
            when(macs.into_iter().any(is_no_host), Reason::SenderMac),
            self.never_answered(),
            about(
                claimed,
                !probe && claimed.is_some_and(|entry| entry.refusal().is_none()),
                Reason::SenderConflict,
            ),
        ])
        .unwrap_or_else(|| self.asked_from_wire(target, probe, flooded, Reason::NdAnswered))
    }

    pub(super) fn advertisement_from_wire(&self) -> Answer {
        if let Some(answer) = self.unreadable_nd(Kind::Advertisement) {
            return answer;
        }
        let macs = [self.mac(6), self.station(Kind::Advertisement)];
        let claimed = self.watched(self.target());
        first([
            when(macs.contains(&self.config.mac()), Reason::OwnSender),
            when(!self.is_addressed_here(), Reason::OtherMac),
            about(claimed, claimed.is_some(), Reason::SenderConflict),
        ])
        .unwrap_or((Reason::Advertisement, None))
    }

    pub(super) fn solicitation_from_here(&self) -> Answer {
        if let Some(answer) = self.unreadable_nd(Kind::Solicitation) {
            return answer;
        }
        let macs = [self.mac(6), self.station(Kind::Solicitation)];
        let (src, target) = (self.src().into(), self.target().into());
        first([
            when(macs != [self.config.mac(); 2], Reason::SenderMac),
            self.never_answered(),
            when(self.is_probe(), Reason::Probe),
        ])
        .unwrap_or_else(|| self.asked_from_here(src, target, Reason::NdAnswered))
    }

    /// RFC 4861 §7.2.4, as `ndisc_send_na` has it: the MAC is told where it was asked for by
    /// multicast.
    pub(super) fn advertisement(&self, target: AddressEntry) -> Vec<u8> {
        let (parent, probe) = (self.config.mac(), self.is_probe());
        let multicast = self.dst().is_multicast();
        let letters = [
            (target.router(), "R"),
            (!probe, "S"),
            (multicast && !target.optimistic(), "O"),
        ];
        let letters = letters.iter().filter(|(on, _)| *on);
        Nd {
            eth_dst: if probe {
                ALL_NODES_MAC
            } else {
                self.station(Kind::Solicitation)
            },
            dst: if probe { ALL_NODES } else { self.src() },
            flags: flags(&letters.map(|(_, letter)| *letter).collect::<String>()),
            options: if multicast {
                option(ndp::TARGET_MAC, &parent)
            } else {
                Vec::new()
            },
            ..Nd::announcement(parent, self.target())
        }
        .frame()
    }
}
