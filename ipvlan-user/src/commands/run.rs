//! `ipvlan run`

use anyhow::Context as _;

use crate::{
    cli::RunArgs,
    config::{Loaded, Source},
    reconcile::Agent,
};

/// Serves until it is told to stop.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    let source = Source::from(args);
    let Loaded { settings, .. } = source.load()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?
        .block_on(async { Agent::start(settings)?.run().await })?;
    Ok(())
}
