//! The subcommands, one file each.

pub mod cleanup;
pub mod config;
pub mod doctor;
pub mod generate;
mod json;
pub mod run;
pub mod status;

use std::io::{self, Write as _};

pub use self::json::render as render_json;
use crate::{
    cli::FindArgs,
    config::{Places, Source},
    exit::Failure,
    text::chain,
};

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
