//! A cell of the table: who asks whom, how, and what is expected with an agent.

use std::{fmt, net::IpAddr};

use super::spot::Spot;
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
    /// A machine of the LAN that wants the address for itself is told that it is taken:
    /// `arping -D`, and the kernel's own detection when the address is added.
    DuplicateSeen,
    /// `ndisc6 -m`: there is one answer, and it names the parent.
    Ndisc6,
    /// `rdisc6`: the gateway's router advertisement arrives.
    Rdisc6,
    /// A machine of the LAN learns the Ethernet address without asking for it.
    Announced(Trigger),
    /// A machine of the LAN claims the address: the agent tells of it and takes it back.
    Claimed,
    /// A child takes the address of a machine of the LAN: the agent tells whose it is.
    ImpostorReported,
    /// The same: the machine goes on being the only one who answers.
    ImpostorSilent,
    /// The parent is in the solicited-node group of the address while the child has it, and no longer.
    Group,
    /// Broadcast or multicast, while a configuration file that is read again allows and denies the address.
    Reloaded,
}

/// Why an address is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The agent was started.
    Start,
    /// It was given to a child.
    Appears,
    /// Its child was moved to another netns.
    Moves,
    /// Its child was down and is up again.
    ChildUp,
    /// Its parent was down and is up again.
    ParentUp,
    /// The parent has a new Ethernet address.
    MacChange,
}

impl Probe {
    /// What the table calls it.
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
            Self::DuplicateSeen => "sees the duplicate",
            Self::Ndisc6 => "ndisc6 -m",
            Self::Rdisc6 => "rdisc6",
            Self::Announced(Trigger::Start) => "learns at the agent's start",
            Self::Announced(Trigger::Appears) => "learns of a new address",
            Self::Announced(Trigger::Moves) => "learns of a moved child",
            Self::Announced(Trigger::ChildUp) => "learns that the child is up again",
            Self::Announced(Trigger::ParentUp) => "learns that the parent is up again",
            Self::Announced(Trigger::MacChange) => "learns the parent's new MAC within 1 s",
            Self::Claimed => "claims it: told, in l3 defended",
            Self::ImpostorReported => "the conflict is reported",
            Self::ImpostorSilent => "only vm01 answers",
            Self::Group => "group joined and left",
            Self::Reloaded => "answered as SIGHUP allows",
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
    /// One after the other: each changes what all the others stand on.
    Alone,
}

impl Round {
    /// All of them, in the order they are run.
    pub const ALL: [Self; 5] = [
        Self::Into,
        Self::OutOf,
        Self::Load,
        Self::Change,
        Self::Alone,
    ];
}

/// One cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl Cell {
    /// A cell that has to work with an agent, in IPv4.
    pub fn new(from: Spot, to: Spot, probe: Probe) -> Self {
        Self {
            from,
            to,
            probe,
            family: Family::V4,
            seed: None,
            expected: true,
        }
    }

    /// It answers this field note.
    pub fn seed(self, seed: &'static str) -> Self {
        let seed = Some(seed);
        Self { seed, ..self }
    }

    /// It is about IPv6 alone.
    pub fn v6(self) -> Self {
        let family = Family::V6;
        Self { family, ..self }
    }

    /// When it is asked.
    pub fn round(&self) -> Round {
        match self.probe {
            Probe::Ping | Probe::Solicit | Probe::SolicitUnicast | Probe::SolicitProbe
                if self.from.is_child() =>
            {
                Round::OutOf
            }
            Probe::Ping
            | Probe::Solicit
            | Probe::SolicitUnicast
            | Probe::SolicitProbe
            | Probe::Announced(Trigger::Start) => Round::Into,
            Probe::Tcp | Probe::UdpFragments | Probe::Aging => Round::Load,
            Probe::Moved
            | Probe::Deleted
            | Probe::InputRule
            | Probe::DuplicateSeen
            | Probe::Ndisc6
            | Probe::Rdisc6
            | Probe::Announced(Trigger::Appears | Trigger::Moves | Trigger::ChildUp)
            | Probe::Claimed
            | Probe::Group => Round::Change,
            Probe::Announced(Trigger::ParentUp | Trigger::MacChange)
            | Probe::ImpostorReported
            | Probe::ImpostorSilent
            | Probe::Reloaded => Round::Alone,
        }
    }

    /// The same in IPv6.
    pub fn twin(self) -> Self {
        Self {
            to: self.to.twin(),
            family: Family::V6,
            ..self
        }
    }

    /// The address that asks.
    pub fn asker(&self) -> IpAddr {
        self.from.address(self.family)
    }

    /// The address that is asked.
    pub fn target(&self) -> IpAddr {
        self.to.address(self.family)
    }

    /// It must not work, with an agent or without.
    pub fn refused(self) -> Self {
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
