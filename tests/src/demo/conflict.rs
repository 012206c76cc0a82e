//! Addresses that two have: a machine of the LAN claims a child's, a child takes a machine's.

use std::{net::IpAddr, thread, time::Duration};

use anyhow::Result;
use serde_json::Value;

use super::{
    announced::Entry,
    ask::{Kind, Phase, answers},
    cell::Cell,
    mode::Mode,
    spot::{GATEWAY, HOST, IMPOSTOR, VM01},
    world::World,
};
use crate::{
    agent::{Agent, addresses, list},
    netns::colons,
    probe::{claim, neighbour::Until, until},
};

/// Asking for the status costs a process and a moment of the agent.
const POLL: Duration = Duration::from_millis(200);
/// The probes for a new address have ended by then: what is claimed later is defended, and not withheld.
const ESTABLISHED: Duration = Duration::from_secs(8);
/// Long enough for whoever is going to answer.
const WINDOW: Duration = Duration::from_millis(700);

/// The sender of `cell` claims its target once. Returns whether the agent reports it with everything that helps to find
/// the station, and the gateway that believed the claim has the parent's MAC again soon. In l2 it does not: there the
/// kernel of a child defends no address.
pub fn reported_and_defended(world: &World, cell: &Cell, phase: Phase<'_>) -> Result<bool> {
    let claimant = world.at(cell.from.netns)?;
    let mac = claimant.hardware_address(cell.from.device)?;
    let patience = phase.patience(cell);
    let gateway = Entry::of(
        world,
        &Cell {
            from: GATEWAY,
            ..*cell
        },
    )?;
    if phase.agent().is_some() {
        thread::sleep(ESTABLISHED);
    }
    gateway.set(world.ens34())?;
    claimant.run(|| claim::send(cell.from.device, cell.target(), mac))?;
    let Some(agent) = phase.agent() else {
        // Without one no host defends it.
        let believed = gateway.becomes(mac, patience)?;
        return Ok(!believed);
    };
    let defended = gateway.becomes(world.ens34(), patience)?;
    let netns = world.at(cell.to.netns)?.reference();
    let reported = reports(agent, patience, |event| {
        is_about(event, cell.target(), mac)
            && event["kind"] == "claim"
            && event["child"] == cell.to.device
            && has_name(&event["netns"], &netns)
    })?;
    Ok(reported && defended == (world.mode != Mode::L2))
}

/// A child takes the address of vm01. Returns whether the agent reports vm01's MAC.
pub fn impostor_reported(world: &World, cell: &Cell, phase: Phase<'_>) -> Result<bool> {
    with_impostor(world, cell, || {
        let Some(agent) = phase.agent() else {
            return Ok(false);
        };
        let mac = vm01(world)?;
        reports(agent, phase.patience(cell), |event| {
            is_about(event, cell.target(), mac) && event["child"] == IMPOSTOR.device
        })
    })
}

/// A child takes the address of vm01. Returns whether vm01 alone answers for it.
pub fn impostor_silent(world: &World, cell: &Cell, phase: Phase<'_>) -> Result<bool> {
    with_impostor(world, cell, || {
        let patience = phase.patience(cell);
        if let Some(agent) = phase.agent() {
            // Silence proves something once the agent knows of the address, and has made up its mind.
            let target = cell.target();
            until(patience, POLL, || Ok(refused(&agent.status()?, target)))?;
        }
        let answers = answers(world, cell, Kind::Everybody, WINDOW, Until::End)?;
        Ok(answers == [vm01(world)?])
    })
}

fn with_impostor(world: &World, cell: &Cell, ask: impl FnOnce() -> Result<bool>) -> Result<bool> {
    world.add_child(&IMPOSTOR, &[cell.family])?;
    let answer = ask();
    world.remove_child(&IMPOSTOR)?;
    answer
}

fn vm01(world: &World) -> Result<[u8; 6]> {
    world.at(VM01.netns)?.hardware_address(VM01.device)
}

/// Returns whether the agent reports an event on ens34 that `is_it` within `patience`.
fn reports(agent: &Agent, patience: Duration, is_it: impl Fn(&Value) -> bool) -> Result<bool> {
    until(patience, POLL, || {
        let status = agent.status()?;
        Ok(list(&status["parents"])
            .flat_map(|parent| list(&parent["events"]))
            .filter(|event| event["parent"] == HOST.device && event["action"] != "")
            .any(&is_it))
    })
}

/// Is `address` of the impostor refused?
fn refused(status: &Value, address: IpAddr) -> bool {
    let address = format!("{address}/");
    addresses(status).any(|(child, seen)| {
        let is_it = seen["address"]
            .as_str()
            .is_some_and(|seen| seen.starts_with(&address));
        child["name"] == IMPOSTOR.device && is_it && seen["state"] == "refused"
    })
}

fn is_about(event: &Value, address: IpAddr, mac: [u8; 6]) -> bool {
    event["address"] == address.to_string() && event["mac"] == colons(mac)
}

fn has_name(netns: &Value, name: &str) -> bool {
    list(&netns["names"]).any(|known| known == name)
}
