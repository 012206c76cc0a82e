//! The clients of the agent's socket: requests in, the state of the agent out.

use std::{
    io, mem,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    net::UnixStream,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::{JoinHandle, spawn_blocking},
};
use tracing::warn;

use super::{naming::Unnamed, streams};
use crate::{
    protocol::{Explanation, Question, Sources},
    runtime::{Request, State, StatusSocket, serve},
};

/// Most connections at a time; further clients wait.
const CONNECTIONS: usize = 256;
/// Most requests that wait.
const REQUESTS: usize = 64;

/// Longest pause between two states.
const LONGEST_REST: Duration = Duration::from_millis(200);

/// How often it is looked whether the last state is sent, while further clients wait.
const POLL: Duration = Duration::from_millis(10);

/// Where a state goes.
type Waiting = oneshot::Sender<Arc<State>>;

/// The agent's socket and the requests of its clients.
pub(super) struct Clients {
    socket: StatusSocket,
    connections: Arc<Semaphore>,
    requests: mpsc::Receiver<Request>,
    sender: mpsc::Sender<Request>,
    /// Those that get the state as it is known.
    known: Vec<Waiting>,
    /// Those that get the state after a full scan that has not begun.
    fresh: Vec<Waiting>,
    /// Those that get it when the current full scan is complete.
    in_scan: Vec<Waiting>,
    /// When the state may be collected again: that takes half of the agent's time at most.
    rested: Instant,
    /// Names the netns of a state on another thread, and sends it.
    sending: Option<JoinHandle<()>>,
}

/// What a request asks of the agent's loop.
pub(super) enum Asked {
    /// Nothing now: the state is sent when [`Clients::next_due`] has come.
    Nothing,
    /// A full scan.
    Scan,
    /// To explain an address.
    Explain(Question, oneshot::Sender<Option<Explanation>>),
    /// To begin a stream.
    Stream(streams::Request),
    /// To read the configuration again.
    Reload(oneshot::Sender<Sources>),
}

impl Clients {
    /// Creates the socket.
    pub(super) fn bind(runtime_dir: &Path) -> io::Result<Self> {
        let (sender, requests) = mpsc::channel(REQUESTS);
        Ok(Self {
            socket: StatusSocket::bind(runtime_dir)?,
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            requests,
            sender,
            known: Vec::new(),
            fresh: Vec::new(),
            in_scan: Vec::new(),
            rested: Instant::now(),
            sending: None,
        })
    }

    /// Returns where requests of other clients than those of the socket go.
    pub(super) fn sender(&self) -> mpsc::Sender<Request> {
        self.sender.clone()
    }

    /// Waits for a client to connect, and starts to serve it, or for a request of one. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Request {
        loop {
            tokio::select! {
                biased;
                Some(request) = self.requests.recv() => return request,
                (client, permit) = accept(&self.socket, &self.connections) => match client {
                    Ok(stream) => {
                        tokio::spawn(serve(stream, self.sender.clone(), permit));
                    }
                    Err(failure) => warn!("status socket: {failure}"),
                },
            }
        }
    }

    /// Takes a request. Returns what the agent has to do for it.
    pub(super) fn add(&mut self, request: Request) -> Asked {
        match request {
            Request::Status { fresh: true, reply } => {
                self.fresh.push(reply);
                Asked::Scan
            }
            Request::Status { reply, .. } => {
                self.known.push(reply);
                Asked::Nothing
            }
            Request::Explain { question, reply } => Asked::Explain(question, reply),
            Request::Capture { parameters, reply } => {
                Asked::Stream(streams::Request::Capture { parameters, reply })
            }
            Request::Monitor {
                topics,
                parent,
                reply,
            } => Asked::Stream(streams::Request::Monitor {
                topics,
                parent,
                reply,
            }),
            Request::Reload { reply } => Asked::Reload(reply),
        }
    }

    /// Returns when the known state has to be sent; none if no client waits for it.
    pub(super) fn next_due(&self) -> Option<Instant> {
        (!self.known.is_empty()).then_some(self.rested)
    }

    /// Assigns the clients that wait for a full scan to the one that begins.
    pub(super) fn begin_scan(&mut self) {
        self.in_scan.append(&mut self.fresh);
    }

    /// Sends the known state. While the one before is not sent yet, the clients wait.
    pub(super) fn answer_known(&mut self, state: &dyn Fn() -> Unnamed) {
        if self.known.is_empty() {
            return;
        }
        let started = Instant::now();
        let sending = self.sending.as_ref();
        if sending.is_some_and(|sending| !sending.is_finished()) {
            self.rested = started + POLL;
            return;
        }
        let clients = mem::take(&mut self.known);
        let state = state();
        self.sending = Some(spawn_blocking(move || {
            let state = Arc::new(State::from(state.name()));
            for client in clients {
                // One that has gone needs no answer.
                let _gone = client.send(Arc::clone(&state));
            }
        }));
        let ended = Instant::now();
        self.rested = ended + (ended - started).min(LONGEST_REST);
    }

    /// Sends the state to the clients of the full scan that is complete, and to those that any state will do for.
    pub(super) fn answer_scanned(&mut self, state: &dyn Fn() -> Unnamed) {
        if !self.in_scan.is_empty() {
            self.known.append(&mut self.in_scan);
            self.answer_known(state);
        }
    }
}

/// Waits until a connection is free, then for a client.
async fn accept(
    socket: &StatusSocket,
    connections: &Arc<Semaphore>,
) -> (io::Result<UnixStream>, OwnedSemaphorePermit) {
    loop {
        // It is never closed.
        if let Ok(permit) = Arc::clone(connections).acquire_owned().await {
            return (socket.accept().await, permit);
        }
    }
}
