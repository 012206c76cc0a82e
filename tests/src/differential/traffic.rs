//! Who asks whom: the cells of the matrix, and how each is asked.

use std::{fmt, time::Duration};

use anyhow::Result;

use super::{
    build::{OTHER_LAN, SECOND, SECONDARY, SINGLE, VIP},
    node::{Node, Second},
};
use crate::{
    family::Family,
    netlink::Netlink,
    netns::Netns,
    probe::{
        ping,
        tcp::{self, Exchange},
        udp,
    },
    rows::site::{HOST, Pair, STEADY, Site, UNNAMED, VM01},
};

/// A participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Actor {
    Station,
    Host,
    First,
    Second,
}

impl Actor {
    const ALL: [Self; 4] = [Self::Station, Self::Host, Self::First, Self::Second];

    pub(super) fn is_child(self) -> bool {
        matches!(self, Self::First | Self::Second)
    }

    fn netns(self, site: &Site) -> &Netns {
        match self {
            Self::Station => &site.vm01,
            Self::Host => &site.host,
            Self::First => &site.steady,
            Self::Second => &site.unnamed,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Station => "station",
            Self::Host => "host",
            Self::First => "child 1",
            Self::Second => "child 2",
        }
    }
}

/// Which of its addresses a participant is asked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Main,
    Secondary,
    Single,
    SecondNic,
    Vip,
}

impl Place {
    fn word(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Secondary => " (second address)",
            Self::Single => " (/32)",
            Self::SecondNic => " (second NIC)",
            Self::Vip => " (VIP)",
        }
    }
}

/// How it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    Ping,
    Tcp,
    Udp,
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) from: Actor,
    pub(super) to: Actor,
    pub(super) place: Place,
    pub(super) family: Family,
    pub(super) probe: Probe,
}

/// Bytes that TCP carries each way.
const BYTES: usize = 64 * 1024;

/// Returns every question for `node`: a ping from all to all addresses of all others, and TCP and UDP once for each
/// kind of path.
pub(super) fn cells(node: &Node) -> Vec<Cell> {
    let mut cells = Vec::new();
    for family in Family::ALL {
        for from in Actor::ALL {
            for to in Actor::ALL.into_iter().filter(|to| *to != from) {
                cells.extend(places(node, to).map(|place| Cell {
                    from,
                    to,
                    place,
                    family,
                    probe: Probe::Ping,
                }));
            }
        }
        for (from, to) in [
            (Actor::Station, Actor::First),
            (Actor::First, Actor::Station),
            (Actor::Host, Actor::First),
            (Actor::First, Actor::Host),
            (Actor::First, Actor::Second),
        ] {
            cells.extend([Probe::Tcp, Probe::Udp].map(|probe| Cell {
                from,
                to,
                place: Place::Main,
                family,
                probe,
            }));
        }
    }
    cells
}

fn places(node: &Node, of: Actor) -> impl Iterator<Item = Place> {
    let host = of == Actor::Host;
    [
        (true, Place::Main),
        (host && node.secondary, Place::Secondary),
        (host && node.single, Place::Single),
        (
            host && matches!(node.second, Second::SameLan | Second::OtherLan),
            Place::SecondNic,
        ),
        (host && node.vip, Place::Vip),
    ]
    .into_iter()
    .filter_map(|(has, place)| has.then_some(place))
}

impl Cell {
    fn pair(self, node: &Node) -> Pair {
        match (self.to, self.place) {
            (Actor::Station, _) => VM01,
            (Actor::First, _) => STEADY,
            (Actor::Second, _) => UNNAMED,
            (Actor::Host, Place::Main) => HOST,
            (Actor::Host, Place::Secondary) => SECONDARY,
            (Actor::Host, Place::Single) => SINGLE,
            (Actor::Host, Place::Vip) => VIP,
            (Actor::Host, Place::SecondNic) if node.second == Second::OtherLan => OTHER_LAN,
            (Actor::Host, Place::SecondNic) => SECOND,
        }
    }

    /// Asks it on `site`, which is `node`, without neighbour entries from before; returns whether it is answered
    /// within `patience`.
    pub(super) fn ask(self, site: &Site, node: &Node, patience: Duration) -> Result<bool> {
        for actor in Actor::ALL {
            actor
                .netns(site)
                .run(|| Netlink::open()?.flush_neighbours())?;
        }
        let target = self.pair(node).of(self.family);
        let (from, to) = (self.from.netns(site), self.to.netns(site));
        match self.probe {
            Probe::Ping => from.run(|| ping::ping(None, target, patience)),
            Probe::Udp => udp::echo(from, to, target, patience),
            Probe::Tcp => {
                let exchange = Exchange {
                    target,
                    port: 0,
                    bytes: BYTES,
                    patience,
                };
                tcp::exchange(from, to, &exchange)
            }
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from,
            to,
            place,
            family,
            probe,
        } = self;
        let probe = match probe {
            Probe::Ping => "ping",
            Probe::Tcp => "TCP",
            Probe::Udp => "UDP",
        };
        write!(
            f,
            "{probe} {family} {} to {}{}",
            from.word(),
            to.word(),
            place.word()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{super::node::PLAIN, *};

    #[test]
    fn every_address_of_the_host_is_asked_by_everybody_else() {
        assert_eq!(cells(&PLAIN).len(), 2 * (12 + 10));
        let node = Node {
            vip: true,
            second: Second::SameLan,
            ..PLAIN
        };
        let cells = cells(&node);
        assert_eq!(cells.len(), 2 * (12 + 2 * 3 + 10));
        assert!(cells.iter().any(|cell| cell.from == Actor::Station
            && cell.place == Place::Vip
            && cell.family == Family::V6));
        assert!(cells.iter().all(|cell| cell.from != cell.to));
    }
}
