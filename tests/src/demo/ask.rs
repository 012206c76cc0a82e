//! Asks one cell.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::Result;

use super::{
    cell::{Cell, Probe},
    change,
    spot::{NS01_SECOND, Spot},
    world::World,
};
use crate::probe::{
    aging, arp,
    ping::ping,
    tcp::{self, Exchange},
    udp,
};

/// How long a cell that is not expected to work is asked.
const SHORT: Duration = Duration::from_millis(1200);
/// How long a cell that has to work is asked.
const LONG: Duration = Duration::from_millis(3500);
const CYCLES: usize = 3;
const MEBIBYTES: usize = 8;

/// Is there an agent?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The kernel alone.
    Before,
    /// With an agent.
    After,
}

impl Phase {
    /// How long to ask for `cell` in this phase.
    #[must_use]
    pub fn patience(self, cell: &Cell) -> Duration {
        match self {
            Self::After if cell.expected => LONG,
            Self::Before | Self::After => SHORT,
        }
    }
}

/// Does what `cell` says work?
pub fn ask(world: &World, cell: &Cell, phase: Phase) -> Result<bool> {
    let Cell {
        from, to, probe, ..
    } = cell;
    let patience = phase.patience(cell);
    let (client, server) = (world.at(from.netns)?, world.at(to.netns)?);
    match probe {
        Probe::Ping => client.run(|| ping(source(from), to.address, patience)),
        Probe::Arping => arping(world, from, to, arp::BROADCAST, from.address, patience),
        Probe::ArpingUnicast => arping(world, from, to, world.ens34(), from.address, patience),
        Probe::ArpingProbe => arping(
            world,
            from,
            to,
            arp::BROADCAST,
            Ipv4Addr::UNSPECIFIED,
            patience,
        ),
        Probe::Tcp => {
            let bytes = MEBIBYTES * 1024 * 1024;
            let exchange = Exchange {
                target: to.address,
                port: 0,
                bytes,
                patience,
            };
            tcp::exchange(client, server, &exchange)
        }
        Probe::UdpFragments => udp::echo(client, server, to.address, patience),
        Probe::Aging => {
            aging::hasten(client, from.device)?;
            aging::survives(client, from.device, to.address, CYCLES, patience)
        }
        Probe::Moved => change::reachable_after_move(world, cell, phase),
        Probe::Deleted => change::answered_after_delete(world, phase),
        Probe::InputRule => change::passes_input_rule(world, cell, patience),
    }
}

/// Sends ARP requests for `to` from the device of `from`.
pub fn arping(
    world: &World,
    from: &Spot,
    to: &Spot,
    ethernet: [u8; 6],
    spa: Ipv4Addr,
    patience: Duration,
) -> Result<bool> {
    let netns = world.at(from.netns)?;
    let sha = netns.hardware_address(from.device)?;
    let request = arp::Request {
        to: ethernet,
        sha,
        spa,
        tpa: to.address,
    };
    Ok(netns
        .run(|| arp::ask(from.device, &request, patience))?
        .is_some())
}

/// The kernel chooses the source address but where the second one is what is shown.
fn source(from: &Spot) -> Option<Ipv4Addr> {
    (from.label == NS01_SECOND.label).then_some(from.address)
}
