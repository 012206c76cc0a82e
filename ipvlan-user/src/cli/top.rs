//! Options of `top`.

use std::time::Duration;

use clap::Args;

use super::{FamilyArgs, OutputArgs, ParentArgs, Span};

/// Shortest interval: every answer of an agent takes it time.
const SHORTEST: Duration = Duration::from_millis(100);

/// Options of `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Ask the agents at this interval, at least 100ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Span,

    /// Print the rates of one interval, and end
    #[arg(
        long,
        required_if_eq_any([("output", "json"), ("output", "jsonl"), ("json", "true")]),
    )]
    pub once: bool,

    /// Have the agents read everything from the kernel each time: shows packets and bytes of links per second
    ///
    /// Otherwise these columns are left out, since the kernel's counters of links are read at each change and audit only.
    #[arg(long)]
    pub fresh: bool,

    /// How to show it.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Addresses to show.
    #[command(flatten)]
    pub family: FamilyArgs,

    /// Agents and parents.
    #[command(flatten)]
    pub of: ParentArgs,
}

fn interval(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|error| format!("{error}"))?;
    if span.0 < SHORTEST {
        return Err("an interval is at least 100ms".to_owned());
    }
    Ok(span)
}
