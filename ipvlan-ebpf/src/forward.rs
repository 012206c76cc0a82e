//! IP packets at the TC hooks.

use aya_ebpf::programs::TcContext;
use ipvlan_common::{Config, Reason};

use crate::{
    decide::{Addresses, Decision, deliver, hairpin},
    hook::tc::{Sent, dhcp, frame, header, pull, vlan_id},
    maps::{AddressMap, config::config},
    parse::{
        ETH_P_IP, IPV4_FRAME_LEN, IPV6_FRAME_LEN, Ip, is_broadcast, is_to_own_mac, parse_ipv4,
        parse_ipv6,
    },
    wire::{Frame, Ip6, Mac},
};

/// An IPv4 packet from the wire.
#[inline(always)]
pub(crate) fn ipv4_ingress(ctx: &TcContext) -> Decision {
    ingress(ctx, |ctx| {
        header::restore(ctx, ETH_P_IP);
        parse_v4(ctx)
    })
}

/// An IPv6 packet from the wire.
#[inline(always)]
pub(crate) fn ipv6_ingress(ctx: &TcContext) -> Decision {
    ingress(ctx, parse_v6)
}

/// An IPv4 packet to the wire. `None` if it is not looked at.
#[inline(always)]
pub(crate) fn ipv4_egress<const ROUTED: bool, const NETNS: bool>(
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
pub(crate) fn ipv6_egress<const ROUTED: bool, const NETNS: bool>(
    ctx: &TcContext,
) -> Option<Decision> {
    egress::<ROUTED, NETNS, _>(ctx, parse_v6, |_, _| None)
}

#[inline(always)]
fn parse_v4(ctx: &TcContext) -> Result<Ip<[u8; 4]>, Reason> {
    parse_ipv4(pull(ctx, IPV4_FRAME_LEN), ctx.len() as usize)
}

#[inline(always)]
fn parse_v6(ctx: &TcContext) -> Result<Ip<Ip6>, Reason> {
    parse_ipv6(pull(ctx, IPV6_FRAME_LEN), ctx.len() as usize)
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
        return Decision::unattributed(Reason::Tagged);
    }
    let config = match config() {
        Ok(config) => config,
        Err(reason) => return Decision::unattributed(reason),
    };
    match parse(ctx) {
        Ok(packet) => deliver::decide(&packet, config, &AddressMap),
        Err(reason) => Decision::unattributed(reason),
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
        return Some(Decision::unattributed(Reason::Tagged));
    }
    let config = match config() {
        Ok(config) => config,
        Err(reason) => return Some(Decision::unattributed(reason)),
    };
    let packet = match parse(ctx) {
        Ok(packet) => packet,
        Err(reason) => return Some(Decision::unattributed(reason)),
    };
    if ROUTED && packet.eth_dst.is_group() {
        return group(ctx, frame(ctx));
    }
    let decision = hairpin::decide::<ROUTED, A>(&packet, config, &AddressMap, &Sent::<NETNS>(ctx));
    if ROUTED
        && decision.reason == Reason::Hairpinned
        && !rewrite_dst_mac(ctx, packet.eth_dst, config)
    {
        return Some(Decision::unattributed(Reason::NotWritable));
    }
    Some(decision)
}

/// Gives a packet that the host routes through a gateway the parent's own MAC, without which the driver
/// would not take it.
#[inline(always)]
fn rewrite_dst_mac(ctx: &TcContext, eth_dst: Mac, config: Config) -> bool {
    eth_dst == Mac::of_parent(config) || ctx.store(0, &config.mac(), 0).is_ok()
}
