//! Client of the status sockets: requests go to all agents at once, with one deadline for all of them.

use std::{
    fs, io, mem,
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd},
        unix::{fs::MetadataExt as _, net::UnixStream as BlockingStream},
    },
    sync::atomic::Ordering,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket},
        stat::SFlag,
    },
    unistd::Uid,
};
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tracing::debug;
use zlink::{Call, Connection};

use super::{
    bounded::{Bounded, Scope},
    socket::SocketName,
};
use crate::{
    directory::{Directory, DirectoryError, Entry},
    protocol::{
        Agent, Unanswered,
        varlink::{self, Method, PlacedChild, StatusParameters, StatusReply},
    },
    text::chain,
};

/// Deadline of all agents together.
pub const PATIENCE: Duration = Duration::from_secs(4);
/// At most this many bytes are read from all agents together. Each has the same share.
const MAX_BYTES: usize = 128 << 20;
/// At most this many sockets are connected to.
const MAX_SOCKETS: usize = 256;

/// The answers of the agents.
#[derive(Debug, Default)]
pub struct Answers {
    /// The answers, by process id.
    pub agents: Vec<Agent>,
    /// The sockets without an answer.
    pub unanswered: Vec<Unanswered>,
    /// Whether the permission to connect was missing for one of them.
    pub denied: bool,
}

/// Requests the status of each agent that has a socket in this directory, for at most [`PATIENCE`]. With `fresh`, each
/// reads the kernel first. A socket that no process listens on is removed.
pub fn query_all(directory: &Directory, fresh: bool) -> Result<Answers, DirectoryError> {
    let failed = |source| DirectoryError::Io {
        action: "ask the agents in",
        path: directory.path().to_owned(),
        source,
    };
    let mut names: Vec<_> = directory
        .names()?
        .iter()
        .filter_map(|name| SocketName::parse(name))
        .collect();
    // An agent that another user cannot imitate comes first.
    names.sort_by_key(|name| (rank(name.pid), name.pid));
    let mut answers = Answers::default();
    if names.len() > MAX_SOCKETS {
        answers.unanswered.push(Unanswered {
            pid: None,
            socket: directory.path().to_string_lossy().into_owned(),
            error: format!(
                "there are {} sockets: {MAX_SOCKETS} of them were asked",
                names.len()
            ),
        });
        names.truncate(MAX_SOCKETS);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let share = MAX_BYTES / names.len().max(1);
    runtime.block_on(async {
        let deadline = Instant::now() + PATIENCE;
        let mut questions = JoinSet::new();
        for name in names {
            match open(directory, name) {
                Ok(Some(stream)) => {
                    questions.spawn(async move {
                        (name, ask(stream, name, share, deadline, fresh).await)
                    });
                }
                Ok(None) => {}
                Err(Unopened { error, denied }) => {
                    answers.denied |= denied;
                    answers.failed(directory, name, error);
                }
            }
        }
        while let Some(answered) = questions.join_next().await {
            match answered {
                Ok((_, Ok(Some(agent)))) => answers.agents.push(agent),
                Ok((_, Ok(None))) => {}
                Ok((name, Err(error))) => answers.failed(directory, name, error),
                Err(error) => debug!("a question was not finished: {error}"),
            }
        }
    });
    answers.agents.sort_by_key(|agent| agent.pid);
    answers.unanswered.sort_by_key(|of| of.pid);
    Ok(answers)
}

impl Answers {
    fn failed(&mut self, directory: &Directory, name: SocketName, error: String) {
        self.unanswered.push(Unanswered {
            pid: Some(name.pid),
            socket: directory
                .path()
                .join(name.file())
                .to_string_lossy()
                .into_owned(),
            error,
        });
    }
}

/// Returns 0 for a process of root, 1 for one of this user, 2 for others and for one that does not run.
fn rank(pid: u32) -> u8 {
    match fs::metadata(format!("/proc/{pid}")).map(|of| of.uid()) {
        Ok(0) => 0,
        Ok(user) if Uid::current().as_raw() == user => 1,
        _ => 2,
    }
}

fn runs(pid: u32) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap_or(true)
}

/// Why a socket could not be connected to.
struct Unopened {
    error: String,
    /// Whether a permission was missing.
    denied: bool,
}

impl From<String> for Unopened {
    fn from(error: String) -> Self {
        Self {
            error,
            denied: false,
        }
    }
}

/// Connects to a socket; none if there is no agent any more.
fn open(directory: &Directory, name: SocketName) -> Result<Option<BlockingStream>, Unopened> {
    let file = name.file();
    let (place, entry) = match directory.open_place(&file) {
        Ok(opened) => opened,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => {
            return Err(Unopened {
                error: chain(&error),
                denied: matches!(error.os_error(), Some(libc::EACCES | libc::EPERM)),
            });
        }
    };
    if let Some(reason) = directory.distrust(&entry, SFlag::S_IFSOCK) {
        return Err(format!("it is no socket of an agent: {reason}").into());
    }
    match connect_to(directory, &place) {
        Ok(stream) => Ok(Some(stream)),
        Err(Errno::ECONNREFUSED) => {
            remove(directory, name, &entry);
            Ok(None)
        }
        Err(Errno::EAGAIN) => Err(format!(
            "the agent with pid {} does not answer: too many clients wait",
            name.pid
        )
        .into()),
        Err(errno) => Err(Unopened {
            error: format!("connect: {}", io::Error::from(errno)),
            denied: matches!(errno, Errno::EACCES | Errno::EPERM),
        }),
    }
}

/// Removes the socket of an agent that was killed. It stays if this user may not remove it.
fn remove(directory: &Directory, name: SocketName, entry: &Entry) {
    if let Err(error) = directory.remove_if(&name.file(), entry) {
        debug!("stale socket: {}", chain(&error));
    }
}

/// Returns whether no process listens on this socket.
pub(super) fn is_refused(directory: &Directory, place: &OwnedFd) -> bool {
    matches!(connect_to(directory, place), Err(Errno::ECONNREFUSED))
}

/// Connects without waiting, to this very socket, whatever its name leads to by now.
fn connect_to(directory: &Directory, place: impl AsFd) -> nix::Result<BlockingStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let client = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let path = format!("/proc/self/fd/{}", place.as_fd().as_raw_fd());
    let _acting = directory.act();
    connect(client.as_raw_fd(), &UnixAddr::new(path.as_str())?)?;
    Ok(client.into())
}

/// Requests the status of an agent and its children; none if the agent stopped meanwhile.
async fn ask(
    stream: BlockingStream,
    name: SocketName,
    share: usize,
    deadline: Instant,
    fresh: bool,
) -> Result<Option<Agent>, String> {
    let pid = name.pid;
    let connected = Bounded::new(stream, share, Scope::Connection);
    let bounded = connected.map_err(|error| error.to_string())?;
    let counter = bounded.counter();
    let read = || counter.load(Ordering::Relaxed);
    let asked = timeout_at(deadline, request(Connection::new(bounded), fresh)).await;
    let agent = match asked {
        Err(_) if read() == 0 => return Err(format!("the agent with pid {pid} does not answer")),
        Err(_) => {
            return Err(format!(
                "the agent with pid {pid} does not answer in time: {} bytes within {} s",
                read(),
                PATIENCE.as_secs()
            ));
        }
        Ok(Ok(agent)) => agent,
        // It stopped between the connection and the answer.
        Ok(Err(AskError::Varlink(error))) if is_reset(&error) => return Ok(None),
        Ok(Err(AskError::Varlink(zlink::Error::UnexpectedEof))) if read() == 0 && !runs(pid) => {
            return Ok(None);
        }
        Ok(Err(AskError::Agent(varlink::Error::Stopping))) => return Ok(None),
        Ok(Err(AskError::Varlink(zlink::Error::UnexpectedEof))) if read() == 0 => {
            return Err(format!(
                "the agent with pid {pid} does not answer: it closed the connection"
            ));
        }
        Ok(Err(AskError::Varlink(zlink::Error::BufferOverflow))) => {
            return Err(format!("its answer has more than {share} bytes"));
        }
        Ok(Err(error)) => return Err(format!("its answer is no status: {error}")),
    };
    if agent.pid == pid {
        Ok(Some(agent))
    } else {
        Err(format!("it answers as the agent with pid {}", agent.pid))
    }
}

/// Why an agent has no status.
#[derive(Debug, thiserror::Error)]
enum AskError {
    /// The connection, or what came over it.
    #[error(transparent)]
    Varlink(#[from] zlink::Error),
    /// The agent refused.
    #[error(transparent)]
    Agent(varlink::Error),
    /// The reply is none of this method.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// There was no agent in the first reply.
    #[error("the first reply has no agent")]
    NoAgent,
}

fn is_reset(error: &zlink::Error) -> bool {
    matches!(error, zlink::Error::Io(error)
        if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe))
}

/// Calls `Status` and puts the children of the replies in their places.
async fn request(mut connection: Connection<Bounded>, fresh: bool) -> Result<Agent, AskError> {
    let fresh = fresh.then_some(true);
    let method = Method::Status(StatusParameters { fresh });
    let call = Call::new(method.call()?).set_more(true);
    connection.send_call(&call, Vec::new()).await?;
    let mut agent: Option<Agent> = None;
    loop {
        // By way of a `Value`: its errors name what is wrong.
        let (reply, _) = connection.receive_reply::<Value, varlink::Error>().await?;
        let reply = reply.map_err(AskError::Agent)?;
        let continues = reply.continues() == Some(true);
        let parameters = reply.into_parameters().unwrap_or_default();
        let StatusReply {
            agent: first,
            children,
        } = serde_json::from_value(parameters)?;
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
        if !continues {
            return Ok(mem::take(agent));
        }
    }
}
