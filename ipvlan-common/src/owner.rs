//! Who owns an address, and how packets reach the owner.

/// The halves of an IPv6 address (network order): its first and last eight bytes, each in the byte order of
/// the machine.
#[must_use]
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "takes the parts apart")]
pub const fn halves_v6(address: [u8; 16]) -> [u64; 2] {
    let bits = u128::from_ne_bytes(address).to_le();
    [(bits as u64).to_le(), ((bits >> 64) as u64).to_le()]
}

/// Who holds an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Owner {
    /// An ipvlan child of this parent.
    Child = 1,
    /// The host itself, on any of its interfaces.
    Host = 2,
    /// A gateway: a next hop of the host's routes.
    Gateway = 3,
}

/// How an IP packet for a child gets from the parent's ingress hook to the child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// The driver's `rx_handler` delivers it, in whatever netns the child is.
    #[default]
    Pass,
    /// `bpf_redirect` to the ingress of the interface with this ifindex in the parent's netns.
    Redirect(u32),
}

impl Delivery {
    /// The number of [`Self::Pass`] in an [`AddressEntry`](crate::AddressEntry).
    pub(crate) const PASS: u8 = 0;
    const REDIRECT: u8 = 1;

    /// Returns its number and its target, 0 if it has none.
    pub(crate) const fn to_parts(self) -> (u8, u32) {
        match self {
            Self::Pass => (Self::PASS, 0),
            Self::Redirect(target) => (Self::REDIRECT, target),
        }
    }

    /// Returns the delivery of which [`Self::to_parts`] made these. An unknown number means [`Self::Pass`].
    #[inline]
    pub(crate) const fn from_parts(number: u8, target: u32) -> Self {
        match number {
            Self::REDIRECT => Self::Redirect(target),
            _ => Self::Pass,
        }
    }
}
