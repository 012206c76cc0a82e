//! Server of the agent's Varlink interface: one task for each connection.
//!
//! zlink's own server has one task for all connections, so that a client that does not read delays the others, and
//! its serialiser begins anew whenever a buffer has grown by 256 bytes. Both are of no use to answers of megabytes.

mod refusal;
mod stream;

use std::{collections::BTreeSet, io, mem, os::fd::OwnedFd, sync::Arc, time::Duration};

use nix::unistd::Uid;
use serde::Serialize;
use tokio::{
    net::UnixStream,
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::timeout,
};
use tracing::debug;
use zlink::{
    Connection, Reply,
    connection::{ReadConnection, socket::WriteHalf as _},
    varlink_service::{self, Info},
};

use self::refusal::Refusal;
use super::{
    bounded::{Bounded, BoundedReadHalf, Scope, WriteHalf},
    feed::Subscription,
    trim_heap,
};
use crate::protocol::{
    Agent, CaptureParameters, Explanation, Frame, MonitorEvent, Question, Sources, Topic,
    varlink::{
        self, CHILDREN_PER_REPLY, CallError, ChildrenParameters, CountersParameters, CountersReply,
        Error, ExplainParameters, ExplainReply, INTERFACE, Method, ParentCounters, PlacedChild,
        ReloadParameters, ReloadReply, StatusParameters,
    },
};

/// How long a client may take to send a call, and to read a reply.
const IDLE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest call, in bytes.
const LONGEST_CALL: usize = 64 << 10;

/// The state of an agent at one moment.
#[derive(Clone, Debug)]
pub struct State {
    /// The agent, its parents without their children.
    pub agent: Agent,
    /// The children of all parents.
    pub children: Vec<PlacedChild>,
}

impl From<Agent> for State {
    fn from(mut agent: Agent) -> Self {
        let mut children = Vec::new();
        for parent in &mut agent.parents {
            let of_parent = mem::take(&mut parent.children);
            children.extend(of_parent.into_iter().map(|child| PlacedChild {
                parent: parent.name.clone(),
                child,
            }));
        }
        Self { agent, children }
    }
}

/// A request of a client to the agent. A reply channel that is dropped means that the agent stops.
#[derive(Debug)]
pub enum Request {
    /// The state of the agent.
    Status {
        /// Whether everything is read first.
        fresh: bool,
        /// Where the state goes.
        reply: oneshot::Sender<Arc<State>>,
    },
    /// To explain an address.
    Explain {
        /// What is asked for.
        question: Question,
        /// Where the explanation goes; none if the agent does not serve the parent.
        reply: oneshot::Sender<Option<Explanation>>,
    },
    /// To capture frames.
    Capture {
        /// Which frames.
        parameters: CaptureParameters,
        /// Where the stream goes, or why there is none.
        reply: oneshot::Sender<Result<Subscription<Frame>, Error>>,
    },
    /// To report events as they happen.
    Monitor {
        /// Which events.
        topics: BTreeSet<Topic>,
        /// Of which parent; none for all.
        parent: Option<String>,
        /// Where the stream goes, or why there is none.
        reply: oneshot::Sender<Result<Subscription<MonitorEvent>, Error>>,
    },
    /// To read the configuration again.
    Reload {
        /// Where the outcome goes.
        reply: oneshot::Sender<Sources>,
    },
}

/// Serves one client until it closes the connection, is idle for too long, or sends what is no call.
pub async fn serve(
    stream: UnixStream,
    requests: mpsc::Sender<Request>,
    permit: OwnedSemaphorePermit,
) {
    let served = match Client::new(stream, requests) {
        Ok(client) => client.serve().await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        debug!("client: {error}");
    }
    trim_heap();
    drop(permit);
}

/// A connected client.
struct Client {
    read: ReadConnection<BoundedReadHalf>,
    write: WriteHalf,
    /// Whether it may change something: root, and the user of the agent.
    is_trusted: bool,
    requests: mpsc::Sender<Request>,
}

impl Client {
    fn new(stream: UnixStream, requests: mpsc::Sender<Request>) -> zlink::Result<Self> {
        let user = stream.peer_cred()?.uid();
        let bounded = Bounded::new(stream.into_std()?, LONGEST_CALL, Scope::Message)?;
        let (read, write) = Connection::new(bounded).split();
        Ok(Self {
            read,
            write: write.into_write_half(),
            is_trusted: user == 0 || user == Uid::effective().as_raw(),
            requests,
        })
    }

    /// Answers one call after the other.
    async fn serve(mut self) -> zlink::Result<()> {
        loop {
            let call = match timeout(IDLE, self.read.receive_call::<varlink::Call>()).await {
                Err(_) | Ok(Err(zlink::Error::UnexpectedEof)) => return Ok(()),
                Ok(received) => received?.0,
            };
            let (oneway, more) = (call.oneway(), call.more());
            let mut replies = Replies {
                write: &mut self.write,
                more,
                oneway,
                patience: PATIENCE,
            };
            let service = Service {
                is_trusted: self.is_trusted,
                requests: &self.requests,
            };
            let read = &mut self.read;
            match service.answer(call.method(), &mut replies, read).await? {
                Ok(()) => {}
                Err(Refusal::Agent(error)) => replies.send(&error).await?,
                Err(Refusal::Service(error)) => replies.send(&error).await?,
            }
        }
    }
}

/// The replies to one call.
struct Replies<'a> {
    write: &'a mut WriteHalf,
    more: bool,
    oneway: bool,
    /// How long the client may take to read one.
    patience: Duration,
}

impl Replies<'_> {
    /// Sends the last reply, or the only one.
    async fn end(&mut self, parameters: impl Serialize) -> zlink::Result<()> {
        self.send(&Reply::new(Some(parameters))).await
    }

    /// Sends a reply that others follow.
    async fn next(&mut self, parameters: impl Serialize) -> zlink::Result<()> {
        let reply = Reply::new(Some(parameters)).set_continues(Some(true));
        self.send(&reply).await
    }

    async fn send(&mut self, message: &impl Serialize) -> zlink::Result<()> {
        if self.oneway {
            return Ok(());
        }
        let mut bytes = serde_json::to_vec(message)?;
        bytes.push(0);
        let none: &[OwnedFd] = &[];
        timeout(self.patience, self.write.write(&bytes, none, None))
            .await
            .map_err(io::Error::from)?
    }
}

/// The methods.
struct Service<'a> {
    is_trusted: bool,
    requests: &'a mpsc::Sender<Request>,
}

/// Whether a call was answered, if the connection can be used further.
type Answered = zlink::Result<Result<(), Refusal>>;

impl Service<'_> {
    async fn answer(
        &self,
        call: &varlink::Call,
        replies: &mut Replies<'_>,
        read: &mut ReadConnection<BoundedReadHalf>,
    ) -> Answered {
        if let Some(name) = call.method.strip_prefix("org.varlink.service.") {
            return about(name, call, replies).await;
        }
        match Method::try_from(call.clone()) {
            Err(error) => Ok(Err(error.into())),
            Ok(Method::Status(StatusParameters { fresh })) => match self.status(fresh).await {
                Ok(state) => status(&state, replies).await.map(Ok),
                Err(refusal) => Ok(Err(refusal)),
            },
            Ok(Method::Children(ChildrenParameters { parent, fresh })) => {
                if !replies.more {
                    return Ok(Err(varlink_service::Error::ExpectedMore.into()));
                }
                match self.status(fresh).await {
                    Ok(state) => children(&state, parent, replies).await,
                    Err(refusal) => Ok(Err(refusal)),
                }
            }
            Ok(Method::Counters(CountersParameters {})) => match self.status(None).await {
                Ok(state) => replies.end(counters(&state)).await.map(Ok),
                Err(refusal) => Ok(Err(refusal)),
            },
            Ok(Method::Explain(parameters)) => match self.explain(parameters).await {
                Ok(explanation) => replies.end(ExplainReply { explanation }).await.map(Ok),
                Err(refusal) => Ok(Err(refusal)),
            },
            Ok(Method::Capture(parameters)) => self.capture(parameters, replies, read).await,
            Ok(Method::Monitor(parameters)) => self.monitor(parameters, replies, read).await,
            Ok(Method::Reload(ReloadParameters {})) => match self.reload().await {
                Ok(reply) => replies.end(reply).await.map(Ok),
                Err(refusal) => Ok(Err(refusal)),
            },
        }
    }

    /// Requests something of the agent.
    async fn request<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(request(reply)).await;
        sent.map_err(|_closed| Error::Stopping)?;
        answer.await.map_err(|_dropped| Error::Stopping.into())
    }

    async fn status(&self, fresh: Option<bool>) -> Result<Arc<State>, Refusal> {
        let fresh = fresh.unwrap_or(false);
        self.request(|reply| Request::Status { fresh, reply }).await
    }

    async fn explain(&self, parameters: ExplainParameters) -> Result<Explanation, Refusal> {
        let question = Question::try_from(parameters)?;
        let parent = question.parent.clone().unwrap_or_default();
        let explain = |reply| Request::Explain { question, reply };
        let explanation = self.request(explain).await?;
        explanation.ok_or_else(|| Error::NoSuchParent { parent }.into())
    }

    async fn reload(&self) -> Result<ReloadReply, Refusal> {
        if !self.is_trusted {
            return Err(varlink_service::Error::PermissionDenied.into());
        }
        let config = self.request(|reply| Request::Reload { reply }).await?;
        match config.error {
            Some(reason) => Err(Error::ReloadFailed { reason }.into()),
            None => Ok(ReloadReply { config }),
        }
    }
}

/// The reply of `GetInterfaceDescription`.
#[derive(Serialize)]
struct Description {
    description: String,
}

/// Answers a call of the interface that every service has.
async fn about(name: &str, call: &varlink::Call, replies: &mut Replies<'_>) -> Answered {
    const SERVICE: &str = "org.varlink.service";
    match name {
        "GetInfo" => {
            let info = Info::new(
                "ipvlan",
                "ipvlan",
                env!("CARGO_PKG_VERSION"),
                varlink::URL,
                [SERVICE, INTERFACE],
            )?;
            replies.end(info).await.map(Ok)
        }
        "GetInterfaceDescription" => {
            let parameters = call.parameters.as_ref();
            let wanted = parameters.and_then(|of| of.get("interface")?.as_str());
            let description = match wanted {
                Some(INTERFACE) => varlink::description()?,
                Some(SERVICE) => varlink_service::DESCRIPTION.to_string(),
                Some(other) => {
                    return Ok(Err(CallError::Interface(other.to_owned()).into()));
                }
                None => return Ok(Err(CallError::Parameter("interface".to_owned()).into())),
            };
            replies.end(Description { description }).await.map(Ok)
        }
        _ => Ok(Err(CallError::Method(call.method.clone()).into())),
    }
}

/// A reply of `Status` or `Children`, as [`StatusReply`](varlink::StatusReply) and
/// [`ChildrenReply`](varlink::ChildrenReply) are read.
#[derive(Serialize)]
struct StateReply<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a Agent>,
    children: &'a [PlacedChild],
}

/// Sends the state of an agent; its children in further replies, if the client takes more than one.
async fn status(state: &State, replies: &mut Replies<'_>) -> zlink::Result<()> {
    let first = StateReply {
        agent: Some(&state.agent),
        children: &[],
    };
    if !replies.more {
        return replies.end(first).await;
    }
    replies.next(first).await?;
    list(&state.children, replies).await
}

/// Sends the children of an agent, of one parent or of all.
async fn children(state: &State, parent: Option<String>, replies: &mut Replies<'_>) -> Answered {
    let Some(parent) = parent else {
        return list(&state.children, replies).await.map(Ok);
    };
    if state.agent.parents.iter().all(|of| of.name != parent) {
        return Ok(Err(Error::NoSuchParent { parent }.into()));
    }
    let of_parent = state.children.iter().filter(|of| of.parent == parent);
    let of_parent: Vec<_> = of_parent.cloned().collect();
    list(&of_parent, replies).await.map(Ok)
}

/// Sends children, so many in each reply that none is long.
async fn list(children: &[PlacedChild], replies: &mut Replies<'_>) -> zlink::Result<()> {
    for children in children.chunks(CHILDREN_PER_REPLY) {
        let agent = None;
        replies.next(StateReply { agent, children }).await?;
    }
    let (agent, children) = (None, &[][..]);
    replies.end(StateReply { agent, children }).await
}

fn counters(state: &State) -> CountersReply {
    let parents = state.agent.parents.iter().map(|of| ParentCounters {
        parent: of.name.clone(),
        counters: of.counters.clone(),
    });
    CountersReply {
        parents: parents.collect(),
    }
}

#[cfg(test)]
mod tests;
