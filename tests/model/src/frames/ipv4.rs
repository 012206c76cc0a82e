//! IPv4 packets, and the offsets of their fields.

use bytes::BufMut as _;
use etherparse::{IpFragOffset, IpNumber, Ipv4Header, Ipv4Options};

use super::{
    super::world::{HOST_IP, Ip, LAN, LAN_IP, Mac, PARENT},
    ethernet,
};

/// Length of a header without options, with its Ethernet header.
pub const LEN: usize = 34;

pub const VERSION_IHL: usize = 14;
pub const TOTAL_LEN: usize = 16;
pub const SRC: usize = 26;
pub const DST: usize = 30;

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
            src: HOST_IP,
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
