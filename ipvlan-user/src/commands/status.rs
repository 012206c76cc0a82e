//! `ipvlan status`

mod conflicts;
mod netns;
mod screen;
pub(super) mod unserved;

use std::time::SystemTime;

use self::{
    netns::netns,
    screen::{Rows, Screen},
};
use super::{find_places, json, print};
use crate::{
    cli::StatusArgs,
    config::Places,
    directory::Directory,
    exit::Failure,
    protocol::{Child, ExceededQuota, Parent, QuotaKind, SCHEMA, Status, Unanswered, Word},
    runtime::{Answers, ask_all},
    text::{escaped_path, printable},
};

/// The first line if no agent was found.
const NONE_RUNS: &str = "no agent is running";

/// The status is not complete.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// A socket without an answer.
    #[error("{first}{}", more(*others))]
    Unanswered {
        /// The first such socket, and what happened.
        first: String,
        /// How many more there are.
        others: usize,
        /// Whether the permission to ask was missing.
        denied: bool,
    },
}

fn more(others: usize) -> String {
    match others {
        0 => String::new(),
        others => format!(", and {others} more"),
    }
}

impl StatusError {
    /// Returns whether a privilege was missing.
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        let Self::Unanswered { denied, .. } = self;
        *denied
    }

    /// Returns what the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        self.is_denied().then_some(
            "run as root, or as the user of the agent; the service answers its group, too",
        )
    }
}

/// Shows running agents and datapaths without an agent, of the requested parents or of all. Returns whether an agent
/// runs and serves each requested parent. A socket without an answer is shown, and is an error.
pub fn status(args: StatusArgs) -> Result<bool, Failure> {
    let StatusArgs {
        json,
        fresh,
        iface,
        find,
    } = args;
    let Places {
        pin_dir,
        runtime_dir,
    } = find_places(find)?;
    let directory = Directory::find(&runtime_dir)?;
    let is_missing = directory.is_none();
    let Answers {
        answers,
        unanswered,
        denied,
    } = match directory {
        Some(directory) => ask_all(&directory, move |mut client| async move {
            client.status(fresh).await
        })?,
        None => Answers::default(),
    };
    let agents: Vec<_> = answers.into_iter().map(|(_, agent)| agent).collect();
    let mut status = Status {
        schema: SCHEMA,
        unserved: unserved::find(&pin_dir, &agents),
        agents,
        unanswered,
    };
    let interfaces: Vec<String> = iface.into_iter().map(String::from).collect();
    let runs = !status.agents.is_empty();
    select(&mut status, &interfaces);
    let missing = missing(&status, &interfaces);
    let text = if json {
        json::render(&status).map_err(Failure::system("write JSON"))?
    } else {
        let mut text = render(&status, now_ms());
        if text.starts_with(NONE_RUNS) && runs {
            // There are agents, of other parents.
            let rest = text.split_off(NONE_RUNS.len());
            rest.trim_start_matches('\n').clone_into(&mut text);
        } else if text.starts_with(NONE_RUNS) && is_missing {
            let path = escaped_path(&runtime_dir);
            text.insert_str(NONE_RUNS.len(), &format!(": there is no directory {path}"));
        }
        if runs {
            text.extend(missing.iter().map(|name| no_agent_serves(name)));
        }
        text
    };
    print(text)?;
    if let [first, others @ ..] = &status.unanswered[..] {
        return Err(StatusError::Unanswered {
            first: failure(first),
            others: others.len(),
            denied,
        }
        .into());
    }
    Ok(!status.agents.is_empty() && missing.is_empty())
}

/// Keeps parents with one of these names, and agents that serve one of them; everything if there is no name.
fn select(status: &mut Status, interfaces: &[String]) {
    if interfaces.is_empty() {
        return;
    }
    for agent in &mut status.agents {
        agent
            .parents
            .retain(|parent| interfaces.contains(&parent.name));
    }
    status.agents.retain(|agent| !agent.parents.is_empty());
    if let Some(unserved) = &mut status.unserved {
        // The name of an interface that is gone is known with `_` for dots only.
        unserved.retain(|of| {
            let is_called = |name: &String| *name == of.name || name.replace('.', "_") == of.name;
            interfaces.iter().any(is_called)
        });
    }
}

fn no_agent_serves(name: &str) -> String {
    format!("no agent serves `{}`\n", printable(name))
}

/// Returns those of these names that no agent serves.
fn missing<'a>(status: &Status, interfaces: &'a [String]) -> Vec<&'a String> {
    let parents = || status.agents.iter().flat_map(|agent| &agent.parents);
    let serves = |name: &String| parents().any(|parent| parent.name == *name);
    interfaces.iter().filter(|name| !serves(name)).collect()
}

fn failure(of: &Unanswered) -> String {
    format!("{}: {}", of.socket, of.error)
}

/// Returns the milliseconds since 1970; 0 if the clock is before that.
fn now_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Renders a status. Whatever is in it, the text has printable characters and line feeds only.
#[must_use]
pub fn render(status: &Status, now_ms: u64) -> String {
    let Status {
        schema: _,
        agents,
        unanswered,
        unserved,
    } = status;
    let mut screen = Screen::default();
    if agents.is_empty() && unanswered.is_empty() {
        screen.line(NONE_RUNS);
    }
    for (index, agent) in agents.iter().enumerate() {
        if index > 0 {
            screen.line("");
        }
        let sync = &agent.sync;
        screen.line(&format!(
            "agent {} (version {}): {} syncs, {} wakes, {} overruns, {} failed, {} entries mended",
            agent.pid,
            agent.version,
            sync.syncs,
            sync.wakes,
            sync.overruns,
            sync.failed,
            sync.mended
        ));
        if let Some(error) = &sync.error {
            screen.line(&format!("  last sync failed: {error}"));
        }
        for netns in &agent.unreadable {
            screen.line(&format!("  {netns}"));
        }
        if let Some(error) = &agent.config.error {
            screen.line(&format!(
                "  last reload failed, settings are those from before: {error}"
            ));
        }
        if !agent.config.at_next_start.is_empty() {
            let keys = agent.config.at_next_start.join(", ");
            screen.line(&format!(
                "  changed, in effect from the next start on: {keys}"
            ));
        }
        for quota in &agent.quotas {
            screen.line(&format!("  {}", quota_line(quota)));
        }
        for parent in &agent.parents {
            screen.line("");
            render_parent(&mut screen, parent, now_ms);
        }
    }
    for (index, socket) in unanswered.iter().enumerate() {
        if index == 0 && !agents.is_empty() {
            screen.line("");
        }
        screen.line(&failure(socket));
    }
    for unserved in unserved.iter().flatten() {
        screen.line("");
        screen.line(&unserved::line(unserved));
    }
    screen.into_text()
}

/// Returns the line about an exceeded quota.
fn quota_line(exceeded: &ExceededQuota) -> String {
    let ExceededQuota {
        netns: of,
        quota,
        limit,
        exceeded,
        option,
    } = exceeded;
    let (counted, unit) = match quota {
        // A netns is read no further than its quota.
        Word::Known(QuotaKind::Addresses) => ("or more addresses are not kept", ""),
        Word::Known(QuotaKind::Events) => ("events were not handled", " per second"),
        Word::Known(QuotaKind::Announcements) => {
            ("announcements and probes were delayed", " per second")
        }
        Word::Known(QuotaKind::Groups) => ("times a solicited-node group was not joined", ""),
        Word::Known(QuotaKind::Time) => ("readings were delayed", " % of a processor"),
        Word::Other(_) => ("times exceeded", ""),
    };
    format!(
        "quota: netns {}: {quota}: {exceeded} {counted} ({option}: {limit}{unit})",
        netns(of)
    )
}

fn render_parent(screen: &mut Screen, parent: &Parent, now_ms: u64) {
    let reason = parent.reason.as_ref().map(|reason| format!(" ({reason})"));
    let mode = match (&parent.mode, &parent.flag) {
        (Some(mode), Some(flag)) => format!(", mode {mode} {flag}"),
        _ => String::new(),
    };
    let mac = parent.mac.as_ref().map(|mac| format!(", {mac}"));
    screen.line(&format!(
        "{}: {}{}{mode}{}",
        parent.name,
        parent.state,
        reason.unwrap_or_default(),
        mac.unwrap_or_default()
    ));
    for hook in &parent.hooks {
        screen.line(&format!(
            "  {}: {} by {} (program {})",
            hook.hook, hook.program, hook.attach, hook.program_id
        ));
    }
    if parent.groups > 0 {
        screen.line(&format!(
            "  solicited-node groups joined: {}",
            parent.groups
        ));
    }
    for note in &parent.notes {
        screen.line(&format!("  note: {note}"));
    }
    for conflict in &parent.conflicts {
        screen.line(&format!("  conflict: {}", conflicts::conflict(conflict)));
    }
    if parent.children.is_empty() {
        screen.line("  no children");
    } else {
        let mut rows = Rows::new([
            "CHILD",
            "NETNS",
            "ADDRESS",
            "STATE",
            "ANSWERED",
            "HAIRPINNED",
            "REFUSED",
            "RX",
            "TX",
        ]);
        for child in &parent.children {
            for row in child_rows(child) {
                rows.add(&row);
            }
        }
        screen.table(&rows);
    }
    screen.table(&conflicts::events(&parent.events, now_ms));
    let mut reasons = Rows::new(["HOOK", "REASON", "FRAMES"]);
    for (hook, counters) in &parent.counters.0 {
        for (reason, frames) in counters {
            reasons.add(&[hook.to_string(), reason.clone(), frames.to_string()]);
        }
    }
    screen.table(&reasons);
}

/// Returns a row for each address; the columns of the child are in the first.
fn child_rows(child: &Child) -> Vec<[String; 9]> {
    let mut rows: Vec<[String; 9]> = child
        .addresses
        .iter()
        .map(|address| {
            let state = match &address.reason {
                // `probing` is both.
                Some(reason) if *reason != address.state.to_string() => {
                    format!("{}: {reason}", address.state)
                }
                _ => address.state.to_string(),
            };
            let mut row = <[String; 9]>::default();
            row[2].clone_from(&address.address);
            row[3] = state;
            row
        })
        .collect();
    if rows.is_empty() {
        let mut row = <[String; 9]>::default();
        "-".clone_into(&mut row[2]);
        row[3] = child.state.to_string();
        rows.push(row);
    }
    rows[0][0].clone_from(&child.name);
    rows[0][1] = netns::of_child(child);
    rows[0][4] = child.counters.answered.to_string();
    rows[0][5] = child.counters.hairpinned.to_string();
    rows[0][6] = child.counters.refused.to_string();
    rows[0][7] = child.link.rx_packets.to_string();
    rows[0][8] = child.link.tx_packets.to_string();
    rows
}

#[cfg(test)]
mod tests;
