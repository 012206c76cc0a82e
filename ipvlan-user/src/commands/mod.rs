//! The subcommands, one file each.

mod agents;
pub mod capture;
pub mod children;
pub mod cleanup;
pub mod config;
pub mod counters;
pub mod doctor;
pub mod explain;
mod frame;
pub mod generate;
mod json;
pub mod monitor;
mod netns;
pub mod reload;
pub mod run;
mod screen;
pub mod status;
mod stream;
pub mod top;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

pub use self::{agents::AgentsError, json::render as render_json, stream::StreamError};
use crate::{
    cli::FindArgs,
    config::{Places, Source},
    exit::{Failure, NOT_RUNNING, USAGE},
    text::chain,
};

/// How a command that shows something ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was shown is well.
    Well,
    /// Something that was shown is degraded or has failed.
    Degraded,
    /// No agent is running, or none serves a parent that was named.
    NotRunning,
    /// The command line contradicts itself.
    Misused,
}

impl Outcome {
    /// Returns how a command ends that shows what is, whatever state it is in.
    const fn of(runs: bool) -> Self {
        if runs { Self::Well } else { Self::NotRunning }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Well => Self::SUCCESS,
            Outcome::Degraded => Self::FAILURE,
            Outcome::NotRunning => Self::from(NOT_RUNNING),
            Outcome::Misused => Self::from(USAGE),
        }
    }
}

/// Returns the directories of the agents. Errors in configuration files that the command line does not name are logged.
fn find_places(args: FindArgs) -> Result<Places, Failure> {
    let (places, ignored) = Source::from(args).places()?;
    for failure in ignored {
        tracing::warn!("{}", chain(&failure));
    }
    Ok(places)
}

/// Prints to standard output.
fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_ref()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Failure::system("write to standard output")),
    }
}
