//! `ipvlan run`

use crate::{
    agent::Agent, cli::RunArgs, config::Source, directory::keep_identity, exit::Failure,
    pins::PinRoot, runtime::privilege,
};

/// Serves until it is told to stop.
pub fn run(args: RunArgs) -> Result<(), Failure> {
    let source = Source::from(args);
    let loaded = source.load()?;
    privilege::check()?;
    if loaded.settings.pins.keep {
        // The one thing that can take more than the four capabilities. What stands against it is told for
        // each parent, with what becomes of that.
        let _: Result<_, _> = PinRoot::create(&loaded.settings.pins.dir);
    }
    // They may belong to the user of the service; later, root could not act as that user.
    keep_identity(&[&loaded.settings.runtime_dir, &loaded.settings.pins.dir])?;
    // Later, aya could not find out that programs and maps may have names, which takes CAP_PERFMON.
    aya::features();
    privilege::drop_others()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::system("start the runtime"))?
        .block_on(async { Agent::start(source, loaded)?.run().await })?;
    Ok(())
}
