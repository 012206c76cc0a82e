//! The subcommands, one file each.

pub mod cleanup;
pub mod run;
pub mod status;

use crate::{
    cli::FindArgs,
    config::{Places, Source},
};

/// Where agents keep their files. What is wrong with configuration files that nobody named is told.
fn find_places(args: FindArgs) -> anyhow::Result<Places> {
    let (places, ignored) = Source::from(args).places()?;
    for failure in ignored {
        tracing::warn!("{:#}", anyhow::Error::from(failure));
    }
    Ok(places)
}
