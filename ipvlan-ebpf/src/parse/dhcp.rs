//! DHCP requests of l2 children (RFC 2131).
//!
//! A server sends its offer to the offered address, in a frame for the MAC of the client. The driver delivers by
//! destination address, and no child has that one yet. A client that sets the broadcast flag gets its offer by
//! broadcast, which the driver copies to every l2 child: the flag is set here, for clients that do not.
//!
//! These are passed on unchanged: a request that a relay forwards (`giaddr`), one of a client that has its address
//! (`ciaddr`), fragments, messages other than DHCPDISCOVER and DHCPREQUEST, and malformed ones.

use super::ETH_P_IP;
use crate::{
    opaque::is_zero,
    wire::{ETH_LEN, Mac},
};

/// Offset of the IPv4 header.
#[allow(clippy::cast_possible_truncation, reason = "the length of a header")]
const IPV4_AT: u32 = ETH_LEN as u32;
/// Lengths of an IPv4 header without options and of a UDP header.
const IPV4_LEN: u32 = 20;
const UDP_LEN: u32 = 8;
/// Length of the fixed part of a message, with the magic cookie (RFC 2131 §2, RFC 951).
const FIXED_LEN: u32 = 240;

/// Offset of the checksum in a UDP header.
const UDP_CHECKSUM: u32 = 6;
/// Offsets in a message.
const FLAGS: u32 = 10;
const CIADDR: u32 = 12;
const GIADDR: u32 = 24;
const CHADDR: u32 = 28;
const COOKIE: u32 = 236;

const PROTOCOL_UDP: u8 = 17;
const CLIENT_PORT: [u8; 2] = 68_u16.to_be_bytes();
const SERVER_PORT: [u8; 2] = 67_u16.to_be_bytes();
const BOOTREQUEST: u8 = 1;
const HTYPE_ETHERNET: u8 = 1;
const MAC_LEN: u8 = 6;
const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];
/// The broadcast flag, in the first byte of the field.
const BROADCAST: u8 = 0x80;

/// Option codes (RFC 2132).
const PAD: u8 = 0;
const MESSAGE_TYPE: u8 = 53;
const CLIENT_ID: u8 = 61;
const END: u8 = 255;
const DHCPDISCOVER: u8 = 1;
const DHCPREQUEST: u8 = 3;

/// Reads a frame, whether it is linear or not.
pub trait Bytes {
    /// The length of the frame.
    fn len(&self) -> u32;

    /// Whether there is nothing in the frame.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the `N` bytes at `at`, if the frame has them.
    fn read<const N: usize>(&self, at: u32) -> Option<[u8; N]>;

    /// Returns what [`step`] makes of a walk. For a frame in the kernel that is a call which the verifier does not
    /// follow.
    fn step(&self, walk: u64, end: u32) -> u64
    where
        Self: Sized,
    {
        step(self, walk, end)
    }
}

/// A request of a client that has no address yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Offset of the UDP checksum in the frame.
    pub checksum_at: u32,
    /// Offset of the flags in the frame.
    pub flags_at: u32,
    /// The flags, in network byte order.
    pub flags: [u8; 2],
    /// Whether the request identifies its client by more than the MAC that all children share.
    pub is_identified: bool,
}

impl Request {
    /// The flags with the broadcast flag, in network byte order; `None` if it is set already.
    #[must_use]
    #[inline(always)]
    pub const fn broadcast(&self) -> Option<[u8; 2]> {
        let [first, second] = self.flags;
        if first & BROADCAST == 0 {
            Some([first | BROADCAST, second])
        } else {
            None
        }
    }
}

/// Parses an IPv4 frame that a station with the MAC `own` broadcasts. `None` unless it is a DHCPDISCOVER or
/// DHCPREQUEST, not relayed, of a client without an address.
#[must_use]
#[inline(always)]
pub fn parse_request(frame: &impl Bytes, own: Mac) -> Option<Request> {
    let [eth_src @ .., high, low] = frame.read::<8>(6)?;
    let ip = frame.read::<{ IPV4_LEN as usize }>(IPV4_AT)?;
    let header_len = u32::from(ip[0] & 0x0f) * 4;
    let total_len = u32::from(u16::from_be_bytes([ip[2], ip[3]]));
    // Any fragment but a whole packet: an offset, or more of them.
    let is_fragment = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff != 0;
    if Mac::new(eth_src) != own
        || u16::from_be_bytes([high, low]) != ETH_P_IP
        || ip[0] >> 4 != 4
        || header_len < IPV4_LEN
        || is_fragment
        || ip[9] != PROTOCOL_UDP
        || frame.len() < IPV4_AT + total_len
    {
        return None;
    }
    let udp_at = IPV4_AT + header_len;
    let udp = frame.read::<{ UDP_LEN as usize }>(udp_at)?;
    let udp_len = u32::from(u16::from_be_bytes([udp[4], udp[5]]));
    if [udp[0], udp[1]] != CLIENT_PORT
        || [udp[2], udp[3]] != SERVER_PORT
        || udp_len < UDP_LEN + FIXED_LEN
        || total_len < header_len + udp_len
    {
        return None;
    }
    let at = udp_at + UDP_LEN;
    let [op, htype, hlen, _hops] = frame.read::<4>(at)?;
    let flags = frame.read::<2>(at + FLAGS)?;
    if op != BOOTREQUEST
        || htype != HTYPE_ETHERNET
        || hlen != MAC_LEN
        || frame.read::<4>(at + CIADDR)? != [0; 4]
        || frame.read::<4>(at + GIADDR)? != [0; 4]
        || frame.read::<4>(at + COOKIE)? != MAGIC_COOKIE
    {
        return None;
    }
    let walk = find_options(frame, at + FIXED_LEN, udp_at + udp_len);
    if !matches!(walk.message_type, DHCPDISCOVER | DHCPREQUEST) {
        return None;
    }
    let chaddr = frame.read::<6>(at + CHADDR)?;
    let has_own_mac = Mac::new(chaddr) != own;
    Some(Request {
        checksum_at: udp_at + UDP_CHECKSUM,
        flags_at: at + FLAGS,
        flags,
        is_identified: has_own_mac || is_identifier(frame, walk.client_id, own),
    })
}

/// How far the options have been read, and what they said.
struct Walk {
    /// Offset of the next option, less than 2²⁴.
    at: u32,
    /// Offset of the client identifier's length, less than 2²⁴; 0 without one.
    client_id: u32,
    /// Value of the message type; 0 without one.
    message_type: u8,
}

impl Walk {
    /// The walk as a number, which is all that a function of its own may return.
    #[inline(always)]
    fn pack(&self) -> u64 {
        u64::from(self.at) | u64::from(self.client_id) << 24 | u64::from(self.message_type) << 48
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "what is above is cut off")]
    const fn unpack(walk: u64) -> Self {
        const OFFSET: u32 = 0x00ff_ffff;
        Self {
            at: walk as u32 & OFFSET,
            client_id: (walk >> 24) as u32 & OFFSET,
            message_type: (walk >> 48) as u8,
        }
    }
}

/// Reads the first 16 options between `at` and `end`, each byte of padding one. Clients send about ten.
///
/// Not a loop: without `CAP_PERFMON` the verifier of Linux 6.12 did not get to the end of one within minutes.
#[inline(always)]
fn find_options(frame: &impl Bytes, at: u32, end: u32) -> Walk {
    let start = Walk {
        at,
        client_id: 0,
        message_type: 0,
    };
    let one = |walk| frame.step(walk, end);
    let four = |walk| one(one(one(one(walk))));
    Walk::unpack(four(four(four(four(start.pack())))))
}

/// Reads one option that ends at or before `end`. A walk that is at the end stays there.
#[inline(always)]
pub fn step(frame: &impl Bytes, walk: u64, end: u32) -> u64 {
    let Walk {
        at,
        client_id,
        message_type,
    } = Walk::unpack(walk);
    // The shortest option that matters has three bytes, and the end is behind it.
    if at + 3 > end {
        return walk;
    }
    let Some([code, len, value]) = frame.read::<3>(at) else {
        return walk;
    };
    // Without a branch: each would double the ways that the verifier follows.
    let is = |option: u8| is_zero(u64::from(code ^ option)).wrapping_neg();
    let choose = |option, then: u64, or: u64| (then & is(option)) | (or & !is(option));
    let len = (1 + u64::from(len)) & !is(PAD);
    let next = u64::from(at) + 1 + len + (u64::from(end) & is(END));
    let client_id = choose(CLIENT_ID, u64::from(at) + 1, client_id.into());
    let message_type = choose(MESSAGE_TYPE, value.into(), message_type.into());
    next | client_id << 24 | message_type << 48
}

/// Whether the client identifier whose length is at `at` is more than the MAC `own`.
#[inline(always)]
fn is_identifier(frame: &impl Bytes, at: u32, own: Mac) -> bool {
    if at == 0 {
        return false;
    }
    let Some([len, htype, mac @ ..]) = frame.read::<8>(at) else {
        // Shorter than a MAC.
        return true;
    };
    len != 1 + MAC_LEN || htype != HTYPE_ETHERNET || Mac::new(mac) != own
}

#[cfg(test)]
mod tests;
