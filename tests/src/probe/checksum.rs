//! The checksum of ICMP (RFC 1071) and, with a pseudo header, of `ICMPv6` (RFC 8200 §8.1).

use std::net::Ipv6Addr;

const ICMPV6: u8 = 58;

/// Of `message`, whose own checksum field is zero.
#[must_use]
pub fn internet(message: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in message.chunks(2) {
        sum += u32::from(u16::from_be_bytes([
            pair[0],
            pair.get(1).copied().unwrap_or_default(),
        ]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

/// Of the `ICMPv6` `message` from `source` to `destination`; 0 if its checksum is there and right.
#[must_use]
pub fn icmpv6(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut whole = Vec::with_capacity(40 + message.len());
    whole.extend(source.octets());
    whole.extend(destination.octets());
    whole.extend(length.to_be_bytes());
    whole.extend([0, 0, 0, ICMPV6]);
    whole.extend(message);
    internet(&whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_example_in_rfc_1071() {
        let sum = internet(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum, !0xddf2);
    }

    #[test]
    fn a_message_with_its_checksum_sums_to_zero() {
        let (source, destination) = (Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED);
        let mut message = [128, 0, 0, 0, 0, 7, 0, 1, 9];
        let sum = icmpv6(source, destination, &message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(icmpv6(source, destination, &message), 0);
        message[8] ^= 1;
        assert_ne!(icmpv6(source, destination, &message), 0);
    }
}
