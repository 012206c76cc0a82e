//! The addresses of the topology and where they live.

use std::net::Ipv4Addr;

/// One address that can ask or be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// What the table calls it.
    pub label: &'static str,
    /// The netns it lives in.
    pub netns: &'static str,
    /// Its device there.
    pub device: &'static str,
    /// Its address.
    pub address: Ipv4Addr,
}

const fn spot(
    label: &'static str,
    netns: &'static str,
    device: &'static str,
    [a, b, c, d]: [u8; 4],
) -> Spot {
    Spot {
        label,
        netns,
        device,
        address: Ipv4Addr::new(a, b, c, d),
    }
}

/// The LAN's gateway, also for the subnets of [`NS03`] and [`NS04`].
pub const GATEWAY: Spot = spot("gateway", "gateway", "eth0", [172, 16, 91, 2]);
/// Another machine on the LAN.
pub const VM01: Spot = spot("vm01", "vm01", "eth0", [172, 16, 91, 10]);
/// The machine whose `ens34` is the parent.
pub const HOST: Spot = spot("host", "host", "ens34", [172, 16, 91, 14]);

/// A child in the LAN's subnet.
pub const NS01: Spot = spot("ns01", "ns01", "ipvlan1", [172, 16, 91, 101]);
/// The second address of [`NS01`].
pub const NS01_SECOND: Spot = spot("ns01 2nd address", "ns01", "ipvlan1", [172, 16, 91, 111]);
/// Another child in the LAN's subnet.
pub const NS02: Spot = spot("ns02", "ns02", "ipvlan2", [172, 16, 91, 102]);
/// A child in a subnet of its own.
pub const NS03: Spot = spot("ns03 10.0.1.10", "ns03", "ipvlan3", [10, 0, 1, 10]);
/// A child in another subnet of its own.
pub const NS04: Spot = spot("ns04 10.0.2.10", "ns04", "ipvlan4", [10, 0, 2, 10]);
/// A child that was never in the host's netns.
pub const NS05: Spot = spot("ns05 made inside", "ns05", "ipvlan5", [172, 16, 91, 105]);
/// A child in a netns without a name.
pub const UNNAMED: Spot = spot("unnamed netns", "unnamed", "ipvlan6", [172, 16, 91, 106]);
/// A child that is down.
pub const NS07: Spot = spot("ns07 down", "ns07", "ipvlan7", [172, 16, 91, 107]);
/// The second netns of a child that is moved.
pub const NS09: Spot = spot("ns09 moved there", "ns09", "ipvlan8", [172, 16, 91, 108]);
/// A child whose address is deleted.
pub const NS10: Spot = spot("ns10 deleted", "ns10", "ipvlan9", [172, 16, 91, 110]);
/// [`NS02`] on a port that the host's INPUT chain drops.
pub const NS02_DROPPED: Spot = Spot {
    label: "ns02 nft INPUT drop",
    ..NS02
};

/// The host on the private parent's link.
pub const HOST_PRIVATE: Spot = spot("host", "host", "ens35", [172, 16, 93, 14]);
/// vm01 on the private parent's link.
pub const VM01_PRIVATE: Spot = spot("vm01", "vm01", "eth35", [172, 16, 93, 10]);
/// A child of the private parent.
pub const PRIVATE1: Spot = spot("private1", "private1", "ipvlan1", [172, 16, 93, 101]);
/// Its sibling.
pub const PRIVATE2: Spot = spot("private2", "private2", "ipvlan2", [172, 16, 93, 102]);
/// The host on the vepa parent's link.
pub const HOST_VEPA: Spot = spot("host", "host", "ens36", [172, 16, 94, 14]);
/// vm01 on the vepa parent's link.
pub const VM01_VEPA: Spot = spot("vm01", "vm01", "eth36", [172, 16, 94, 10]);
/// A child of the vepa parent.
pub const VEPA1: Spot = spot("vepa1", "vepa1", "ipvlan1", [172, 16, 94, 101]);
/// Its sibling.
pub const VEPA2: Spot = spot("vepa2", "vepa2", "ipvlan2", [172, 16, 94, 102]);

impl Spot {
    /// The gateway of this spot's subnet.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        let [a, b, c, _] = self.address.octets();
        match a {
            10 => Ipv4Addr::new(a, b, c, 1),
            _ if c == 91 => GATEWAY.address,
            _ => Ipv4Addr::new(a, b, c, 10),
        }
    }
}
