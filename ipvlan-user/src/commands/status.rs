//! `ipvlan status`

mod conflicts;
pub(super) mod unserved;

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    Outcome,
    agents::{self, Asked},
    children, json,
    netns::netns,
    screen::{self, Rows, Screen, now_ms},
};
use crate::{
    cli::{FamilyArgs, Format, ParentArgs, Span, StatusArgs},
    config::InterfaceName,
    exit::Failure,
    protocol::{
        Agent, Child, ChildState, ExceededQuota, Parent, ParentState, QuotaKind, SCHEMA, Status,
        Unserved, Word,
    },
};

/// How often the agents are asked while they are waited for.
const POLL: Duration = Duration::from_millis(200);

/// Shows running agents and datapaths without an agent, of the requested parents or of all. A socket without an answer
/// is shown, and is an error.
pub fn status(args: StatusArgs) -> Result<Outcome, Failure> {
    let StatusArgs {
        output,
        family,
        brief,
        fresh,
        wait,
        of: ParentArgs { iface, find },
    } = args;
    let deadline = wait.map(|Span(wait)| Instant::now() + wait);
    let (asked, runs, missing) = loop {
        let mut asked = agents::status(find.clone(), fresh)?;
        let runs = !asked.answers.is_empty();
        let missing = asked.select(&iface);
        let is_over = deadline.is_none_or(|deadline| Instant::now() >= deadline);
        if is_over || asked.unanswered.is_empty() && outcome(&asked, &missing) == Outcome::Well {
            break (asked, runs, missing);
        }
        thread::sleep(POLL);
    };
    let outcome = outcome(&asked, &missing);
    let status = shown(&asked, &iface, family);
    match output.format() {
        Format::Json => json::print(&status)?,
        Format::Jsonl => json::print_lines(&lines(&status))?,
        Format::Table => {
            let body = if brief {
                render_brief(&status)
            } else {
                render(&status, now_ms())
            };
            let text = asked.text(runs, &body, &missing);
            screen::print(&text, output.color)?;
        }
    }
    asked.check()?;
    Ok(outcome)
}

/// Returns how the agents and parents are.
fn outcome(asked: &Asked<Agent>, missing: &[String]) -> Outcome {
    let agents = || asked.answers.iter().map(|(_, agent)| agent);
    let is_well = |agent: &Agent| {
        let parents = agent.parents.iter();
        agent.sync.error.is_none()
            && agent.config.error.is_none()
            && parents
                .map(|of| &of.state)
                .all(|of| *of == ParentState::Ready)
    };
    if asked.answers.is_empty() || !missing.is_empty() {
        Outcome::NotRunning
    } else if agents().all(is_well) {
        Outcome::Well
    } else {
        Outcome::Degraded
    }
}

/// Returns what is shown: datapaths without an agent, too.
fn shown(asked: &Asked<Agent>, interfaces: &[InterfaceName], family: FamilyArgs) -> Status {
    let mut agents: Vec<_> = asked.answers.iter().map(|(_, of)| of.clone()).collect();
    let mut unserved = unserved::find(&asked.pin_dir, &agents);
    let is_wanted = |of: &Unserved| {
        // The name of an interface that is gone is known with `_` for dots only.
        let is_called = |name: &str| name == of.name || name.replace('.', "_") == of.name;
        interfaces.is_empty() || interfaces.iter().any(|name| is_called(name.as_str()))
    };
    if let Some(unserved) = &mut unserved {
        unserved.retain(is_wanted);
    }
    let parents = agents.iter_mut().flat_map(|agent| &mut agent.parents);
    for child in parents.flat_map(|parent| &mut parent.children) {
        child.addresses.retain(|of| family.has(&of.address));
    }
    Status {
        schema: SCHEMA,
        agents,
        unanswered: asked.unanswered.clone(),
        unserved,
    }
}

/// Returns the status as a document for each agent and each socket without an answer.
fn lines(status: &Status) -> Vec<Status> {
    let empty = || Status {
        schema: SCHEMA,
        agents: Vec::new(),
        unanswered: Vec::new(),
        unserved: None,
    };
    let agents = status.agents.iter().map(|agent| Status {
        agents: vec![agent.clone()],
        ..empty()
    });
    let unanswered = status.unanswered.iter().map(|of| Status {
        unanswered: vec![of.clone()],
        ..empty()
    });
    let unserved = status.unserved.iter().flatten().map(|of| Status {
        unserved: Some(vec![of.clone()]),
        ..empty()
    });
    agents.chain(unanswered).chain(unserved).collect()
}

/// Renders a line for each parent.
fn render_brief(status: &Status) -> String {
    let mut rows = Rows::new([
        "PARENT",
        "STATE",
        "MODE",
        "CHILDREN",
        "ANSWERING",
        "CONFLICTS",
        "AGENT",
    ]);
    for agent in &status.agents {
        for parent in &agent.parents {
            let answering = |child: &&Child| child.state == ChildState::Answering;
            rows.add(&[
                parent.name.clone(),
                parent.state.to_string(),
                parent
                    .mode
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), ToString::to_string),
                parent.children.len().to_string(),
                parent.children.iter().filter(answering).count().to_string(),
                parent.conflicts.len().to_string(),
                agent.pid.to_string(),
            ]);
        }
    }
    for unserved in status.unserved.iter().flatten() {
        let dash = || "-".to_owned();
        let none = "no agent".to_owned();
        rows.add(&[
            unserved.name.clone(),
            none,
            dash(),
            dash(),
            dash(),
            dash(),
            dash(),
        ]);
    }
    let mut screen = Screen::default();
    screen.plain_table(&rows);
    for socket in &status.unanswered {
        screen.line(&agents::failure(socket));
    }
    screen.into_text()
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
        screen.line(&agents::failure(socket));
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
        screen.table(&children::table(&parent.children));
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

#[cfg(test)]
mod tests;
