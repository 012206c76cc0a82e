//! A client of one agent's Varlink interface.

use std::{
    io, mem,
    os::unix::net::UnixStream,
    sync::{Arc, atomic::AtomicUsize},
};

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use zlink::{Call, Connection, Reply, varlink_service};

use super::bounded::{Bounded, Scope};
use crate::protocol::{
    Agent, Explanation, Question, Sources,
    varlink::{
        self, CountersParameters, CountersReply, ExplainParameters, ExplainReply, Method,
        ParentCounters, PlacedChild, ReloadParameters, ReloadReply, StatusParameters, StatusReply,
    },
};

/// A connection to an agent.
#[derive(Debug)]
pub struct Client {
    connection: Connection<Bounded>,
    pid: u32,
    read: Arc<AtomicUsize>,
}

/// Why an agent did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The connection, or what came over it.
    #[error(transparent)]
    Varlink(#[from] zlink::Error),
    /// The agent refused.
    #[error(transparent)]
    Agent(varlink::Error),
    /// The reply is none of this method.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// There is no agent in the first reply.
    #[error("the first reply has no agent")]
    NoAgent,
    /// The agent is another one than that of the socket.
    #[error("it answers as the agent with pid {0}")]
    Other(u32),
}

impl AskError {
    /// Returns whether the agent refused for want of a privilege.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        let Self::Varlink(zlink::Error::VarlinkService(error)) = self else {
            return false;
        };
        *error.inner() == varlink_service::Error::PermissionDenied
    }

    /// Returns whether the other end was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Varlink(zlink::Error::UnexpectedEof) | Self::Agent(varlink::Error::Stopping) => {
                true
            }
            Self::Varlink(zlink::Error::Io(error)) => matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            ),
            _ => false,
        }
    }
}

impl Client {
    /// Returns a client of the agent with this process id, which reads at most `limit` bytes, in all or of each message.
    pub(super) fn new(
        stream: UnixStream,
        pid: u32,
        limit: usize,
        scope: Scope,
    ) -> zlink::Result<Self> {
        let bounded = Bounded::new(stream, limit, scope)?;
        let read = bounded.counter();
        Ok(Self {
            connection: Connection::new(bounded),
            pid,
            read,
        })
    }

    /// Returns the counter of the bytes that were read.
    pub(super) fn counter(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.read)
    }

    /// Returns the process id of the agent.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Requests the status with all children.
    pub async fn status(&mut self, fresh: bool) -> Result<Agent, AskError> {
        let fresh = fresh.then_some(true);
        let method = Method::Status(StatusParameters { fresh });
        self.send(&method, true).await?;
        let mut agent: Option<Agent> = None;
        loop {
            let (
                StatusReply {
                    agent: first,
                    children,
                },
                continues,
            ) = self.receive().await?;
            let agent = match (&mut agent, first) {
                (Some(agent), _) => agent,
                (none, Some(first)) => none.insert(first),
                (None, None) => return Err(AskError::NoAgent),
            };
            for PlacedChild { parent, child } in children {
                let mut parents = agent.parents.iter_mut();
                if let Some(of) = parents.find(|of| of.name == parent) {
                    of.children.push(child);
                }
            }
            if continues {
                continue;
            }
            return match agent.pid {
                pid if pid == self.pid => Ok(mem::take(agent)),
                other => Err(AskError::Other(other)),
            };
        }
    }

    /// Has the agent explain an address; none if it does not serve the parent.
    pub async fn explain(&mut self, question: Question) -> Result<Option<Explanation>, AskError> {
        let Question {
            address,
            from,
            parent,
        } = question;
        let method = Method::Explain(ExplainParameters {
            address: address.to_string(),
            from: from.map(|from| from.to_string()),
            parent,
        });
        self.send(&method, false).await?;
        match self.receive::<ExplainReply>().await {
            Ok((reply, _)) => Ok(Some(reply.explanation)),
            Err(AskError::Agent(varlink::Error::NoSuchParent { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins a stream: `Capture` or `Monitor`. Returns when the agent sends what happens.
    pub async fn begin(&mut self, method: &Method) -> Result<(), AskError> {
        self.send(method, true).await?;
        self.receive::<IgnoredAny>().await.map(drop)
    }

    /// Waits for the next reply of a stream.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<T, AskError> {
        self.receive().await.map(|(reply, _)| reply)
    }

    /// Requests the counters of all parents.
    pub async fn counters(&mut self) -> Result<Vec<ParentCounters>, AskError> {
        let method = Method::Counters(CountersParameters {});
        self.send(&method, false).await?;
        let (CountersReply { parents }, _) = self.receive().await?;
        Ok(parents)
    }

    /// Has the agent read its configuration again.
    pub async fn reload(&mut self) -> Result<Sources, AskError> {
        let method = Method::Reload(ReloadParameters {});
        self.send(&method, false).await?;
        let (ReloadReply { config }, _) = self.receive().await?;
        Ok(config)
    }

    /// Sends a call; with `more`, of as many replies as there are.
    async fn send(&mut self, method: &Method, more: bool) -> Result<(), AskError> {
        let call = Call::new(method.call()?).set_more(more);
        Ok(self.connection.send_call(&call, Vec::new()).await?)
    }

    /// Receives a reply. Returns whether another one follows.
    async fn receive<T: DeserializeOwned>(&mut self) -> Result<(T, bool), AskError> {
        // By way of a `Value`: its errors name what is wrong.
        let (reply, _) = self
            .connection
            .receive_reply::<Value, varlink::Error>()
            .await?;
        let reply: Reply<Value> = reply.map_err(AskError::Agent)?;
        let continues = reply.continues() == Some(true);
        let parameters = reply.into_parameters().unwrap_or_default();
        Ok((serde_json::from_value(parameters)?, continues))
    }
}
