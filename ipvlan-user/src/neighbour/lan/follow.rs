//! Following what would be answered for: what comes is probed for and announced, what goes is dropped.

use std::{collections::BTreeMap, net::IpAddr, time::Instant};

use super::{Manners, Neighbours};
use crate::{
    discover::snapshot::Link,
    neighbour::{Announcing, Candidate},
};

impl Neighbours {
    /// Changes its manners. What is announced from now on, and what was answered for when nothing was
    /// probed for: see [`Dad::set_mode`](crate::neighbour::dad::Dad::set_mode).
    pub fn set_manners(&mut self, now: Instant, manners: Manners) {
        let breaks_silence = manners.announce == Announcing::On && self.announce.is_none();
        match manners.announce {
            Announcing::Off => self.announce = None,
            Announcing::On => {
                self.announce.get_or_insert_default();
            }
        }
        let answered = self
            .candidates
            .iter()
            .map(|(&address, candidate)| (address, candidate.is_probed(address)));
        self.dad
            .set_mode(now, manners.dad, answered, &mut self.random);
        if breaks_silence && self.heard {
            self.announce_all(true);
        }
    }

    /// Announces all that is free to be.
    fn announce_all(&mut self, new: bool) {
        let Some(announce) = &mut self.announce else {
            return;
        };
        let all = self.candidates.keys();
        for &address in all.filter(|&&address| self.dad.is_free(address)) {
            announce.start(address, new);
        }
    }

    /// Follows the parent and what would be answered for. Returns whether [`Self::held_back`] is
    /// another: then what is answered for has to be decided again, and that need not be followed.
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

        let gone = self.candidates.keys();
        let gone: Vec<IpAddr> = gone
            .filter(|address| !candidates.contains_key(address))
            .copied()
            .collect();
        for address in gone {
            self.revise(now, address, None);
        }
        let mut changed = false;
        for (&address, &candidate) in &candidates {
            let before = self.candidates.get(&address).copied();
            changed |= self.meet(now, address, before, candidate);
        }
        self.candidates = candidates;
        self.memberships.set_mtu(link.mtu);
        self.memberships.join(now);

        let freed = std::mem::take(&mut self.freed);
        self.announce_freed(freed);
        // Who would not be heard now is announced when the carrier is back.
        match &mut self.announce {
            Some(announce) if !heard => announce.clear(),
            Some(_) if !was_heard || mac_changed => self.announce_all(!was_heard),
            _ => {}
        }
        changed && self.dad.enforces()
    }

    pub(super) fn announce_freed(&mut self, freed: Vec<IpAddr>) {
        let Some(announce) = self.announce.as_mut().filter(|_| self.heard) else {
            return;
        };
        for address in freed {
            if self.candidates.contains_key(&address) {
                announce.start(address, true);
            }
        }
    }

    /// Follows one address that became a candidate, is no more one, or another child's;
    /// [`Self::join_groups`] is to be called after the last. Returns as [`Self::follow`] does.
    pub fn revise(&mut self, now: Instant, address: IpAddr, candidate: Option<Candidate>) -> bool {
        if let Some(candidate) = candidate {
            let before = self.candidates.insert(address, candidate);
            return self.meet(now, address, before, candidate) && self.dad.enforces();
        }
        if let Some(before) = self.candidates.remove(&address) {
            self.memberships.want(before.group(address), None);
            self.dad.remove(address);
            if let Some(announce) = &mut self.announce {
                announce.remove(address);
            }
        }
        false
    }

    /// Returns whether something is held back, or not announced, that was not known before.
    fn meet(
        &mut self,
        now: Instant,
        address: IpAddr,
        before: Option<Candidate>,
        candidate: Candidate,
    ) -> bool {
        if before == Some(candidate) {
            return false;
        }
        self.memberships.want(
            before.and_then(|it| it.group(address)),
            candidate.group(address),
        );
        let new = before.is_none()
            && candidate.is_probed(address)
            && self.dad.add(now, address, &mut self.random);
        if let Some(announce) = &mut self.announce
            && self.heard
            && self.dad.is_free(address)
        {
            announce.tell(address, before.map(|it| it.live), candidate.live);
        }
        new
    }

    /// Joins the groups that addresses want, and leaves all others.
    pub fn join_groups(&mut self, now: Instant) {
        self.memberships.join(now);
    }
}
