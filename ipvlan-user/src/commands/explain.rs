//! `ipvlan explain`

use clap::{CommandFactory as _, error::ErrorKind};

use super::{Outcome, agents, json, screen};
use crate::{
    cli::{Cli, ExplainArgs, Format},
    exit::Failure,
    protocol::{
        AddressOwner, AnsweredBy, AppliedRule, Explained, Explanation, FrameKind, Line, OwnerKind,
        Question, SCHEMA, Sender, TestedFrame, Verdict, Word,
    },
    text::{netns_label, printable, printable_start},
};

/// Longest line, in characters.
const LINE: usize = 1024;

/// Explains an address by what each running agent knows of it. [`Outcome::Degraded`]: a request is not answered.
pub fn explain(args: ExplainArgs) -> Result<Outcome, Failure> {
    let ExplainArgs {
        address,
        from,
        parent,
        output,
        find,
    } = args;
    if let Some(Sender::Address(sender)) = from
        && sender.is_ipv4() != address.is_ipv4()
    {
        let text = format!("{address} and --from {sender} are of two families");
        let error = Cli::command().error(ErrorKind::ValueValidation, text);
        error
            .print()
            .map_err(Failure::system("write to standard error"))?;
        return Ok(Outcome::Misused);
    }
    let parent = parent.map(String::from);
    let question = Question {
        address,
        from,
        parent: parent.clone(),
    };
    let asked = agents::ask(find, |mut client| {
        let question = question.clone();
        async move { client.explain(question).await }
    })?;
    let runs = !asked.answers.is_empty();
    let explanations = asked
        .answers
        .iter()
        .filter_map(|(_, answer)| answer.clone());
    let explanations = of_owner(explanations.collect());
    let is_answered =
        |of: &Explanation| of.answered == AnsweredBy::Programs || of.answered == AnsweredBy::Kernel;
    let outcome = if explanations.is_empty() {
        Outcome::NotRunning
    } else if explanations.iter().any(is_answered) {
        Outcome::Well
    } else {
        Outcome::Degraded
    };
    match output.format() {
        Format::Json => json::print(&Explained {
            schema: SCHEMA,
            explanations,
            unanswered: asked.unanswered.clone(),
        })?,
        Format::Jsonl => {
            json::print_lines(&explanations.into_iter().map(Line::from).collect::<Vec<_>>())?;
        }
        Format::Table => {
            let missing = match &parent {
                Some(name) if explanations.is_empty() => {
                    vec![format!("no agent serves `{}`", printable(name))]
                }
                _ => Vec::new(),
            };
            let text = asked.text(runs, &render(&explanations), &missing);
            screen::print(&text, output.color)?;
        }
    }
    if outcome == Outcome::NotRunning {
        asked.check()?;
    }
    for of in &asked.unanswered {
        tracing::warn!("{}", agents::failure(of));
    }
    Ok(outcome)
}

/// Keeps the explanations of the agents that know a child with the address; all of them if none does.
fn of_owner(explanations: Vec<Explanation>) -> Vec<Explanation> {
    let has_child = |of: &Explanation| {
        let is_child = |owner: &AddressOwner| owner.kind == Some(OwnerKind::Child.into());
        of.entry.is_some() && of.owners.iter().any(is_child)
    };
    if explanations.iter().any(has_child) {
        explanations.into_iter().filter(has_child).collect()
    } else {
        explanations
    }
}

/// Renders explanations. Whatever is in them, the text has printable characters and line feeds only.
#[must_use]
pub fn render(explanations: &[Explanation]) -> String {
    let lines = explanations.iter().enumerate().flat_map(|(index, of)| {
        let gap = (index > 0).then(String::new);
        gap.into_iter().chain(lines(of))
    });
    lines
        .map(|line| printable_start(&line, LINE) + "\n")
        .collect()
}

fn lines(of: &Explanation) -> Vec<String> {
    let decisive = of.rules.iter().find(|rule| rule.decides);
    let by = match &of.answered {
        Word::Known(AnsweredBy::Programs) => "answered by the programs".to_owned(),
        Word::Known(AnsweredBy::Kernel) => "answered by the kernel".to_owned(),
        Word::Known(AnsweredBy::None) => match decisive {
            Some(rule) => format!("not answered: {}", rule.reason),
            None => "not answered".to_owned(),
        },
        Word::Other(other) => other.clone(),
    };
    let mut lines = vec![format!("{} on {}: {by}", of.address, of.parent)];
    if of.owners.is_empty() {
        lines.push("  owner: none that the agent knows".to_owned());
    }
    lines.extend(of.owners.iter().map(owner));
    lines.push(match &of.entry {
        Some(entry) => {
            let refusal = entry.refusal.as_ref();
            let flags = [
                (entry.off_link, "off-link"),
                (entry.routed, "routed"),
                (entry.probed, "probed"),
                (entry.by_kernel, "by-kernel"),
            ];
            let flags = flags.iter().filter(|(is_set, _)| *is_set);
            let flags: Vec<String> = flags.map(|(_, flag)| format!(", {flag}")).collect();
            let flags = flags.concat();
            let refusal = refusal.map_or_else(String::new, |reason| format!(", refused: {reason}"));
            format!("  map entry: {}{refusal}{flags}", entry.owner)
        }
        None => "  map entry: none".to_owned(),
    });
    lines.extend(of.rules.iter().flat_map(rule));
    lines.extend(of.frames.iter().map(frame));
    lines.extend(of.notes.iter().map(|note| format!("  note: {note}")));
    lines
}

fn owner(of: &AddressOwner) -> String {
    let kind = of.kind.as_ref().map_or_else(String::new, Word::to_string);
    let mut line = format!("  owner: {kind}");
    let mut add = |text: String| line.push_str(&text);
    if let Some(name) = &of.name {
        add(format!(" {name}"));
    }
    if let Some(netns) = &of.netns {
        let label = netns_label(&netns.names, netns.pid, netns.nsid);
        add(format!(" in netns {label}"));
    }
    if let Some(parent) = &of.parent {
        add(format!(" behind {parent}"));
    }
    if let (Some(mode), Some(flag)) = (&of.mode, &of.flag) {
        add(format!(", mode {mode} {flag}"));
    }
    if let Some(up) = of.up {
        add(if up { ", up" } else { ", down" }.to_owned());
    }
    for (what, value) in [("", &of.prefix), ("rule ", &of.rule), ("MAC ", &of.mac)] {
        if let Some(value) = value {
            add(format!(", {what}{value}"));
        }
    }
    line
}

fn rule(of: &AppliedRule) -> Vec<String> {
    let child = of.child.as_ref();
    let child = child.map_or_else(String::new, |child| format!(" ({child})"));
    let decides = if of.decides { " decides" } else { "" };
    let mut lines = vec![format!(
        "  rule{decides}: {}{child}: {}",
        of.reason, of.text
    )];
    lines.extend(of.mend.as_ref().map(|mend| format!("    mend: {mend}")));
    lines
}

fn frame(of: &TestedFrame) -> String {
    let what = match &of.kind {
        Word::Known(FrameKind::Arp) => "ARP request",
        Word::Known(FrameKind::Nd) => "solicitation",
        Word::Known(FrameKind::Ip) => "IP packet",
        Word::Other(other) => other,
    };
    let mac = of.mac.as_ref();
    let mac = mac.map_or_else(String::new, |mac| format!(" with {mac}"));
    let reason = match (&of.reason, &of.verdict) {
        (Some(reason), _) => format!(" ({reason})"),
        (None, Word::Known(Verdict::Passed)) => " (not looked at)".to_owned(),
        (None, _) => String::new(),
    };
    format!(
        "  {what} from {} {}: {} at {}{mac}{reason}",
        of.from, of.sender, of.verdict, of.hook
    )
}

#[cfg(test)]
mod tests;
