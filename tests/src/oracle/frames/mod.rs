//! The frames that are sent, and the answers that the standards have for them.
//!
//! Headers are etherparse's; what has no valid form is put in its place afterwards.

mod nd;

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{
    ArpEthIpv4Packet, ArpOperation, EtherType, Ethernet2Header, SingleVlanHeader, VlanId, VlanPcp,
};

pub(crate) use self::nd::{
    ADVERTISEMENT, Checksum, Nd, OVERRIDE, ROUTER, SOLICITATION, SOLICITED, SOURCE_MAC, TARGET_MAC,
    group_mac, mac_option, solicited_node,
};
use super::world::PARENT_MAC;

/// An Ethernet address.
pub(crate) type Mac = [u8; 6];
/// Everybody.
pub(crate) const BROADCAST: Mac = [0xff; 6];
/// Nobody.
pub(crate) const ZERO: Mac = [0; 6];
/// A station on the LAN that no frame is meant for.
pub(crate) const OTHER_STATION: Mac = [2, 0x77, 0xee, 0, 0, 1];
/// An Ethernet multicast address of IPv4.
pub(crate) const GROUP: Mac = [1, 0, 0x5e, 0, 0, 1];
/// Everybody on the link.
pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// A byte that no answer may contain by itself; fills what is behind a message.
pub(crate) const JUNK: u8 = 0xa5;
/// The length of an Ethernet header.
pub(crate) const ETHERNET_LEN: usize = 14;

/// Who asks: every frame has one of its own, so that no frame finds a neighbour entry of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    /// Its MAC.
    pub mac: Mac,
    /// Its address in 10.77.0.0/16.
    pub v4: Ipv4Addr,
    /// Its address in `fd77::/64`.
    pub v6: Ipv6Addr,
    /// Its link-local address.
    pub link_local: Ipv6Addr,
}

impl Asker {
    /// The asker with this number.
    #[must_use]
    pub(crate) fn new(number: u16) -> Self {
        let [high, low] = number.to_be_bytes();
        // The addresses of the topology and of the sentinel are outside of what this gives.
        let third = 16 + high % 224;
        Self {
            mac: [2, 0x77, 0xa5, 0, high, low],
            v4: Ipv4Addr::new(10, 77, third, low),
            v6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0xa5, number),
            link_local: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa5, number),
        }
    }
}

/// An ARP message, valid or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arp {
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
    /// `asker` asks everybody for `tpa`.
    #[must_use]
    pub(crate) fn request(asker: &Asker, tpa: Ipv4Addr) -> Self {
        Self {
            eth_dst: BROADCAST,
            eth_src: asker.mac,
            htype: 1,
            ptype: EtherType::IPV4.0,
            hlen: 6,
            plen: 4,
            oper: ArpOperation::REQUEST.0,
            sha: asker.mac,
            spa: asker.v4,
            tha: ZERO,
            tpa,
        }
    }

    /// The answer to it from whoever has [`PARENT_MAC`]: RFC 826, as `arp_create` writes it.
    #[must_use]
    pub(crate) fn answer(&self) -> Vec<u8> {
        Self {
            eth_dst: self.sha,
            eth_src: PARENT_MAC,
            htype: 1,
            oper: ArpOperation::REPLY.0,
            sha: PARENT_MAC,
            spa: self.tpa,
            tha: self.sha,
            tpa: self.spa,
            ..*self
        }
        .bytes()
    }

    /// The frame: 42 bytes.
    #[must_use]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let header = Ethernet2Header {
            source: self.eth_src,
            destination: self.eth_dst,
            ether_type: EtherType::ARP,
        };
        let message = ArpEthIpv4Packet {
            operation: ArpOperation(self.oper),
            sender_mac: self.sha,
            sender_ipv4: self.spa.octets(),
            target_mac: self.tha,
            target_ipv4: self.tpa.octets(),
        };
        let mut frame = [&header.to_bytes()[..], &message.to_bytes()].concat();
        frame[14..16].copy_from_slice(&self.htype.to_be_bytes());
        frame[16..18].copy_from_slice(&self.ptype.to_be_bytes());
        frame[18] = self.hlen;
        frame[19] = self.plen;
        frame
    }
}

/// `frame` with an 802.1Q tag of `tpid` behind its addresses.
#[must_use]
pub(crate) fn tagged(frame: &[u8], tpid: u16, tag: u16) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    let [priority, _] = tag.to_be_bytes();
    let header = SingleVlanHeader {
        pcp: VlanPcp::try_new(priority >> 5).unwrap_or(VlanPcp::ZERO),
        drop_eligible_indicator: priority & 0x10 != 0,
        vlan_id: VlanId::try_new(tag & 0xfff).unwrap_or(VlanId::ZERO),
        ether_type: EtherType(u16::from_be_bytes([rest[0], rest[1]])),
    };
    let tag = header.to_bytes();
    [addresses, &tpid.to_be_bytes(), &tag, &rest[2..]].concat()
}
