//! Who asks, and the messages of each asker.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipvlan_packet::{Arp, BROADCAST, Mac, Nd, ZERO};

use super::world::PARENT_MAC;

/// A station on the LAN that no frame is meant for.
pub(crate) const OTHER_STATION: Mac = [2, 0x77, 0xee, 0, 0, 1];
/// An Ethernet multicast address of IPv4.
pub(crate) const GROUP: Mac = [1, 0, 0x5e, 0, 0, 1];

/// A value of a field that can depend on who asks, and its name.
pub(crate) struct Choice<T>(pub &'static str, pub fn(&Asker) -> T);

/// MACs of senders and targets.
pub(crate) const MACS: [Choice<Mac>; 6] = [
    Choice("asker", |asker| asker.mac),
    Choice("station", |_| OTHER_STATION),
    Choice("parent", |_| PARENT_MAC),
    Choice("zero", |_| ZERO),
    Choice("group", |_| GROUP),
    Choice("broadcast", |_| BROADCAST),
];

/// Who asks: every frame has one of its own, so that no frame finds a neighbour entry of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    /// Its MAC.
    pub mac: Mac,
    /// Its address in 10.77.0.0/16.
    pub v4: Ipv4Addr,
    /// Its address in `fd77::/64`.
    pub v6: Ipv6Addr,
    /// Its link-local address.
    pub link_local: Ipv6Addr,
}

impl Asker {
    /// Returns the asker with this number.
    pub(crate) fn new(number: u16) -> Self {
        let [high, low] = number.to_be_bytes();
        // The addresses of the topology and of the sentinel are outside of what this gives.
        let third = 16 + high % 224;
        Self {
            mac: [2, 0x77, 0xa5, 0, high, low],
            v4: Ipv4Addr::new(10, 77, third, low),
            v6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0xa5, number),
            link_local: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa5, number),
        }
    }

    /// Returns its broadcast request for `tpa`.
    pub(crate) fn request(&self, tpa: Ipv4Addr) -> Arp {
        Arp::request(self.mac, self.v4, tpa)
    }

    /// Returns its solicitation to the solicited-node group of `target`.
    pub(crate) fn multicast(&self, target: Ipv6Addr) -> Nd {
        Nd::multicast(self.mac, self.v6, target)
    }

    /// Returns its solicitation to `target` at the parent's MAC, as its neighbour entry ages.
    pub(crate) fn unicast(&self, target: Ipv6Addr) -> Nd {
        Nd::unicast(PARENT_MAC, self.mac, self.v6, target)
    }

    /// Returns its probe for `target` (RFC 4862 §5.4.2).
    pub(crate) fn probe(&self, target: Ipv6Addr) -> Nd {
        Nd::multicast(self.mac, Ipv6Addr::UNSPECIFIED, target)
    }

    /// Returns the advertisement by which it claims `target`, sent from its own address.
    pub(crate) fn claim(&self, target: Ipv6Addr) -> Nd {
        Nd {
            src: self.v6,
            ..Nd::announcement(self.mac, target)
        }
    }
}
