//! What the datapath of a parent should hold, from what the kernel was seen to hold.
//!
//! Pure: a [`Snapshot`], a [`Policy`] and what the LAN was heard to say go in, a [`Desired`] comes
//! out, and the same ones always give the same one.

mod child;
mod conflict;
mod flags;
mod holders;
mod parent;
mod policy;
mod prefix;
mod wanted;

use std::{collections::BTreeMap, net::IpAddr};

use ipvlan_common::{Config, Delivery, Reason};

use self::{child::Considered, holders::Holders};
pub use self::{
    child::{AddressView, ChildView},
    conflict::{Conflict, Rival},
    parent::{ParentError, check_parent},
    policy::{Deliver, L2Broadcast, Policy},
    prefix::{Prefix, PrefixError},
    wanted::Wanted,
};
use crate::discover::snapshot::{Child, Link, Mode, NetnsId, PortFlag, Snapshot};

/// A child's identity: its ifindex means something in its own netns only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildKey {
    /// The netns it is in.
    pub netns: NetnsId,
    /// Its ifindex there.
    pub ifindex: u32,
}

impl From<&Child> for ChildKey {
    fn from(child: &Child) -> Self {
        Self {
            netns: child.netns,
            ifindex: child.ifindex,
        }
    }
}

/// Which ingress program a parent needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IngressProgram {
    /// Neighbour requests only: the driver delivers.
    #[default]
    Neighbour,
    /// Also looks packets up, to redirect them.
    Demux,
}

/// Which egress program a parent needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EgressProgram {
    /// Packets to the parent's own MAC are for children.
    #[default]
    OwnMac,
    /// Some child's packets leave with a gateway's MAC: look all up.
    Routed,
}

/// What the datapath of one parent should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// Value of the `CONFIG` map.
    pub config: Config,
    /// The ingress program.
    pub ingress: IngressProgram,
    /// The egress program.
    pub egress: EgressProgram,
    /// The address maps of both families.
    pub addresses: BTreeMap<IpAddr, Wanted>,
    /// The children and what was decided about them, for `status`.
    pub children: Vec<ChildView>,
    /// Addresses that somebody else has a claim on as well.
    pub conflicts: Vec<Conflict>,
    /// Mode and flag of the port; `None` without children.
    pub port: Option<(Mode, PortFlag)>,
    /// What the user should know about how it was decided.
    pub notes: Vec<&'static str>,
}

/// Decides what the datapath of `parent` should hold.
///
/// `held_back` are addresses that are not answered for because of what the LAN was heard to say
/// ([`Reason::Probing`], [`Reason::Duplicate`]); whatever else is wrong with one comes first.
#[must_use]
pub fn desired(
    snapshot: &Snapshot,
    parent: &Link,
    policy: &Policy,
    held_back: &BTreeMap<IpAddr, Reason>,
) -> Desired {
    let children: Vec<&Child> = snapshot
        .children
        .iter()
        .filter(|child| child.parent_ifindex == parent.ifindex)
        .collect();
    let holders = Holders::new(snapshot, parent, &children);
    let considered = Considered {
        holders: &holders,
        parent,
        policy,
        held_back,
    };
    let views: Vec<ChildView> = children
        .iter()
        .map(|child| considered.child(child))
        .collect();

    let mut addresses = holders.wanted();
    for view in &views {
        for (address, wanted) in view.wanted() {
            let entry = addresses.entry(address).or_insert(wanted);
            if wanted.outranks(*entry) {
                *entry = wanted;
            }
        }
    }

    let port = children.first().map(|child| (child.mode, child.flag));
    let egress = considered.egress_program(&addresses);
    let redirects = views.iter().any(|view| view.delivery == Delivery::Redirect);
    let ingress = if redirects {
        IngressProgram::Demux
    } else {
        IngressProgram::Neighbour
    };
    let mut notes = Vec::new();
    let flags = flags::config_flags(&snapshot.host, parent, policy, port, egress, &mut notes);
    Desired {
        config: Config::new(parent.mac.unwrap_or_default(), flags),
        ingress,
        egress,
        conflicts: conflict::conflicts(snapshot, parent, &holders, &views, &addresses),
        addresses,
        children: views,
        port,
        notes,
    }
}

#[cfg(test)]
mod tests;
