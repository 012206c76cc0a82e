//! Asks one cell.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context, Result, bail};
use ipvlan_packet::{Arp, BROADCAST, Nd};
use nix::net::if_::if_nametoindex;

use super::{
    announced,
    cell::{Cell, Probe},
    change, client, conflict, reload,
    spot::{NS01_SECOND, Spot},
    world::World,
};
use crate::{
    agent::Agent,
    netns::Netns,
    probe::{
        aging,
        neighbour::{self, Until},
        ping::ping,
        target::Target,
        tcp::{self, Exchange},
        udp,
    },
};

/// How long a cell that is not expected to work is asked.
const SHORT: Duration = Duration::from_millis(1200);
/// How long a cell that has to work is asked.
const LONG: Duration = Duration::from_millis(3500);
const CYCLES: usize = 3;
const MEBIBYTES: usize = 8;

/// Is there an agent?
#[derive(Clone, Copy, Debug)]
pub enum Phase<'a> {
    /// The kernel alone.
    Before,
    /// With this one.
    After(&'a Agent),
}

impl<'a> Phase<'a> {
    /// The agent, if there is one.
    pub fn agent(self) -> Option<&'a Agent> {
        match self {
            Self::Before => None,
            Self::After(agent) => Some(agent),
        }
    }

    /// How long to ask for `cell` in this phase.
    pub fn patience(self, cell: &Cell) -> Duration {
        match self {
            Self::After(_) if cell.expected => LONG,
            Self::Before | Self::After(_) => SHORT,
        }
    }
}

/// Does what `cell` says work?
pub fn ask(world: &World, cell: &Cell, phase: Phase<'_>) -> Result<bool> {
    let Cell {
        from,
        to,
        probe,
        family,
        ..
    } = *cell;
    let patience = phase.patience(cell);
    let (client, server) = (world.at(from.netns)?, world.at(to.netns)?);
    let target = cell.target();
    match probe {
        Probe::Ping => {
            let target = reached_from(client, &from, target)?;
            client.run(|| ping(source(cell), target, patience))
        }
        Probe::Solicit => solicit(world, cell, Kind::Everybody, patience),
        Probe::SolicitUnicast => solicit(world, cell, Kind::Again, patience),
        Probe::SolicitProbe => solicit(world, cell, Kind::Probe, patience),
        Probe::Tcp => {
            let bytes = MEBIBYTES * 1024 * 1024;
            let exchange = Exchange {
                target,
                port: 0,
                bytes,
                patience,
            };
            tcp::exchange(client, server, &exchange)
        }
        Probe::UdpFragments => udp::echo(client, server, target, patience),
        Probe::Aging => {
            aging::hasten(client, from.device, family)?;
            aging::survives(client, from.device, target, CYCLES, patience)
        }
        Probe::Moved => change::reachable_after_move(world, cell, phase),
        Probe::Deleted => change::answered_after_delete(world, cell, phase),
        Probe::InputRule => change::passes_input_rule(world, cell, patience),
        Probe::DuplicateSeen => client::sees_duplicate(world, cell),
        Probe::Ndisc6 => client::ndisc6(world, cell),
        Probe::Rdisc6 => client::rdisc6(world, cell),
        Probe::Announced(trigger) => announced::learns(world, cell, trigger, phase),
        Probe::Claimed => conflict::reported_and_defended(world, cell, phase),
        Probe::ImpostorReported => conflict::impostor_reported(world, cell, phase),
        Probe::ImpostorSilent => conflict::impostor_silent(world, cell, phase),
        Probe::Reloaded => reload::followed(world, cell, phase),
        Probe::Group => change::group_follows_child(world, cell, phase),
    }
}

/// How neighbours are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By broadcast or multicast.
    Everybody,
    /// At the Ethernet address that the answer named, or has to name.
    Again,
    /// By broadcast or multicast, from no address.
    Probe,
}

/// Asks for the target of `cell` from its asker's device, by ARP or neighbour discovery, until
/// somebody answers; the answer must name the parent's Ethernet address.
pub fn solicit(world: &World, cell: &Cell, kind: Kind, patience: Duration) -> Result<bool> {
    let answers = answers(world, cell, kind, patience, Until::First)?;
    Ok(answers == [world.ens34()])
}

/// The Ethernet addresses that answers name.
pub fn answers(
    world: &World,
    cell: &Cell,
    kind: Kind,
    patience: Duration,
    until: Until,
) -> Result<Vec<[u8; 6]>> {
    let Cell { from, family, .. } = cell;
    let netns = world.at(from.netns)?;
    let mac = netns.hardware_address(from.device)?;
    let asker = match kind {
        Kind::Everybody | Kind::Again => cell.asker(),
        Kind::Probe => family.unspecified(),
    };
    match (asker, cell.target()) {
        (IpAddr::V4(spa), IpAddr::V4(tpa)) => {
            let to = match kind {
                Kind::Everybody | Kind::Probe => BROADCAST,
                Kind::Again => world.ens34(),
            };
            let sha = mac;
            let request = Arp::request(sha, spa, tpa).to(to);
            netns.run(|| neighbour::answers(from.device, &request, patience, until))
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            let solicitation = match kind {
                Kind::Everybody | Kind::Probe => Nd::multicast(mac, source, target),
                Kind::Again => Nd::unicast(world.ens34(), mac, source, target),
            };
            netns.run(|| neighbour::answers(from.device, &solicitation, patience, until))
        }
        _ => bail!("{cell}: two families"),
    }
}

/// `target` as `asker` in `netns` has to name it: a link-local address says nothing without its device.
pub fn reached_from(netns: &Netns, asker: &Spot, address: IpAddr) -> Result<Target> {
    let scope = match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => netns.run(|| {
            let device = asker.device;
            if_nametoindex(device).with_context(|| format!("no interface {device} here"))
        })?,
        _ => 0,
    };
    Ok(Target { address, scope })
}

/// The kernel chooses the source address but where the second one is what is shown.
fn source(cell: &Cell) -> Option<IpAddr> {
    (cell.from.label == NS01_SECOND.label).then(|| cell.asker())
}
