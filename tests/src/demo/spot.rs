//! The addresses of the topology and where they live.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::family::{Family, Pair};

/// One address of each family that can ask or be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// What the table calls it.
    pub label: &'static str,
    /// The netns it lives in.
    pub netns: &'static str,
    /// Its device there.
    pub device: &'static str,
    /// Its addresses.
    pub at: Pair,
}

/// The IPv6 address is the IPv4 one read aloud: 172.16.91.101 is `2001:db8:91::101`.
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
        at: Pair {
            v4: Ipv4Addr::new(a, b, c, d),
            v6: Ipv6Addr::new(0x2001, 0xdb8, digits(c), 0, 0, 0, 0, digits(d)),
        },
    }
}

/// The number whose hexadecimal digits are the decimal ones of `number`.
const fn digits(number: u8) -> u16 {
    let number = number as u16;
    number / 100 * 0x100 + number / 10 % 10 * 0x10 + number % 10
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
pub const NS03: Spot = spot("ns03 own subnet", "ns03", "ipvlan3", [10, 0, 1, 10]);
/// A child in another subnet of its own.
pub const NS04: Spot = spot("ns04 own subnet", "ns04", "ipvlan4", [10, 0, 2, 10]);
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
/// A child whose address vm01 wants for itself.
pub const NS11: Spot = spot("ns11", "ns11", "ipvlan11", [172, 16, 91, 112]);
/// A child whose address vm01 claims.
pub const NS12: Spot = spot("ns12", "ns12", "ipvlan12", [172, 16, 91, 113]);
/// A child that appears.
pub const NS13: Spot = spot("ns13", "ns13", "ipvlan13", [172, 16, 91, 115]);
/// A child that comes and goes.
pub const NS14: Spot = spot("ns14", "ns14", "ipvlan14", [172, 16, 91, 116]);
/// The second netns of another child that is moved.
pub const NS16: Spot = spot("ns16 moved there", "ns16", "ipvlan16", [172, 16, 91, 117]);
/// A child that goes down and up.
pub const NS17: Spot = spot("ns17", "ns17", "ipvlan17", [172, 16, 91, 118]);
/// A child that takes the addresses of [`VM01`].
pub const IMPOSTOR: Spot = Spot {
    label: "ns15 as vm01",
    netns: "ns15",
    device: "ipvlan15",
    ..VM01
};
/// A child in the host's own netns.
pub const LOCAL: Spot = spot("host's ipvlan0", "host", "ipvlan0", [172, 16, 91, 100]);
/// [`NS02`] on a port that the host's INPUT chain drops.
pub const NS02_DROPPED: Spot = Spot {
    label: "ns02 nft INPUT drop",
    ..NS02
};

/// vm01 by its link-local address.
pub const VM01_LINK_LOCAL: Spot = link_local("vm01 link-local", VM01);
/// The host by its link-local address.
pub const HOST_LINK_LOCAL: Spot = link_local("host link-local", HOST);
/// [`NS01`] by its link-local address.
pub const NS01_LINK_LOCAL: Spot = link_local("ns01 link-local", NS01);
/// [`NS02`] by its link-local address.
pub const NS02_LINK_LOCAL: Spot = link_local("ns02 link-local", NS02);

/// `spot` with the end of its address behind `fe80::/64`; IPv6 alone.
const fn link_local(label: &'static str, spot: Spot) -> Spot {
    let [.., last] = spot.at.v6.segments();
    Spot {
        label,
        at: Pair {
            v6: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last),
            ..spot.at
        },
        ..spot
    }
}

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
    /// Whether it is one of a child in a netns of its own.
    pub fn is_child(&self) -> bool {
        !["gateway", "vm01", "host"].contains(&self.netns)
    }

    /// The same for IPv6, if the child is changed: both families are asked at once, so it is another child.
    pub fn twin(self) -> Self {
        let device = match self.device {
            "ipvlan8" => "ipvlan18",
            "ipvlan9" => "ipvlan19",
            "ipvlan13" => "ipvlan23",
            "ipvlan16" => "ipvlan26",
            "ipvlan17" => "ipvlan27",
            device => device,
        };
        Self { device, ..self }
    }

    /// Its address of `family`.
    pub fn address(&self, family: Family) -> IpAddr {
        self.at.of(family)
    }

    /// The gateway of this spot's subnet.
    pub fn gateway(&self) -> Pair {
        let [a, b, c, _] = self.at.v4.octets();
        let last = match (a, c) {
            (10, _) => 1,
            (_, 91) => return GATEWAY.at,
            _ => 10,
        };
        spot("", "", "", [a, b, c, last]).at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_have_the_same_plan() {
        let rows = [
            (NS01.at.v6, "2001:db8:91::101"),
            (NS03.at.v6, "2001:db8:1::10"),
            (VEPA2.at.v6, "2001:db8:94::102"),
            (NS01_LINK_LOCAL.at.v6, "fe80::101"),
        ];
        for (address, expected) in rows {
            assert_eq!(address.to_string(), expected);
        }
        let gateways = [
            (NS01, ["172.16.91.2", "2001:db8:91::2"]),
            (NS04, ["10.0.2.1", "2001:db8:2::1"]),
            (PRIVATE1, ["172.16.93.10", "2001:db8:93::10"]),
        ];
        for (spot, expected) in gateways {
            let gateways = spot.gateway().both();
            assert_eq!(gateways.map(|address| address.to_string()), expected);
        }
    }
}
