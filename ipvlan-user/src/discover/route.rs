//! One row of a route dump, or one route event: what it says about who is where.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    facts::Gateway,
    netlink::attribute::{
        Malformed, after, aligned, attributes, ip_value, u16_at, u32_at, u32_value,
    },
};

const HEADER: usize = 12;
const NEXT_HOP_HEADER: usize = 8;

/// `RTA_NH_ID`: the id of a next hop object.
const RTA_NH_ID: u16 = 30;

/// A route that says who is where; see [`decode_route`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RouteRow {
    pub(super) prefix: IpAddr,
    pub(super) prefix_len: u8,
    pub(super) table: u32,
    pub(super) kind: RouteKind,
    /// Next hops.
    pub(super) gateways: Vec<Gateway>,
    /// The next hop object of a route that shows nothing else of its next hops.
    pub(super) next_hop: Option<u32>,
    /// Links by which the prefix is reached without a gateway, or that have the local or anycast address.
    pub(super) links: Vec<u32>,
}

/// Who is reached by a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteKind {
    /// Other nodes.
    Unicast,
    /// The host itself.
    Local,
    /// The host itself, and maybe others: an anycast address of one of its links. IPv6 only.
    Anycast,
}

impl RouteRow {
    /// Returns whether it says nothing but its next hops.
    pub(super) const fn is_through_gateways(&self) -> bool {
        matches!(self.kind, RouteKind::Unicast) && self.links.is_empty()
    }
}

/// Returns whether a prefix lies in another one, or is the same.
pub(super) fn lies_in(inner: (IpAddr, u8), outer: (IpAddr, u8)) -> bool {
    let bits = |address| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let ((inner, inner_len), (outer, outer_len)) = (inner, outer);
    let behind = u128::BITS.saturating_sub(u32::from(outer_len));
    inner.is_ipv4() == outer.is_ipv4()
        && inner_len >= outer_len
        && (bits(inner) ^ bits(outer)).checked_shr(behind).unwrap_or(0) == 0
}

/// Decodes the payload of an `RTM_NEWROUTE` or `RTM_DELROUTE`.
///
/// Nothing for those that say nothing here: broadcast, unreachable, other families.
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
    let kind = match kind {
        libc::RTN_UNICAST => RouteKind::Unicast,
        libc::RTN_LOCAL => RouteKind::Local,
        libc::RTN_ANYCAST if unspecified.is_ipv6() => RouteKind::Anycast,
        _ => return Ok(None),
    };
    let mut route = RouteRow {
        prefix: unspecified,
        prefix_len,
        table: u32::from(table),
        kind,
        gateways: Vec::new(),
        next_hop: None,
        links: Vec::new(),
    };
    let (mut link, mut via) = (None, None);
    for attribute in attributes(attribute_bytes) {
        let (kind, value) = attribute?;
        match kind {
            libc::RTA_DST => route.prefix = ip_value(value)?,
            libc::RTA_TABLE => route.table = u32_value(value)?,
            libc::RTA_OIF => link = Some(u32_value(value)?),
            libc::RTA_GATEWAY | libc::RTA_VIA => via = Some(gateway(kind, value)?),
            libc::RTA_MULTIPATH => decode_multipath(value, &mut route)?,
            RTA_NH_ID => route.next_hop = Some(u32_value(value)?),
            _ => {}
        }
    }
    route
        .gateways
        .extend(via.map(|address| Gateway { address, oif: link }));
    // With `nexthop_compat_mode` the gateways and links of the object are in the route as well.
    if !route.gateways.is_empty() || !route.links.is_empty() || link.is_some() {
        route.next_hop = None;
    }
    if route.kind != RouteKind::Unicast {
        route.gateways.clear();
    }
    if route.gateways.is_empty() {
        route.links.extend(link);
    }
    if route.prefix.is_multicast() {
        route.links.clear();
    }
    let says_something = match route.kind {
        RouteKind::Local => !route.prefix.is_multicast(),
        RouteKind::Unicast | RouteKind::Anycast => {
            !route.links.is_empty() || !route.gateways.is_empty() || route.next_hop.is_some()
        }
    };
    Ok(says_something.then_some(route))
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
                route.gateways.push(Gateway {
                    address: gateway(kind, value)?,
                    oif: Some(link),
                });
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn routes_that_lead_nowhere_here_yield_nothing() {
        const MULTICAST: [u8; 8] = [8, 0, 1, 0, 224, 0, 0, 0];
        const OIF: [u8; 8] = [8, 0, 4, 0, 3, 0, 0, 0];
        for (prefix_len, kind, attributes) in [
            (32, libc::RTN_BROADCAST, OIF.to_vec()),
            (0, libc::RTN_UNREACHABLE, OIF.to_vec()),
            (4, libc::RTN_UNICAST, [MULTICAST, OIF].concat()),
            // IPv4 has none.
            (32, libc::RTN_ANYCAST, OIF.to_vec()),
        ] {
            let header = [2, prefix_len, 0, 0, 254, 0, 0, kind, 0, 0, 0, 0];
            let row = [&header[..], &attributes].concat();
            assert_eq!(decode_route(&row), Ok(None), "{prefix_len} {kind}");
        }
    }

    #[test]
    fn prefixes_lie_in_shorter_ones_of_their_family() {
        for (inner, inner_len, outer, outer_len, expected) in [
            ("10.1.0.0", 24, "10.0.0.0", 8, true),
            ("10.1.0.0", 24, "10.1.0.0", 24, true),
            ("10.1.0.0", 24, "0.0.0.0", 0, true),
            ("10.0.0.0", 8, "10.0.0.0", 24, false),
            ("11.0.0.0", 24, "10.0.0.0", 8, false),
            ("10.1.0.1", 32, "10.1.0.0", 32, false),
            ("2001:db8:7::", 64, "2001:db8::", 32, true),
            ("2001:db8:7::", 64, "2001:db8:8::", 64, false),
            ("2001:db8:7::", 64, "::", 0, true),
            ("2001:db8::1", 128, "2001:db8::1", 128, true),
            ("10.1.0.0", 24, "::", 0, false),
            ("::", 0, "0.0.0.0", 0, false),
        ] {
            let found = lies_in((ip(inner), inner_len), (ip(outer), outer_len));
            assert_eq!(found, expected, "{inner}/{inner_len} {outer}/{outer_len}");
        }
    }

    proptest! {
        #[test]
        fn any_next_hops_decode_or_are_malformed(value: Vec<u8>) {
            let mut bytes = vec![2, 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0];
            let length = u16::try_from(value.len() + 4).unwrap();
            bytes.extend(length.to_ne_bytes());
            bytes.extend(libc::RTA_MULTIPATH.to_ne_bytes());
            bytes.extend(value);
            let _ = decode_route(&bytes);
        }
    }
}
