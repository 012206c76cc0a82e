//! Does a machine of the LAN learn an Ethernet address without asking for it?
//!
//! It is given a wrong one as a stale entry, which the kernel neither questions nor drops until it
//! sends something there. An entry that becomes right has been announced.

use std::{net::IpAddr, process::Command, thread, time::Duration};

use anyhow::{Result, ensure};

use super::{
    ask::Phase,
    cell::{Cell, Trigger},
    spot::{HOST, HOST_VEPA, Spot, VEPA2, VM01_VEPA},
    world::World,
};
use crate::{
    family::Family,
    netlink::Netlink,
    netns::{Netns, colons},
    probe::until,
};

/// Where the child that is moved starts.
const NS18: &str = "ns18";
/// Nobody's.
const WRONG: [u8; 6] = [2, 0, 0, 0, 0x77, 0x77];
/// What the parent is called for a while.
const NEW: [u8; 6] = [2, 0, 0, 0, 0x78, 0x78];
/// Machines of the LAN must know a new Ethernet address within this time.
const FAILOVER: Duration = Duration::from_secs(1);
/// In this time three announcements have been made.
const TRAIN: Duration = Duration::from_secs(4);
const DOWN: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(20);

/// Does the asker of `cell` learn where its target is, on account of `trigger`?
pub fn learns(world: &World, cell: &Cell, trigger: Trigger, phase: Phase<'_>) -> Result<bool> {
    let asker = Entry::of(world, cell)?;
    let patience = phase.patience(cell);
    match trigger {
        Trigger::Start => {
            if phase.agent().is_none() {
                asker.set(WRONG)?;
            }
            asker.becomes(world.at(HOST.netns)?.hardware_address("ens36")?, patience)
        }
        Trigger::Appears => {
            asker.set(WRONG)?;
            world.add_child(&cell.to, &[cell.family])?;
            let learnt = asker.becomes(world.ens34(), patience)?;
            world.remove_child(&cell.to)?;
            Ok(learnt)
        }
        Trigger::Moves => {
            let start = Spot {
                netns: NS18,
                ..cell.to
            };
            relearns(world, cell, &start, phase, || {
                let there = world.at(cell.to.netns)?.reference();
                let device = cell.to.device;
                let netns = world.at(NS18)?;
                netns.ip(&format!("link set {device} netns {there}\n"))?;
                world.configure(&cell.to, &[cell.family])
            })
        }
        Trigger::ChildUp => relearns(world, cell, &cell.to, phase, || {
            down_and_up(world.at(cell.to.netns)?, cell.to.device, || Ok(()))
        }),
        Trigger::ParentUp => {
            let host = world.at(HOST_VEPA.netns)?;
            let right = host.hardware_address(HOST_VEPA.device)?;
            down_and_up(host, HOST_VEPA.device, || {
                // vm01 forgets all it knows with its carrier.
                ensure!(
                    until(DOWN, POLL, || asker.has_no_carrier())?,
                    "{} has a carrier though its peer is down",
                    asker.device
                );
                asker.set(WRONG)
            })?;
            asker.becomes(right, patience)
        }
        Trigger::MacChange => {
            asker.set(world.ens34())?;
            rename(world, NEW)?;
            let learnt = asker.becomes(NEW, FAILOVER)?;
            rename(world, world.ens34())?;
            Ok(learnt)
        }
    }
}

/// Does the asker of `cell` learn anew of a child that first was at `start`, on account of `change`?
fn relearns(
    world: &World,
    cell: &Cell,
    start: &Spot,
    phase: Phase<'_>,
    change: impl FnOnce() -> Result<()>,
) -> Result<bool> {
    let asker = Entry::of(world, cell)?;
    let patience = phase.patience(cell);
    asker.set(WRONG)?;
    world.add_child(start, &[cell.family])?;
    let mut learnt = true;
    if phase.agent().is_some() {
        learnt = asker.becomes(world.ens34(), patience)?;
        thread::sleep(TRAIN);
    }
    asker.set(WRONG)?;
    change()?;
    learnt &= asker.becomes(world.ens34(), patience)?;
    world.remove_child(&cell.to)?;
    Ok(learnt)
}

/// Long enough down that nobody can overlook it, and `meanwhile`; the kernel keeps the addresses.
fn down_and_up(netns: &Netns, device: &str, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
    netns.sysctl(&format!("ipv6/conf/{device}/keep_addr_on_down"), "1")?;
    netns.ip(&format!("link set {device} down\n"))?;
    thread::sleep(DOWN);
    meanwhile()?;
    netns.ip(&format!("link set {device} up\n"))
}

/// Gives vm01 wrong entries that an agent that is about to be started has to put right.
pub fn mislead(world: &World) -> Result<()> {
    for family in Family::ALL {
        Entry {
            netns: world.at(VM01_VEPA.netns)?,
            device: VM01_VEPA.device,
            address: VEPA2.address(family),
        }
        .set(WRONG)?;
    }
    Ok(())
}

fn rename(world: &World, mac: [u8; 6]) -> Result<()> {
    let Spot { netns, device, .. } = HOST;
    let host = world.at(netns)?;
    host.ip(&format!("link set {device} address {}\n", colons(mac)))
}

/// What a machine of the LAN knows about one address.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    netns: &'a Netns,
    device: &'static str,
    address: IpAddr,
}

impl<'a> Entry<'a> {
    /// That of the asker of `cell` about its target.
    pub fn of(world: &'a World, cell: &Cell) -> Result<Self> {
        Ok(Self {
            netns: world.at(cell.from.netns)?,
            device: cell.from.device,
            address: cell.target(),
        })
    }

    /// Makes it `mac`, learnt long ago.
    pub fn set(self, mac: [u8; 6]) -> Result<()> {
        let Self {
            netns,
            device,
            address,
        } = self;
        netns.ip(&format!(
            "neigh replace {address} lladdr {} dev {device} nud stale\n",
            colons(mac)
        ))?;
        ensure!(
            self.is(mac)?,
            "{device} was told {} and knows something else",
            colons(mac)
        );
        Ok(())
    }

    /// Does it become `mac` within `patience`?
    pub fn becomes(self, mac: [u8; 6], patience: Duration) -> Result<bool> {
        until(patience, POLL, || self.is(mac))
    }

    /// Has the asker's link gone down, with all that the kernel does then?
    fn has_no_carrier(self) -> Result<bool> {
        let mut command = Command::new("ip");
        command.args(["-json", "link", "show", "dev", self.device]);
        let link = self.netns.command(&mut command, "")?;
        Ok(link.contains("\"LOWERLAYERDOWN\"") || link.contains("\"DOWN\""))
    }

    fn is(self, mac: [u8; 6]) -> Result<bool> {
        let Self {
            netns,
            device,
            address,
        } = self;
        let known = netns.run(|| Netlink::open()?.neighbour(device, address))?;
        Ok(known.as_deref() == Some(&mac))
    }
}
