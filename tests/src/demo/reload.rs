//! Does a running agent follow the prefixes in its configuration file when it is told to read it again?

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use super::{
    ask::{Kind, Phase, solicit},
    cell::Cell,
    spot::NS02,
    world::{PARENTS, World},
};
use crate::{
    agent::Agent,
    netns::{AttachedName, Netns},
    probe::until,
};

/// What the agent is told to read.
pub const FILE: &str = "/tmp/ipvlan-reloaded.toml";
/// A name that the target's netns gets while a rule denies it.
const NEW_NAME: &str = "ipvlan-reloaded";
/// Why an address is not answered for, of what the file can say.
const REFUSALS: [&str; 2] = ["denied", "not_allowed"];
/// Long enough for whoever is going to answer.
const WINDOW: Duration = Duration::from_millis(700);
const PATIENCE: Duration = Duration::from_secs(5);
/// Asking for the status costs a process and a moment of the agent.
const POLL: Duration = Duration::from_millis(100);

/// Makes the file one that says nothing: everything is answered for.
pub fn prepare() -> Result<()> {
    write("")
}

/// Is the target of `cell` answered for whenever the file allows it and never when not, and are requests
/// that are not answered counted for the right reason?
pub fn followed(world: &World, cell: &Cell, phase: Phase<'_>) -> Result<bool> {
    let asked = |patience| solicit(world, cell, Kind::Everybody, patience);
    let Some(agent) = phase.agent() else {
        return asked(WINDOW);
    };
    let (target, other) = (cell.target(), NS02.address(cell.family));
    let netns = world.at(cell.to.netns)?;
    let rule =
        |pattern: &str, effect: &str| format!("[[rule]]\nnetns = [\"{pattern}\"]\n{effect}\n");
    let (this, that) = (netns.reference(), world.at(NS02.netns)?.reference());
    let rows = [
        (String::new(), None),
        (format!("deny = [\"{target}\"]\n"), Some("denied")),
        (format!("deny = [\"{other}\"]\n"), None),
        (format!("allow = [\"{other}\"]\n"), Some("not_allowed")),
        (format!("allow = [\"{other}\", \"{target}\"]\n"), None),
        (rule(&this, "answer = false"), Some("denied")),
        (rule(&that, "answer = false"), None),
        (
            rule(
                &format!("/run/netns/{this}"),
                &format!("allow = [\"{other}\"]"),
            ),
            Some("not_allowed"),
        ),
        (rule(&this, "") + &rule("*", "answer = false"), None),
        (
            // An audit looks for names.
            "audit = 1\n".to_owned() + &rule(NEW_NAME, "answer = false"),
            None,
        ),
    ];
    let files = rows.map(|(text, refusal)| (Change::File(text), refusal));
    let mut followed = true;
    for (change, refusal) in files.into_iter().chain([(Change::Name, Some("denied"))]) {
        let _name = change.make(agent, netns)?;
        let before = refused(agent)?;
        let patience = if refusal.is_none() { PATIENCE } else { WINDOW };
        let answered = asked(patience)?;
        let after = refused(agent)?;
        let counted = REFUSALS
            .into_iter()
            .zip(before.into_iter().zip(after))
            .filter_map(|(reason, (before, after))| (after > before).then_some(reason));
        let counted: Vec<&str> = counted.collect();
        if answered != refusal.is_none() || !counted.iter().eq(&refusal) {
            eprintln!("{cell}, {change:?}: answered: {answered}, counted as {counted:?}");
            followed = false;
        }
    }
    reload(agent, "")?;
    Ok(followed)
}

/// A change of what the agent goes by.
#[derive(Debug)]
enum Change {
    /// The file has another text.
    File(String),
    /// The target's netns gets the name that the rule of the last text denies.
    Name,
}

impl Change {
    /// Makes it, and waits until the agent follows. The name is there until the guard is dropped.
    fn make(&self, agent: &Agent, netns: &Netns) -> Result<Option<AttachedName>> {
        if let Self::File(text) = self {
            reload(agent, text)?;
            return Ok(None);
        }
        let name = netns.attach_name(NEW_NAME)?;
        let applies = || {
            let status = agent.status()?.to_string();
            Ok(status.contains(&format!("{FILE}:2")))
        };
        ensure!(
            until(PATIENCE, POLL, applies)?,
            "no rule applies to {NEW_NAME} within {PATIENCE:?}"
        );
        Ok(Some(name))
    }
}

fn write(text: &str) -> Result<()> {
    fs::write(FILE, text).with_context(|| format!("cannot write {FILE}"))
}

/// Tells the agent to read this.
fn reload(agent: &Agent, text: &str) -> Result<()> {
    let reloads = || -> Result<_> { Ok(agent.status()?["config"]["reloads"].clone()) };
    let before = reloads()?;
    write(text)?;
    agent.signal(Signal::SIGHUP)?;
    let reloaded = until(PATIENCE, POLL, || Ok(reloads()? != before))?;
    ensure!(reloaded, "{text:?} is not read within {PATIENCE:?}");
    Ok(())
}

/// How many frames from the wire were counted for each of [`REFUSALS`], on all parents.
fn refused(agent: &Agent) -> Result<[u64; 2]> {
    let status = agent.status()?;
    Ok(REFUSALS.map(|reason| {
        let counters = |parent| &status["parents"][parent]["counters"]["ingress"];
        let counted = |parent| counters(parent)[reason].as_u64();
        (0..PARENTS.len()).filter_map(counted).sum()
    }))
}
