//! What a child's own settings silence.

use super::{ChildAddress, Mode};

/// The addresses that a child's own settings let it answer ARP requests and neighbour solicitations for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Arp {
    /// All of its own addresses.
    #[default]
    All,
    /// Those of IPv6, and of IPv4 those of a scope wider than `host` (`arp_ignore` 3).
    NotOfHostScope,
    /// Those of IPv6 (`arp_ignore` 8).
    OnlyIpv6,
    /// None (`arp off` in l2: the kernel ignores requests, and advertises to its own MAC).
    None,
}

impl Arp {
    /// Returns what `arp_ignore` and the flag `IFF_NOARP` mean for a child. In l3 and l3s the driver sets the
    /// flag itself.
    ///
    /// Of `arp_ignore`, 1 and 2 concern addresses of other links and senders outside the prefix, and numbers
    /// that the kernel does not define have no effect (`arp_ignore` in `net/ipv4/arp.c`).
    #[must_use]
    pub const fn of(arp_ignore: i32, is_without_arp: bool, mode: Mode) -> Self {
        match (arp_ignore, mode) {
            (_, Mode::L2) if is_without_arp => Self::None,
            (8, _) => Self::OnlyIpv6,
            (3, _) => Self::NotOfHostScope,
            _ => Self::All,
        }
    }

    /// Returns whether it is silent about this address.
    #[must_use]
    pub const fn is_silent(self, address: &ChildAddress) -> bool {
        let is_ipv4 = address.local.is_ipv4();
        match self {
            Self::All => false,
            Self::NotOfHostScope => is_ipv4 && address.scope >= libc::RT_SCOPE_HOST,
            Self::OnlyIpv6 => is_ipv4,
            Self::None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_silence_a_child_are_those_of_the_kernel() {
        let address = |text: &str, scope| ChildAddress {
            local: text.parse().unwrap(),
            peer: None,
            prefix_len: 24,
            scope,
            flags: 0,
        };
        let addresses = [
            address("192.0.2.1", libc::RT_SCOPE_UNIVERSE),
            address("192.0.2.1", libc::RT_SCOPE_LINK),
            address("192.0.2.1", libc::RT_SCOPE_HOST),
            address("2001:db8::1", libc::RT_SCOPE_HOST),
        ];
        for (arp_ignore, is_without_arp, mode, silent) in [
            (0, false, Mode::L2, [false; 4]),
            (1, false, Mode::L2, [false; 4]),
            (2, false, Mode::L2, [false; 4]),
            (3, false, Mode::L2, [false, false, true, false]),
            (4, false, Mode::L2, [false; 4]),
            (7, false, Mode::L3, [false; 4]),
            (8, false, Mode::L2, [true, true, true, false]),
            (8, true, Mode::L3, [true, true, true, false]),
            (9, false, Mode::L3s, [false; 4]),
            (-1, false, Mode::L2, [false; 4]),
            (0, true, Mode::L2, [true; 4]),
            // The driver's own flag.
            (0, true, Mode::L3, [false; 4]),
            (3, true, Mode::L3s, [false, false, true, false]),
        ] {
            let arp = Arp::of(arp_ignore, is_without_arp, mode);
            let found = addresses.each_ref().map(|it| arp.is_silent(it));
            assert_eq!(found, silent, "{arp_ignore} {is_without_arp} {mode:?}");
        }
    }
}
