//! `ipvlan run`

use anyhow::Context as _;

use crate::{cli::RunArgs, config::Source, reconcile::Agent, runtime::privilege};

/// Serves until it is told to stop.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    let source = Source::from(args);
    let loaded = source.load()?;
    privilege::check()?;
    // What takes more than the four capabilities has its place here.
    privilege::drop_others()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?
        .block_on(async { Agent::start(source, loaded)?.run().await })?;
    Ok(())
}
