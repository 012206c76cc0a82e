//! Where a packet that leaves the parent comes from, as far as the kernel says.
//!
//! A source address proves nothing: a container sends what it likes. These fields of an skb are the
//! kernel's own:
//!
//! - `skb->skb_iif`, the interface that received the packet. `__netif_receive_skb_core` sets it, also to
//!   the ifindex of a VLAN device or bond on top; `ip_forward` and the output path keep it, and a socket's
//!   packet has 0. `skb_scrub_packet` zeroes it, so it is 0 for what an l3 or l3s child sends
//!   (`ipvlan_skb_crossing_ns`), in whatever netns it is, and for what came through a tunnel. An l2 child
//!   hands the skb on as it is (`ipvlan_xmit_mode_l2`): 0 if a socket of its netns sent it, and if its netns
//!   forwards, an ifindex *of that netns*, which a container chooses. `vrf_ip_rcv` and `vrf_ip6_rcv` put the
//!   ifindex of the VRF in its place.
//! - `skb->sk`, the socket, and its netns. `skb_scrub_packet` keeps it; what is forwarded has none
//!   (`skb_orphan` in `ip_rcv_core`), and neither has an ARP message of the kernel (`arp_create`). Replies
//!   of the kernel (`icmp_send`, `tcp_v4_send_reset`, TIME-WAIT) have a socket that is set to their netns,
//!   or to the first netns of the machine afterwards; a SYN-ACK has its request socket.

use ipvlan_common::{Config, ConfigFlags, Owner, Reason};

use super::Addresses;

/// What the kernel knows about a packet that leaves the parent.
pub trait Origin {
    /// `skb->skb_iif`: the ifindex of the interface that received the packet, 0 if none did.
    fn ingress_ifindex(&self) -> u32;

    /// The ifindex of the parent.
    fn parent(&self) -> u32;

    /// Whether a socket of a netns other than the host's sent the packet. `false` where it has no socket,
    /// or the kernel cannot say.
    fn is_from_other_netns(&self) -> bool;
}

/// What the kernel knows about the destination MAC of a frame that was received.
pub trait Receiver {
    /// Whether the MAC is one of the parent's own beside its address: of a port of a bond (`balance-alb` and
    /// `balance-tlb` give every port its own), or of the link below a VLAN. The driver that received the frame
    /// has compared (`eth_type_trans`), and the kernel processes ARP by it (`arp_rcv`).
    fn is_own(&self) -> bool;
}

/// What is known of every frame alike.
impl Receiver for bool {
    #[inline(always)]
    fn is_own(&self) -> bool {
        *self
    }
}

/// Checks that the parent did not receive the packet itself. Hairpinned, it would come back here if no
/// child takes it any more and the host forwards it, until its hop limit is used up.
///
/// Behind a VRF every interface of it has the same number, the VRF's: then whatever was received counts.
///
/// # Errors
///
/// [`Reason::ReceivedHere`] if it did.
#[inline(always)]
pub fn check_loop(config: Config, origin: &impl Origin) -> Result<(), Reason> {
    let ifindex = origin.ingress_ifindex();
    if ifindex != 0 && (ifindex == origin.parent() || config.has(ConfigFlags::VRF)) {
        return Err(Reason::ReceivedHere);
    }
    Ok(())
}

/// Checks that a packet from `source` may be hairpinned to a child under isolation: the host sent it, or
/// `forwarded`: it was received by another interface of the host.
///
/// # Errors
///
/// [`Reason::Sibling`] for a packet of a child, [`Reason::Isolated`] for all others.
#[inline(always)]
pub fn check_source<A: Copy>(
    source: A,
    forwarded: bool,
    addresses: &impl Addresses<A>,
    origin: &impl Origin,
) -> Result<(), Reason> {
    match addresses.of_sender(source).owner() {
        Some(Owner::Child) => Err(Reason::Sibling),
        Some(Owner::Host) if !origin.is_from_other_netns() => Ok(()),
        Some(Owner::Gateway) | None if forwarded => Ok(()),
        _ => Err(Reason::Isolated),
    }
}
