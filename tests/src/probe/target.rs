//! Whom a probe asks.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6},
};

/// An address, and for a link-local one the device it is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The address.
    pub address: IpAddr,
    /// The index of the asker's device; 0 where the routes tell it.
    pub scope: u32,
}

impl Target {
    /// A port of it.
    #[must_use]
    pub fn port(self, port: u16) -> SocketAddr {
        match self.address {
            IpAddr::V4(address) => (address, port).into(),
            IpAddr::V6(address) => SocketAddrV6::new(address, port, 0, self.scope).into(),
        }
    }
}

impl From<IpAddr> for Target {
    fn from(address: IpAddr) -> Self {
        Self { address, scope: 0 }
    }
}

impl From<Ipv4Addr> for Target {
    fn from(address: Ipv4Addr) -> Self {
        IpAddr::from(address).into()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, scope } = self;
        match scope {
            0 => write!(formatter, "{address}"),
            scope => write!(formatter, "{address}%{scope}"),
        }
    }
}
