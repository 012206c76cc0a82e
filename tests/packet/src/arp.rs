//! ARP messages, and the offsets of their fields in a frame.

use std::net::Ipv4Addr;

use etherparse::{ArpEthIpv4Packet, ArpOperation};

use crate::{ARP, BROADCAST, IPV4, Mac, ZERO, array, ether_type, ethernet, patched};

/// Length of a frame with a message for IPv4 over Ethernet.
pub const LEN: usize = 42;
/// Offset of the hardware type.
pub const HTYPE: usize = 14;
/// Offset of the protocol type.
pub const PTYPE: usize = 16;
/// Offset of the length of hardware addresses.
pub const HLEN: usize = 18;
/// Offset of the length of protocol addresses.
pub const PLEN: usize = 19;
/// Offset of the operation.
pub const OPER: usize = 20;
/// Offset of the sender hardware address.
pub const SHA: usize = 22;
/// Offset of the sender protocol address.
pub const SPA: usize = 28;
/// Offset of the target hardware address.
pub const THA: usize = 32;
/// Offset of the target protocol address.
pub const TPA: usize = 38;

/// Operation of a request.
pub const REQUEST: u16 = 1;
/// Operation of a reply.
pub const REPLY: u16 = 2;

/// An ARP message, valid or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Destination of the frame.
    pub eth_dst: Mac,
    /// Source of the frame.
    pub eth_src: Mac,
    /// Hardware type.
    pub htype: u16,
    /// Protocol type.
    pub ptype: u16,
    /// Length of hardware addresses.
    pub hlen: u8,
    /// Length of protocol addresses.
    pub plen: u8,
    /// Operation.
    pub oper: u16,
    /// Sender hardware address.
    pub sha: Mac,
    /// Sender protocol address.
    pub spa: Ipv4Addr,
    /// Target hardware address.
    pub tha: Mac,
    /// Target protocol address.
    pub tpa: Ipv4Addr,
}

impl Arp {
    /// Returns a broadcast request for `tpa`.
    pub const fn request(sha: Mac, spa: Ipv4Addr, tpa: Ipv4Addr) -> Self {
        Self {
            eth_dst: BROADCAST,
            eth_src: sha,
            htype: 1,
            ptype: IPV4,
            hlen: 6,
            plen: 4,
            oper: REQUEST,
            sha,
            spa,
            tha: ZERO,
            tpa,
        }
    }

    /// Returns the same message in a frame to `eth_dst`.
    pub const fn to(self, eth_dst: Mac) -> Self {
        Self { eth_dst, ..self }
    }

    /// Returns the reply of the station with `mac`: RFC 826, as `arp_create` of the kernel writes it.
    pub const fn answered_by(self, mac: Mac) -> Self {
        Self {
            eth_dst: self.sha,
            eth_src: mac,
            htype: 1,
            oper: REPLY,
            sha: mac,
            spa: self.tpa,
            tha: self.sha,
            tpa: self.spa,
            ..self
        }
    }

    /// Returns the frame.
    pub fn frame(self) -> Vec<u8> {
        let message = ArpEthIpv4Packet {
            operation: ArpOperation(self.oper),
            sender_mac: self.sha,
            sender_ipv4: self.spa.octets(),
            target_mac: self.tha,
            target_ipv4: self.tpa.octets(),
        };
        let frame = [
            &ethernet(self.eth_dst, self.eth_src, ARP)[..],
            &message.to_bytes(),
        ];
        let frame = patched(frame.concat(), HTYPE, &self.htype.to_be_bytes());
        let frame = patched(frame, PTYPE, &self.ptype.to_be_bytes());
        patched(frame, HLEN, &[self.hlen, self.plen])
    }

    /// Reads a frame with the `EtherType` of ARP, whatever its fields hold.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        if ether_type(frame)? != ARP {
            return None;
        }
        let number = |at| Some(u16::from_be_bytes(array(frame, at)?));
        Some(Self {
            eth_dst: array(frame, 0)?,
            eth_src: array(frame, 6)?,
            htype: number(HTYPE)?,
            ptype: number(PTYPE)?,
            hlen: *frame.get(HLEN)?,
            plen: *frame.get(PLEN)?,
            oper: number(OPER)?,
            sha: array(frame, SHA)?,
            spa: array::<4>(frame, SPA)?.into(),
            tha: array(frame, THA)?,
            tpa: array::<4>(frame, TPA)?.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written_and_not_when_cut_short() {
        let request = Arp::request([2; 6], [10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let odd = Arp {
            htype: 6,
            ptype: 0x86dd,
            hlen: 5,
            plen: 16,
            oper: 9,
            ..request
        };
        for message in [request, odd, request.answered_by([4; 6])] {
            let frame = message.frame();
            assert_eq!(frame.len(), LEN);
            assert_eq!(Arp::parse(&frame), Some(message));
            for len in 0..LEN {
                assert_eq!(Arp::parse(&frame[..len]), None, "{len}");
            }
            assert_eq!(Arp::parse(&patched(frame, 13, &[0])), None);
        }
    }
}
