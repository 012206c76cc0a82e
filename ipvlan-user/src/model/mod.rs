//! What the datapath of a parent should hold, from what the kernel was seen to hold.
//!
//! Pure: a [`Snapshot`], a [`Policy`] and what the LAN was heard to say go in, a [`Desired`] comes
//! out, and the same ones always give the same one.

mod answers;
mod child;
mod conflict;
mod desired_entry;
mod flags;
mod history;
mod hook_point;
mod notes;
mod owners;
mod parent;
mod policy;
mod prefix;
mod refusal;
mod revise;
mod rule;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipvlan_common::{AddressEntry, Config, Delivery, Reason};

pub use self::{
    answers::AnsweredTo,
    child::{AddressView, ChildView},
    conflict::{Conflict, Rival},
    desired_entry::{DesiredEntry, Reach, may_be_answered},
    history::{History, is_established},
    hook_point::HookPoint,
    notes::note_of_mode,
    parent::{ParentError, check_link, check_parent},
    policy::{Deliver, Dhcp, L2Broadcast, Policy},
    prefix::{Prefix, PrefixError},
    refusal::{ClaimedAddress, Refusal, reserved},
    revise::Revision,
    rule::{ChildContext, ChildPolicy, Glob, GlobError, Rule, RuleError},
};
use self::{child::Rules, owners::Owners};
use crate::{
    facts::{Child, Link, NetnsId, Port, Snapshot},
    protocol::QuotaKind,
    quota::Exceeded,
};

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
    /// Some child also attracts packets that leave for a gateway's MAC: every packet is looked up.
    Routed,
}

/// What the datapath of one parent should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Value of the `CONFIG` map.
    pub config: Config,
    /// The ingress program.
    pub ingress: IngressProgram,
    /// The egress program.
    pub egress: EgressProgram,
    /// The address maps of both families.
    pub addresses: BTreeMap<IpAddr, DesiredEntry>,
    /// Addresses that the agent is probing the LAN for: their entries have the flag PROBED.
    pub probed: BTreeSet<IpAddr>,
    /// The children and what was decided about them, for `status`.
    pub children: Vec<ChildView>,
    /// Addresses with conflicting claims.
    pub conflicts: BTreeSet<Conflict>,
    /// How many addresses of children are answered, if the maps have room for them.
    pub answered: usize,
    /// Settings of the port; `None` without ipvlan children.
    pub port: Option<Port>,
    /// What the user should know about how it was decided.
    pub notes: Vec<&'static str>,
    /// Addresses that more than one child has, or one twice; those of the host aside.
    contested: BTreeSet<IpAddr>,
    /// How many addresses need [`EgressProgram::Routed`].
    routed: usize,
    /// How many addresses are of IPv4.
    v4: usize,
}

/// Decides what the datapath of `parent` should hold, as if there had been no decision before.
///
/// `withheld` is as in [`desired_after`].
#[must_use]
pub fn desired(
    snapshot: &Snapshot,
    parent: &Link,
    policy: &Policy,
    withheld: &BTreeMap<IpAddr, Reason>,
) -> Desired {
    desired_after(&History::default(), snapshot, parent, policy, withheld)
}

/// Decides what the datapath of `parent` should hold.
///
/// `withheld` are addresses that are not answered because of frames that the LAN carried
/// ([`Reason::Probing`], [`Reason::Duplicate`]); every other reason not to answer one takes precedence.
#[must_use]
pub fn desired_after(
    history: &History,
    snapshot: &Snapshot,
    parent: &Link,
    policy: &Policy,
    withheld: &BTreeMap<IpAddr, Reason>,
) -> Desired {
    let children: Vec<&Child> = snapshot
        .children
        .iter()
        .filter(|child| child.parent_ifindex == parent.ifindex)
        .collect();
    let owners = Owners::new(snapshot, parent, &children);
    let rules = Rules {
        snapshot,
        owners: &owners,
        parent,
        policy,
        withheld,
        history,
    };
    let mut views: Vec<ChildView> = children.iter().map(|child| rules.child(child)).collect();
    for of_netns in views.chunk_by_mut(|a, b| a.key.netns == b.key.netns) {
        history.limit(snapshot, policy, of_netns);
    }

    let (addresses, contested) = decide(&owners, &views);
    let mut desired = Desired {
        config: Config::default(),
        ingress: IngressProgram::default(),
        egress: EgressProgram::default(),
        conflicts: conflict::conflicts(snapshot, parent, &owners, &views, &addresses),
        answered: views.iter().map(ChildView::answered).sum(),
        routed: addresses
            .values()
            .filter(|wanted| wanted.is_routed())
            .count(),
        v4: addresses.keys().filter(|address| address.is_ipv4()).count(),
        addresses,
        probed: BTreeSet::new(),
        children: views,
        port: None,
        notes: Vec::new(),
        contested,
    };
    desired.apply_programs(snapshot, parent, policy);
    desired
}

/// Who has which address, and which ones more than one child has.
fn decide(
    owners: &Owners,
    views: &[ChildView],
) -> (BTreeMap<IpAddr, DesiredEntry>, BTreeSet<IpAddr>) {
    let claims = views.iter().flat_map(ChildView::desired_entries);
    let mut addresses: Vec<(IpAddr, DesiredEntry)> =
        owners.desired_entries().into_iter().chain(claims).collect();
    // Stable: among those of an address, owners come first, then children by their order.
    addresses.sort_by_key(|&(address, _)| address);
    let mut contested = BTreeSet::new();
    addresses.dedup_by(|&mut (address, wanted), (first, owner)| {
        if address != *first {
            return false;
        }
        if owner.child().is_some() {
            contested.insert(address);
        }
        if wanted.outranks(*owner) {
            *owner = wanted;
        }
        true
    });
    (addresses.into_iter().collect(), contested)
}

impl Desired {
    /// Returns the map value of an address, with the child's counter slot; `None` if it is not in the map.
    pub fn entry(
        &self,
        address: IpAddr,
        slot: impl FnOnce(ChildKey) -> u32,
    ) -> Option<AddressEntry> {
        let wanted = self.addresses.get(&address)?;
        Some(self.marked(address, wanted.entry(slot)))
    }

    /// Returns all addresses and their map values.
    pub fn entries(
        &self,
        slot: impl Fn(ChildKey) -> u32,
    ) -> impl Iterator<Item = (IpAddr, AddressEntry)> {
        self.addresses
            .iter()
            .map(move |(&address, wanted)| (address, self.marked(address, wanted.entry(&slot))))
    }

    /// Adds a control address, or removes it. An address that has an owner here is none.
    pub fn set_control(&mut self, address: IpAddr, is_control: bool) {
        let count = usize::from(address.is_ipv4());
        match self.addresses.get(&address) {
            None if is_control => {
                self.addresses.insert(address, DesiredEntry::Control);
                self.v4 += count;
            }
            Some(DesiredEntry::Control) if !is_control => {
                self.addresses.remove(&address);
                self.v4 -= count;
            }
            _ => {}
        }
    }

    fn marked(&self, address: IpAddr, entry: AddressEntry) -> AddressEntry {
        if self.probed.contains(&address) {
            entry.with_probed()
        } else {
            entry
        }
    }

    /// Decides the programs, the flags and the notes, which depend on all children and addresses together.
    fn apply_programs(&mut self, snapshot: &Snapshot, parent: &Link, policy: &Policy) {
        self.port = snapshot
            .children
            .iter()
            .filter(|child| child.parent_ifindex == parent.ifindex)
            .find_map(|child| child.kind.port());
        self.egress = if self.routed > 0 {
            EgressProgram::Routed
        } else {
            EgressProgram::OwnMac
        };
        let mut children = self.children.iter();
        self.ingress = if policy.deliver == Deliver::Redirect
            && children.any(|view| matches!(view.delivery, Delivery::Redirect(_)))
        {
            IngressProgram::Demux
        } else {
            IngressProgram::Neighbour
        };
        self.notes.clear();
        let flags = flags::config_flags(
            snapshot,
            parent,
            policy,
            self.port,
            self.egress,
            &mut self.notes,
        );
        self.notes.extend(policy.note());
        let has_routed = self.routed > 0;
        let notes = notes::notes(snapshot, parent, &self.children, has_routed);
        self.notes.extend(notes);
        self.config = Config::new(parent.mac.unwrap_or_default(), flags);
    }

    /// Records the owner of an address.
    fn set(&mut self, address: IpAddr, wanted: Option<DesiredEntry>) {
        let before = match wanted {
            Some(wanted) => self.addresses.insert(address, wanted),
            None => self.addresses.remove(&address),
        };
        let routed =
            |wanted: Option<DesiredEntry>| usize::from(wanted.is_some_and(DesiredEntry::is_routed));
        self.routed = self.routed + routed(wanted) - routed(before);
        if address.is_ipv4() {
            self.v4 = self.v4 + usize::from(wanted.is_some()) - usize::from(before.is_some());
        }
    }

    /// Returns the children in a netns.
    fn children_of(&self, netns: NetnsId) -> &[ChildView] {
        let start = self.children.partition_point(|it| it.key.netns < netns);
        let end = self.children.partition_point(|it| it.key.netns <= netns);
        &self.children[start..end]
    }

    /// Returns by how many addresses each netns exceeds its quota.
    #[must_use]
    pub fn exceeded(&self) -> Exceeded {
        let mut exceeded = Exceeded::new();
        for view in &self.children {
            let addresses = view.addresses.iter();
            let over = addresses.filter(|it| it.refusal == Some(Reason::OverQuota));
            let over = over.count() as u64;
            if over > 0 {
                let key = (view.key.netns, QuotaKind::Addresses);
                *exceeded.entry(key).or_default() += over;
            }
        }
        exceeded
    }

    /// Returns how many addresses the larger of the two families has.
    #[must_use]
    pub fn most_of_family(&self) -> usize {
        self.v4.max(self.addresses.len() - self.v4)
    }
}

#[cfg(test)]
pub(crate) mod tests;
