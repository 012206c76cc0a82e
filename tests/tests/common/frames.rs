//! Frames. `etherparse` writes what is valid, `bytes` what is not.

use bytes::BufMut as _;
use etherparse::{
    ArpEthIpv4Packet, ArpOperation, IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, PacketBuilder,
};

use super::world::{BROADCAST, CHILD_IP, FOREIGN_IP, Ip, LAN, LAN_IP, Mac, PARENT, ZERO};

pub const ETH_LEN: usize = 14;
pub const ARP_LEN: usize = 42;
pub const IPV4_LEN: usize = 34;
/// Byte of trailing junk, to find again.
pub const JUNK: u8 = 0xa5;

/// Offsets of the fields of an ARP frame.
pub mod arp {
    pub const HTYPE: usize = 14;
    pub const PTYPE: usize = 16;
    pub const HLEN: usize = 18;
    pub const PLEN: usize = 19;
    pub const OPER: usize = 20;
    pub const SHA: usize = 22;
    pub const SPA: usize = 28;
    pub const THA: usize = 32;
    pub const TPA: usize = 38;
}

/// Offsets of the fields of an IPv4 frame.
pub mod ipv4 {
    pub const VERSION_IHL: usize = 14;
    pub const TOTAL_LEN: usize = 16;
    pub const SRC: usize = 26;
    pub const DST: usize = 30;
}

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
        assert_eq!(frame.len(), ARP_LEN);
        frame
    }
}

/// An IPv4 packet with 24 bytes of payload.
#[derive(Clone, Debug)]
pub struct Ipv4 {
    pub eth_src: Mac,
    pub eth_dst: Mac,
    pub src: Ip,
    pub dst: Ip,
    /// Fragment offset in units of 8 bytes.
    pub fragment_offset: u16,
    pub more_fragments: bool,
    pub dont_fragment: bool,
    /// Words of options.
    pub option_words: usize,
}

impl Ipv4 {
    /// What the host sends to a child: its neighbour entry for the child is the parent's own MAC.
    pub const fn from_host(dst: Ip) -> Self {
        Self {
            eth_src: PARENT,
            eth_dst: PARENT,
            src: super::world::HOST_IP,
            dst,
            fragment_offset: 0,
            more_fragments: false,
            dont_fragment: false,
            option_words: 0,
        }
    }

    /// What a LAN host sends to a child.
    pub const fn from_lan(dst: Ip) -> Self {
        Self {
            eth_src: LAN,
            src: LAN_IP,
            ..Self::from_host(dst)
        }
    }

    pub fn frame(&self) -> Vec<u8> {
        let payload = [0x5a; 24];
        let len = u16::try_from(payload.len()).expect("short payload");
        let mut header = Ipv4Header::new(len, 64, IpNumber::UDP, self.src, self.dst)
            .expect("payload fits an IPv4 packet");
        header.fragment_offset =
            IpFragOffset::try_new(self.fragment_offset).expect("13 bits of offset");
        header.more_fragments = self.more_fragments;
        header.dont_fragment = self.dont_fragment;
        let options = vec![1; self.option_words * 4];
        header.options = Ipv4Options::try_from(&options[..]).expect("at most 40 bytes of options");
        header
            .set_payload_len(payload.len())
            .expect("payload fits an IPv4 packet");
        header.header_checksum = header.calc_header_checksum();

        let mut frame = ethernet(self.eth_src, self.eth_dst, 0x0800);
        header.write_raw(&mut frame).expect("write to a vector");
        frame.put_slice(&payload);
        frame
    }
}

/// An Ethernet header.
pub fn ethernet(src: Mac, dst: Mac, ethertype: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(128);
    frame.put_slice(&dst);
    frame.put_slice(&src);
    frame.put_u16(ethertype);
    frame
}

/// A UDP packet over IPv6, to the parent's MAC from itself: what would be hairpinned over IPv4.
pub fn ipv6() -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(PARENT, PARENT)
        .ipv6([0xfd; 16], [0xfe; 16], 64)
        .udp(1, 2);
    let mut frame = Vec::new();
    builder
        .write(&mut frame, &[0; 16])
        .expect("write to a vector");
    frame
}

/// The frame with these bytes at `at`.
pub fn patched(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

/// The frame, filled up with [`JUNK`] to `len` bytes.
pub fn padded(mut frame: Vec<u8>, len: usize) -> Vec<u8> {
    frame.resize(len, JUNK);
    frame
}

/// The frame with 802.1Q tags in front of its ethertype, outermost first: `(TPID, TCI)`.
pub fn tagged(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(frame.len() + 4 * tags.len());
    out.put_slice(&frame[..12]);
    for (tpid, tci) in tags {
        out.put_u16(*tpid);
        out.put_u16(*tci);
    }
    out.put_slice(&frame[12..]);
    out
}

/// Valid frames of every kind that any program looks at.
pub fn valid() -> Vec<Vec<u8>> {
    let request = Arp::request(CHILD_IP);
    let arps = [
        request,
        Arp {
            eth_dst: PARENT,
            ..request
        },
        Arp {
            spa: [0; 4],
            ..request
        },
        Arp::request(FOREIGN_IP),
        Arp::from_parent(super::world::HOST_IP, CHILD_IP),
        Arp::from_parent(CHILD_IP, super::world::HOST_IP),
        Arp {
            eth_dst: PARENT,
            tha: PARENT,
            oper: 2,
            ..Arp::from_parent(super::world::HOST_IP, CHILD_IP)
        },
    ];
    let packets = [
        Ipv4::from_host(CHILD_IP),
        Ipv4::from_lan(CHILD_IP),
        Ipv4::from_lan(super::world::LOCAL_IP),
        Ipv4 {
            eth_dst: LAN,
            ..Ipv4::from_host(CHILD_IP)
        },
        Ipv4 {
            option_words: 3,
            ..Ipv4::from_lan(super::world::LOCAL_IP)
        },
    ];
    arps.into_iter()
        .map(Arp::frame)
        .chain(packets.iter().map(Ipv4::frame))
        .collect()
}
