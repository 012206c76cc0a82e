//! IPv4 and IPv6, where the lab does the same for both.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::Serialize;

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4, ARP.
    V4,
    /// IPv6, neighbour discovery.
    V6,
}

impl Family {
    /// Both, in the order of the tables.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The one that `address` is of.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Its directory below `/proc/sys/net`.
    #[must_use]
    pub fn sysctl(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }

    /// Its nftables family, and the name of its header there.
    #[must_use]
    pub fn nft(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }

    /// The prefix length of every subnet of the lab.
    #[must_use]
    pub fn subnet(self) -> u8 {
        match self {
            Self::V4 => 24,
            Self::V6 => 64,
        }
    }

    /// The prefix length of a single address.
    #[must_use]
    pub fn host(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// No address.
    #[must_use]
    pub fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

/// The prefix lengths of the lab's subnets.
pub const SUBNETS: [u8; 2] = [24, 64];
/// The prefix lengths of single addresses.
pub const SINGLE: [u8; 2] = [32, 128];

/// An address of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The IPv4 address.
    pub v4: Ipv4Addr,
    /// The IPv6 address.
    pub v6: Ipv6Addr,
}

impl Pair {
    /// Returns the one of `family`.
    #[must_use]
    pub fn of(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }

    /// Returns the one of the family of `other`.
    #[must_use]
    pub fn like(self, other: IpAddr) -> IpAddr {
        self.of(Family::of(other))
    }

    /// Returns both.
    #[must_use]
    pub fn both(self) -> [IpAddr; 2] {
        Family::ALL.map(|family| self.of(family))
    }

    /// Returns the lines of `ip -batch` that add both to `device`, with the prefix lengths of the lab's subnets.
    #[must_use]
    pub fn added(self, device: &str) -> String {
        self.added_with(device, SUBNETS, "nodad")
    }

    /// Returns the lines that add both with these prefix lengths, the IPv6 address with `flags`.
    #[must_use]
    pub fn added_with(self, device: &str, [v4_length, v6_length]: [u8; 2], flags: &str) -> String {
        let Self { v4, v6 } = self;
        format!(
            "addr add {v4}/{v4_length} dev {device}\naddr add {v6}/{v6_length} dev {device} {flags}\n"
        )
    }

    /// Returns the lines that delete both from `device`.
    #[must_use]
    pub fn deleted(self, device: &str) -> String {
        let Self { v4, v6 } = self;
        format!("addr del {v4}/24 dev {device}\naddr del {v6}/64 dev {device}\n")
    }
}

/// Returns the lines that make `device` the default route of both families, by a gateway if there is one.
#[must_use]
pub fn default_routes(device: &str, gateway: Option<Pair>) -> String {
    let route = |family: Family| {
        let via = gateway.map(|pair| format!("via {} ", pair.of(family)));
        let any = family.unspecified();
        format!(
            "route replace {any}/0 {}dev {device}\n",
            via.unwrap_or_default()
        )
    };
    Family::ALL.map(route).concat()
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        })
    }
}
