//! Demultiplexing of IP packets from the wire to children in the parent's own netns.
//!
//! Only the demux variant of the ingress program comes here. A child in another netns is delivered
//! by the driver right behind us, and `bpf_redirect` could not reach it.

use ipvlan_common::{Config, Delivery, Reason};

use super::{Addresses, Decision, target::Target};
use crate::{parse::Ip, wire::Mac};

/// Decides on an IP packet that came in from the wire.
#[inline(always)]
pub fn decide<A: Copy>(packet: &Ip<A>, config: Config, addresses: &impl Addresses<A>) -> Decision {
    if packet.eth_dst != Mac::of_parent(config) {
        return Decision::unattributed(Reason::OtherMac);
    }
    match Target::at_ingress(packet.dst, addresses) {
        Target::Unowned => Decision::unattributed(Reason::NotOurs),
        Target::Refused(entry, reason) => Decision::for_entry(entry, reason),
        Target::Host(entry) => Decision::for_entry(entry, Reason::HostAddress),
        Target::Child(entry) => match entry.delivery() {
            Delivery::Redirect(target) => Decision::redirected(entry, target),
            Delivery::Pass => Decision::for_entry(entry, Reason::LeftToDriver),
        },
    }
}
