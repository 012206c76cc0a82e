//! DHCP messages of clients (RFC 2131), and the offsets of their fields in a frame.

use std::net::Ipv4Addr;

use etherparse::UdpHeader;

use crate::{BROADCAST, IpPacket, Mac};

/// Offset of the UDP checksum in a frame without IPv4 options.
pub const CHECKSUM: usize = 40;
/// Offset of the message.
pub const MESSAGE: usize = 42;
/// Offset of the flags.
pub const FLAGS: usize = MESSAGE + 10;
/// Offset of the first option.
pub const OPTIONS: usize = MESSAGE + 240;

/// Option: padding (RFC 2132 §3.1).
pub const PAD: u8 = 0;
/// Option: host name.
pub const HOST_NAME: u8 = 12;
/// Option: message type.
pub const MESSAGE_TYPE: u8 = 53;
/// Option: requested parameters.
pub const PARAMETERS: u8 = 55;
/// Option: largest message that the client takes.
pub const MAX_SIZE: u8 = 57;
/// Option: client identifier.
pub const CLIENT_ID: u8 = 61;
/// Option: end of the options.
pub const END: u8 = 255;
/// Message type DHCPDISCOVER.
pub const DISCOVER: u8 = 1;
/// Message type DHCPREQUEST.
pub const REQUEST: u8 = 3;

/// How the UDP checksum is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Right.
    Right,
    /// 0: the sender computes none.
    Absent,
}

/// A broadcast message of a client.
#[derive(Clone, Debug)]
pub struct Dhcp {
    /// Destination of the frame.
    pub eth_dst: Mac,
    /// Source of the frame.
    pub eth_src: Mac,
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Source and destination port.
    pub ports: [u16; 2],
    /// Words of IPv4 options.
    pub option_words: usize,
    /// Flags and fragment offset of IPv4, as they are on the wire.
    pub fragment: u16,
    /// UDP checksum.
    pub checksum: Checksum,
    /// `op`, `htype`, `hlen`, `hops`.
    pub head: [u8; 4],
    /// Transaction.
    pub xid: u32,
    /// Flags: the first one asks for replies by broadcast.
    pub flags: u16,
    /// The address that the client has.
    pub ciaddr: Ipv4Addr,
    /// The address of a relay.
    pub giaddr: Ipv4Addr,
    /// The MAC of the client.
    pub chaddr: Mac,
    /// What marks the options as those of DHCP.
    pub cookie: [u8; 4],
    /// Everything behind the cookie.
    pub options: Vec<u8>,
}

/// Returns an option.
pub fn option(code: u8, value: &[u8]) -> Vec<u8> {
    let len = u8::try_from(value.len()).expect("a short value");
    [&[code, len], value].concat()
}

/// Returns the value of the first option with this code.
pub fn find(mut options: &[u8], code: u8) -> Option<&[u8]> {
    loop {
        match options {
            [PAD, rest @ ..] => options = rest,
            [found, len, rest @ ..] => {
                let (value, rest) = rest.split_at_checked(usize::from(*len))?;
                if *found == code {
                    return Some(value);
                }
                options = rest;
            }
            _ => return None,
        }
    }
}

/// Returns a client identifier that no other client has (RFC 4361).
pub fn client_id() -> Vec<u8> {
    option(CLIENT_ID, &[255, 0, 0, 0, 7, 0, 2, 0, 0, 0xab, 0x11, 9, 9])
}

/// Returns the parameters that clients request.
pub fn parameters() -> Vec<u8> {
    option(PARAMETERS, &[1, 3, 6, 12, 15, 28, 42])
}

impl Dhcp {
    /// Returns a DHCPDISCOVER or DHCPREQUEST of a client with an identifier.
    pub fn new(mac: Mac, message_type: u8) -> Self {
        Self::with(
            mac,
            &[
                option(MESSAGE_TYPE, &[message_type]),
                client_id(),
                option(MAX_SIZE, &[2, 64]),
                parameters(),
                vec![END],
            ],
        )
    }

    /// Returns a message with these options.
    pub fn with(mac: Mac, options: &[Vec<u8>]) -> Self {
        Self {
            eth_dst: BROADCAST,
            eth_src: mac,
            src: Ipv4Addr::UNSPECIFIED,
            dst: Ipv4Addr::BROADCAST,
            ports: [68, 67],
            option_words: 0,
            fragment: 0,
            checksum: Checksum::Right,
            head: [1, 1, 6, 0],
            xid: 0x1234_5678,
            flags: 0,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            giaddr: Ipv4Addr::UNSPECIFIED,
            chaddr: mac,
            cookie: [99, 130, 83, 99],
            options: options.concat(),
        }
    }

    /// Returns the same message with the broadcast flag.
    pub fn broadcast(&self) -> Self {
        Self {
            flags: self.flags | 0x8000,
            ..self.clone()
        }
    }

    /// Returns the message behind the UDP header.
    pub fn message(&self) -> Vec<u8> {
        let seconds: u16 = 3;
        [
            &self.head[..],
            &self.xid.to_be_bytes(),
            &seconds.to_be_bytes(),
            &self.flags.to_be_bytes(),
            &self.ciaddr.octets(),
            &[0; 8],
            &self.giaddr.octets(),
            &self.chaddr,
            &[0; 10 + 64 + 128],
            &self.cookie,
            &self.options,
        ]
        .concat()
    }

    /// Returns the frame.
    pub fn frame(&self) -> Vec<u8> {
        let message = self.message();
        let [from, to] = self.ports;
        let (src, dst) = (self.src.octets(), self.dst.octets());
        let len = u16::try_from(8 + message.len()).expect("a short message");
        let mut udp = UdpHeader {
            source_port: from,
            destination_port: to,
            length: len,
            checksum: 0,
        };
        if self.checksum == Checksum::Right {
            let sum = udp.calc_checksum_ipv4_raw(src, dst, &message);
            udp.checksum = sum.expect("a short message");
        }
        IpPacket {
            option_words: self.option_words,
            fragment: self.fragment,
            payload: [&udp.to_bytes()[..], &message].concat(),
            ..IpPacket::udp([self.eth_dst, self.eth_src], src, dst)
        }
        .frame()
    }
}
