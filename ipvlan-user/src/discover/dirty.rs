//! The dirty parts of a snapshot: those that are to be read anew after a wake. Pure.
//!
//! | In our own netns | |
//! |---|---|
//! | addresses, routes, IPv4 settings | its addresses, routes and settings |
//! | IPv6 settings | its links too |
//! | links | everything: it may be a child that was made in a netns without an nsid |
//!
//! | In another netns | |
//! |---|---|
//! | addresses | its addresses |
//! | links made or changed, IPv6 settings | its links too |
//! | links deleted or moved | its links at once, then everything: they may be where no nsid is yet |
//! | routes, IPv4 settings | nothing: they do not concern us |
//!
//! An nsid that was given or taken makes the links of the netns behind it dirty.
//!
//! Everything is read at once only where a child of ours can have moved to a netns without an nsid: after a
//! link event in our own netns, a deleted link in a netns that holds a child, and an overrun. Any user can
//! cause the others (links of netns without a child, nsids): they make everything dirty as well, for names
//! and in case that an event came too early, but [`Dirty::later`], which can be put off.

use std::collections::BTreeMap;

use super::wake::{Change, Wake};
use crate::facts::NetnsId;

/// A part of one netns. The later includes the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Addresses of the links there were; of our own netns routes and settings too.
    Addresses,
    /// Links and addresses.
    Links,
}

/// The parts of a snapshot that are to be read anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dirty {
    /// Of these netns.
    pub parts: BTreeMap<NetnsId, Part>,
    /// Everything, beginning with which netns there are.
    pub everything: bool,
    /// The same, whenever there is time for it.
    pub later: bool,
}

impl Dirty {
    /// Returns all parts.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// What this wake makes dirty, where our own netns is the one with this nsid.
    pub(super) fn after(wake: &Wake, own: i32, holds_child: impl Fn(NetnsId) -> bool) -> Self {
        let mut dirty = Self {
            everything: wake.overrun,
            ..Self::default()
        };
        let id = |nsid| match nsid {
            Some(nsid) if nsid != own => NetnsId::Nsid(nsid),
            _ => NetnsId::Own,
        };
        for (&nsid, &change) in &wake.netnses {
            let Change {
                links,
                gone,
                addresses,
                routes,
                settings,
                nsids,
            } = change;
            let id = id(nsid);
            let is_own = id == NetnsId::Own;
            dirty.everything |= (links && is_own) || (gone && (is_own || holds_child(id)));
            dirty.later |= gone || nsids;
            if links || gone || settings {
                dirty.add_part(id, Part::Links);
            } else if addresses || (routes && is_own) {
                dirty.add_part(id, Part::Addresses);
            }
        }
        for &nsid in &wake.nsids {
            dirty.add_part(id(Some(nsid)), Part::Links);
        }
        dirty
    }

    /// Whether there is anything to read.
    #[must_use]
    pub fn any(&self) -> bool {
        self.everything || self.later || !self.parts.is_empty()
    }

    /// Adds the parts of another one.
    pub fn add(&mut self, other: Self) {
        for (id, part) in other.parts {
            self.add_part(id, part);
        }
        self.everything |= other.everything;
        self.later |= other.later;
    }

    fn add_part(&mut self, id: NetnsId, part: Part) {
        let entry = self.parts.entry(id).or_insert(part);
        *entry = part.max(*entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: i32 = 5;
    const WITH_CHILD: i32 = 3;
    const WITHOUT: i32 = 4;

    fn after(wake: &Wake) -> Dirty {
        Dirty::after(wake, OWN, |id| id == NetnsId::Nsid(WITH_CHILD))
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Everything {
        No,
        Later,
        AtOnce,
    }

    fn dirty(nsid: Option<i32>, change: Change) -> (Option<Part>, Everything) {
        let wake = Wake {
            netnses: BTreeMap::from([(nsid, change)]),
            ..Wake::default()
        };
        let dirty = after(&wake);
        assert!(dirty.parts.len() <= 1);
        let everything = match (dirty.everything, dirty.later) {
            (true, _) => Everything::AtOnce,
            (false, true) => Everything::Later,
            (false, false) => Everything::No,
        };
        (dirty.parts.into_values().next(), everything)
    }

    #[test]
    fn a_change_makes_dirty_what_it_can_have_changed_and_no_more() {
        use Everything::{AtOnce, Later, No};
        use Part::{Addresses, Links};
        type Set = fn(&mut Change);
        type Expected = (Option<Part>, Everything);
        let none: Expected = (None, No);
        let (links, addresses) = ((Some(Links), No), (Some(Addresses), No));
        // What changed; then what is dirty if it did so in our own netns, in one that holds a child of ours,
        // and in one that does not.
        let rows: [(Set, Expected, Expected, Expected); 6] = [
            (|it| it.links = true, (Some(Links), AtOnce), links, links),
            (
                |it| it.gone = true,
                (Some(Links), AtOnce),
                (Some(Links), AtOnce),
                (Some(Links), Later),
            ),
            (|it| it.addresses = true, addresses, addresses, addresses),
            (|it| it.routes = true, addresses, none, none),
            (|it| it.settings = true, links, links, links),
            (
                |it| it.nsids = true,
                (None, Later),
                (None, Later),
                (None, Later),
            ),
        ];
        for (set, own, with_child, without) in rows {
            let mut change = Change::default();
            set(&mut change);
            assert_eq!(dirty(None, change), own, "{change:?}");
            assert_eq!(dirty(Some(OWN), change), own, "{change:?}");
            assert_eq!(dirty(Some(WITH_CHILD), change), with_child, "{change:?}");
            assert_eq!(dirty(Some(WITHOUT), change), without, "{change:?}");
        }
    }

    #[test]
    fn lost_events_make_everything_dirty() {
        let wake = Wake {
            overrun: true,
            ..Wake::default()
        };
        assert!(after(&wake).everything);
    }

    #[test]
    fn the_netns_behind_an_nsid_that_changed_hands_is_looked_at() {
        let wake = Wake {
            nsids: [3].into(),
            ..Wake::default()
        };
        let dirty = after(&wake);
        let expected = BTreeMap::from([(NetnsId::Nsid(3), Part::Links)]);
        assert_eq!(dirty.parts, expected);
    }

    #[test]
    fn more_only_widens() {
        let id = NetnsId::Nsid(3);
        let part = |part| Dirty {
            parts: BTreeMap::from([(id, part)]),
            ..Dirty::default()
        };
        for [first, second] in [
            [Part::Addresses, Part::Links],
            [Part::Links, Part::Addresses],
        ] {
            let mut dirty = part(first);
            dirty.add(part(second));
            assert_eq!(dirty, part(Part::Links));
        }
    }
}
