//! Is the parent in the solicited-node group of a child's address while the child has it?

use std::{process::Command, time::Duration};

use anyhow::Result;
use ipvlan_packet::nd::solicited_node;

use super::{ask::Phase, cell::Cell, world::World};
use crate::probe::until;

/// Within this time after the address is gone the parent must have left.
const LEFT_WITHIN: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(20);

/// The child of `cell` comes and goes: does its group on the asker's device?
pub fn follows_child(world: &World, cell: &Cell, phase: Phase<'_>) -> Result<bool> {
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
