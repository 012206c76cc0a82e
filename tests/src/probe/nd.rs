//! Neighbour solicitations, as the kernel and `ndisc6` send them (RFC 4861 §4.3).

use std::net::Ipv6Addr;

use super::{checksum, neighbour::Question};

/// The `EtherType` of IPv6.
pub const ETHER_TYPE: u16 = 0x86dd;
/// Every node on the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

const ICMPV6: u8 = 58;
/// What no router has counted down.
const HOP_LIMIT: u8 = 255;
/// `ICMPv6` type of a solicitation.
pub const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;

/// The solicited-node group of `target` (RFC 4291 §2.7.1).
#[must_use]
pub fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = target.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The Ethernet address of a multicast group (RFC 2464 §7).
#[must_use]
pub fn group_address(group: Ipv6Addr) -> [u8; 6] {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

/// One question: who has `target`?
#[derive(Clone, Copy, Debug)]
pub struct Solicitation {
    /// The Ethernet address it is sent to.
    pub to: [u8; 6],
    /// The Ethernet address it is sent from.
    pub mac: [u8; 6],
    /// The address it is sent from; `::` to detect a duplicate, without a link-layer address then.
    pub source: Ipv6Addr,
    /// The address it is sent to.
    pub destination: Ipv6Addr,
    /// The address asked for.
    pub target: Ipv6Addr,
}

impl Solicitation {
    /// To the group of `target`: who has it?
    #[must_use]
    pub fn multicast(mac: [u8; 6], source: Ipv6Addr, target: Ipv6Addr) -> Self {
        let destination = solicited_node(target);
        Self {
            to: group_address(destination),
            mac,
            source,
            destination,
            target,
        }
    }

    /// To `target` at `to`: has it still got it?
    #[must_use]
    pub fn unicast(to: [u8; 6], mac: [u8; 6], source: Ipv6Addr, target: Ipv6Addr) -> Self {
        Self {
            to,
            mac,
            source,
            destination: target,
            target,
        }
    }
}

impl Question for Solicitation {
    const ETHER_TYPE: u16 = ETHER_TYPE;

    fn frame(&self) -> Vec<u8> {
        let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
        message.extend(self.target.octets());
        if !self.source.is_unspecified() {
            message.extend([SOURCE_LINK_LAYER, 1]);
            message.extend(self.mac);
        }
        frame(self.to, self.mac, self.source, self.destination, message)
    }

    /// The advertisement that an asking kernel would believe, with the flags that go with the
    /// question: a detected duplicate is told to everybody and is not solicited (RFC 4861 §7.2.4).
    fn answer(&self, frame: &[u8]) -> Option<[u8; 6]> {
        let Advertisement {
            ethernet,
            destination,
            target,
            solicited,
            target_link_layer,
            ..
        } = Advertisement::parse(frame)?;
        let probe = self.source.is_unspecified();
        let expected = if probe { ALL_NODES } else { self.source };
        let to = if probe {
            group_address(ALL_NODES)
        } else {
            self.mac
        };
        let fits = target == self.target
            && destination == expected
            && frame.get(..6)? == to
            && solicited != probe;
        // An answer to a group must say where it comes from; one to its own address need not.
        match target_link_layer {
            Some(mac) if fits => Some(mac),
            None if fits && !self.destination.is_multicast() => Some(ethernet),
            _ => None,
        }
    }
}

/// An advertisement, valid by RFC 4861 §7.1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// The Ethernet address it came from.
    pub ethernet: [u8; 6],
    /// The address it came from.
    pub source: Ipv6Addr,
    /// The address it went to.
    pub destination: Ipv6Addr,
    /// The address that is advertised.
    pub target: Ipv6Addr,
    /// Is it a router that has it?
    pub router: bool,
    /// Was it asked for?
    pub solicited: bool,
    /// Does it replace what is known?
    pub overrides: bool,
    /// The Ethernet address that it names.
    pub target_link_layer: Option<[u8; 6]>,
}

impl Advertisement {
    /// Reads `frame`; nothing if it is anything else, or not valid.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let address = |at: usize| -> Option<Ipv6Addr> {
            let octets: [u8; 16] = frame.get(at..at + 16)?.try_into().ok()?;
            Some(octets.into())
        };
        let length = usize::from(u16::from_be_bytes(frame.get(18..20)?.try_into().ok()?));
        let message = frame.get(54..54 + length)?;
        let (source, destination) = (address(22)?, address(38)?);
        let valid = frame.get(12..14)? == ETHER_TYPE.to_be_bytes()
            && frame.get(20..22)? == [ICMPV6, HOP_LIMIT]
            && message.get(..2)? == [ADVERTISEMENT, 0]
            && checksum::icmpv6(source, destination, message) == 0;
        if !valid {
            return None;
        }
        let flags = *message.get(4)?;
        let target_link_layer = match message.get(24..32) {
            Some([TARGET_LINK_LAYER, 1, mac @ ..]) => mac.try_into().ok(),
            _ => None,
        };
        Some(Self {
            ethernet: frame.get(6..12)?.try_into().ok()?,
            source,
            destination,
            target: address(62)?,
            router: flags & ROUTER != 0,
            solicited: flags & SOLICITED != 0,
            overrides: flags & OVERRIDE != 0,
            target_link_layer,
        })
    }

    /// It on the wire, to the Ethernet address `to`.
    #[must_use]
    pub fn frame(&self, to: [u8; 6]) -> Vec<u8> {
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let flags = flag(self.router, ROUTER)
            | flag(self.solicited, SOLICITED)
            | flag(self.overrides, OVERRIDE);
        let mut message = vec![ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
        message.extend(self.target.octets());
        if let Some(mac) = self.target_link_layer {
            message.extend([TARGET_LINK_LAYER, 1]);
            message.extend(mac);
        }
        frame(to, self.ethernet, self.source, self.destination, message)
    }
}

/// An `ICMPv6` `message` without its checksum, in a frame as neighbour discovery wants it.
#[must_use]
pub fn frame(
    to: [u8; 6],
    from: [u8; 6],
    source: Ipv6Addr,
    destination: Ipv6Addr,
    mut message: Vec<u8>,
) -> Vec<u8> {
    let sum = checksum::icmpv6(source, destination, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut frame = Vec::with_capacity(54 + message.len());
    frame.extend(to);
    frame.extend(from);
    frame.extend(ETHER_TYPE.to_be_bytes());
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length.to_be_bytes());
    frame.extend([ICMPV6, HOP_LIMIT]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend(message);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 9];
    const ASKER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x91, 0, 0, 0, 0, 0x10);
    const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x91, 0, 0, 0, 0x12, 0x3456);

    fn advertisement(destination: Ipv6Addr, solicited: bool) -> Advertisement {
        Advertisement {
            ethernet: OTHER,
            source: TARGET,
            destination,
            target: TARGET,
            router: false,
            solicited,
            overrides: true,
            target_link_layer: Some(OTHER),
        }
    }

    #[test]
    fn a_group_has_the_last_bytes_of_its_address() {
        let group = solicited_node(TARGET);
        assert_eq!(group.to_string(), "ff02::1:ff12:3456");
        assert_eq!(group_address(group), [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
    }

    #[test]
    fn lengths_are_those_of_the_kernel() {
        let named = Solicitation::multicast(MAC, ASKER, TARGET).frame();
        assert_eq!(named.len(), 86);
        let probe = Solicitation::multicast(MAC, Ipv6Addr::UNSPECIFIED, TARGET).frame();
        assert_eq!(probe.len(), 78);
    }

    #[test]
    fn what_is_written_is_read() {
        let advertisement = advertisement(ASKER, true);
        let frame = advertisement.frame(MAC);
        assert_eq!(Advertisement::parse(&frame), Some(advertisement));
        for byte in [12, 20, 21, 25, 54, 55, 60, 70, 85] {
            let mut frame = frame.clone();
            frame[byte] ^= 1;
            assert_eq!(Advertisement::parse(&frame), None, "byte {byte}");
        }
        for length in 0..frame.len() {
            assert_eq!(Advertisement::parse(&frame[..length]), None, "{length}");
        }
    }

    #[test]
    fn takes_the_answer_that_goes_with_the_question() {
        let question = Solicitation::multicast(MAC, ASKER, TARGET);
        let probe = Solicitation::multicast(MAC, Ipv6Addr::UNSPECIFIED, TARGET);
        let everybody = group_address(ALL_NODES);
        let (told, shouted) = (advertisement(ASKER, true), advertisement(ALL_NODES, false));
        let rows = [
            (question, told, MAC, Some(OTHER)),
            (question, shouted, everybody, None),
            (question, advertisement(ASKER, false), MAC, None),
            (question, told, OTHER, None),
            (probe, shouted, everybody, Some(OTHER)),
            (probe, told, MAC, None),
            (probe, advertisement(ALL_NODES, true), everybody, None),
        ];
        for (number, (question, answer, to, expected)) in rows.into_iter().enumerate() {
            assert_eq!(question.answer(&answer.frame(to)), expected, "row {number}");
        }
    }

    #[test]
    fn only_a_unicast_answer_may_leave_its_address_out() {
        let bare = Advertisement {
            target_link_layer: None,
            ..advertisement(ASKER, true)
        };
        let unicast = Solicitation::unicast(OTHER, MAC, ASKER, TARGET);
        assert_eq!(unicast.answer(&bare.frame(MAC)), Some(OTHER));
        let multicast = Solicitation::multicast(MAC, ASKER, TARGET);
        assert_eq!(multicast.answer(&bare.frame(MAC)), None);
    }
}
