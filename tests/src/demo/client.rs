//! What the usual programs say: `arping`, `ndisc6`, `rdisc6` and the kernel's own detection of
//! duplicates.

use std::{
    net::IpAddr,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};

use super::{
    cell::Cell,
    detection::{Detection, detection},
    spot::GATEWAY,
    world::World,
};
use crate::{
    command,
    netns::{Netns, colons},
    probe::router,
};

/// Every one of these programs gives up by itself long before.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
/// Detection takes a second, after a wait of up to another.
const DETECTED_WITHIN: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(20);
/// `arping -D`: somebody has the address.
const DUPLICATE: i32 = 1;

/// Does whoever wants the target of `cell` for itself find out that it is taken?
pub fn sees_duplicate(world: &World, cell: &Cell) -> Result<bool> {
    let (netns, device) = (world.at(cell.from.netns)?, cell.from.device);
    match cell.target() {
        IpAddr::V4(address) => {
            let address = address.to_string();
            let arguments = ["-D", "-c", "2", "-w", "2", "-I", device, &address];
            let (code, said) = end(netns, Command::new("arping").args(arguments))?;
            match code {
                Some(DUPLICATE) => Ok(true),
                Some(0) => Ok(false),
                code => bail!("arping -D: {code:?}: {said}"),
            }
        }
        IpAddr::V6(address) => {
            // Deprecated, so that nothing is sent from it where it turns out to be free.
            let lifetimes = "valid_lft forever preferred_lft 0";
            netns.ip(&format!(
                "addr add {address}/128 dev {device} {lifetimes}\n"
            ))?;
            let deadline = Instant::now() + DETECTED_WITHIN;
            let found = loop {
                match netns.run(|| detection(address))? {
                    Some(Detection::Failed) => break true,
                    Some(Detection::Passed) => break false,
                    _ if Instant::now() >= deadline => bail!("{address} is still tentative"),
                    _ => thread::sleep(POLL),
                }
            };
            netns.ip(&format!("addr del {address}/128 dev {device}\n"))?;
            Ok(found)
        }
    }
}

/// Does `ndisc6 -m` get exactly one answer, the parent's Ethernet address?
pub fn ndisc6(world: &World, cell: &Cell) -> Result<bool> {
    let target = cell.target().to_string();
    let arguments = [
        "-m",
        "-q",
        "-r",
        "1",
        "-w",
        "600",
        &target,
        cell.from.device,
    ];
    let netns = world.at(cell.from.netns)?;
    let (_, said) = end(netns, Command::new("ndisc6").args(arguments))?;
    let answers: Vec<_> = said.split_whitespace().map(str::to_lowercase).collect();
    Ok(answers == [colons(world.ens34())])
}

/// Does `rdisc6` get the gateway's router advertisement?
pub fn rdisc6(world: &World, cell: &Cell) -> Result<bool> {
    let done = AtomicBool::new(false);
    let gateway = world.at(GATEWAY.netns)?;
    thread::scope(|scope| {
        let advertising =
            scope.spawn(|| gateway.run(|| router::advertise(GATEWAY.device, GATEWAY.at.v6, &done)));
        let arguments = ["-1", "-r", "3", "-w", "500", cell.from.device];
        let asked = world
            .at(cell.from.netns)
            .and_then(|netns| end(netns, Command::new("rdisc6").args(arguments)));
        done.store(true, Ordering::Relaxed);
        advertising
            .join()
            .map_err(|_| anyhow!("the router panicked"))??;
        Ok(asked?.0 == Some(0))
    })
}

/// Runs `command` in `netns`; how it ended, and what it wrote to its standard output.
fn end(netns: &Netns, command: &mut Command) -> Result<(Option<i32>, String)> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = netns.run(|| {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {name}"))
    })?;
    // What these programs say fits into a pipe.
    let status = command::wait(&mut child, ENDS_WITHIN)?
        .with_context(|| format!("{name} was killed after {ENDS_WITHIN:?}"))?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((status.code(), said))
}
