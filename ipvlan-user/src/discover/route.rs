//! One row of a route dump, or one route event: what it says about who is where.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::attribute::{
    Malformed, after, aligned, attributes, ip_value, u16_at, u32_at, u32_value,
};

const HEADER: usize = 12;
const NEXT_HOP_HEADER: usize = 8;

/// A route that tells something about who is where; see [`decode_route`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RouteRow {
    pub(super) prefix: IpAddr,
    pub(super) prefix_len: u8,
    pub(super) table: u32,
    /// The host itself holds the prefix.
    pub(super) local: bool,
    /// Next hops; of default routes only.
    pub(super) gateways: Vec<IpAddr>,
    /// Links by which the prefix is reached without a gateway.
    pub(super) links: Vec<u32>,
}

/// Decodes the payload of an `RTM_NEWROUTE` or `RTM_DELROUTE`.
///
/// Nothing for the many that do not matter here: through a gateway and not the default, broadcast,
/// unreachable, other families. So a full routing table costs no memory and its churn no wakes.
pub(super) fn decode_route(payload: &[u8]) -> Result<Option<RouteRow>, Malformed> {
    let attribute_bytes = after(payload, HEADER)?;
    let &[family, prefix_len, _, _, table, _, _, kind, ..] = payload else {
        return Ok(None);
    };
    let unspecified: IpAddr = match i32::from(family) {
        libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        libc::AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return Ok(None),
    };
    if ![libc::RTN_UNICAST, libc::RTN_LOCAL].contains(&kind) {
        return Ok(None);
    }
    let mut route = RouteRow {
        prefix: unspecified,
        prefix_len,
        table: u32::from(table),
        local: kind == libc::RTN_LOCAL,
        gateways: Vec::new(),
        links: Vec::new(),
    };
    let mut link = None;
    for attribute in attributes(attribute_bytes) {
        let (kind, value) = attribute?;
        match kind {
            libc::RTA_DST => route.prefix = ip_value(value)?,
            libc::RTA_TABLE => route.table = u32_value(value)?,
            libc::RTA_OIF => link = Some(u32_value(value)?),
            libc::RTA_GATEWAY | libc::RTA_VIA if prefix_len == 0 => {
                route.gateways.push(gateway(kind, value)?);
            }
            libc::RTA_GATEWAY | libc::RTA_VIA => return Ok(None),
            libc::RTA_MULTIPATH => decode_multipath(value, &mut route)?,
            _ => {}
        }
    }
    if route.gateways.is_empty() && !route.local {
        route.links.extend(link);
    }
    if prefix_len != 0 {
        route.gateways.clear();
    }
    let tells = route.local || !route.links.is_empty() || !route.gateways.is_empty();
    Ok((tells && !route.prefix.is_multicast()).then_some(route))
}

/// A sequence of `struct rtnexthop`, each followed by its attributes.
fn decode_multipath(mut value: &[u8], route: &mut RouteRow) -> Result<(), Malformed> {
    const TRUNCATED: Malformed = Malformed("truncated next hop");
    while !value.is_empty() {
        let length = usize::from(u16_at(value, 0).ok_or(TRUNCATED)?);
        let link = u32_at(value, 4).ok_or(TRUNCATED)?;
        let attribute_bytes = value.get(NEXT_HOP_HEADER..length).ok_or(TRUNCATED)?;
        let before = route.gateways.len();
        for attribute in attributes(attribute_bytes) {
            let (kind, value) = attribute?;
            if matches!(kind, libc::RTA_GATEWAY | libc::RTA_VIA) {
                route.gateways.push(gateway(kind, value)?);
            }
        }
        if route.gateways.len() == before {
            route.links.push(link);
        }
        value = value.get(aligned(length)..).unwrap_or_default();
    }
    Ok(())
}

/// `RTA_VIA` is a gateway of another family than the route's, with the family in front.
fn gateway(kind: u16, value: &[u8]) -> Result<IpAddr, Malformed> {
    ip_value(if kind == libc::RTA_VIA {
        after(value, 2)?
    } else {
        value
    })
}
