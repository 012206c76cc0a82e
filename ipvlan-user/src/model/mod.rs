//! What the datapath of a parent should hold, from what the kernel was seen to hold.
//!
//! Pure: a [`Snapshot`] and a [`Policy`] go in, a [`Desired`] comes out, and the same ones always
//! give the same one.

mod child;
mod parent;

use std::{collections::BTreeMap, net::Ipv4Addr};

use ipvlan_common::{AddressEntry, Config, ConfigFlags, Delivery, Owner, Reason};

use self::child::Considered;
pub use self::{
    child::{AddressView, ChildView},
    parent::{ParentError, check_parent},
};
use crate::discover::snapshot::{Child, Link, Mode, NetnsId, PortFlag, Snapshot};

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What happens to neighbour requests from the wire for l2 children.
    pub l2_broadcast: L2Broadcast,
    /// How packets reach children in the parent's own netns.
    pub deliver: Deliver,
    /// Answer for children's addresses in 169.254.0.0/16.
    pub answer_link_local: bool,
}

/// What happens to neighbour requests from the wire for l2 children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum L2Broadcast {
    /// Answered, or dropped if they are for nobody here, before the driver clones them.
    #[default]
    Filter,
    /// Left to the kernel, which clones each to every child.
    Flood,
}

/// How packets reach children in the parent's own netns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Deliver {
    /// What was measured cheaper: pass, on every kernel so far.
    #[default]
    Auto,
    /// The driver delivers them.
    Pass,
    /// The ingress program redirects them to the child.
    Redirect,
}

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

/// What an address should be in the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Held by the host or a gateway.
    Held(Owner),
    /// Held by a child.
    Child {
        /// Whose.
        child: ChildKey,
        /// How it gets its packets.
        delivery: Delivery,
        /// Why it is not answered for; `None` if it is.
        refusal: Option<Reason>,
        /// The kernel answers requests from the wire.
        arp_by_kernel: bool,
    },
}

impl Wanted {
    /// Whether this replaces `other` for the same address.
    ///
    /// The host outranks everybody: its stack must go on answering. A child that holds a gateway's
    /// address replaces the gateway, so that the refusal is counted as its. Of two children (the
    /// kernel refuses that, but a dump may show one that moves twice) the live one wins.
    const fn outranks(self, other: Self) -> bool {
        match (self, other) {
            (Self::Child { .. }, Self::Held(Owner::Gateway)) => true,
            (Self::Child { refusal: None, .. }, Self::Child { refusal, .. }) => refusal.is_some(),
            _ => false,
        }
    }

    /// The map value, with the child's counter slot.
    #[must_use]
    pub fn entry(self, slot: impl FnOnce(ChildKey) -> u32) -> AddressEntry {
        match self {
            Self::Held(owner) => AddressEntry::held_by(owner),
            Self::Child {
                child,
                delivery,
                refusal,
                arp_by_kernel,
            } => {
                let mut entry = AddressEntry::child(child.ifindex, slot(child), delivery);
                if arp_by_kernel {
                    entry = entry.with_by_kernel();
                }
                refusal.map_or(entry, |reason| entry.refused(reason))
            }
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
    /// The address map.
    pub addresses: BTreeMap<Ipv4Addr, Wanted>,
    /// The children and what was decided about them, for `status`.
    pub children: Vec<ChildView>,
    /// Mode and flag of the port; `None` without children.
    pub port: Option<(Mode, PortFlag)>,
    /// What the user should know about how it was decided.
    pub notes: Vec<&'static str>,
}

/// Decides what the datapath of `parent` should hold.
#[must_use]
pub fn desired(snapshot: &Snapshot, parent: &Link, policy: Policy) -> Desired {
    let children: Vec<&Child> = snapshot
        .children
        .iter()
        .filter(|child| child.parent_ifindex == parent.ifindex)
        .collect();
    let considered = Considered::new(snapshot, parent, policy, &children);
    let views: Vec<ChildView> = children
        .iter()
        .map(|child| considered.child(child))
        .collect();

    let mut addresses = considered.held();
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
    let flags = config_flags(snapshot, parent, policy, port, egress, &mut notes);
    Desired {
        config: Config::new(parent.mac.unwrap_or_default(), flags),
        ingress,
        egress,
        addresses,
        children: views,
        port,
        notes,
    }
}

fn config_flags(
    snapshot: &Snapshot,
    parent: &Link,
    policy: Policy,
    port: Option<(Mode, PortFlag)>,
    egress: EgressProgram,
    notes: &mut Vec<&'static str>,
) -> ConfigFlags {
    let mut flags = ConfigFlags::READY;
    let Some((mode, flag)) = port else {
        return flags;
    };
    if flag == PortFlag::Vepa {
        flags = flags | ConfigFlags::VEPA | ConfigFlags::CHECK_SOURCE;
    }
    if mode != Mode::L2 {
        return flags;
    }
    flags = flags | ConfigFlags::L2;
    if egress == EgressProgram::Routed {
        flags = flags | ConfigFlags::CHECK_SOURCE;
    }
    if policy.l2_broadcast == L2Broadcast::Flood {
        return flags | ConfigFlags::L2_FLOOD;
    }
    // A request may be dropped only if it is certain that the host would not have answered it.
    let host = &snapshot.host;
    let proxy_arp = host
        .proxy_arp
        .get(&parent.ifindex)
        .is_some_and(|proxy_arp| proxy_arp.any());
    let any_ip = host
        .local_prefixes
        .iter()
        .any(|(prefix, _)| prefix.is_ipv4());
    if proxy_arp {
        notes.push("the host does proxy ARP: requests for unknown addresses still flood");
    } else if host.proxy_neighbours {
        notes.push("the host has proxy neighbours: requests for unknown addresses still flood");
    } else if any_ip {
        notes.push("the host has local prefixes: requests for unknown addresses still flood");
    } else {
        flags = flags | ConfigFlags::L2_DROP_FOREIGN;
    }
    flags
}

#[cfg(test)]
mod tests;
