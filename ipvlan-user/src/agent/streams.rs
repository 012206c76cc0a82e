//! Streams to clients: captured frames, and events as they happen.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use super::{
    capture::{self, Captures, Stream},
    monitor::Monitors,
    parents::Parents,
    syncs::Note,
};
use crate::{
    facts::Snapshot,
    protocol::{CaptureParameters, Frame, MonitorEvent, Topic, varlink::Error},
    runtime::Subscription,
};

/// Where a stream goes, or why there is none.
type Reply<T> = oneshot::Sender<Result<Subscription<T>, Error>>;

/// A client's request of a stream.
pub(super) enum Request {
    /// Of frames.
    Capture {
        /// Which ones.
        parameters: CaptureParameters,
        reply: Reply<Frame>,
    },
    /// Of events.
    Monitor {
        /// About what.
        topics: BTreeSet<Topic>,
        /// Of which parent; none for all.
        parent: Option<String>,
        reply: Reply<MonitorEvent>,
    },
}

/// All streams.
#[derive(Default)]
pub(super) struct Streams {
    captures: Captures,
    monitors: Monitors,
}

impl Streams {
    /// Begins a stream, and sends it or the error to the client.
    pub(super) fn begin(&mut self, request: Request, parents: &mut Parents, snapshot: &Snapshot) {
        // The subscription of a client that has gone is dropped, and that ends the stream.
        match request {
            Request::Capture { parameters, reply } => {
                drop(reply.send(self.captures.begin(parameters, parents, snapshot)));
            }
            Request::Monitor {
                topics,
                parent,
                reply,
            } => drop(reply.send(self.monitor(topics, parent, parents, snapshot))),
        }
    }

    fn monitor(
        &mut self,
        topics: BTreeSet<Topic>,
        parent: Option<String>,
        parents: &mut Parents,
        snapshot: &Snapshot,
    ) -> Result<Subscription<MonitorEvent>, Error> {
        capture::check_parent(parent.as_deref(), parents)?;
        let released = self.captures.release();
        let (feed, subscription) =
            self.monitors
                .begin(&topics, parent.clone(), parents, released)?;
        if topics.iter().any(|topic| topic.is_frames()) {
            let stream = Stream::Events(feed, topics);
            self.captures
                .add_stream(parent, stream, parents, snapshot)?;
        }
        Ok(subscription)
    }

    /// Waits until a client has gone. Cancelling loses nothing.
    pub(super) async fn released(&self) {
        self.captures.released().await;
    }

    /// Begins and ends captures as clients and parents come and go.
    pub(super) fn follow(&mut self, parents: &mut Parents, snapshot: &Snapshot) {
        self.captures.follow(parents, snapshot);
    }

    /// Reports what has happened since the last call.
    pub(super) fn report(&mut self, parents: &Parents, snapshot: &Snapshot, notes: Vec<Note>) {
        self.monitors.report(parents, snapshot, notes);
    }
}
