//! Internet checksums (RFC 1071), as they are on the wire.

use std::net::Ipv6Addr;

use etherparse::{IpNumber, checksum::Sum16BitWords};

/// The checksum of a message that contains its own right checksum.
pub const RIGHT: [u8; 2] = [0; 2];

/// Returns the checksum of `message`, whose checksum field is zero.
pub fn internet(message: &[u8]) -> [u8; 2] {
    // etherparse sums words in the order of memory, which is that of the wire.
    let sum = Sum16BitWords::new().add_slice(message);
    sum.ones_complement().to_ne_bytes()
}

/// Returns the checksum of an `ICMPv6` message with its pseudo header (RFC 8200 §8.1).
pub fn icmpv6(src: Ipv6Addr, dst: Ipv6Addr, message: &[u8]) -> [u8; 2] {
    let len = u32::try_from(message.len()).expect("a message of less than 4 GiB");
    let sum = Sum16BitWords::new()
        .add_16bytes(src.octets())
        .add_16bytes(dst.octets())
        .add_4bytes(len.to_be_bytes())
        .add_4bytes([0, 0, 0, IpNumber::IPV6_ICMP.0])
        .add_slice(message);
    sum.ones_complement().to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_example_in_rfc_1071() {
        let sum = internet(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(u16::from_be_bytes(sum), !0xddf2);
    }

    #[test]
    fn a_message_with_its_checksum_sums_to_zero() {
        let (src, dst) = (Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED);
        let mut message = [128, 0, 0, 0, 0, 7, 0, 1, 9];
        let sum = icmpv6(src, dst, &message);
        message[2..4].copy_from_slice(&sum);
        assert_eq!(icmpv6(src, dst, &message), RIGHT);
        message[8] ^= 1;
        assert_ne!(icmpv6(src, dst, &message), RIGHT);
    }
}
