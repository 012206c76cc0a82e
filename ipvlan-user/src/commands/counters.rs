//! `ipvlan counters`

use std::{collections::BTreeMap, thread, time::Instant};

use ipvlan_common::REASONS;

use super::{
    Outcome, agents, json,
    screen::{self, Rows, Screen},
};
use crate::{
    cli::{CountersArgs, Format, Span},
    exit::Failure,
    protocol::{Counter, CountersDocument, Line, SCHEMA},
};

/// The counters by parent, hook and reason.
type Seen = BTreeMap<(String, String, String), u64>;

/// Shows the frames that the programs have counted; with `--watch`, again and again those that changed.
pub fn counters(args: CountersArgs) -> Result<Outcome, Failure> {
    let CountersArgs {
        output,
        watch,
        all,
        iface,
        find,
    } = args;
    let mut seen: Option<(Instant, Seen)> = None;
    loop {
        let mut asked = agents::status(find.clone(), false)?;
        let runs = !asked.answers.is_empty();
        let missing = asked.select(&iface);
        let now = Instant::now();
        let mut counters = Vec::new();
        let mut current = Seen::new();
        for parent in asked.answers.iter().flat_map(|(_, agent)| &agent.parents) {
            for (hook, reasons) in &parent.counters.0 {
                for (reason, &frames) in reasons {
                    let key = (parent.name.clone(), hook.to_string(), reason.clone());
                    let before = seen.as_ref().map(|(_, seen)| seen.get(&key).copied());
                    let counted = before.map(|before| frames.saturating_sub(before.unwrap_or(0)));
                    current.insert(key, frames);
                    let is_shown = counted.map_or(frames > 0, |counted| counted > 0);
                    if all || is_shown {
                        let since = seen.as_ref().map(|(at, _)| now.duration_since(*at));
                        counters.push(Counter {
                            parent: parent.name.clone(),
                            hook: hook.clone(),
                            reason: reason.clone(),
                            description: description(reason).to_owned(),
                            frames,
                            per_second: since.zip(counted).map(|(since, counted)| {
                                let milliseconds = since.as_millis().max(1);
                                let rate = u128::from(counted) * 1000 / milliseconds;
                                u64::try_from(rate).unwrap_or(u64::MAX)
                            }),
                        });
                    }
                }
            }
        }
        let is_first = seen.is_none();
        match output.format() {
            Format::Json => json::print(&CountersDocument {
                schema: SCHEMA,
                counters,
            })?,
            Format::Jsonl => {
                let lines: Vec<_> = counters.into_iter().map(Line::from).collect();
                json::print_lines(&lines)?;
            }
            Format::Table => {
                let text = asked.text(runs, &render(&counters, !is_first), &missing);
                screen::print(&text, output.color)?;
            }
        }
        asked.check()?;
        let Some(Span(interval)) = watch.filter(|_| runs) else {
            return Ok(Outcome::of(runs && missing.is_empty()));
        };
        seen = Some((now, current));
        thread::sleep(interval);
    }
}

/// Returns the sentence about a reason; nothing for one of a newer agent.
fn description(word: &str) -> &'static str {
    let mut reasons = REASONS.iter();
    let reason = reasons.find(|reason| reason.word() == word);
    reason.map_or("", |reason| reason.description().trim())
}

fn render(counters: &[Counter], is_rate: bool) -> String {
    let mut screen = Screen::default();
    let unit = if is_rate { "PER SECOND" } else { "FRAMES" };
    let mut rows = Rows::new(["PARENT", "HOOK", "REASON", unit, "MEANING"]);
    for of in counters {
        rows.add(&[
            of.parent.clone(),
            of.hook.to_string(),
            of.reason.clone(),
            of.per_second.unwrap_or(of.frames).to_string(),
            of.description.clone(),
        ]);
    }
    screen.plain_table(&rows);
    screen.into_text()
}
