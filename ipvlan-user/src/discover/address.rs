//! One row of an address dump.

use std::net::IpAddr;

use crate::{
    facts::HostAddress,
    netlink::attribute::{Malformed, after, attributes, ip_value, u32_at, u32_value},
};

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

impl From<AddressRow> for HostAddress {
    fn from(row: AddressRow) -> Self {
        let AddressRow {
            ifindex,
            local,
            peer: _,
            prefix_len,
            scope,
            flags,
        } = row;
        Self {
            address: local,
            prefix_len,
            ifindex,
            flags,
            scope,
        }
    }
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
    fn local_address_peer_and_wide_flags_are_read() {
        use AddressAttribute::{Address, Flags, Local};
        use AddressFamily::{Inet, Inet6};
        const WIDE: u32 = libc::IFA_F_TENTATIVE | libc::IFA_F_NOPREFIXROUTE;
        let wide = Flags(AddressFlags::from_bits_retain(WIDE));
        let [v4, peer4] = ["192.0.2.1", "192.0.2.2"].map(ip);
        let [v6, peer6] = ["2001:db8::1", "2001:db8::2"].map(ip);
        for (family, attributes, local, peer, flags) in [
            (Inet, vec![Address(v4), Local(v4)], v4, None, 0),
            (Inet, vec![Address(peer4), Local(v4)], v4, Some(peer4), 0),
            (Inet6, vec![Address(peer6), Local(v6)], v6, Some(peer6), 0),
            (Inet6, vec![Address(v6), wide], v6, None, WIDE),
        ] {
            let row = AddressRow {
                ifindex: 7,
                local,
                peer,
                prefix_len: 24,
                scope: libc::RT_SCOPE_UNIVERSE,
                flags,
            };
            assert_eq!(decode_address(&payload(family, attributes)), Ok(Some(row)));
        }
        let other = payload(AddressFamily::Other(21), vec![]);
        assert_eq!(decode_address(&other), Ok(None));
    }
}
