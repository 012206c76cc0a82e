//! What the running agents answer to a command.

use std::path::PathBuf;

use super::find_places;
use crate::{
    cli::FindArgs,
    config::{InterfaceName, Places},
    directory::Directory,
    exit::Failure,
    protocol::{Agent, Unanswered, varlink::ParentCounters},
    runtime::{Answers, AskError, Client, ask_all},
    text::{escaped_path, printable},
};

/// The first line if no agent was found.
pub(super) const NONE_RUNS: &str = "no agent is running";

/// What to do if no agent runs.
pub(super) const START_ONE: &str =
    "hint: start one: `systemctl start ipvlan`, or `ipvlan run --iface NAME`";
/// What to do if no agent serves a parent.
pub(super) const SEE_SERVED: &str = "`ipvlan status --brief` lists the parents that are served";

/// What to do if an agent does not answer.
pub(super) const SEE_LOG: &str = "see its log, for example with `journalctl -u ipvlan`; after a restart it adopts what is pinned";

/// An agent did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AgentsError {
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

impl AgentsError {
    /// Returns whether a privilege was missing.
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        let Self::Unanswered { denied, .. } = self;
        *denied
    }

    /// Returns what the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        if self.is_denied() {
            "run as root, as the user of the agent, or as a member of the group of its socket (of the service: `ipvlan`)"
        } else {
            SEE_LOG
        }
    }
}

/// Where the agents are, and what they answered.
#[derive(Debug)]
pub(super) struct Asked<T> {
    /// Directory of pins.
    pub(super) pin_dir: PathBuf,
    runtime_dir: PathBuf,
    /// Whether there is no directory of sockets.
    is_missing: bool,
    /// The answers with the process ids of the agents.
    pub(super) answers: Vec<(u32, T)>,
    /// The sockets without an answer.
    pub(super) unanswered: Vec<Unanswered>,
    denied: bool,
}

/// Asks all agents at once.
pub(super) fn ask<T, Asking>(
    find: FindArgs,
    question: impl Fn(Client) -> Asking,
) -> Result<Asked<T>, Failure>
where
    T: Send + 'static,
    Asking: Future<Output = Result<T, AskError>> + Send + 'static,
{
    ask_at(find_places(find)?, question)
}

/// Asks all agents of these directories at once.
pub(super) fn ask_at<T, Asking>(
    places: Places,
    question: impl Fn(Client) -> Asking,
) -> Result<Asked<T>, Failure>
where
    T: Send + 'static,
    Asking: Future<Output = Result<T, AskError>> + Send + 'static,
{
    let Places {
        pin_dir,
        runtime_dir,
    } = places;
    let directory = Directory::find(&runtime_dir)?;
    let is_missing = directory.is_none();
    let Answers {
        answers,
        unanswered,
        denied,
    } = match directory {
        Some(directory) => ask_all(&directory, question)?,
        None => Answers::default(),
    };
    Ok(Asked {
        pin_dir,
        runtime_dir,
        is_missing,
        answers,
        unanswered,
        denied,
    })
}

/// Requests the status of all agents.
pub(super) fn status(find: FindArgs, fresh: bool) -> Result<Asked<Agent>, Failure> {
    ask(
        find,
        move |mut client| async move { client.status(fresh).await },
    )
}

impl<T> Asked<T> {
    /// Returns the line that says that no agent is running.
    pub(super) fn none_runs(&self) -> String {
        if self.is_missing {
            let path = escaped_path(&self.runtime_dir);
            format!("{NONE_RUNS}: there is no directory {path}")
        } else {
            NONE_RUNS.to_owned()
        }
    }

    /// Returns the text of a command: that no agent is running, if so, `body`, and the lines about parents that no
    /// agent serves.
    pub(super) fn text(&self, runs: bool, body: &str, missing: &[String]) -> String {
        let mut lines = Vec::new();
        if runs {
            lines.extend(missing.iter().map(|line| format!("{line}\n")));
            if !missing.is_empty() {
                lines.push(format!("hint: {SEE_SERVED}\n"));
            }
        }
        if runs || !self.unanswered.is_empty() {
            return body.trim_start_matches('\n').to_owned() + &lines.concat();
        }
        format!("{}\n{START_ONE}\n{body}", self.none_runs())
    }

    /// Fails if a socket has no answer.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match &self.unanswered[..] {
            [] => Ok(()),
            [first, others @ ..] => Err(AgentsError::Unanswered {
                first: failure(first),
                others: others.len(),
                denied: self.denied,
            }
            .into()),
        }
    }
}

/// An answer about parents.
pub(super) trait Parents {
    /// Keeps the parents with these names. Returns the names of those that are kept.
    fn keep(&mut self, is_wanted: impl Fn(&str) -> bool) -> Vec<String>;
}

impl Parents for Agent {
    fn keep(&mut self, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
        self.parents.retain(|of| is_wanted(&of.name));
        self.parents.iter().map(|of| of.name.clone()).collect()
    }
}

impl Parents for Vec<ParentCounters> {
    fn keep(&mut self, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
        self.retain(|of| is_wanted(&of.parent));
        self.iter().map(|of| of.parent.clone()).collect()
    }
}

impl<T: Parents> Asked<T> {
    /// Keeps parents with one of these names, and agents that serve one of them; everything if there is no name.
    /// Returns the lines about those that no agent serves.
    pub(super) fn select(&mut self, interfaces: &[InterfaceName]) -> Vec<String> {
        if interfaces.is_empty() {
            return Vec::new();
        }
        let is_wanted = |name: &str| interfaces.iter().any(|of| of.as_str() == name);
        let mut served = Vec::new();
        self.answers.retain_mut(|(_, answer)| {
            let kept = answer.keep(is_wanted);
            let is_kept = !kept.is_empty();
            served.extend(kept);
            is_kept
        });
        let missing = interfaces.iter().map(InterfaceName::as_str);
        let missing = missing.filter(|name| !served.iter().any(|of| of == name));
        missing
            .map(|name| format!("no agent serves `{}`", printable(name)))
            .collect()
    }
}

/// Returns the line about a socket without an answer.
pub(super) fn failure(of: &Unanswered) -> String {
    format!("{}: {}", of.socket, of.error)
}
