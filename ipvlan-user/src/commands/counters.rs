//! `ipvlan counters`

use std::{collections::BTreeMap, thread, time::Instant};

use ipvlan_common::REASONS;

use super::{
    Outcome, agents, json,
    screen::{self, Rows, Screen},
};
use crate::{
    cli::{CountersArgs, Format, ParentArgs, Span},
    exit::Failure,
    protocol::{Counter, CountersDocument, Hook, Line, SCHEMA, Word, varlink::ParentCounters},
    runtime::Client,
};

/// The counters at one moment.
struct Seen {
    at: Instant,
    /// By process id of the agent, parent, hook and reason.
    frames: BTreeMap<(u32, String, Word<Hook>, String), u64>,
}

impl Seen {
    fn new(answers: &[(u32, Vec<ParentCounters>)]) -> Self {
        let mut seen = BTreeMap::new();
        for (pid, parents) in answers {
            for ParentCounters { parent, counters } in parents {
                for (hook, reasons) in &counters.0 {
                    let key =
                        |reason: &String| (*pid, parent.clone(), hook.clone(), reason.clone());
                    seen.extend(
                        reasons
                            .iter()
                            .map(|(reason, &frames)| (key(reason), frames)),
                    );
                }
            }
        }
        Self {
            at: Instant::now(),
            frames: seen,
        }
    }

    /// Returns the counters, and their rates since `before`: those that have changed since, or that are not 0; with
    /// `all`, all.
    fn since(&self, before: Option<&Self>, all: bool) -> Vec<Counter> {
        let counted = |key, frames: u64| {
            let before = before.map(|before| before.frames.get(key).copied().unwrap_or(0));
            before.map(|before| frames.saturating_sub(before))
        };
        let rate = |(counted, before): (u64, &Self)| {
            let milliseconds = self.at.duration_since(before.at).as_millis().max(1);
            u64::try_from(u128::from(counted) * 1000 / milliseconds).unwrap_or(u64::MAX)
        };
        let shown = self.frames.iter().filter_map(|(key, &frames)| {
            let counted = counted(key, frames);
            let (_, parent, hook, reason) = key;
            (all || counted.unwrap_or(frames) > 0).then(|| Counter {
                parent: parent.clone(),
                hook: hook.clone(),
                reason: reason.clone(),
                description: description(reason).to_owned(),
                frames,
                per_second: counted.zip(before).map(rate),
            })
        });
        shown.collect()
    }
}

/// Shows the frames that the programs have counted; with `--watch`, again and again those that changed.
pub fn counters(args: CountersArgs) -> Result<Outcome, Failure> {
    let CountersArgs {
        output,
        watch,
        all,
        of: ParentArgs { iface, find },
    } = args;
    let mut before: Option<Seen> = None;
    loop {
        let ask = |mut client: Client| async move { client.counters().await };
        let mut asked = agents::ask(find.clone(), ask)?;
        let runs = !asked.answers.is_empty();
        let missing = asked.select(&iface);
        let seen = Seen::new(&asked.answers);
        let counters = seen.since(before.as_ref(), all);
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
                let text = asked.text(runs, &render(&counters, before.is_some()), &missing);
                screen::print(&text, output.color)?;
            }
        }
        asked.check()?;
        let Some(Span(interval)) = watch.filter(|_| runs) else {
            return Ok(Outcome::of(runs && missing.is_empty()));
        };
        before = Some(seen);
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
