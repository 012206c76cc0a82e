//! Desired entries of the address maps.

use ipvlan_common::{AddressEntry, Delivery, Owner, Reason};

use super::{AnsweredTo, ChildKey};

/// Which packets of the host an address of a child attracts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Those to the parent's own MAC: the host is on-link with the address.
    #[default]
    OnLink,
    /// Those to a gateway's MAC as well: the address is off-link, and the operator allowed its prefix; see
    /// [`AddressEntry::with_routed`].
    Routed,
    /// None: the address is off-link, and the operator did not allow its prefix; see
    /// [`AddressEntry::with_off_link`].
    OffLink,
}

/// The entry that an address should have in the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DesiredEntry {
    /// Owned by the host: its stack answers, and the programs answer for it to l2 children.
    Host {
        /// Advertised as a router's: the parent forwards IPv6.
        router: bool,
        /// Advertised without the O flag (RFC 4429 §3.3).
        optimistic: bool,
        /// Why not even the host may use it; `None` if it may.
        refusal: Option<Reason>,
        /// Which l2 children it is answered to.
        answered_to: AnsweredTo,
        /// A station on the LAN that uses it is in conflict with the host.
        watched: bool,
    },
    /// Owned by a gateway: a next hop of the host's routes.
    Gateway,
    /// An address that no station should have: never answered, but claims of it are reported. See
    /// [`control`](crate::lan::dad::control).
    Control,
    /// Owned by a child.
    Child {
        /// The owner.
        child: ChildKey,
        /// How it gets its packets.
        delivery: Delivery,
        /// Why it is not answered; `None` if it is.
        refusal: Option<Reason>,
        /// The kernel answers requests from the wire; IPv4 only.
        arp_by_kernel: bool,
        /// Advertised as a router's: the child forwards IPv6.
        router: bool,
        /// Advertised without the O flag (RFC 4429 §3.3).
        optimistic: bool,
        /// Which packets of the host it attracts.
        reach: Reach,
        /// The host answers it for those of its addresses only that are of [`AnsweredTo::All`].
        barred: bool,
    },
}

impl DesiredEntry {
    /// Whether this replaces `other` for the same address.
    ///
    /// The host outranks everybody: its stack must go on answering. A child that holds a gateway's
    /// address replaces the gateway, so that the refusal is counted as its. Of two children the live
    /// one wins, and of two live ones the first. (The kernel refuses that, but for addresses that
    /// come from router advertisements; and a dump may show a child that moves twice.)
    pub(super) const fn outranks(self, other: Self) -> bool {
        match (self, other) {
            (Self::Child { .. }, Self::Gateway) => true,
            (Self::Child { refusal: None, .. }, Self::Child { refusal, .. }) => refusal.is_some(),
            _ => false,
        }
    }

    /// Returns whether it is an address of a child that is answered, or may be at any moment.
    #[must_use]
    pub const fn needs_room(self) -> bool {
        matches!(self, Self::Child { refusal, .. } if may_be_answered(refusal))
    }

    /// The child that holds it.
    #[must_use]
    pub const fn child(self) -> Option<ChildKey> {
        match self {
            Self::Child { child, .. } => Some(child),
            Self::Host { .. } | Self::Gateway | Self::Control => None,
        }
    }

    /// Returns whether it needs [`EgressProgram::Routed`](super::EgressProgram::Routed).
    pub(super) const fn is_routed(self) -> bool {
        matches!(
            self,
            Self::Child {
                reach: Reach::Routed,
                ..
            }
        )
    }

    /// The map value, with the child's counter slot.
    #[must_use]
    pub fn entry(self, slot: impl FnOnce(ChildKey) -> u32) -> AddressEntry {
        let (mut entry, router, optimistic, refusal) = match self {
            Self::Gateway => return AddressEntry::held_by(Owner::Gateway),
            Self::Control => {
                return AddressEntry::held_by(Owner::Host)
                    .refused(Reason::Probing)
                    .with_probed();
            }
            Self::Host {
                router,
                optimistic,
                refusal,
                answered_to,
                watched,
            } => {
                let mut entry = AddressEntry::held_by(Owner::Host);
                match answered_to {
                    AnsweredTo::All => {}
                    AnsweredTo::Accepted => entry = entry.with_restricted(),
                    AnsweredTo::NoChild => entry = entry.with_unanswered(),
                }
                if !watched {
                    entry = entry.with_unwatched();
                }
                (entry, router, optimistic, refusal)
            }
            Self::Child {
                child,
                delivery,
                refusal,
                arp_by_kernel,
                router,
                optimistic,
                reach,
                barred,
            } => {
                let mut entry = AddressEntry::child(child.ifindex, slot(child), delivery);
                match reach {
                    Reach::OnLink => {}
                    Reach::Routed => entry = entry.with_routed(),
                    Reach::OffLink => entry = entry.with_off_link(),
                }
                if barred {
                    entry = entry.with_barred();
                }
                if arp_by_kernel {
                    entry = entry.with_by_kernel();
                }
                (entry, router, optimistic, refusal)
            }
        };
        if router {
            entry = entry.with_router();
        }
        if optimistic {
            entry = entry.with_optimistic();
        }
        refusal.map_or(entry, |reason| entry.refused(reason))
    }
}

/// Returns whether an address of a child with this refusal is answered, or may be without any change to the
/// child: while a probe is under way, or the parent is down.
#[must_use]
pub const fn may_be_answered(refusal: Option<Reason>) -> bool {
    matches!(
        refusal,
        None | Some(Reason::Tentative | Reason::Probing | Reason::Duplicate | Reason::ParentDown)
    )
}
