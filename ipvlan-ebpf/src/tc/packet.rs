//! IP packets at the TC hooks.

use aya_ebpf::programs::TcContext;
use ipvlan_common::{Config, Reason};

use super::{dhcp, frame, header, linear, origin::Skb, vlan_id};
use crate::{
    Decision, deliver,
    frame::{Frame, Ip6, Mac},
    hairpin,
    lookup::{self, AddressMap, Addresses},
    parse::{
        ETH_P_IP, IPV4_FRAME_LEN, IPV6_FRAME_LEN, Ip, is_broadcast, is_to_own_mac, parse_ipv4,
        parse_ipv6,
    },
};

/// An IPv4 packet from the wire.
#[inline(always)]
pub(super) fn ipv4_ingress(ctx: &TcContext) -> Decision {
    ingress(ctx, |ctx| {
        header::restore(ctx, ETH_P_IP);
        parse_v4(ctx)
    })
}

/// An IPv6 packet from the wire.
#[inline(always)]
pub(super) fn ipv6_ingress(ctx: &TcContext) -> Decision {
    ingress(ctx, parse_v6)
}

/// An IPv4 packet to the wire. `None` if it is not looked at.
#[inline(always)]
pub(super) fn ipv4_egress<const ROUTED: bool, const NETNS: bool>(
    ctx: &TcContext,
) -> Option<Decision> {
    egress::<ROUTED, NETNS, _>(ctx, parse_v4, |ctx, frame| {
        if is_broadcast(frame) {
            dhcp::broadcast(ctx)
        } else {
            None
        }
    })
}

/// An IPv6 packet to the wire. `None` if it is not looked at.
#[inline(always)]
pub(super) fn ipv6_egress<const ROUTED: bool, const NETNS: bool>(
    ctx: &TcContext,
) -> Option<Decision> {
    egress::<ROUTED, NETNS, _>(ctx, parse_v6, |_, _| None)
}

#[inline(always)]
fn parse_v4(ctx: &TcContext) -> Result<Ip<[u8; 4]>, Reason> {
    parse_ipv4(linear(ctx, IPV4_FRAME_LEN), ctx.len() as usize)
}

#[inline(always)]
fn parse_v6(ctx: &TcContext) -> Result<Ip<Ip6>, Reason> {
    parse_ipv6(linear(ctx, IPV6_FRAME_LEN), ctx.len() as usize)
}

#[inline(always)]
fn ingress<A: Copy>(
    ctx: &TcContext,
    parse: impl Fn(&TcContext) -> Result<Ip<A>, Reason>,
) -> Decision
where
    AddressMap: Addresses<A>,
{
    if vlan_id(ctx).is_some() {
        return Decision::stranger(Reason::Tagged);
    }
    let config = match lookup::config() {
        Ok(config) => config,
        Err(reason) => return Decision::stranger(reason),
    };
    match parse(ctx) {
        Ok(packet) => deliver::decide(&packet, config, &AddressMap),
        Err(reason) => Decision::stranger(reason),
    }
}

/// `group` decides on a frame to a group, and without `ROUTED` on every frame to another MAC than it comes from.
#[inline(always)]
fn egress<const ROUTED: bool, const NETNS: bool, A: Copy>(
    ctx: &TcContext,
    parse: impl Fn(&TcContext) -> Result<Ip<A>, Reason>,
    group: impl Fn(&TcContext, Frame<'_>) -> Option<Decision>,
) -> Option<Decision>
where
    AddressMap: Addresses<A>,
{
    // The kernel keeps the Ethernet header linear (`eth_type_trans`, `eth_header`).
    if !ROUTED && !is_to_own_mac(frame(ctx)) {
        return group(ctx, frame(ctx));
    }
    if vlan_id(ctx).is_some() {
        return Some(Decision::stranger(Reason::Tagged));
    }
    let config = match lookup::config() {
        Ok(config) => config,
        Err(reason) => return Some(Decision::stranger(reason)),
    };
    let packet = match parse(ctx) {
        Ok(packet) => packet,
        Err(reason) => return Some(Decision::stranger(reason)),
    };
    if ROUTED && packet.eth_dst.is_group() {
        return group(ctx, frame(ctx));
    }
    let decision = hairpin::decide::<ROUTED, A>(&packet, config, &AddressMap, &Skb::<NETNS>(ctx));
    if ROUTED
        && decision.reason == Reason::Hairpinned
        && !aim_at_parent(ctx, packet.eth_dst, config)
    {
        return Some(Decision::stranger(Reason::NotWritable));
    }
    Some(decision)
}

/// Gives a packet that the host routes through a gateway the parent's own MAC, without which the driver
/// would not take it.
#[inline(always)]
fn aim_at_parent(ctx: &TcContext, eth_dst: Mac, config: Config) -> bool {
    eth_dst == Mac::of_parent(config) || ctx.store(0, &config.mac(), 0).is_ok()
}
