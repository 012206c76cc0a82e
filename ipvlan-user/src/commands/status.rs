//! `ipvlan status`

mod radar;
mod unserved;

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    time::SystemTime,
};

use anyhow::Context as _;
use comfy_table::{Table, presets::NOTHING};

use super::find_places;
use crate::{
    cli::StatusArgs,
    config::Places,
    quota::Quota,
    runtime::query_all,
    status::{self, Child, Netns, Parent, SCHEMA, Status},
};

/// Shows all running agents, and what answers without one.
pub fn status(args: StatusArgs) -> anyhow::Result<()> {
    let Places {
        pin_dir,
        runtime_dir,
    } = find_places(args.find)?;
    let agents = query_all(&runtime_dir)
        .with_context(|| format!("ask the agents in {}", runtime_dir.display()))?;
    let status = Status {
        schema: SCHEMA,
        unserved: unserved::find(&pin_dir, &agents),
        agents,
    };
    let text = if args.json {
        serde_json::to_string_pretty(&status).context("write JSON")? + "\n"
    } else {
        render(&status, now_ms()).context("write the table")?
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("write to standard output"),
    }
}

/// Milliseconds since 1970; 0 if the clock is before that.
fn now_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

fn render(status: &Status, now_ms: u64) -> Result<String, std::fmt::Error> {
    let Status {
        schema: _,
        agents,
        unserved,
    } = status;
    let mut text = String::new();
    if agents.is_empty() {
        writeln!(text, "no agent is running")?;
    }
    for (index, agent) in agents.iter().enumerate() {
        if index > 0 {
            writeln!(text)?;
        }
        let sync = &agent.sync;
        writeln!(
            text,
            "agent {} (version {}): {} syncs, {} wakes, {} overruns, {} failed, {} entries mended",
            agent.pid,
            agent.version,
            sync.syncs,
            sync.wakes,
            sync.overruns,
            sync.failed,
            sync.mended
        )?;
        if let Some(error) = &sync.error {
            writeln!(text, "  last sync failed: {error}")?;
        }
        if let Some(error) = &agent.config.error {
            writeln!(
                text,
                "  last reload failed, settings are those from before: {error}"
            )?;
        }
        if !agent.config.at_next_start.is_empty() {
            let keys = agent.config.at_next_start.join(", ");
            writeln!(text, "  changed, in effect from the next start on: {keys}")?;
        }
        for quota in &agent.quotas {
            writeln!(text, "  {}", quota_line(quota))?;
        }
        for parent in &agent.parents {
            writeln!(text)?;
            render_parent(&mut text, parent, now_ms)?;
        }
    }
    for unserved in unserved.iter().flatten() {
        writeln!(text, "\n{}", unserved::line(unserved))?;
    }
    Ok(text)
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

fn render_parent(text: &mut String, parent: &Parent, now_ms: u64) -> std::fmt::Result {
    write!(text, "{}: {}", parent.name, parent.state)?;
    if let Some(reason) = &parent.reason {
        write!(text, " ({reason})")?;
    }
    if let (Some(mode), Some(flag)) = (&parent.mode, &parent.flag) {
        write!(text, ", mode {mode} {flag}")?;
    }
    if let Some(mac) = &parent.mac {
        write!(text, ", {mac}")?;
    }
    writeln!(text)?;
    for hook in &parent.hooks {
        writeln!(
            text,
            "  {}: {} by {} (program {})",
            hook.hook, hook.program, hook.attach, hook.program_id
        )?;
    }
    if parent.groups > 0 {
        writeln!(text, "  solicited-node groups joined: {}", parent.groups)?;
    }
    for note in &parent.notes {
        writeln!(text, "  note: {note}")?;
    }
    for conflict in &parent.conflicts {
        writeln!(text, "  conflict: {}", radar::conflict(conflict))?;
    }
    if parent.children.is_empty() {
        writeln!(text, "  no children")?;
    } else {
        let mut table = table([
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
                table.add_row(row);
            }
        }
        indent(text, &table)?;
    }
    let events = radar::events(&parent.events, now_ms);
    if !events.is_empty() {
        indent(text, &events)?;
    }
    let mut reasons = table(["HOOK", "REASON", "FRAMES"]);
    for (hook, counters) in &parent.counters {
        for (reason, frames) in counters {
            reasons.add_row([hook.clone(), reason.clone(), frames.to_string()]);
        }
    }
    if !reasons.is_empty() {
        indent(text, &reasons)?;
    }
    Ok(())
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

fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table
}

fn indent(text: &mut String, table: &Table) -> std::fmt::Result {
    for line in table.lines() {
        writeln!(text, "  {}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exceeded_quota_is_one_line_with_its_option() {
        let netns = Netns {
            nsid: Some(3),
            names: vec!["cni-1234".to_owned()],
            ..Netns::default()
        };
        for (quota, option, line) in [
            (
                "addresses",
                "--netns-addresses",
                "quota: netns cni-1234: addresses: 7 addresses are not kept (--netns-addresses: 9)",
            ),
            (
                "events",
                "--netns-events",
                "quota: netns cni-1234: events: 7 events were not handled (--netns-events: 9 per second)",
            ),
            (
                "addresses",
                "[[rule]] addresses",
                "quota: netns cni-1234: addresses: 7 addresses are not kept ([[rule]] addresses: 9)",
            ),
            (
                "time",
                "--netns-time",
                "quota: netns cni-1234: time: 7 readings were delayed (--netns-time: 9 % of a processor)",
            ),
            (
                "later",
                "--netns-later",
                "quota: netns cni-1234: later: 7 times exceeded (--netns-later: 9)",
            ),
        ] {
            let exceeded = status::Quota {
                netns: netns.clone(),
                quota: quota.to_owned(),
                limit: 9,
                exceeded: 7,
                option: option.to_owned(),
            };
            assert_eq!(quota_line(&exceeded), line);
        }
    }
}
