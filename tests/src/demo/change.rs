//! Cells whose topology changes while an agent runs. Each leaves it as it found it.

use std::{
    net::IpAddr,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use ipvlan_packet::nd::solicited_node;

use super::{
    ask::{Kind, Phase, solicit},
    cell::Cell,
    spot::{HOST, Spot, VM01},
    world::World,
};
use crate::{
    family::Family,
    netns::{Netns, colons},
    probe::{
        ping::ping,
        tcp::{self, Exchange},
        until,
    },
};

/// Where a child that is moved starts.
const NS08: &str = "ns08";
/// Generous: what counts is what comes after.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);
/// Within this time a deleted address has gone silent, or on an emulated and busy machine within the
/// second.
const SILENT_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// Within this time after an address is gone the parent must have left its group.
const LEFT_WITHIN: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(20);
const DROPPED_PORT: u16 = 7777;

/// Moves a child from one netns to another, from inside the first, and pings it there.
pub fn reachable_after_move(world: &World, cell: &Cell, phase: Phase<'_>) -> Result<bool> {
    let there = cell.to;
    let start = Spot {
        netns: NS08,
        ..there
    };
    let families = [cell.family];
    world.add_child(&start, &families)?;
    let patience = phase.patience(cell);
    let target = cell.target();
    let ask = || world.at(VM01.netns)?.run(|| ping(None, target, patience));
    let there_before = phase.agent().is_none() || ask()?;
    world.at(NS08)?.ip(&format!(
        "link set {} netns {}\n",
        there.device,
        world.at(there.netns)?.reference()
    ))?;
    world.configure(&there, &families)?;
    world.settle(there.netns)?;
    let reachable = ask()?;
    world.remove_child(&there)?;
    Ok(reachable && there_before)
}

/// Deletes the only address of a child and asks for it once it must have gone silent.
///
/// With an agent it must have been answered first, or silence would prove nothing.
pub fn answered_after_delete(world: &World, cell: &Cell, phase: Phase<'_>) -> Result<bool> {
    let Cell { to, family, .. } = cell;
    world.add_child(to, &[*family])?;
    let ask = |patience| solicit(world, cell, Kind::Everybody, patience);
    let target = cell.target();
    if phase.agent().is_some() {
        let answered = ask(ANSWERED_WITHIN)?;
        ensure!(answered, "{target} was not answered before it was deleted");
    }
    let netns = world.at(to.netns)?;
    let device = to.device;
    netns.ip(&format!(
        "addr del {target}/{} dev {device}\n",
        family.subnet()
    ))?;
    let deleted = Instant::now();
    let mut still_answered = true;
    for time in SILENT_AFTER {
        thread::sleep(time.saturating_sub(deleted.elapsed()));
        still_answered = ask(Duration::from_millis(600))?;
        if !still_answered {
            break;
        }
        println!(
            "{target} is answered {:?} after it was deleted",
            deleted.elapsed()
        );
    }
    world.remove_child(to)?;
    Ok(still_answered)
}

/// Connects to a port of an l3s child that a rule of the host's INPUT chain drops.
///
/// Without the rule the same connection must work, or the drop would prove nothing; so that it
/// can before there is an agent, vm01 is told the child's Ethernet address.
pub fn passes_input_rule(world: &World, cell: &Cell, patience: Duration) -> Result<bool> {
    let (vm01, child, host) = (
        world.at(VM01.netns)?,
        world.at(cell.to.netns)?,
        world.at(HOST.netns)?,
    );
    let (target, family) = (cell.target(), cell.family);
    let connect = || {
        let exchange = Exchange {
            target,
            port: DROPPED_PORT,
            bytes: 64 * 1024,
            patience,
        };
        tcp::exchange(vm01, child, &exchange)
    };
    let ens34 = colons(world.ens34());
    let device = VM01.device;
    vm01.ip(&format!(
        "neigh replace {target} lladdr {ens34} dev {device} nud permanent\n"
    ))?;
    let open = connect()?;
    set_rule(host, family, target)?;
    let passes = connect();
    host.command(
        Command::new("nft").args(["delete", "table", family.nft(), "lab"]),
        "",
    )?;
    vm01.ip(&format!("neigh del {target} dev {device}\n"))?;
    ensure!(open, "TCP to {target} fails even without the INPUT rule");
    passes
}

fn set_rule(host: &Netns, family: Family, target: IpAddr) -> Result<()> {
    let ip = family.nft();
    let rules = format!(
        "table {ip} lab {{\n\
         chain input {{\n\
         type filter hook input priority 0\n\
         {ip} daddr {target} tcp dport {DROPPED_PORT} drop\n\
         }}\n\
         }}\n"
    );
    host.command(Command::new("nft").args(["-f", "-"]), &rules)
        .map(drop)
}

/// The child of `cell` comes and goes: is the asker's device in the solicited-node group of its address meanwhile?
pub fn group_follows_child(world: &World, cell: &Cell, phase: Phase<'_>) -> Result<bool> {
    let group = solicited_node(cell.to.at.v6).to_string();
    let is_member = || -> Result<bool> {
        let mut command = Command::new("ip");
        command.args(["-6", "maddr", "show", "dev", cell.from.device]);
        let shown = world.at(cell.from.netns)?.command(&mut command, "")?;
        Ok(shown.split_whitespace().any(|word| word == group))
    };
    let absent = !is_member()?;
    world.add_child(&cell.to, &[cell.family])?;
    let joined = until(phase.patience(cell), POLL, is_member)?;
    world.remove_child(&cell.to)?;
    let left = until(LEFT_WITHIN, POLL, || Ok(!is_member()?))?;
    Ok(absent && joined && left)
}
