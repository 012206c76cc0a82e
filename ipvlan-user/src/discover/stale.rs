//! What of a snapshot is to be read anew after a wake. Pure.
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
//! | routes, IPv4 settings | nothing: they are its own business |
//!
//! An nsid that was given or taken is as a link that moved: the netns behind it is looked at at once.

use std::collections::BTreeMap;

use super::{
    snapshot::NetnsId,
    wake::{Change, Wake},
};

/// What of one netns is read anew. The later includes the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Addresses of the links there were; of our own netns routes and settings too.
    Addresses,
    /// Links and addresses.
    Links,
}

/// What is to be read anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stale {
    /// Of these netns.
    pub parts: BTreeMap<NetnsId, Part>,
    /// Everything, beginning with which netns there are.
    pub everything: bool,
}

impl Stale {
    /// Everything is.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// What this wake makes stale, where our own netns is the one with this nsid.
    pub(super) fn after(wake: &Wake, own: i32) -> Self {
        let mut stale = Self {
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
            stale.everything |= gone || nsids || (links && is_own);
            if links || gone || settings {
                stale.add_part(id, Part::Links);
            } else if addresses || (routes && is_own) {
                stale.add_part(id, Part::Addresses);
            }
        }
        for &nsid in &wake.nsids {
            stale.add_part(id(Some(nsid)), Part::Links);
        }
        stale
    }

    /// Whether there is anything to read.
    #[must_use]
    pub fn any(&self) -> bool {
        self.everything || !self.parts.is_empty()
    }

    /// Adds what another one says.
    pub fn add(&mut self, other: Self) {
        for (id, part) in other.parts {
            self.add_part(id, part);
        }
        self.everything |= other.everything;
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
    const NONE: Change = Change {
        links: false,
        gone: false,
        addresses: false,
        routes: false,
        settings: false,
        nsids: false,
    };

    fn stale(nsid: Option<i32>, change: Change) -> (Option<Part>, bool) {
        let wake = Wake {
            netnses: BTreeMap::from([(nsid, change)]),
            ..Wake::default()
        };
        let stale = Stale::after(&wake, OWN);
        assert!(stale.parts.len() <= 1);
        (stale.parts.into_values().next(), stale.everything)
    }

    #[test]
    fn a_change_makes_stale_what_it_can_have_changed_and_no_more() {
        use Part::{Addresses, Links};
        let set = |set: fn(&mut Change)| {
            let mut change = NONE;
            set(&mut change);
            change
        };
        // What changed; then what is stale if it did so in our own netns, and in another.
        for (change, own, other) in [
            (
                set(|it| it.links = true),
                (Some(Links), true),
                (Some(Links), false),
            ),
            (
                set(|it| it.gone = true),
                (Some(Links), true),
                (Some(Links), true),
            ),
            (
                set(|it| it.addresses = true),
                (Some(Addresses), false),
                (Some(Addresses), false),
            ),
            (
                set(|it| it.routes = true),
                (Some(Addresses), false),
                (None, false),
            ),
            (
                set(|it| it.settings = true),
                (Some(Links), false),
                (Some(Links), false),
            ),
            (set(|it| it.nsids = true), (None, true), (None, true)),
        ] {
            assert_eq!(stale(None, change), own, "{change:?}");
            assert_eq!(stale(Some(OWN), change), own, "{change:?}");
            assert_eq!(stale(Some(3), change), other, "{change:?}");
        }
    }

    #[test]
    fn lost_events_make_everything_stale() {
        let wake = Wake {
            overrun: true,
            ..Wake::default()
        };
        assert!(Stale::after(&wake, OWN).everything);
    }

    #[test]
    fn the_netns_behind_an_nsid_that_changed_hands_is_looked_at() {
        let wake = Wake {
            nsids: [3].into(),
            ..Wake::default()
        };
        let stale = Stale::after(&wake, OWN);
        let expected = BTreeMap::from([(NetnsId::Nsid(3), Part::Links)]);
        assert_eq!(stale.parts, expected);
    }

    #[test]
    fn more_only_widens() {
        let id = NetnsId::Nsid(3);
        let part = |part| Stale {
            parts: BTreeMap::from([(id, part)]),
            everything: false,
        };
        for [first, second] in [
            [Part::Addresses, Part::Links],
            [Part::Links, Part::Addresses],
        ] {
            let mut stale = part(first);
            stale.add(part(second));
            assert_eq!(stale, part(Part::Links));
        }
    }
}
