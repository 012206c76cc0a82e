//! Changes of the policy, the parent and the candidates: a new address is probed for and announced, a removed one is
//! dropped.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Instant,
};

use super::Schedule;
use crate::{
    facts::{Link, NetnsId},
    lan::{
        Announcing, Candidate, Defending, LanPolicy,
        announce::{Announce, Start},
        dad::Origin,
        frame::Mac,
        turns::Kind,
    },
    quota::Quotas,
};

impl Schedule {
    /// Changes the policy. For addresses that were answered without probes see [`Dad::set_mode`](crate::lan::dad::Dad::set_mode).
    pub fn set_policy(&mut self, now: Instant, policy: LanPolicy, quotas: &Quotas) {
        let breaks_silence = policy.announce == Announcing::On && self.announce.is_none();
        match policy.announce {
            Announcing::Off => {
                if let Some(announce) = self.announce.take() {
                    for address in announce.addresses() {
                        self.turns.remove_frame((address, Kind::Announcement));
                    }
                }
            }
            Announcing::On => {
                self.announce
                    .get_or_insert_with(|| Announce::new(policy.refresh))
                    .set_refresh(&mut self.turns, policy.refresh);
            }
        }
        self.defends = policy.defend == Defending::On;
        self.turns.set_rates(now, policy.rate, quotas.announcements);
        self.memberships.set_quota(quotas.groups);
        self.events.set_rate(quotas.events);
        let answered = self
            .candidates
            .iter()
            .filter(|&(&address, candidate)| candidate.needs_proxy_dad(address))
            .map(|(&address, candidate)| (address, candidate.announced.child.netns));
        let released = self
            .dad
            .set_mode(now, &mut self.turns, policy.dad, answered);
        self.released.extend(released);
        if breaks_silence && self.can_send {
            self.announce_all(now, true);
        }
        self.rest_all(now);
    }

    /// Announces all addresses that can be announced.
    fn announce_all(&mut self, now: Instant, new: bool) {
        let Some(announce) = &mut self.announce else {
            return;
        };
        for (&address, candidate) in &self.candidates {
            if self.dad.is_free(address) && self.defence.is_settled(now, address) {
                let netns = candidate.announced.child.netns;
                let start = Start { new, late: true };
                announce.start(now, &mut self.turns, (address, netns), start);
            }
        }
    }

    /// Refreshes all addresses that can be announced and are not yet.
    fn rest_all(&mut self, now: Instant) {
        let Some(announce) = self.announce.as_mut().filter(|_| self.can_send) else {
            return;
        };
        for (&address, candidate) in &self.candidates {
            if self.dad.is_free(address) {
                let netns = candidate.announced.child.netns;
                announce.rest(now, &mut self.random, address, netns);
            }
        }
    }

    /// Applies the state of the parent and the candidates; [`Self::join_groups`] is to be called after it. Returns
    /// whether [`Self::withheld`] has changed: then the answered addresses are to be decided again, but not applied
    /// here again.
    pub fn update(
        &mut self,
        now: Instant,
        link: &Link,
        candidates: BTreeMap<IpAddr, Candidate>,
    ) -> bool {
        link.name.as_str().clone_into(&mut self.parent);
        let mac = link.mac.unwrap_or_default();
        let mac_changed = std::mem::replace(&mut self.mac, mac) != mac;
        let can_send = link.up && link.carrier && link.mac.is_some();
        let could_send = std::mem::replace(&mut self.can_send, can_send);
        self.dad.set_carrier(now, can_send, &mut self.random);
        if could_send && !can_send {
            self.turns.clear();
        }

        let gone = self.candidates.keys();
        let gone: Vec<IpAddr> = gone
            .filter(|address| !candidates.contains_key(address))
            .copied()
            .collect();
        for address in gone {
            self.revise(now, address, None);
        }
        let is_first = !std::mem::replace(&mut self.is_started, true);
        let mut changed = false;
        for (&address, &candidate) in &candidates {
            let before = self.candidates.get(&address).copied();
            changed |= self.upsert(now, address, before, candidate, is_first);
        }
        self.candidates = candidates;
        self.memberships.set_mtu(link.mtu);
        self.forget_netns();

        let released = std::mem::take(&mut self.released);
        self.announce_free(now, released);
        // What stations would not receive now is announced when the carrier is back.
        match &mut self.announce {
            Some(announce) if !can_send => {
                announce.clear();
                self.defence.clear();
            }
            Some(_) if !is_first && (!could_send || mac_changed) => {
                self.announce_all(now, !could_send);
            }
            _ => {}
        }
        changed
    }

    /// Forgets the counts of netns without an address here.
    fn forget_netns(&mut self) {
        let netns: BTreeSet<NetnsId> = self
            .candidates
            .values()
            .map(|candidate| candidate.announced.child.netns)
            .collect();
        self.events.retain(|of| netns.contains(&of));
        self.turns.retain(|of| netns.contains(&of));
    }

    pub(super) fn announce_free(&mut self, now: Instant, free: Vec<IpAddr>) {
        let Some(announce) = self.announce.as_mut().filter(|_| self.can_send) else {
            return;
        };
        for address in free {
            if let Some(candidate) = self.candidates.get(&address) {
                let netns = candidate.announced.child.netns;
                let start = Start {
                    new: true,
                    late: self.dad.is_late(address),
                };
                announce.start(now, &mut self.turns, (address, netns), start);
            }
        }
    }

    /// Applies one address that became a candidate, ceased to be one, or moved to another child;
    /// [`Self::join_groups`] is to be called after the last. Returns as [`Self::update`] does.
    pub fn revise(&mut self, now: Instant, address: IpAddr, candidate: Option<Candidate>) -> bool {
        if let Some(candidate) = candidate {
            let before = self.candidates.insert(address, candidate);
            return self.upsert(now, address, before, candidate, false);
        }
        if let Some(before) = self.candidates.remove(&address) {
            self.memberships.want(before.membership(address), None);
            self.dad.remove(now, address);
            self.turns.remove(address);
            self.defence.remove(address);
            if let Some(announce) = &mut self.announce {
                announce.remove(address);
            }
        }
        false
    }

    /// Adds or changes a candidate. Returns whether it is new and withheld. A late address is one of those that existed
    /// when the agent started, of which there can be many.
    fn upsert(
        &mut self,
        now: Instant,
        address: IpAddr,
        before: Option<Candidate>,
        candidate: Candidate,
        late: bool,
    ) -> bool {
        if before == Some(candidate) {
            return false;
        }
        self.memberships.want(
            before.and_then(|it| it.membership(address)),
            candidate.membership(address),
        );
        let netns = candidate.announced.child.netns;
        let origin = match before {
            None => self.adopted.take(address),
            Some(_) => Origin::New,
        };
        match before {
            None if candidate.needs_proxy_dad(address) => {
                self.dad.add(
                    now,
                    &mut self.turns,
                    (address, netns),
                    (origin, late),
                    &mut self.random,
                );
            }
            Some(before) if before.announced.child != candidate.announced.child => {
                self.forget_claims(address);
                self.dad.moved(now, &mut self.turns, address, netns);
            }
            _ => {}
        }
        if let Some(announce) = &mut self.announce
            && self.can_send
            && self.dad.is_free(address)
        {
            let previous = before.map(|it| it.announced);
            // Stations know it at this MAC: it was answered until now.
            if origin == Origin::Established && self.adopted.mac == Some(self.mac) {
                announce.rest(now, &mut self.random, address, netns);
            } else if Announce::is_news(address, previous, candidate.announced) {
                let start = Start {
                    new: previous
                        .is_none_or(|previous| previous.child != candidate.announced.child),
                    late,
                };
                announce.start(now, &mut self.turns, (address, netns), start);
            }
        }
        before.is_none() && self.dad.refusal(address).is_some()
    }

    /// Drops the decisions of previous agents: all children that existed at the start are known.
    pub fn forget_adopted(&mut self) {
        self.adopted = Adopted::default();
    }

    /// Joins the groups that addresses want, and leaves all others.
    pub fn join_groups(&mut self, now: Instant) {
        self.memberships.join(now);
    }
}

/// The decisions of previous agents about addresses in adopted maps.
#[derive(Clone, Debug, Default)]
pub struct Adopted {
    /// Addresses that are answered and were not being probed for.
    pub established: BTreeSet<IpAddr>,
    /// Addresses that another station owns.
    pub withheld: BTreeSet<IpAddr>,
    /// Addresses that were not answered, since a probe for them had not gone unanswered yet.
    pub unprobed: BTreeSet<IpAddr>,
    /// The MAC in the answers of the previous agent; none if nothing was answered lately.
    pub mac: Option<Mac>,
}

impl Adopted {
    /// Takes the decision about an address.
    fn take(&mut self, address: IpAddr) -> Origin {
        if self.established.remove(&address) {
            Origin::Established
        } else if self.withheld.remove(&address) {
            Origin::Withheld
        } else if self.unprobed.remove(&address) {
            Origin::Unprobed
        } else {
            Origin::New
        }
    }
}
