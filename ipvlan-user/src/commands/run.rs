//! `ipvlan run`

use crate::{
    agent::Agent, cli::RunArgs, config::Source, directory::keep_identity, exit::Failure,
    pins::PinRoot, runtime::privilege,
};

/// Runs the agent until a signal stops it.
pub fn run(args: RunArgs) -> Result<(), Failure> {
    let source = Source::from(args);
    let loaded = source.load()?;
    privilege::check()?;
    if loaded.settings.pins.keep {
        // This alone can take more than the four capabilities. A failure is logged for each parent, with its
        // consequences.
        let _: Result<_, _> = PinRoot::create(&loaded.settings.pins.dir);
    }
    // The directories may belong to the user of the service; later, root could not act as that user.
    keep_identity(&[&loaded.settings.runtime_dir, &loaded.settings.pins.dir])?;
    // Later, aya could not find out that programs and maps may have names, which takes CAP_PERFMON.
    aya::features();
    privilege::drop_others()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // For names in `status`: one request after the other.
        .max_blocking_threads(1)
        .build()
        .map_err(Failure::system("start the runtime"))?
        .block_on(async { Agent::start(source, loaded)?.run().await })?;
    Ok(())
}
