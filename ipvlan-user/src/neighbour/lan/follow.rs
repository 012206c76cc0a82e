//! Following what would be answered: what comes is probed for and announced, what goes is dropped.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Instant,
};

use super::{Adopted, Manners, Neighbours};
use crate::{
    discover::snapshot::{Link, NetnsId},
    neighbour::{Announcing, Candidate, announce::Announce, dad::Origin},
    quota::Quotas,
};

impl Neighbours {
    /// Changes what the user asked for. What is announced from now on, and what was answered when nothing was
    /// probed for: see [`Dad::set_mode`](crate::neighbour::dad::Dad::set_mode).
    pub fn set_manners(&mut self, now: Instant, manners: Manners, quotas: &Quotas) {
        let breaks_silence = manners.announce == Announcing::On && self.announce.is_none();
        match manners.announce {
            Announcing::Off => {
                if let Some(announce) = self.announce.take() {
                    for address in announce.addresses() {
                        self.turns
                            .remove_frame((address, super::turns::Kind::Announcement));
                    }
                }
            }
            Announcing::On => {
                self.announce.get_or_insert_default();
            }
        }
        self.turns
            .set_rates(now, manners.rate, quotas.announcements);
        self.memberships.set_quota(quotas.groups);
        self.events.set_rate(quotas.events);
        let answered = self
            .candidates
            .iter()
            .filter(|&(&address, candidate)| candidate.is_probed(address))
            .map(|(&address, candidate)| (address, candidate.live.child.netns));
        let released = self
            .dad
            .set_mode(now, &mut self.turns, manners.dad, answered);
        self.released.extend(released);
        if breaks_silence && self.heard {
            self.announce_all(now, true);
        }
    }

    /// Announces all that is free to be, many at once.
    fn announce_all(&mut self, now: Instant, new: bool) {
        let Some(announce) = &mut self.announce else {
            return;
        };
        for (&address, candidate) in &self.candidates {
            if self.dad.is_free(address) {
                let netns = candidate.live.child.netns;
                announce.start_later(now, &mut self.turns, address, netns, new);
            }
        }
    }

    /// Follows the parent and what would be answered; [`Self::join_groups`] is to be called after it. Returns
    /// whether [`Self::withheld`] is another: then what is answered has to be decided again, and that need not
    /// be followed.
    pub fn follow(
        &mut self,
        now: Instant,
        link: &Link,
        candidates: BTreeMap<IpAddr, Candidate>,
    ) -> bool {
        link.name.as_str().clone_into(&mut self.parent);
        let mac = link.mac.unwrap_or_default();
        let mac_changed = std::mem::replace(&mut self.mac, mac) != mac;
        let heard = link.up && link.carrier && link.mac.is_some();
        let was_heard = std::mem::replace(&mut self.heard, heard);
        self.dad.set_carrier(now, heard, &mut self.random);
        if was_heard && !heard {
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
        let adopted = self.adopted.take();
        let mut changed = false;
        for (&address, &candidate) in &candidates {
            let before = self.candidates.get(&address).copied();
            changed |= self.meet(now, address, before, candidate, adopted.as_ref());
        }
        self.candidates = candidates;
        self.memberships.set_mtu(link.mtu);
        self.forget_netns();

        let released = std::mem::take(&mut self.released);
        self.announce_free(now, released);
        // What stations would not receive now is announced when the carrier is back.
        match &mut self.announce {
            Some(announce) if !heard => announce.clear(),
            Some(_) if !was_heard || mac_changed => self.announce_all(now, !was_heard),
            _ => {}
        }
        changed
    }

    /// Forgets what is counted of netns without any address here.
    fn forget_netns(&mut self) {
        let netns: BTreeSet<NetnsId> = self
            .candidates
            .values()
            .map(|candidate| candidate.live.child.netns)
            .collect();
        self.events.retain(|of| netns.contains(&of));
        self.turns.retain(|of| netns.contains(&of));
    }

    pub(super) fn announce_free(&mut self, now: Instant, free: Vec<IpAddr>) {
        let Some(announce) = self.announce.as_mut().filter(|_| self.heard) else {
            return;
        };
        for address in free {
            if let Some(candidate) = self.candidates.get(&address) {
                let netns = candidate.live.child.netns;
                if self.dad.is_late(address) {
                    announce.start_later(now, &mut self.turns, address, netns, true);
                } else {
                    announce.start(now, &mut self.turns, address, netns, true);
                }
            }
        }
    }

    /// Follows one address that became a candidate, is no more one, or another child's;
    /// [`Self::join_groups`] is to be called after the last. Returns as [`Self::follow`] does.
    pub fn revise(&mut self, now: Instant, address: IpAddr, candidate: Option<Candidate>) -> bool {
        if let Some(candidate) = candidate {
            let before = self.candidates.insert(address, candidate);
            return self.meet(now, address, before, candidate, None);
        }
        if let Some(before) = self.candidates.remove(&address) {
            self.memberships.want(before.membership(address), None);
            self.dad.remove(address);
            self.turns.remove(address);
            if let Some(announce) = &mut self.announce {
                announce.remove(address);
            }
        }
        false
    }

    /// Returns whether something is withheld that was not known before. `adopted` is what is known of addresses
    /// that were there when the agent started, of which there can be many.
    fn meet(
        &mut self,
        now: Instant,
        address: IpAddr,
        before: Option<Candidate>,
        candidate: Candidate,
        adopted: Option<&Adopted>,
    ) -> bool {
        if before == Some(candidate) {
            return false;
        }
        self.memberships.want(
            before.and_then(|it| it.membership(address)),
            candidate.membership(address),
        );
        let netns = candidate.live.child.netns;
        match before {
            None if candidate.is_probed(address) => {
                let origin = adopted.map_or(Origin::New, |of| of.origin(address));
                let late = adopted.is_some();
                self.dad.add(
                    now,
                    &mut self.turns,
                    (address, netns),
                    (origin, late),
                    &mut self.random,
                );
            }
            Some(before) if before.live.child.netns != netns => {
                self.dad.moved(now, &mut self.turns, address, netns);
            }
            _ => {}
        }
        if let Some(announce) = &mut self.announce
            && self.heard
            && self.dad.is_free(address)
        {
            let told = before.map(|it| it.live);
            if Announce::is_news(address, told, candidate.live) {
                let new = told.is_none_or(|told| told.child != candidate.live.child);
                if adopted.is_some() {
                    announce.start_later(now, &mut self.turns, address, netns, new);
                } else {
                    announce.start(now, &mut self.turns, address, netns, new);
                }
            }
        }
        before.is_none() && self.dad.refusal(address).is_some()
    }

    /// Joins the groups that addresses want, and leaves all others.
    pub fn join_groups(&mut self, now: Instant) {
        self.memberships.join(now);
    }
}

impl Adopted {
    fn origin(&self, address: IpAddr) -> Origin {
        if self.established.contains(&address) {
            Origin::Established
        } else if self.withheld.contains(&address) {
            Origin::Withheld
        } else {
            Origin::New
        }
    }
}
