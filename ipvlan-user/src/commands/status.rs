//! `ipvlan status`

mod json;
mod radar;
mod screen;
mod unserved;

use std::{
    io::{self, Write as _},
    time::SystemTime,
};

use anyhow::{Context as _, anyhow};

pub use self::json::render as render_json;
use self::screen::{Rows, Screen};
use super::find_places;
use crate::{
    cli::StatusArgs,
    config::Places,
    directory::Directory,
    quota::Quota,
    runtime::{Answers, query_all},
    status::{self, Child, Netns, Parent, SCHEMA, Status, Unanswered},
};

/// Shows all running agents, and what answers without one. A socket without an answer is shown, and an
/// error.
pub fn status(args: StatusArgs) -> anyhow::Result<()> {
    let Places {
        pin_dir,
        runtime_dir,
    } = find_places(args.find)?;
    let Answers { agents, unanswered } = match Directory::find(&runtime_dir)? {
        Some(directory) => query_all(&directory)?,
        None => Answers::default(),
    };
    let status = Status {
        schema: SCHEMA,
        unserved: unserved::find(&pin_dir, &agents),
        agents,
        unanswered,
    };
    let text = if args.json {
        json::render(&status).context("write JSON")?
    } else {
        render(&status, now_ms())
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        result => result.context("write to standard output")?,
    }
    match &status.unanswered[..] {
        [] => Ok(()),
        [one] => Err(anyhow!("{}", failure(one))),
        [first, others @ ..] => Err(anyhow!("{}, and {} more", failure(first), others.len())),
    }
}

fn failure(of: &Unanswered) -> String {
    format!("{}: {}", of.socket, of.error)
}

/// Milliseconds since 1970; 0 if the clock is before that.
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
        screen.line("no agent is running");
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
fn quota_line(exceeded: &status::Quota) -> String {
    let status::Quota {
        netns: of,
        quota,
        limit,
        exceeded,
        option,
    } = exceeded;
    let known = Quota::from_word(quota);
    // The word may be one of a newer agent.
    let counted = known.map_or("times exceeded", Quota::counted);
    let unit = known.map_or("", Quota::unit);
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
        screen.line(&format!("  conflict: {}", radar::conflict(conflict)));
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
    screen.table(&radar::events(&parent.events, now_ms));
    let mut reasons = Rows::new(["HOOK", "REASON", "FRAMES"]);
    for (hook, counters) in &parent.counters {
        for (reason, frames) in counters {
            reasons.add(&[hook.clone(), reason.clone(), frames.to_string()]);
        }
    }
    screen.table(&reasons);
}

/// A row per address; what is said of the child stands in the first.
fn child_rows(child: &Child) -> Vec<[String; 9]> {
    let count = |word: &str| {
        child
            .counters
            .get(word)
            .map_or_else(String::new, ToString::to_string)
    };
    let mut rows: Vec<[String; 9]> = child
        .addresses
        .iter()
        .map(|address| {
            let state = match &address.reason {
                Some(reason) if *reason != address.state => format!("{}: {reason}", address.state),
                _ => address.state.clone(),
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
        row[3].clone_from(&child.state);
        rows.push(row);
    }
    rows[0][0].clone_from(&child.name);
    rows[0][1] = netns(&child.netns);
    rows[0][4] = count("answered");
    rows[0][5] = count("hairpinned");
    rows[0][6] = count("refused");
    rows[0][7] = child.link.rx_packets.to_string();
    rows[0][8] = child.link.tx_packets.to_string();
    rows
}

fn netns(netns: &Netns) -> String {
    match (netns.names.first(), netns.pid, netns.nsid) {
        (_, _, None) => "(own)".to_owned(),
        (Some(name), ..) => name.rsplit('/').next().unwrap_or(name).to_owned(),
        (None, Some(pid), _) => format!("pid {pid}"),
        (None, None, Some(nsid)) => format!("nsid {nsid}"),
    }
}

#[cfg(test)]
mod tests;
