//! ARP and neighbour discovery at every hook: parse, decide, report, reply.
//!
//! The direction is a function for each, not one to pass along: the compiler would really call it.

use ipvlan_common::{Config, Reason};

use crate::{
    decide::{
        self, Decision,
        nd::NdDecision,
        origin::{Origin, Receiver},
    },
    hook::Packet,
    maps::{AddressMap, config::config, events, scratch::Scratch},
    opaque,
    parse::{
        ARP_FRAME_LEN, Arp, ND_FRAME_LEN, ND_START, Nd, NdHeader, NdKind, parse_arp, parse_nd,
        parse_nd_header, parse_short_nd, short_message,
    },
    reply::{arp::reply_arp, nd::ReplyTo},
    wire::Mac,
};

/// Answers an ARP message from the wire.
#[inline(always)]
pub fn arp_ingress<P: Packet + Receiver>(packet: &P) -> Decision {
    let (arp, config) = match read_arp(packet) {
        Ok(read) => read,
        Err(reason) => return Decision::unattributed(reason),
    };
    let decision = decide::arp::decide_ingress(&arp, config, &AddressMap, packet);
    events::emit_arp(P::HOOK, &arp, decision);
    finish_arp(packet, &arp, config, decision)
}

/// Answers an ARP message to the wire.
#[inline(always)]
pub fn arp_egress<P: Packet + Origin>(packet: &P) -> Decision {
    let (arp, config) = match read_arp(packet) {
        Ok(read) => read,
        Err(reason) => return Decision::unattributed(reason),
    };
    let decision = decide::arp::decide_egress(&arp, config, &AddressMap, packet);
    finish_arp(packet, &arp, config, decision)
}

/// Answers a solicitation from the wire, or reads an advertisement from it.
#[inline(always)]
pub fn nd_ingress<P: Packet + Receiver>(packet: &P, kind: NdKind) -> Decision {
    let (nd, config) = match read_nd(packet, kind) {
        Ok(read) => read,
        Err(reason) => return Decision::unattributed(reason),
    };
    if kind == NdKind::Advertisement {
        let decision = decide::nd::decide_advertisement(&nd, config, &AddressMap, packet);
        let decision = decision.with_opaque_reason(packet.len());
        events::emit_advertisement(P::HOOK, &nd, decision);
        return decision;
    }
    let NdDecision { decision, flags } =
        decide::nd::decide_ingress(&nd, config, &AddressMap, packet);
    let decision = decision.with_opaque_reason(packet.len());
    events::emit_solicitation(P::HOOK, &nd, decision);
    finish_nd(packet, &nd, config, NdDecision { decision, flags })
}

/// Answers a solicitation to the wire.
#[inline(always)]
pub fn nd_egress(packet: &impl Packet) -> Decision {
    let (nd, config) = match read_nd(packet, NdKind::Solicitation) {
        Ok(read) => read,
        Err(reason) => return Decision::unattributed(reason),
    };
    let NdDecision { decision, flags } = decide::nd::decide_egress(&nd, config, &AddressMap);
    let decision = decision.with_opaque_reason(packet.len());
    finish_nd(packet, &nd, config, NdDecision { decision, flags })
}

#[inline(always)]
fn read_arp(packet: &impl Packet) -> Result<(Arp, Config), Reason> {
    if packet.is_on_vlan() {
        return Err(Reason::Tagged);
    }
    let config = config()?;
    let arp = parse_arp(packet.pull(ARP_FRAME_LEN))?;
    Ok((arp, config))
}

#[inline(always)]
fn read_nd(packet: &impl Packet, kind: NdKind) -> Result<(Nd, Config), Reason> {
    if packet.is_on_vlan() {
        return Err(Reason::Tagged);
    }
    let config = config()?;
    let frame = packet.pull(ND_FRAME_LEN);
    // Not `and_then`: of a closure the compiler makes a function of its own, and the kernel refuses type
    // information with a Rust enum in a signature.
    let header = parse_nd_header(frame, packet.len() as usize)?;
    let nd = match short_message(frame, header.len) {
        Some(message) => parse_short_nd(header, kind, message)?,
        None => parse_nd(header, kind, &load(packet, header)?)?,
    };
    Ok((nd, config))
}

/// Copies the whole message out of the frame.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "the place of a header")]
fn load(packet: &impl Packet, header: NdHeader) -> Result<Scratch, Reason> {
    let Some(scratch) = Scratch::get() else {
        return Err(Reason::NotReady);
    };
    let (to, len) = (scratch.as_mut_ptr(), opaque::positive_len(header.len));
    // SAFETY: `len` is at most the size of the message, which the verifier checks again.
    if unsafe { packet.load(ND_START as u32, to.cast(), len) } {
        Ok(scratch)
    } else {
        Err(Reason::Malformed)
    }
}

#[inline(always)]
fn finish_arp(packet: &impl Packet, arp: &Arp, config: Config, decision: Decision) -> Decision {
    if decision.reason != Reason::ArpAnswered {
        return decision;
    }
    if packet.reply_arp(&reply_arp(arp, Mac::of_parent(config))) {
        decision
    } else {
        Decision::unattributed(Reason::NotWritable)
    }
}

#[inline(always)]
fn finish_nd(
    packet: &impl Packet,
    nd: &Nd,
    config: Config,
    NdDecision { decision, flags }: NdDecision,
) -> Decision {
    if decision.reason == Reason::NdAnswered
        && !packet.reply_nd(ReplyTo::new(nd.mac(), flags), config)
    {
        return Decision::unattributed(Reason::NotWritable);
    }
    decision
}
