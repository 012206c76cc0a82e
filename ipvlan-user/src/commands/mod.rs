//! The subcommands, one file each.

pub mod cleanup;
pub mod run;
pub mod status;

use crate::{
    cli::FindArgs,
    config::{Places, Source},
    exit::Failure,
    text::chain,
};

/// Where agents keep their files. What is wrong with configuration files that nobody named is told.
fn find_places(args: FindArgs) -> Result<Places, Failure> {
    let (places, ignored) = Source::from(args).places()?;
    for failure in ignored {
        tracing::warn!("{}", chain(&failure));
    }
    Ok(places)
}
