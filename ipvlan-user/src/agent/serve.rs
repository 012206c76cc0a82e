//! Answering those who ask for the status.

use std::{io, mem, sync::Arc, time::Instant};

use tracing::{debug, warn};

use tokio::net::UnixStream;

use super::{Agent, parent::Parent, status_view};
use crate::{
    protocol,
    quota::{self, Exceeded},
    runtime,
};

impl Agent {
    /// Lets a client wait for everything to be read, so that link counters are of now.
    pub(super) fn serve(&mut self, client: io::Result<UnixStream>) {
        match client {
            Ok(stream) => {
                self.asking.push(stream);
                self.pending.ask(Instant::now());
            }
            Err(failure) => warn!("status socket: {failure}"),
        }
    }

    /// Everything begins to be read: for all who have asked by now.
    pub(super) fn serve_asking(&mut self) {
        self.served.append(&mut self.asking);
    }

    /// Answers those for whom everything was read.
    pub(super) fn answer_served(&mut self) {
        if self.served.is_empty() {
            return;
        }
        let status = match serde_json::to_vec(&self.status()) {
            Ok(json) => Arc::new(json),
            Err(failure) => {
                warn!("status: {failure}");
                self.served.clear();
                return;
            }
        };
        for stream in mem::take(&mut self.served) {
            let status = Arc::clone(&status);
            // On its own: a client that does not read holds nothing up.
            tokio::spawn(async move {
                if let Err(failure) = runtime::answer(stream, &status).await {
                    debug!("status client: {failure}");
                }
                // The last of them gives back what it took.
                drop(status);
                runtime::give_back();
            });
        }
    }

    /// Answers all who ask: they learn what failed.
    pub(super) fn answer_all(&mut self) {
        self.serve_asking();
        self.answer_served();
    }

    fn status(&self) -> protocol::Agent {
        // Each part of the agent that limits netns adds its counts here.
        let of_parents: Vec<Exceeded> = self.parents.iter().map(Parent::exceeded).collect();
        let exceeded = quota::merged(of_parents.iter().chain([self.pending.exceeded()]));
        protocol::Agent {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            netns: self.netns,
            sync: self.stats.clone(),
            config: status_view::configuration(&self.configuration),
            quotas: status_view::quotas(&exceeded, &self.settings, &self.snapshot),
            parents: self
                .parents
                .iter()
                .map(|parent| status_view::parent(parent, &self.snapshot, &self.settings.policy))
                .collect(),
            unreadable: self.unreadable.notes(&self.snapshot),
        }
    }
}
