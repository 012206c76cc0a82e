//! Next hop objects (`ip nexthop`), which routes can name by their id instead of a gateway and a link.
//!
//! With `net.ipv4.nexthop_compat_mode=0` a dump of routes shows nothing but the id.

use std::{collections::BTreeMap, net::IpAddr};

use netlink_packet_core::NetlinkSerializable;

use crate::{
    facts::Gateway,
    netlink::attribute::{Malformed, after, attributes, ip_value, u32_at, u32_value},
};

/// `RTM_NEWNEXTHOP` (`linux/rtnetlink.h`).
pub(super) const NEW: u16 = 104;
/// `RTM_GETNEXTHOP`.
const GET: u16 = 106;
/// `RTNLGRP_NEXTHOP`: the group of events about them.
pub(super) const GROUP: u32 = 32;
/// `sizeof(struct nhmsg)` (`linux/nexthop.h`).
const HEADER: usize = 8;
/// `sizeof(struct nexthop_grp)`, which begins with an id.
const MEMBER: usize = 8;

const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_OIF: u16 = 5;
const NHA_GATEWAY: u16 = 6;
const NHA_FDB: u16 = 11;

/// The request for a dump of all next hop objects.
#[derive(Clone, Debug)]
pub(super) struct GetNextHops;

impl NetlinkSerializable for GetNextHops {
    fn message_type(&self) -> u16 {
        GET
    }

    fn buffer_len(&self) -> usize {
        HEADER
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

/// One next hop object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NextHopRow {
    pub(super) id: u32,
    /// Its gateway; none if it is a link alone, a blackhole or a group.
    pub(super) gateway: Option<IpAddr>,
    /// The link it leaves by.
    pub(super) link: Option<u32>,
    /// The ids of a group's members.
    pub(super) members: Vec<u32>,
}

impl NextHopRow {
    /// Returns the gateway with its link.
    pub(super) fn gateway(&self) -> Option<Gateway> {
        self.gateway.map(|address| Gateway {
            address,
            oif: self.link,
        })
    }
}

/// Decodes the payload of an `RTM_NEWNEXTHOP`. Nothing for entries of a VXLAN forwarding database, which no
/// route can name.
pub(super) fn decode_next_hop(payload: &[u8]) -> Result<Option<NextHopRow>, Malformed> {
    let mut row = NextHopRow::default();
    for attribute in attributes(after(payload, HEADER)?) {
        let (kind, value) = attribute?;
        match kind {
            NHA_ID => row.id = u32_value(value)?,
            NHA_GROUP => {
                let members = value.chunks_exact(MEMBER);
                row.members
                    .extend(members.filter_map(|member| u32_at(member, 0)));
            }
            NHA_OIF => row.link = Some(u32_value(value)?),
            NHA_GATEWAY => row.gateway = Some(ip_value(value)?),
            NHA_FDB => return Ok(None),
            _ => {}
        }
    }
    Ok((row.id != 0).then_some(row))
}

/// The next hop objects of a netns, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NextHops(BTreeMap<u32, NextHopRow>);

impl NextHops {
    /// Returns the gateways of all of them.
    pub(super) fn gateways(&self) -> impl Iterator<Item = Gateway> {
        self.0.values().filter_map(NextHopRow::gateway)
    }

    /// Returns the links by which a route with this next hop leaves without a gateway.
    pub(super) fn links_of(&self, id: u32) -> impl Iterator<Item = u32> {
        let direct = self.used_by(id).filter(|row| row.gateway.is_none());
        direct.filter_map(|row| row.link)
    }

    /// Returns whether a route with this next hop sends packets to a gateway. The kernel chooses a member of a group
    /// for each flow, so that one member with a gateway is enough.
    pub(super) fn has_gateway(&self, id: u32) -> bool {
        self.used_by(id).any(|row| row.gateway.is_some())
    }

    /// Returns the object with this id, and the members if it is a group.
    fn used_by(&self, id: u32) -> impl Iterator<Item = &NextHopRow> {
        let named = self.0.get(&id);
        let members = named.into_iter().flat_map(|group| &group.members);
        let members = members.filter_map(|member| self.0.get(member));
        named.into_iter().chain(members)
    }

    /// Returns the ids of those that lead through gateways only.
    pub(super) fn behind_gateways(&self) -> impl Iterator<Item = u32> {
        let ids = self.0.keys().copied();
        ids.filter(|&id| self.links_of(id).next().is_none())
    }
}

impl FromIterator<NextHopRow> for NextHops {
    fn from_iter<I: IntoIterator<Item = NextHopRow>>(rows: I) -> Self {
        Self(rows.into_iter().map(|row| (row.id, row)).collect())
    }
}
