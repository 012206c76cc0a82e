//! Messages of neighbour discovery, their options, and the offsets of their fields in a frame.

use std::net::Ipv6Addr;

use crate::{
    IPV6, IpPacket, Mac, array, checksum, ether_type,
    ip::{number::ICMPV6, v6},
    patched,
};

/// Length of a frame with a message without options.
pub const LEN: usize = 78;
/// Offset of the type.
pub const TYPE: usize = 54;
/// Offset of the code.
pub const CODE: usize = 55;
/// Offset of the checksum.
pub const CHECKSUM: usize = 56;
/// Offset of the flags of an advertisement.
pub const FLAGS: usize = 58;
/// Offset of the target.
pub const TARGET: usize = 62;
/// Offset of the first option.
pub const OPTIONS: usize = 78;

/// Type of a solicitation.
pub const SOLICITATION: u8 = 135;
/// Type of an advertisement.
pub const ADVERTISEMENT: u8 = 136;
/// Option: source link-layer address (RFC 4861 §4.6.1).
pub const SOURCE_MAC: u8 = 1;
/// Option: target link-layer address.
pub const TARGET_MAC: u8 = 2;
/// Option: nonce (RFC 3971 §5.3.2).
pub const NONCE: u8 = 14;
/// Flag R of an advertisement: its sender forwards.
pub const ROUTER: u8 = 0x80;
/// Flag S: it answers a solicitation.
pub const SOLICITED: u8 = 0x40;
/// Flag O: it replaces what its receiver knows.
pub const OVERRIDE: u8 = 0x20;

/// The group of all nodes.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The MAC that it is sent to.
pub const ALL_NODES_MAC: Mac = group_mac(ALL_NODES);

/// Returns the solicited-node group of an address (RFC 4291 §2.7.1).
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (high & 0xff), low)
}

/// Returns the MAC that a multicast address is sent to (RFC 2464 §7).
pub const fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

/// How the checksum of a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Right.
    Right,
    /// Off by one.
    Wrong,
    /// Not computed.
    Zero,
}

/// A solicitation or an advertisement, valid or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nd {
    /// Destination of the frame.
    pub eth_dst: Mac,
    /// Source of the frame.
    pub eth_src: Mac,
    /// IP version.
    pub version: u8,
    /// What is added to the right payload length.
    pub length_error: i16,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// Extension headers: the next header of the IPv6 header, and bytes up to the message.
    pub extension: Option<(u8, Vec<u8>)>,
    /// `ICMPv6` type: 135 or 136.
    pub kind: u8,
    /// `ICMPv6` code.
    pub code: u8,
    /// `ICMPv6` checksum.
    pub checksum: Checksum,
    /// The four bytes behind the checksum: reserved, or flags of an advertisement.
    pub flags: [u8; 4],
    /// Target address.
    pub target: Ipv6Addr,
    /// Options, as they are on the wire.
    pub options: Vec<u8>,
}

impl Nd {
    /// Returns a solicitation to the solicited-node group of `target`. One from `::` names no MAC (RFC 4862 §5.4.2).
    pub fn multicast(mac: Mac, src: Ipv6Addr, target: Ipv6Addr) -> Self {
        let dst = solicited_node(target);
        Self {
            eth_dst: group_mac(dst),
            eth_src: mac,
            version: 6,
            length_error: 0,
            hop_limit: 255,
            src,
            dst,
            extension: None,
            kind: SOLICITATION,
            code: 0,
            checksum: Checksum::Right,
            flags: [0; 4],
            target,
            options: if src.is_unspecified() {
                Vec::new()
            } else {
                option(SOURCE_MAC, &mac)
            },
        }
    }

    /// Returns a solicitation to `target` itself at the MAC `to`, as a neighbour entry ages.
    pub fn unicast(to: Mac, mac: Mac, src: Ipv6Addr, target: Ipv6Addr) -> Self {
        Self {
            eth_dst: to,
            dst: target,
            ..Self::multicast(mac, src, target)
        }
    }

    /// Returns the unsolicited advertisement by which the station with `mac` claims `target`.
    pub fn announcement(mac: Mac, target: Ipv6Addr) -> Self {
        Self {
            eth_dst: ALL_NODES_MAC,
            dst: ALL_NODES,
            kind: ADVERTISEMENT,
            flags: flags("O"),
            options: option(TARGET_MAC, &mac),
            ..Self::multicast(mac, target, target)
        }
    }

    /// Returns the advertisement of the station with `mac` (RFC 4861 §7.2.4), with these flags and options.
    pub fn answered(&self, mac: Mac, letters: &str, options: Vec<u8>) -> Self {
        let (eth_dst, dst) = if self.is_probe() {
            (ALL_NODES_MAC, ALL_NODES)
        } else {
            let asker = self.mac(SOURCE_MAC).unwrap_or(self.eth_src);
            (asker, self.src)
        };
        Self {
            eth_dst,
            dst,
            flags: flags(letters),
            options,
            ..Self::announcement(mac, self.target)
        }
    }

    /// Returns the same message with these options.
    pub fn with(self, options: Vec<u8>) -> Self {
        Self { options, ..self }
    }

    /// Returns whether it is a probe of duplicate address detection.
    pub fn is_probe(&self) -> bool {
        self.src.is_unspecified()
    }

    /// Returns whether an advertisement answers a solicitation.
    pub fn is_solicited(&self) -> bool {
        self.flags[0] & SOLICITED != 0
    }

    /// Returns the type and all bytes of each option. `None` if they are not well-formed.
    pub fn option_list(&self) -> Option<Vec<(u8, &[u8])>> {
        let mut list = Vec::new();
        let mut rest = &self.options[..];
        while !rest.is_empty() {
            let units = usize::from(*rest.get(1)?);
            let (option, behind) = rest.split_at_checked(units * 8)?;
            list.push((*option.first()?, option));
            rest = behind;
        }
        Some(list)
    }

    /// Returns the MAC in the first option of this type, if its options are well-formed.
    pub fn mac(&self, kind: u8) -> Option<Mac> {
        let list = self.option_list()?;
        let (_, option) = list.iter().find(|(found, _)| *found == kind)?;
        array(option, 2)
    }

    /// Returns the frame.
    pub fn frame(&self) -> Vec<u8> {
        let head = [self.kind, self.code, 0, 0];
        let message = [&head[..], &self.flags, &self.target.octets(), &self.options].concat();
        let macs = [self.eth_dst, self.eth_src];
        let mut packet = IpPacket::icmpv6(macs, self.src, self.dst, message);
        match self.checksum {
            Checksum::Right => {}
            Checksum::Wrong => packet.payload[3] = packet.payload[3].wrapping_add(1),
            Checksum::Zero => packet.payload[2..4].fill(0),
        }
        packet.hop_limit = self.hop_limit;
        if let Some((next_header, before)) = &self.extension {
            packet.protocol = *next_header;
            packet.payload.splice(0..0, before.iter().copied());
        }
        let len = i32::try_from(packet.payload.len()).expect("a message that fits a packet");
        let len = u16::try_from(len + i32::from(self.length_error)).unwrap_or(0);
        let frame = patched(packet.frame(), v6::PAYLOAD_LEN, &len.to_be_bytes());
        patched(frame, v6::VERSION, &[self.version << 4])
    }

    /// Reads an advertisement that is valid by RFC 4861 §7.1.2.
    pub fn advertisement(frame: &[u8]) -> Option<Self> {
        Self::parse(frame).filter(|message| message.kind == ADVERTISEMENT)
    }

    /// Reads a message that is valid by RFC 4861 §7.1.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let address = |at| Some(Ipv6Addr::from(array::<16>(frame, at)?));
        let message = message(frame)?;
        let (src, dst) = (address(v6::SRC)?, address(v6::DST)?);
        let &[kind @ (SOLICITATION | ADVERTISEMENT), 0, ..] = message else {
            return None;
        };
        let is_valid = ether_type(frame)? == IPV6
            && array(frame, v6::NEXT_HEADER)? == [ICMPV6, 255]
            && checksum(frame)? == checksum::RIGHT;
        is_valid.then_some(Self {
            eth_dst: array(frame, 0)?,
            eth_src: array(frame, 6)?,
            dst,
            kind,
            flags: array(message, FLAGS - TYPE)?,
            options: message.get(OPTIONS - TYPE..)?.to_vec(),
            ..Self::multicast([0; 6], src, address(TARGET)?)
        })
    }
}

/// Returns the bytes behind the checksum with these flags, by the letters that RFC 4861 calls them with.
pub fn flags(letters: &str) -> [u8; 4] {
    let flag = |letter| match letter {
        'R' => ROUTER,
        'S' => SOLICITED,
        'O' => OVERRIDE,
        _ => panic!("no flag {letter}"),
    };
    [letters.chars().map(flag).sum(), 0, 0, 0]
}

/// Returns an option with this value, filled up with zeros to whole units of 8 bytes.
pub fn option(kind: u8, value: &[u8]) -> Vec<u8> {
    let units = (value.len() + 2).div_ceil(8);
    let head = [kind, u8::try_from(units).expect("a short option")];
    let mut option = [&head[..], value].concat();
    option.resize(units * 8, 0);
    option
}

/// Returns what is left of the checksum of the `ICMPv6` message of a frame over all of it (RFC 4443 §2.3), or `None` if
/// the frame is shorter than its payload length says.
pub fn checksum(frame: &[u8]) -> Option<[u8; 2]> {
    let address = |at| Some(Ipv6Addr::from(array::<16>(frame, at)?));
    let (src, dst) = (address(v6::SRC)?, address(v6::DST)?);
    Some(checksum::icmpv6(src, dst, message(frame)?))
}

/// Returns what is behind the IPv6 header, as long as that says.
fn message(frame: &[u8]) -> Option<&[u8]> {
    let len = u16::from_be_bytes(array(frame, v6::PAYLOAD_LEN)?);
    frame.get(v6::LEN..v6::LEN + usize::from(len))
}

/// Returns the frame with a right checksum, if it has a place for one.
pub fn checksummed(frame: Vec<u8>) -> Vec<u8> {
    let Some(old) = array::<2>(&frame, CHECKSUM) else {
        return frame;
    };
    let frame = patched(frame, CHECKSUM, &[0, 0]);
    let sum = checksum(&frame).unwrap_or(old);
    patched(frame, CHECKSUM, &sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 1];
    const ASKER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x91, 0, 0, 0, 0, 0x10);
    const CHILD: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x91, 0, 0, 0, 0x12, 0x3456);

    #[test]
    fn a_group_has_the_last_bytes_of_its_address() {
        let group = solicited_node(CHILD);
        assert_eq!(group.to_string(), "ff02::1:ff12:3456");
        assert_eq!(group_mac(group), [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
    }

    #[test]
    fn lengths_are_those_of_the_kernel() {
        assert_eq!(Nd::multicast(MAC, ASKER, CHILD).frame().len(), 86);
        let probe = Nd::multicast(MAC, Ipv6Addr::UNSPECIFIED, CHILD);
        assert_eq!(probe.frame().len(), 78);
    }

    #[test]
    fn a_message_is_read_as_it_was_written_and_nothing_that_is_not_valid() {
        let asked = Nd::unicast([4; 6], MAC, ASKER, CHILD);
        let answer = asked.answered([4; 6], "RS", option(TARGET_MAC, &[4; 6]));
        assert_eq!(answer.mac(TARGET_MAC), Some([4; 6]));
        for message in [asked, answer] {
            let frame = message.frame();
            assert_eq!(checksum(&frame), Some(checksum::RIGHT));
            for byte in [12, 20, 21, 25, 54, 55, 60, 70, 85] {
                let other = patched(frame.clone(), byte, &[frame[byte] ^ 1]);
                assert_eq!(Nd::parse(&other), None, "byte {byte}");
            }
            for len in 0..frame.len() {
                assert_eq!(Nd::parse(&frame[..len]), None, "{len}");
            }
            assert_eq!(Nd::parse(&frame), Some(message));
        }
    }

    #[test]
    fn a_field_that_no_neighbour_sends_is_written() {
        let valid = Nd::multicast(MAC, ASKER, CHILD);
        let odd = Nd {
            version: 5,
            length_error: -8,
            hop_limit: 3,
            extension: Some((0, vec![58, 0, 1, 4, 0, 0, 0, 0])),
            checksum: Checksum::Wrong,
            ..valid.clone()
        }
        .frame();
        assert_eq!(odd.len(), 94);
        assert_eq!(odd[14..22], [0x50, 0, 0, 0, 0, 32, 0, 3]);
        let sum = u16::from_be_bytes(array(&valid.frame(), CHECKSUM).unwrap());
        let wrong = u16::from_be_bytes(array(&odd, CHECKSUM + 8).unwrap());
        assert_ne!(wrong, sum);
    }
}
