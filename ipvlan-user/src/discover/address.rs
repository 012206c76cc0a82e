//! One row of an address dump.

use std::net::IpAddr;

use super::attribute::{Malformed, after, attributes, ip_value, u32_at, u32_value};

const HEADER: usize = 8;

/// An address as its row shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AddressRow {
    pub(super) ifindex: u32,
    pub(super) local: IpAddr,
    pub(super) peer: Option<IpAddr>,
    pub(super) prefix_len: u8,
    pub(super) flags: u32,
}

/// Decodes the payload of an `RTM_NEWADDR`; nothing for families other than IPv4 and IPv6.
///
/// IPv4 always has `IFA_ADDRESS`, which is the peer's, and `IFA_LOCAL`; IPv6 has `IFA_LOCAL` only
/// where there is a peer.
pub(super) fn decode_address(payload: &[u8]) -> Result<Option<AddressRow>, Malformed> {
    let attribute_bytes = after(payload, HEADER)?;
    let &[family, prefix_len, flags, ..] = payload else {
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
        flags,
    }))
}
