//! `ipvlan run`

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context as _;

use crate::{
    attach::AttachOptions,
    cli::RunArgs,
    model::Policy,
    neighbour::Manners,
    reconcile::{Agent, PinSettings, Settings},
};

/// Serves until it is told to stop.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    let RunArgs {
        interfaces,
        l2_broadcast,
        deliver,
        attach,
        xdp,
        no_host_access,
        answer_link_local,
        allow,
        deny,
        dad,
        announce,
        max_addresses,
        max_children,
        audit,
        stale_after,
        no_pin,
        pin_dir,
        runtime_dir,
    } = args;
    let mut seen = BTreeSet::new();
    let settings = Settings {
        parents: interfaces
            .into_iter()
            .filter(|name| seen.insert(name.clone()))
            .collect(),
        policy: Policy {
            l2_broadcast,
            deliver,
            answer_link_local,
            allow,
            deny,
        },
        manners: Manners { announce, dad },
        attach: AttachOptions {
            tc: attach,
            xdp: xdp.into(),
            host_access: !no_host_access,
            max_addresses,
            max_children,
        },
        audit: Duration::from_secs(audit),
        stale_after: (stale_after > 0).then_some(Duration::from_secs(stale_after)),
        pins: PinSettings {
            dir: pin_dir,
            keep: !no_pin,
        },
        runtime_dir,
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?
        .block_on(async { Agent::start(settings)?.run().await })?;
    Ok(())
}
