//! Who owns the address that a frame is for: the lookup that each decision begins with.

use ipvlan_common::{AddressEntry, Config, ConfigFlags, Owner, Reason};

use super::{Addresses, Decision};

/// The owner of an address, and whether the agent lets it be served.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// Neither the host nor a child owns it.
    Unowned,
    /// It has an owner, and a reason for which it is not served.
    Refused(AddressEntry, Reason),
    /// A child owns it.
    Child(AddressEntry),
    /// The host owns it.
    Host(AddressEntry),
}

impl Target {
    /// Returns the owner of the target of a frame from the wire.
    #[inline(always)]
    pub(super) fn at_ingress<A>(address: A, addresses: &impl Addresses<A>) -> Self {
        match addresses.get(address) {
            Some(entry) => Self::new(entry, entry.refusal()),
            None => Self::Unowned,
        }
    }

    /// Returns the owner of the target of a frame that leaves the parent. An address that is refused only to the
    /// LAN is served there.
    #[inline(always)]
    pub(super) fn at_egress<A>(address: A, addresses: &impl Addresses<A>) -> Self {
        match addresses.get(address) {
            Some(entry) => Self::new(entry, entry.egress_refusal()),
            None => Self::Unowned,
        }
    }

    #[inline(always)]
    const fn new(entry: AddressEntry, refusal: Option<Reason>) -> Self {
        if let Some(reason) = refusal {
            return Self::Refused(entry, reason);
        }
        match entry.owner() {
            Some(Owner::Child) => Self::Child(entry),
            Some(Owner::Host) => Self::Host(entry),
            Some(Owner::Gateway) | None => Self::Unowned,
        }
    }
}

/// Decides on a request that leaves the parent, of ARP or neighbour discovery alike: the host's, or an l2 child's on
/// its way to the wire. The mode does not matter: a child that has just become an l2 child is answered before the agent
/// has read it.
///
/// # Errors
///
/// The decision, if the request is not answered. Otherwise the entry of its target.
#[inline(always)]
pub(super) fn check_asker<A: Copy>(
    target: A,
    sender: A,
    config: Config,
    addresses: &impl Addresses<A>,
) -> Result<AddressEntry, Decision> {
    let (entry, reason) = match Target::at_egress(target, addresses) {
        Target::Unowned => return Err(Decision::unattributed(Reason::NotOurs)),
        Target::Refused(entry, reason) => (entry, reason),
        Target::Child(entry) => match addresses.of_sender(sender).owner() {
            Some(Owner::Child) => (entry, Reason::Sibling),
            // The answer would go to whatever child has the sender's address.
            Some(Owner::Gateway) | None if config.has(ConfigFlags::ISOLATED) => {
                (entry, Reason::Isolated)
            }
            Some(_) | None => return Ok(entry),
        },
        Target::Host(entry) => {
            let sender = addresses.of_sender(sender);
            match sender.owner() {
                Some(Owner::Child) if entry.is_answered_to(&sender) => return Ok(entry),
                Some(Owner::Child) => (entry, Reason::HostElsewhere),
                Some(_) | None => (entry, Reason::HostAddress),
            }
        }
    };
    Err(Decision::for_entry(entry, reason))
}
