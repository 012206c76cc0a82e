//! ARP messages, and the offsets of their fields.

use etherparse::{ArpEthIpv4Packet, ArpOperation, PacketBuilder};

use super::super::world::{BROADCAST, Ip, LAN, LAN_IP, Mac, PARENT, ZERO};

/// Length of a message with its Ethernet header.
pub const LEN: usize = 42;

pub const HTYPE: usize = 14;
pub const PTYPE: usize = 16;
pub const HLEN: usize = 18;
pub const PLEN: usize = 19;
pub const OPER: usize = 20;
pub const SHA: usize = 22;
pub const SPA: usize = 28;
pub const THA: usize = 32;
pub const TPA: usize = 38;

/// An ARP message for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug)]
pub struct Arp {
    pub eth_src: Mac,
    pub eth_dst: Mac,
    pub oper: u16,
    pub sha: Mac,
    pub spa: Ip,
    pub tha: Mac,
    pub tpa: Ip,
}

impl Arp {
    /// A LAN host asks everybody for `tpa`.
    pub const fn request(tpa: Ip) -> Self {
        Self {
            eth_src: LAN,
            eth_dst: BROADCAST,
            oper: 1,
            sha: LAN,
            spa: LAN_IP,
            tha: ZERO,
            tpa,
        }
    }

    /// The host, or an l2 child, asks everybody for `tpa`.
    pub const fn from_parent(spa: Ip, tpa: Ip) -> Self {
        Self {
            eth_src: PARENT,
            sha: PARENT,
            spa,
            ..Self::request(tpa)
        }
    }

    /// What `arp_create` of the kernel makes of a request, from whoever has `mac`.
    pub const fn answered_by(self, mac: Mac) -> Self {
        Self {
            eth_src: mac,
            eth_dst: self.sha,
            oper: 2,
            sha: mac,
            spa: self.tpa,
            tha: self.sha,
            tpa: self.spa,
        }
    }

    pub fn frame(self) -> Vec<u8> {
        let packet = ArpEthIpv4Packet {
            operation: ArpOperation(self.oper),
            sender_mac: self.sha,
            sender_ipv4: self.spa,
            target_mac: self.tha,
            target_ipv4: self.tpa,
        };
        let builder = PacketBuilder::ethernet2(self.eth_src, self.eth_dst).arp(packet.into());
        let mut frame = Vec::with_capacity(builder.size());
        builder.write(&mut frame).expect("write to a vector");
        assert_eq!(frame.len(), LEN);
        frame
    }
}
