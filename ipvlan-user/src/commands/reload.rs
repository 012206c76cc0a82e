//! `ipvlan reload`

use super::{
    Outcome, agents, json,
    screen::{self, Screen},
};
use crate::{
    cli::{Format, ReloadArgs},
    exit::Failure,
    protocol::{Line, Reloaded, ReloadedAgent, SCHEMA},
};

/// Has all agents read their configuration again.
pub fn reload(args: ReloadArgs) -> Result<Outcome, Failure> {
    let ReloadArgs { output, find } = args;
    let asked = agents::ask(find, |mut client| async move { client.reload().await })?;
    let agents: Vec<_> = asked
        .answers
        .iter()
        .map(|(pid, config)| ReloadedAgent {
            agent: *pid,
            config: config.clone(),
        })
        .collect();
    let runs = !agents.is_empty();
    match output.format() {
        Format::Json => json::print(&Reloaded {
            schema: SCHEMA,
            agents,
        })?,
        Format::Jsonl => {
            json::print_lines(&agents.into_iter().map(Line::from).collect::<Vec<_>>())?;
        }
        Format::Table => {
            let mut screen = Screen::default();
            for ReloadedAgent { agent, config } in &agents {
                let files = match &config.files[..] {
                    [] => "no configuration file".to_owned(),
                    files => files.join(", "),
                };
                screen.line(&format!("agent {agent}: reloaded {files}"));
                if !config.at_next_start.is_empty() {
                    let keys = config.at_next_start.join(", ");
                    screen.line(&format!("  in effect from the next start on: {keys}"));
                }
            }
            screen::print(&asked.text(runs, &screen.into_text(), &[]), output.color)?;
        }
    }
    asked.check()?;
    Ok(Outcome::of(runs))
}
