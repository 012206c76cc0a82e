//! Attributes out of untrusted bytes: every read is checked, nothing is copied.
//!
//! The framing is netlink-packet-core's. Rows are decoded by hand from there on: a decoder of all
//! attributes fails on the first one that a newer kernel shapes differently, and with it the whole
//! snapshot; this one reads only what the snapshot holds.

use std::net::IpAddr;

use netlink_packet_core::NlasIterator;

use crate::text::escaped;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// The attributes of a message or of a nested attribute: kind and value.
pub(crate) fn attributes(
    bytes: &[u8],
) -> impl Iterator<Item = Result<(u16, &[u8]), Malformed>> + '_ {
    NlasIterator::new(bytes).map(|attribute| {
        let attribute = attribute.map_err(|_| Malformed("truncated attribute"))?;
        let (kind, end) = (attribute.kind(), usize::from(attribute.length()));
        let value = attribute.into_inner().get(HEADER..end);
        Ok((kind, value.ok_or(Malformed("truncated attribute"))?))
    })
}

const HEADER: usize = 4;

/// The attributes that follow a fixed header.
pub(crate) fn after(payload: &[u8], header: usize) -> Result<&[u8], Malformed> {
    payload
        .get(header..)
        .ok_or(Malformed("shorter than its fixed header"))
}

/// Length rounded up to netlink's alignment.
pub(crate) const fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_ne_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_ne_bytes)
}

pub(crate) fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    array(bytes, at).map(i32::from_ne_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_ne_bytes)
}

pub(crate) fn u16_value(value: &[u8]) -> Result<u16, Malformed> {
    u16_at(value, 0).ok_or(Malformed("attribute shorter than 16 bits"))
}

pub(crate) fn u32_value(value: &[u8]) -> Result<u32, Malformed> {
    u32_at(value, 0).ok_or(Malformed("attribute shorter than 32 bits"))
}

pub(crate) fn i32_value(value: &[u8]) -> Result<i32, Malformed> {
    i32_at(value, 0).ok_or(Malformed("attribute shorter than 32 bits"))
}

/// Returns a NUL-terminated string for comparing and display: what is not printable is escaped.
pub(crate) fn text_value(value: &[u8]) -> String {
    let end = value.iter().position(|&byte| byte == 0);
    let text = value.get(..end.unwrap_or(value.len())).unwrap_or_default();
    escaped(text).to_string()
}

/// Returns an address; its length is that of its family.
pub(crate) fn ip_value(value: &[u8]) -> Result<IpAddr, Malformed> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        Ok(octets.into())
    } else if let Ok(octets) = <[u8; 16]>::try_from(value) {
        Ok(octets.into())
    } else {
        Err(Malformed("address of neither 4 nor 16 bytes"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the bytes of an attribute.
    pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(HEADER + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    #[test]
    fn reads_kind_and_value_of_each_attribute() {
        let bytes = [6, 0, 1, 0, 9, 8, 0, 0, 4, 0, 2, 0x80];
        let all: Result<Vec<_>, _> = attributes(&bytes).collect();
        assert_eq!(all, Ok(vec![(1, &[9, 8][..]), (2, &[][..])]));
    }

    #[test]
    fn a_cut_attribute_is_malformed() {
        for bytes in [&[6, 0, 1][..], &[3, 0, 1, 0], &[6, 0, 1, 0, 9]] {
            let last = attributes(bytes).last();
            assert_eq!(last, Some(Err(Malformed("truncated attribute"))));
        }
    }

    #[test]
    fn the_length_decides_the_family() {
        assert_eq!(ip_value(&[192, 0, 2, 1]), Ok([192, 0, 2, 1].into()));
        assert_eq!(ip_value(&[0; 16]), Ok([0; 16].into()));
        assert!(ip_value(&[0; 5]).is_err());
    }

    #[test]
    fn text_ends_at_the_first_nul() {
        assert_eq!(text_value(b"veth\0\0"), "veth");
        assert_eq!(text_value(b"veth"), "veth");
        assert_eq!(text_value(&[0xff, 0]), r"\xff");
    }

    proptest! {
        #[test]
        fn any_bytes_are_attributes_or_malformed(bytes: Vec<u8>) {
            let mut length = 0;
            for attribute in attributes(&bytes).flatten() {
                length += HEADER + attribute.1.len();
            }
            prop_assert!(length <= bytes.len());
        }
    }
}
