//! The cells of the table: who asks whom, how, and what is expected with an agent.

use std::{fmt, net::IpAddr};

use super::{
    mode::Mode,
    spot::{
        GATEWAY, HOST, HOST_LINK_LOCAL, HOST_PRIVATE, LOCAL, NS01, NS01_LINK_LOCAL, NS01_SECOND,
        NS02, NS02_DROPPED, NS02_LINK_LOCAL, NS03, NS04, NS05, NS07, NS09, NS09_OTHER, NS10,
        NS10_OTHER, PRIVATE1, PRIVATE2, Spot, UNNAMED, VEPA1, VEPA2, VM01, VM01_LINK_LOCAL,
        VM01_PRIVATE, VM01_VEPA,
    },
};
use crate::family::Family;

/// How is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// ICMP echo.
    Ping,
    /// Broadcast ARP request, multicast solicitation: `arping -b`, `ndisc6 -m`.
    Solicit,
    /// The same to the parent's Ethernet address, as the kernel asks again.
    SolicitUnicast,
    /// The same from 0.0.0.0 or `::`, as whoever wants the address for itself asks.
    SolicitProbe,
    /// 8 MiB each way over one connection, checksums compared.
    Tcp,
    /// A 20 kB datagram there and back.
    UdpFragments,
    /// Ping while the neighbour entry ages out three times.
    Aging,
    /// Ping after the child moved to another netns.
    Moved,
    /// Broadcast or multicast, one second after the address was deleted.
    Deleted,
    /// A TCP connection to a port that the host's INPUT chain drops.
    InputRule,
}

impl Probe {
    /// What the table calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ping | Self::Moved => "ping",
            Self::Solicit | Self::Deleted => "arping / ndisc6",
            Self::SolicitUnicast => "arping / ndisc6 unicast",
            Self::SolicitProbe => "arping / ndisc6 as a probe",
            Self::Tcp => "tcp 8 MiB both ways",
            Self::UdpFragments => "udp fragments",
            Self::Aging => "ping, entry aged out 3 times",
            Self::InputRule => "tcp",
        }
    }
}

/// Cells that are asked at the same time; neighbours are forgotten between two rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// From outside into the children, before any child has spoken.
    Into,
    /// From the children.
    OutOf,
    /// Much traffic.
    Load,
    /// The topology changes meanwhile.
    Change,
}

impl Round {
    /// All of them, in the order they are run.
    pub const ALL: [Self; 4] = [Self::Into, Self::OutOf, Self::Load, Self::Change];
}

/// One cell of the table.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Who asks.
    pub from: Spot,
    /// Who is asked.
    pub to: Spot,
    /// How.
    pub probe: Probe,
    /// By which of their addresses.
    pub family: Family,
    /// The field note this answers.
    pub seed: Option<&'static str>,
    /// Must it work with an agent?
    pub expected: bool,
    /// When.
    pub round: Round,
}

/// Every cell of the table of `mode`.
#[must_use]
pub fn cells(mode: Mode) -> Vec<Cell> {
    let mut cells = Vec::new();
    cells.extend(into_children());
    cells.extend(out_of_children());
    cells.extend(between_children());
    cells.extend(neighbours(mode));
    cells.extend(load());
    cells.extend(isolation());
    cells.extend(changes());
    if mode == Mode::L3s {
        cells.push(cell(VM01, NS02_DROPPED, Probe::InputRule, None, Round::Change).refused());
    }
    let mut cells = in_both_families(cells);
    cells.extend(link_local());
    cells
}

/// The cells for anything but the default options of the agent, with a child in the host's own
/// netns on top.
#[must_use]
pub fn few_cells(mode: Mode) -> Vec<Cell> {
    let mut few = cells(mode);
    few.retain(|cell| {
        let shown = [cell.from.netns, cell.to.netns]
            .iter()
            .all(|netns| !["ns02", "ns04", "ns05", "ns09", "gateway"].contains(netns));
        shown && !matches!(cell.probe, Probe::Aging)
    });
    few.extend(in_both_families([
        cell(VM01, LOCAL, Probe::Ping, Some("001"), Round::Into),
        cell(VM01, LOCAL, Probe::Solicit, None, Round::Into),
        cell(VM01, LOCAL, Probe::Tcp, None, Round::Load),
    ]));
    few
}

/// Each of `cells`, then its twin of the other family.
fn in_both_families(cells: impl IntoIterator<Item = Cell>) -> Vec<Cell> {
    cells
        .into_iter()
        .flat_map(|cell| [cell, cell.twin()])
        .collect()
}

fn into_children() -> Vec<Cell> {
    let ping = |from, to, seed| cell(from, to, Probe::Ping, seed, Round::Into);
    vec![
        ping(VM01, NS01, Some("003")),
        ping(GATEWAY, NS01, Some("000")),
        ping(HOST, NS01, Some("001")),
        ping(VM01, NS02, Some("003")),
        ping(GATEWAY, NS02, Some("000")),
        ping(HOST, NS02, Some("001")),
        ping(VM01, NS03, Some("004")),
        ping(GATEWAY, NS03, Some("004")),
        ping(HOST, NS03, Some("004")),
        ping(VM01, NS04, Some("004")),
        ping(HOST, NS04, Some("004")),
        ping(VM01, NS01_SECOND, Some("002")),
        ping(HOST, NS01_SECOND, Some("002")),
        ping(VM01, NS05, None),
        ping(HOST, NS05, None),
        ping(VM01, UNNAMED, None),
        ping(HOST, UNNAMED, None),
        ping(VM01, NS07, None).refused(),
        ping(HOST, NS07, None).refused(),
    ]
}

fn out_of_children() -> Vec<Cell> {
    let ping = |from, to, seed| cell(from, to, Probe::Ping, seed, Round::OutOf);
    vec![
        ping(NS01, VM01, Some("000")),
        ping(NS01, GATEWAY, Some("003")),
        ping(NS01, HOST, Some("000")),
        ping(NS02, VM01, Some("001")),
        ping(NS02, GATEWAY, Some("002")),
        ping(NS02, HOST, Some("002")),
        ping(NS03, VM01, Some("004")),
        ping(NS03, GATEWAY, Some("004")),
        ping(NS03, HOST, Some("004")),
        ping(NS01_SECOND, VM01, Some("002")),
        ping(NS05, VM01, None),
        ping(NS05, HOST, None),
        ping(UNNAMED, VM01, None),
        ping(UNNAMED, HOST, None),
    ]
}

fn between_children() -> Vec<Cell> {
    let ping = |from, to, seed| cell(from, to, Probe::Ping, seed, Round::OutOf);
    vec![
        ping(NS01, NS02, Some("000")),
        ping(NS02, NS01, Some("003")),
        ping(NS03, NS04, Some("004")),
        ping(NS04, NS03, Some("004")),
        ping(NS01, NS03, Some("004")),
        ping(NS01, NS05, None),
        ping(NS01, UNNAMED, None),
    ]
}

fn neighbours(mode: Mode) -> Vec<Cell> {
    let mut cells = vec![
        cell(VM01, NS01, Probe::Solicit, Some("003"), Round::Into),
        cell(VM01, NS01, Probe::SolicitUnicast, Some("003"), Round::Into),
        cell(VM01, NS01, Probe::SolicitProbe, None, Round::Into),
        cell(GATEWAY, NS03, Probe::Solicit, Some("004"), Round::Into),
        cell(VM01, NS07, Probe::Solicit, None, Round::Into).refused(),
        cell(VM01, NS02, Probe::Aging, Some("003"), Round::Load),
        cell(GATEWAY, NS02, Probe::Aging, Some("003"), Round::Load),
        cell(HOST, NS02, Probe::Aging, None, Round::Load),
    ];
    if mode == Mode::L2 {
        cells.push(cell(NS01, HOST, Probe::Solicit, Some("001"), Round::OutOf));
        cells.push(cell(
            NS01,
            HOST,
            Probe::SolicitUnicast,
            Some("001"),
            Round::OutOf,
        ));
        cells.push(cell(UNNAMED, HOST, Probe::Aging, None, Round::Load));
    }
    cells
}

fn load() -> Vec<Cell> {
    let pairs = [(VM01, NS01), (NS01, VM01), (HOST, NS01), (NS01, HOST)];
    pairs
        .into_iter()
        .flat_map(|(from, to)| {
            [Probe::Tcp, Probe::UdpFragments].map(|probe| cell(from, to, probe, None, Round::Load))
        })
        .collect()
}

fn isolation() -> Vec<Cell> {
    let ping = |from, to, round| cell(from, to, Probe::Ping, None, round);
    vec![
        ping(VM01_PRIVATE, PRIVATE1, Round::Into),
        ping(HOST_PRIVATE, PRIVATE1, Round::Into),
        ping(PRIVATE1, PRIVATE2, Round::OutOf).refused(),
        ping(VM01_VEPA, VEPA1, Round::Into),
        ping(VEPA1, VEPA2, Round::OutOf).refused(),
    ]
}

fn changes() -> Vec<Cell> {
    vec![
        cell(VM01, NS09, Probe::Moved, None, Round::Change),
        cell(VM01, NS10, Probe::Deleted, None, Round::Change).refused(),
    ]
}

/// What IPv4 has no like of.
fn link_local() -> Vec<Cell> {
    let v6 = |from, to, probe, round| Cell {
        family: Family::V6,
        ..cell(from, to, probe, None, round)
    };
    vec![
        v6(VM01_LINK_LOCAL, NS01_LINK_LOCAL, Probe::Ping, Round::Into),
        v6(HOST_LINK_LOCAL, NS01_LINK_LOCAL, Probe::Ping, Round::Into),
        v6(
            VM01_LINK_LOCAL,
            NS01_LINK_LOCAL,
            Probe::Solicit,
            Round::Into,
        ),
        v6(NS01_LINK_LOCAL, VM01_LINK_LOCAL, Probe::Ping, Round::OutOf),
        v6(NS01_LINK_LOCAL, HOST_LINK_LOCAL, Probe::Ping, Round::OutOf),
        v6(NS01_LINK_LOCAL, NS02_LINK_LOCAL, Probe::Ping, Round::OutOf),
    ]
}

fn cell(from: Spot, to: Spot, probe: Probe, seed: Option<&'static str>, round: Round) -> Cell {
    Cell {
        from,
        to,
        probe,
        family: Family::V4,
        seed,
        expected: true,
        round,
    }
}

impl Cell {
    /// The same in IPv6. Both are asked at once, so a child that is changed is another one.
    fn twin(self) -> Self {
        let to = match self.to {
            NS09 => NS09_OTHER,
            NS10 => NS10_OTHER,
            to => to,
        };
        Self {
            to,
            family: Family::V6,
            ..self
        }
    }

    /// The address that asks.
    #[must_use]
    pub fn asker(&self) -> IpAddr {
        self.from.address(self.family)
    }

    /// The address that is asked.
    #[must_use]
    pub fn target(&self) -> IpAddr {
        self.to.address(self.family)
    }

    fn refused(self) -> Self {
        Self {
            expected: false,
            ..self
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} -> {}, {} ({})",
            self.from.label,
            self.to.label,
            self.probe.name(),
            self.family
        )
    }
}
