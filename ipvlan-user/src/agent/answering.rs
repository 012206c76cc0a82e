//! The state of the agent, as its clients get it.

use super::{Agent, clients::Clients, naming::Unnamed, status_view};
use crate::{protocol, quota};

impl Agent {
    /// Sends the state to clients.
    pub(super) fn answer_clients(&mut self, answer: fn(&mut Clients, &dyn Fn() -> Unnamed)) {
        let Self {
            settings,
            configuration,
            netns,
            started_ms,
            kernel,
            parents,
            schedule,
            syncs,
            clients,
            names,
            ..
        } = self;
        answer(clients, &|| {
            // Each part of the agent that limits netns adds its counts here.
            let exceeded = quota::merged([&parents.exceeded(), schedule.exceeded()]);
            let status = protocol::Agent {
                netns: *netns,
                started_ms: *started_ms,
                sync: syncs.stats().clone(),
                config: configuration.sources(),
                ..status_view::agent(parents, kernel, settings, &exceeded)
            };
            Unnamed::new(status, kernel.snapshot(), names)
        });
    }
}
