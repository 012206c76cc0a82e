//! DHCP messages of clients (RFC 2131), and the offsets of their fields.

use bytes::BufMut as _;
use etherparse::{IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, UdpHeader};

use super::{
    super::world::{BROADCAST, Ip, Mac, PARENT},
    ethernet,
};

/// Offset of the UDP checksum in a frame without IPv4 options.
pub const CHECKSUM: usize = 40;
/// Offset of the message.
pub const MESSAGE: usize = 42;
/// Offset of the flags.
pub const FLAGS: usize = MESSAGE + 10;
/// Offset of the first option.
pub const OPTIONS: usize = MESSAGE + 240;

/// Option codes (RFC 2132), and the message types of 53.
pub const PAD: u8 = 0;
pub const HOST_NAME: u8 = 12;
pub const MESSAGE_TYPE: u8 = 53;
const PARAMETERS: u8 = 55;
pub const MAX_SIZE: u8 = 57;
pub const CLIENT_ID: u8 = 61;
pub const END: u8 = 255;
pub const DISCOVER: u8 = 1;
pub const REQUEST: u8 = 3;

/// How the UDP checksum is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    Right,
    /// 0: the sender computes none.
    Absent,
}

/// A message that an l2 child broadcasts.
#[derive(Clone, Debug)]
pub struct Dhcp {
    pub eth_src: Mac,
    pub eth_dst: Mac,
    pub src: Ip,
    pub dst: Ip,
    pub ports: [u16; 2],
    /// Words of IPv4 options.
    pub option_words: usize,
    /// Fragment offset in units of 8 bytes.
    pub fragment_offset: u16,
    pub more_fragments: bool,
    pub checksum: Checksum,
    /// `op`, `htype`, `hlen`, `hops`
    pub head: [u8; 4],
    pub xid: u32,
    pub flags: u16,
    pub ciaddr: Ip,
    pub giaddr: Ip,
    pub chaddr: Mac,
    pub cookie: [u8; 4],
    /// Everything behind the cookie.
    pub options: Vec<u8>,
}

/// An option.
pub fn option(code: u8, value: &[u8]) -> Vec<u8> {
    let len = u8::try_from(value.len()).expect("a short value");
    [&[code, len], value].concat()
}

/// A client identifier that is nobody else's (RFC 4361).
pub fn client_id() -> Vec<u8> {
    option(CLIENT_ID, &[255, 0, 0, 0, 7, 0, 2, 0, 0, 0xab, 0x11, 9, 9])
}

/// What clients ask for.
pub fn parameters() -> Vec<u8> {
    option(PARAMETERS, &[1, 3, 6, 12, 15, 28, 42])
}

impl Dhcp {
    /// A DHCPDISCOVER or DHCPREQUEST, of a client that is identified.
    pub fn new(message_type: u8) -> Self {
        Self::with(&[
            option(MESSAGE_TYPE, &[message_type]),
            client_id(),
            option(MAX_SIZE, &[2, 64]),
            parameters(),
            vec![END],
        ])
    }

    /// A message with these options.
    pub fn with(options: &[Vec<u8>]) -> Self {
        Self {
            eth_src: PARENT,
            eth_dst: BROADCAST,
            src: [0; 4],
            dst: [255; 4],
            ports: [68, 67],
            option_words: 0,
            fragment_offset: 0,
            more_fragments: false,
            checksum: Checksum::Right,
            head: [1, 1, 6, 0],
            xid: 0x1234_5678,
            flags: 0,
            ciaddr: [0; 4],
            giaddr: [0; 4],
            chaddr: PARENT,
            cookie: [99, 130, 83, 99],
            options: options.concat(),
        }
    }

    /// The same client's with the broadcast flag.
    pub fn broadcast(&self) -> Self {
        Self {
            flags: self.flags | 0x8000,
            ..self.clone()
        }
    }

    fn message(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(240 + self.options.len());
        message.put_slice(&self.head);
        message.put_u32(self.xid);
        message.put_u16(3);
        message.put_u16(self.flags);
        message.put_slice(&self.ciaddr);
        message.put_bytes(0, 8);
        message.put_slice(&self.giaddr);
        message.put_slice(&self.chaddr);
        message.put_bytes(0, 10 + 64 + 128);
        message.put_slice(&self.cookie);
        message.put_slice(&self.options);
        message
    }

    pub fn frame(&self) -> Vec<u8> {
        let message = self.message();
        let len = 8 + message.len();
        let mut header = Ipv4Header::new(
            u16::try_from(len).expect("a short message"),
            64,
            IpNumber::UDP,
            self.src,
            self.dst,
        )
        .expect("a message fits an IPv4 packet");
        header.fragment_offset =
            IpFragOffset::try_new(self.fragment_offset).expect("13 bits of offset");
        header.more_fragments = self.more_fragments;
        let options = vec![1; self.option_words * 4];
        header.options = Ipv4Options::try_from(&options[..]).expect("at most 40 bytes of options");
        header
            .set_payload_len(len)
            .expect("a message fits an IPv4 packet");
        header.header_checksum = header.calc_header_checksum();
        let [from, to] = self.ports;
        let mut udp = UdpHeader::with_ipv4_checksum(from, to, &header, &message)
            .expect("a message fits a UDP datagram");
        if self.checksum == Checksum::Absent {
            udp.checksum = 0;
        }
        let mut frame = ethernet(self.eth_src, self.eth_dst, 0x0800);
        header.write_raw(&mut frame).expect("write to a vector");
        udp.write(&mut frame).expect("write to a vector");
        frame.put_slice(&message);
        frame
    }
}
