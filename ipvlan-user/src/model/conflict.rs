//! Conflicts that a snapshot shows: addresses with another claim beside that of a child.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipvlan_common::Reason;

use super::{
    AddressView, ChildKey, ChildView, DesiredEntry,
    owners::{Owners, is_link_local},
};
use crate::{
    facts::{Link, Snapshot},
    protocol::ConflictKind,
};

/// An address of a child with a conflicting claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conflict {
    /// The address.
    pub address: IpAddr,
    /// The child that has it.
    pub child: ChildKey,
    /// The other claim.
    pub rival: Rival,
}

/// The other claim on a child's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rival {
    /// The host, on this link: the address is the host's alone.
    Host {
        /// Ifindex of the link, in our own netns.
        ifindex: u32,
    },
    /// A next hop of the host's routes: the address is the gateway's alone.
    Gateway,
    /// The host's routes, which have the child as a next hop: it had the address before, and is answered.
    NextHop,
    /// Another child of the same parent, whose the address is.
    Sibling(ChildKey),
    /// A child of another parent. Their LANs are separate: both are answered for.
    OtherParent {
        /// The child.
        child: ChildKey,
        /// Its parent's ifindex, in our own netns.
        parent: u32,
    },
    /// No other claim, but a point-to-point address: the driver delivers this one, the peer's, to the child.
    Peer(IpAddr),
}

impl Conflict {
    /// Returns its kind in `status` and events.
    #[must_use]
    pub const fn kind(&self) -> ConflictKind {
        match self.rival {
            Rival::Host { .. } => ConflictKind::HostAddress,
            Rival::Gateway => ConflictKind::GatewayAddress,
            Rival::NextHop => ConflictKind::NextHop,
            Rival::Sibling(_) => ConflictKind::SiblingAddress,
            Rival::OtherParent { .. } => ConflictKind::OtherParent,
            Rival::Peer(_) => ConflictKind::PeerAddress,
        }
    }
}

/// The conflicts that children of this parent are in.
pub(super) fn conflicts(
    snapshot: &Snapshot,
    parent: &Link,
    owners: &Owners,
    views: &[ChildView],
    addresses: &BTreeMap<IpAddr, DesiredEntry>,
) -> BTreeSet<Conflict> {
    let elsewhere = elsewhere(snapshot, parent);
    let mut conflicts = BTreeSet::new();
    for view in views {
        for of in &view.addresses {
            let rivals = [
                claimed(of, owners),
                sibling(of, view.key, addresses),
                of.is_candidate()
                    .then(|| elsewhere.get(&of.address).copied())
                    .flatten(),
            ];
            conflicts.extend(rivals.into_iter().flatten().map(|rival| Conflict {
                address: of.address,
                child: view.key,
                rival,
            }));
        }
    }
    conflicts
}

/// Returns which claim of the host, of a gateway or of a peer there is on an address of a child.
pub(super) fn claimed(view: &AddressView, owners: &Owners) -> Option<Rival> {
    match view.refusal {
        Some(Reason::HostAddress) => owners.host(view.address).map(|held| Rival::Host {
            ifindex: held.ifindex,
        }),
        Some(Reason::GatewayAddress) => Some(Rival::Gateway),
        Some(Reason::PeerAddress) => view.peer.map(Rival::Peer),
        _ => (view.is_candidate() && owners.is_gateway(view.address)).then_some(Rival::NextHop),
    }
}

/// The sibling that the address map gave the address to.
pub(super) fn sibling(
    view: &AddressView,
    key: ChildKey,
    addresses: &BTreeMap<IpAddr, DesiredEntry>,
) -> Option<Rival> {
    let owner = addresses.get(&view.address)?.child()?;
    (view.is_candidate() && owner != key).then_some(Rival::Sibling(owner))
}

/// The addresses of other parents' children. Link-local ones mean something on their own link only.
fn elsewhere(snapshot: &Snapshot, parent: &Link) -> BTreeMap<IpAddr, Rival> {
    let others = snapshot
        .children
        .iter()
        .filter(|child| child.parent_ifindex != parent.ifindex && child.up);
    let mut addresses = BTreeMap::new();
    for child in others {
        let rival = Rival::OtherParent {
            child: child.into(),
            parent: child.parent_ifindex,
        };
        for address in &child.addresses {
            let registered = address.registered();
            if !is_link_local(registered) {
                addresses.entry(registered).or_insert(rival);
            }
        }
    }
    addresses
}
