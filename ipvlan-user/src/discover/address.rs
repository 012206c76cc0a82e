//! One row of an address dump.

use std::net::IpAddr;

use crate::netlink::attribute::{Malformed, after, attributes, ip_value, u32_at, u32_value};

const HEADER: usize = 8;

/// An address as its row shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AddressRow {
    pub(super) ifindex: u32,
    pub(super) local: IpAddr,
    pub(super) peer: Option<IpAddr>,
    pub(super) prefix_len: u8,
    /// `RT_SCOPE_*`.
    pub(super) scope: u8,
    pub(super) flags: u32,
}

/// Decodes the payload of an `RTM_NEWADDR`; nothing for families other than IPv4 and IPv6.
///
/// IPv4 always has `IFA_ADDRESS`, which is the peer's, and `IFA_LOCAL`; IPv6 has `IFA_LOCAL` only
/// where there is a peer.
pub(super) fn decode_address(payload: &[u8]) -> Result<Option<AddressRow>, Malformed> {
    let attribute_bytes = after(payload, HEADER)?;
    let &[family, prefix_len, flags, scope, ..] = payload else {
        return Ok(None);
    };
    if ![libc::AF_INET, libc::AF_INET6].contains(&i32::from(family)) {
        return Ok(None);
    }
    let mut flags = u32::from(flags);
    let (mut local, mut address) = (None, None);
    for attribute in attributes(attribute_bytes) {
        let (kind, value) = attribute?;
        match kind {
            libc::IFA_LOCAL => local = Some(ip_value(value)?),
            libc::IFA_ADDRESS => address = Some(ip_value(value)?),
            libc::IFA_FLAGS => flags = u32_value(value)?,
            _ => {}
        }
    }
    let Some(local_or_only) = local.or(address) else {
        return Ok(None);
    };
    Ok(Some(AddressRow {
        ifindex: u32_at(payload, 4).unwrap_or_default(),
        local: local_or_only,
        peer: address.filter(|&address| address != local_or_only),
        prefix_len,
        scope,
        flags,
    }))
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable as _;
    use netlink_packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressFlags, AddressMessage},
    };
    use proptest::prelude::*;

    use super::*;

    fn payload(family: AddressFamily, attributes: Vec<AddressAttribute>) -> Vec<u8> {
        let mut message = AddressMessage::default();
        message.header.family = family;
        message.header.prefix_len = 24;
        message.header.index = 7;
        message.attributes = attributes;
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_ipv4_address_without_peer_has_both_attributes_alike() {
        let bytes = payload(
            AddressFamily::Inet,
            vec![
                AddressAttribute::Address(ip("192.0.2.1")),
                AddressAttribute::Local(ip("192.0.2.1")),
            ],
        );
        let row = AddressRow {
            ifindex: 7,
            local: ip("192.0.2.1"),
            peer: None,
            prefix_len: 24,
            scope: libc::RT_SCOPE_UNIVERSE,
            flags: 0,
        };
        assert_eq!(decode_address(&bytes), Ok(Some(row)));
    }

    #[test]
    fn local_and_peer_are_distinguished_in_both_families() {
        for (family, local, peer) in [
            (AddressFamily::Inet, "192.0.2.1", "192.0.2.2"),
            (AddressFamily::Inet6, "2001:db8::1", "2001:db8::2"),
        ] {
            let bytes = payload(
                family,
                vec![
                    AddressAttribute::Address(ip(peer)),
                    AddressAttribute::Local(ip(local)),
                ],
            );
            let row = decode_address(&bytes).unwrap().unwrap();
            assert_eq!((row.local, row.peer), (ip(local), Some(ip(peer))));
        }
    }

    #[test]
    fn the_wide_flags_attribute_wins_over_the_header() {
        let bytes = payload(
            AddressFamily::Inet6,
            vec![
                AddressAttribute::Address(ip("2001:db8::1")),
                AddressAttribute::Flags(AddressFlags::from_bits_retain(
                    libc::IFA_F_TENTATIVE | libc::IFA_F_NOPREFIXROUTE,
                )),
            ],
        );
        let row = decode_address(&bytes).unwrap().unwrap();
        assert_eq!(row.flags, libc::IFA_F_TENTATIVE | libc::IFA_F_NOPREFIXROUTE);
    }

    #[test]
    fn other_families_are_left_out() {
        let bytes = payload(AddressFamily::Other(21), vec![]);
        assert_eq!(decode_address(&bytes), Ok(None));
    }

    #[test]
    fn a_cut_row_is_malformed_or_shorter_never_a_panic() {
        let bytes = payload(
            AddressFamily::Inet,
            vec![AddressAttribute::Local(ip("192.0.2.1"))],
        );
        for length in 0..8 {
            assert!(decode_address(&bytes[..length]).is_err(), "{length}");
        }
        for length in 9..bytes.len() {
            assert!(decode_address(&bytes[..length]).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_malformed(mut bytes: Vec<u8>) {
            let _ = decode_address(&bytes);
            if let Some(family) = bytes.first_mut() {
                *family = 2;
            }
            let _ = decode_address(&bytes);
        }
    }
}
