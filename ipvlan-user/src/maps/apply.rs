//! Writing a plan to the maps.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use ipvlan_common::{AddressEntry, Config, ConfigFlags, Owner, Reason};

use super::{
    Events, Maps, MapsError, deadline,
    diff::{Addresses, Plan, diff, diff_of},
    room::{LeftOut, left_out, most_of_netns},
    slots::Slots,
};
use crate::model::{ChildKey, Desired, DesiredEntry, Revision, is_established};

/// What the maps of a parent hold, as far as we wrote it.
pub struct Installed {
    maps: Maps,
    addresses: Addresses,
    /// How many of them are answered.
    answered: usize,
    /// What is desired and has no room.
    left_out: LeftOut,
    config: Config,
    slots: Slots,
    /// Adopted addresses of children that no child was seen with since.
    unclaimed: BTreeSet<IpAddr>,
    /// When the programs stop answering; none without limit, or before the first [`Self::stamp`].
    deadline: Option<Instant>,
}

/// How an update went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Addresses added or changed.
    pub put: usize,
    /// Addresses deleted.
    pub removed: usize,
    /// Whether the parent's MAC or flags are others.
    pub reconfigured: bool,
    /// Addresses that would be answered, and for which the map of their family has no room. What was there
    /// before keeps working.
    pub no_room: BTreeSet<IpAddr>,
    /// Everything else that failed. The rest of the plan was carried out all the same.
    pub errors: Vec<MapsError>,
}

impl Installed {
    /// Freshly created, empty maps with room for `children` child counters.
    #[must_use]
    pub fn new(mut maps: Maps, children: u32) -> Self {
        maps.fill_index(&Addresses::new());
        Self {
            maps,
            addresses: Addresses::new(),
            answered: 0,
            left_out: LeftOut::default(),
            config: Config::default(),
            slots: Slots::new(children),
            unclaimed: BTreeSet::new(),
            deadline: None,
        }
    }

    /// Returns the maps of a previous agent, with its entries.
    pub fn adopt(mut maps: Maps, children: u32) -> Result<Self, MapsError> {
        let addresses = maps.addresses()?;
        let config = maps.config()?;
        maps.fill_index(&addresses);
        let of_child = |(_, entry): &(&IpAddr, &AddressEntry)| entry.owner() == Some(Owner::Child);
        let unclaimed = addresses.iter().filter(of_child);
        Ok(Self {
            unclaimed: unclaimed.map(|(&address, _)| address).collect(),
            maps,
            answered: answered(&addresses),
            addresses,
            left_out: LeftOut::default(),
            config,
            slots: Slots::new(children),
            deadline: None,
        })
    }

    /// Returns the established addresses, each with the ifindex of its child in the child's own netns.
    ///
    /// An address is established if it is answered and the agent is not probing the LAN for it. Right after
    /// [`Self::adopt`] these are the addresses that the previous agent left so.
    #[must_use]
    pub fn established(&self) -> BTreeMap<IpAddr, u32> {
        self.addresses
            .iter()
            .filter(|(_, entry)| is_established(entry))
            .map(|(&address, entry)| (address, entry.child_ifindex()))
            .collect()
    }

    /// Returns the addresses of children that the previous agent withheld for this reason.
    #[must_use]
    pub fn withheld(&self, reason: Reason) -> BTreeSet<IpAddr> {
        let is_withheld = |entry: &AddressEntry| {
            entry.owner() == Some(Owner::Child) && entry.refusal() == Some(reason)
        };
        let addresses = self.addresses.iter();
        addresses
            .filter(|(_, entry)| is_withheld(entry))
            .map(|(&address, _)| address)
            .collect()
    }

    /// Returns the MAC that the programs answer with; `None` if they answer nothing. Right after [`Self::adopt`] it
    /// is that of the previous agent.
    pub fn answering_mac(&self) -> Result<Option<[u8; 6]>, MapsError> {
        let answers = self.config.has(ConfigFlags::READY)
            && self.maps.deadline()? > deadline::after(Duration::ZERO);
        Ok(answers.then(|| self.config.mac()))
    }

    /// Lets the programs answer for `stale_after` from now on; without it for ever.
    pub fn stamp(&mut self, stale_after: Option<Duration>) -> Result<(), MapsError> {
        let now = Instant::now();
        self.maps
            .set_deadline(stale_after.map_or(u64::MAX, deadline::after))?;
        self.deadline = stale_after.and_then(|time| now.checked_add(time));
        Ok(())
    }

    /// Returns when the programs stop answering; none without limit.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The events of the programs; `None` from the second call on.
    pub fn take_events(&mut self) -> Option<Events> {
        self.maps.take_events()
    }

    /// The maps, for reading counters.
    #[must_use]
    pub const fn maps(&self) -> &Maps {
        &self.maps
    }

    /// Returns what the maps hold, as far as it was written by this agent or read back.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Returns how many addresses of children are answered: those that are in the maps.
    #[must_use]
    pub const fn answered(&self) -> usize {
        self.answered
    }

    /// Returns whether the maps have no room for some of what is desired.
    #[must_use]
    pub fn is_short(&self) -> bool {
        !self.left_out.is_empty()
    }

    /// Which child counts where.
    #[must_use]
    pub const fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Keeps adopted entries of children that no child was seen with since, or gives them up. Some netns may not
    /// have been read yet.
    pub fn keep_unclaimed(&mut self, keep: bool) {
        if !keep {
            self.unclaimed.clear();
        }
    }

    /// Makes the maps hold what is desired. Idempotent; errors leave `self` saying what the maps do
    /// hold, so that the next update tries again.
    pub fn update(&mut self, desired: &Desired) -> Outcome {
        let mut outcome = self.assign_slots(desired);
        self.left_out = left_out(&desired.addresses, &self.addresses, self.maps.capacity());
        outcome.no_room.clone_from(&self.left_out.waiting);
        let admitted = desired.entries(|child| self.slots.of(child));
        let mut wanted: Addresses = admitted
            .filter(|(address, _)| !self.left_out.contains(*address))
            .collect();
        self.unclaimed
            .retain(|address| !wanted.contains_key(address));
        let kept = self.unclaimed.iter();
        wanted.extend(kept.filter_map(|of| Some((*of, *self.addresses.get(of)?))));
        let plan = diff(&self.addresses, &wanted);
        let outcome = self.carry_out(plan, desired.config, outcome);
        if outcome.errors.is_empty() && outcome.no_room == self.left_out.waiting {
            // Equal, and built at once it takes half the memory.
            self.addresses = wanted;
        }
        outcome
    }

    /// The same where nothing but what was revised is different from what was desired before.
    ///
    /// Who gets room in a map that is nearly full depends on all addresses: then all are looked at.
    pub fn revise(&mut self, desired: &Desired, revision: &Revision) -> Outcome {
        if self.is_short() || desired.most_of_family() > most_of_netns(self.maps.capacity()) {
            return self.update(desired);
        }
        let mut outcome = Outcome::default();
        if revision.children {
            let was_short = self.slots.is_short();
            outcome = self.assign_slots(desired);
            // A slot that was freed may be another child's now.
            if was_short || self.slots.is_short() {
                let mut whole = self.update(desired);
                whole.errors.append(&mut outcome.errors);
                return whole;
            }
        }
        self.unclaimed
            .retain(|address| !revision.addresses.contains(address));
        let slots = &self.slots;
        let wanted = revision
            .addresses
            .iter()
            .map(|&address| (address, desired.entry(address, |child| slots.of(child))));
        let plan = diff_of(&self.addresses, wanted);
        self.carry_out(plan, desired.config, outcome)
    }

    fn assign_slots(&mut self, desired: &Desired) -> Outcome {
        let mut outcome = Outcome::default();
        let children = desired.children.iter().map(|child| child.key);
        for slot in self.slots.update(children, &self.counted(desired)) {
            if let Err(error) = self.maps.reset_child_counters(slot) {
                outcome.errors.push(error);
            }
        }
        outcome
    }

    fn carry_out(&mut self, mut plan: Plan, config: Config, mut outcome: Outcome) -> Outcome {
        for address in plan.remove {
            match self.maps.remove(address) {
                Ok(()) => {
                    let before = self.addresses.remove(&address);
                    self.answered -= is_answered(before.as_ref());
                    outcome.removed += 1;
                }
                Err(error) => outcome.errors.push(error),
            }
        }
        // The host's and gateways' first: whatever fails then is a child's.
        plan.put
            .sort_by_key(|(_, entry)| entry.owner() == Some(Owner::Child));
        let mut failed = self.maps.put(&plan.put);
        for (address, entry) in plan.put {
            match failed.remove(&address) {
                None => {
                    let before = self.addresses.insert(address, entry);
                    self.answered += is_answered(Some(&entry));
                    self.answered -= is_answered(before.as_ref());
                    outcome.put += 1;
                }
                Some(error) if error.is_full() => {
                    outcome.no_room.insert(address);
                }
                Some(error) => outcome.errors.push(error),
            }
        }
        // Last: on the first update this is what makes the programs answer. With addresses missing that may
        // be a child's, none is certain to be unowned.
        let complete = outcome.errors.is_empty()
            && outcome.no_room.is_subset(&self.left_out.waiting)
            && !self.left_out.is_uncertain;
        let config = if complete {
            config
        } else {
            config.without(ConfigFlags::L2_DROP_FOREIGN | ConfigFlags::L2_DROP_FOREIGN_ND)
        };
        if config != self.config {
            match self.maps.set_config(config) {
                Ok(()) => {
                    self.config = config;
                    outcome.reconfigured = true;
                }
                Err(error) => outcome.errors.push(error),
            }
        }
        outcome
    }

    /// Where the children count that have no slot yet: where a previous agent let them, if it did.
    fn counted(&self, desired: &Desired) -> BTreeMap<ChildKey, u32> {
        if !self.slots.is_empty() {
            return BTreeMap::new();
        }
        let slot_of = |(address, wanted): (&IpAddr, &DesiredEntry)| {
            let DesiredEntry::Child { child, .. } = wanted else {
                return None;
            };
            let entry = self.addresses.get(address)?;
            let same =
                entry.owner() == Some(Owner::Child) && entry.child_ifindex() == child.ifindex;
            same.then_some((*child, entry.slot()))
        };
        desired.addresses.iter().filter_map(slot_of).collect()
    }

    /// Compares what the maps hold with what we wrote, and from now on starts from what they hold.
    /// Returns how many addresses, and slots of the indexes, differed.
    pub fn audit(&mut self) -> Result<usize, MapsError> {
        let held = self.maps.addresses()?;
        let plan = diff(&held, &self.addresses);
        let mut differing = self.maps.fill_index(&self.addresses);
        if !plan.is_empty() {
            differing += plan.remove.len() + plan.put.len();
            self.maps.fill_index(&held);
        }
        self.answered = answered(&held);
        self.addresses = held;
        self.config = self.maps.config()?;
        Ok(differing)
    }
}

/// Returns how many addresses of children are answered.
fn answered(addresses: &Addresses) -> usize {
    addresses.values().map(|it| is_answered(Some(it))).sum()
}

/// Returns 1 for an address of a child that is answered.
fn is_answered(entry: Option<&AddressEntry>) -> usize {
    usize::from(entry.is_some_and(AddressEntry::is_live_child))
}
