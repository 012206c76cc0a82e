//! Answering those who ask for the status.

use std::io;

use tracing::{debug, warn};

use super::{Agent, refresh::Refresh, report};
use crate::{runtime, status};

impl Agent {
    pub(super) fn serve(&mut self, client: io::Result<tokio::net::UnixStream>) {
        let stream = match client {
            Ok(stream) => stream,
            Err(failure) => {
                warn!("status socket: {failure}");
                return;
            }
        };
        // So that link counters are of now. What failed is not made good by less.
        self.sync_and_tell(&if self.pending.has_failed() {
            Refresh::Everything
        } else {
            Refresh::KnownNetns
        });
        let agent = self.status();
        // On its own: a client that does not read holds nothing up.
        tokio::spawn(async move {
            if let Err(failure) = runtime::answer(stream, agent).await {
                debug!("status client: {failure}");
            }
            runtime::give_back();
        });
    }

    fn status(&self) -> status::Agent {
        status::Agent {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            netns: self.netns,
            sync: self.stats.clone(),
            config: report::configuration(&self.configuration),
            parents: self
                .parents
                .iter()
                .map(|parent| report::parent(parent, &self.snapshot))
                .collect(),
        }
    }
}
