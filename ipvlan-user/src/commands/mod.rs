//! The subcommands, one file each.

pub mod cleanup;
pub mod generate;
pub mod run;
pub mod status;

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
