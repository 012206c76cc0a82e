//! Demultiplexing of IP packets from the wire to children in the parent's own netns.
//!
//! Only the demux variant of the ingress program comes here. A child in another netns is delivered
//! by the driver right behind us, and `bpf_redirect` could not reach it.

use ipvlan_common::{Config, Delivery, Owner, Reason};

use crate::{Decision, frame::Mac, lookup::Addresses, parse::Ipv4};

/// Decides on an IPv4 packet that came in from the wire.
#[inline(always)]
pub fn decide_ipv4(packet: &Ipv4, config: Config, addresses: &impl Addresses) -> Decision {
    if packet.eth_dst != Mac::new(config.mac()) {
        return Decision::stranger(Reason::OtherMac);
    }
    let Some(entry) = addresses.get(packet.dst) else {
        return Decision::stranger(Reason::NotOurs);
    };
    if let Some(reason) = entry.refusal() {
        return Decision::about(entry, reason);
    }
    let reason = match (entry.owner(), entry.delivery()) {
        (Some(Owner::Child), Delivery::Redirect) => Reason::Redirected,
        (Some(Owner::Child), Delivery::Pass) => Reason::LeftToDriver,
        (Some(Owner::Host), _) => Reason::HostAddress,
        (Some(Owner::Gateway) | None, _) => return Decision::stranger(Reason::NotOurs),
    };
    Decision::about(entry, reason)
}
