//! Streams of all running agents, merged, until a signal, the end of the output or a number of items.

use std::{io, ops::ControlFlow};

use serde::de::DeserializeOwned;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{Duration, timeout},
};

use super::{
    agents::{SEE_LOG, SEE_SERVED},
    children::SEE_CHILDREN,
    find_places,
};
use crate::{
    agent::is_errno_of_denial,
    cli::FindArgs,
    config::Places,
    directory::Directory,
    exit::Failure,
    protocol::{
        Unanswered,
        varlink::{self, Method},
    },
    runtime::{Answers, AskError, Client, connect_all},
};

/// How long an agent may take to load and attach the programs of all parents.
const PATIENCE: Duration = Duration::from_secs(30);

/// A stream could not begin, or ended.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// An agent refused, or did not answer.
    #[error("{error}")]
    Refused {
        /// What it answered, or what happened.
        error: String,
        /// Why.
        refusal: Refusal,
    },
    /// All agents have stopped.
    #[error("the agent has stopped")]
    Stopped,
    /// An item could not be written.
    #[error("write to {to}")]
    Write {
        /// Where to.
        to: String,
        /// Why not.
        #[source]
        error: io::Error,
    },
}

/// Why an agent refuses a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A privilege is missing.
    Denied,
    /// It does not serve the parent.
    NoSuchParent,
    /// No parent has such a child.
    NoSuchChild,
    /// It does not answer.
    NoAnswer,
    /// Something else.
    Other,
}

impl From<&AskError> for Refusal {
    fn from(error: &AskError) -> Self {
        match error {
            AskError::Agent(varlink::Error::NoSuchParent { .. }) => Self::NoSuchParent,
            AskError::Agent(varlink::Error::NoSuchChild { .. }) => Self::NoSuchChild,
            _ if error.is_denied() => Self::Denied,
            _ => Self::Other,
        }
    }
}

impl StreamError {
    /// Returns whether a privilege was missing.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Refused { refusal, .. } => *refusal == Refusal::Denied,
            Self::Write { error, .. } => is_errno_of_denial(error.raw_os_error()),
            Self::Stopped => false,
        }
    }

    /// Returns whether no agent serves the requested parent.
    #[must_use]
    pub const fn is_not_served(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                refusal: Refusal::NoSuchParent,
                ..
            }
        )
    }

    /// Returns what the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        let Self::Refused { refusal, .. } = self else {
            return None;
        };
        match refusal {
            Refusal::Denied => Some(
                "run as root, or as the user of the agent; `ipvlan monitor conflict sync` is for the group of its socket, too",
            ),
            Refusal::NoSuchParent => Some(SEE_SERVED),
            Refusal::NoSuchChild => Some(SEE_CHILDREN),
            Refusal::NoAnswer => Some(SEE_LOG),
            Refusal::Other => None,
        }
    }
}

/// A reply of a stream.
pub(super) trait Items: DeserializeOwned + Send + 'static {
    /// What it has.
    type Item;

    /// Returns the items, and how many have been dropped since the stream began.
    fn into_items(self) -> (Vec<Self::Item>, u64);
}

/// Where items go.
pub(super) trait Sink<Item> {
    /// Is called when the streams have begun, from so many agents.
    fn begin(&mut self, agents: usize) -> io::Result<()>;

    /// Writes items. Breaks after the last one that is wanted.
    fn write(&mut self, items: Vec<Item>) -> io::Result<ControlFlow<()>>;

    /// Writes what is left, and how many were dropped.
    fn end(&mut self, dropped: u64) -> io::Result<()>;

    /// Returns where items go, for an error.
    fn name(&self) -> String;
}

/// Writes what all agents send. Returns whether one is running.
pub(super) fn run<Reply: Items>(
    find: FindArgs,
    method: &Method,
    sink: &mut impl Sink<Reply::Item>,
) -> Result<bool, Failure> {
    let Places { runtime_dir, .. } = find_places(find)?;
    let Some(directory) = Directory::find(&runtime_dir)? else {
        return Ok(false);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::system("start the runtime"))?;
    runtime.block_on(async {
        // From here on a signal ends the stream with its counts.
        let mut signals = Signals::new().map_err(Failure::system("catch signals"))?;
        let answers = connect_all(&directory)?;
        if answers.answers.is_empty() && answers.unanswered.is_empty() {
            return Ok(false);
        }
        let clients = begin(answers, method).await?;
        let failed = |to, error| StreamError::Write { to, error };
        let begun = sink.begin(clients.len());
        begun.map_err(|error| failed(sink.name(), error))?;
        let (ended, dropped) = merge::<Reply>(clients, &mut signals, sink).await;
        let flushed = match sink.end(dropped) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed.map_err(|error| failed(sink.name(), error)),
        };
        ended.and(flushed)?;
        Ok(true)
    })
}

/// Begins a stream with each agent. Returns those that have begun: the others serve other parents, or children.
async fn begin(answers: Answers<Client>, method: &Method) -> Result<Vec<Client>, StreamError> {
    let Answers {
        answers,
        unanswered,
        denied,
    } = answers;
    let mut clients = Vec::new();
    let mut refused = unanswered
        .into_iter()
        .next()
        .map(|Unanswered { socket, error, .. }| StreamError::Refused {
            error: format!("{socket}: {error}"),
            refusal: if denied {
                Refusal::Denied
            } else {
                Refusal::NoAnswer
            },
        });
    for (_, mut client) in answers {
        match timeout(PATIENCE, client.begin(method)).await {
            Ok(Ok(())) => clients.push(client),
            Err(_elapsed) => {
                let error = format!("the agent with pid {} does not answer", client.pid());
                let refusal = Refusal::NoAnswer;
                refused.get_or_insert(StreamError::Refused { error, refusal });
            }
            Ok(Err(error)) => {
                let refusal = Refusal::from(&error);
                let error = error.to_string();
                refused.get_or_insert(StreamError::Refused { error, refusal });
            }
        }
    }
    match refused {
        Some(refused) if clients.is_empty() => Err(refused),
        _ => Ok(clients),
    }
}

/// Writes items until the end. Returns how many were dropped as well.
async fn merge<Reply: Items>(
    clients: Vec<Client>,
    signals: &mut Signals,
    sink: &mut impl Sink<Reply::Item>,
) -> (Result<(), StreamError>, u64) {
    let mut dropped = vec![0; clients.len()];
    let (sender, mut replies) = mpsc::channel(1);
    for (index, mut client) in clients.into_iter().enumerate() {
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Ok(reply) = client.next::<Reply>().await {
                if sender.send((index, reply)).await.is_err() {
                    break;
                }
            }
        });
    }
    drop(sender);
    let ended = loop {
        let received = tokio::select! {
            biased;
            () = signals.received() => break Ok(()),
            received = replies.recv() => received,
        };
        let Some((index, reply)) = received else {
            break Err(StreamError::Stopped);
        };
        let (items, so_far) = reply.into_items();
        dropped[index] = so_far;
        match sink.write(items) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => break Ok(()),
            // The reader has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break Ok(()),
            Err(error) => {
                let to = sink.name();
                break Err(StreamError::Write { to, error });
            }
        }
    };
    (ended, dropped.iter().sum())
}

/// Signals that end a stream.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
