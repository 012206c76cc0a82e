//! Client of the status sockets: requests go to all agents at once, with one deadline for all of them.

use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd},
        unix::{fs::MetadataExt as _, net::UnixStream as BlockingStream},
    },
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
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
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::debug;

use super::{
    bounded::Scope,
    client::{AskError, Client},
    socket::SocketName,
};
use crate::{
    directory::{Directory, DirectoryError, Entry},
    protocol::Unanswered,
    text::chain,
};

/// Deadline of all agents together.
pub const PATIENCE: Duration = Duration::from_secs(4);
/// How long an agent that stops takes to end, and how often that is looked for.
const END: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(20);
/// At most this many bytes are read from all agents together. Each has the same share.
const MAX_BYTES: usize = 128 << 20;
/// At most this many bytes are read of one reply of a stream.
const MAX_MESSAGE: usize = 1 << 20;
/// At most this many sockets are connected to.
const MAX_SOCKETS: usize = 256;

/// The answers of the agents.
#[derive(Debug)]
pub struct Answers<T> {
    /// The answers and the process ids, by which they are sorted.
    pub answers: Vec<(u32, T)>,
    /// The sockets without an answer.
    pub unanswered: Vec<Unanswered>,
    /// Whether the permission to connect was missing for one of them.
    pub denied: bool,
}

impl<T> Default for Answers<T> {
    fn default() -> Self {
        Self {
            answers: Vec::new(),
            unanswered: Vec::new(),
            denied: false,
        }
    }
}

/// Asks each agent that has a socket in this directory, all at once and for at most [`PATIENCE`]. A socket that no
/// process listens on is removed.
pub fn ask_all<T, Asking>(
    directory: &Directory,
    question: impl Fn(Client) -> Asking,
) -> Result<Answers<T>, DirectoryError>
where
    T: Send + 'static,
    Asking: Future<Output = Result<T, AskError>> + Send + 'static,
{
    let failed = |source| DirectoryError::Io {
        action: "ask the agents in",
        path: directory.path().to_owned(),
        source,
    };
    let mut answers = Answers::default();
    let names = answers.sockets(directory)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let share = MAX_BYTES / names.len().max(1);
    runtime.block_on(async {
        let deadline = Instant::now() + PATIENCE;
        let mut questions = JoinSet::new();
        for name in names {
            if let Some(client) = answers.connect(directory, name, share, Scope::Connection) {
                let asked = Asked::new(&client, share, deadline);
                let asking = question(client);
                questions.spawn(async move { (name, asked.answer(asking).await) });
            }
        }
        while let Some(answered) = questions.join_next().await {
            match answered {
                Ok((name, Ok(Some(answer)))) => answers.answers.push((name.pid, answer)),
                Ok((_, Ok(None))) => {}
                Ok((name, Err(error))) => answers.failed(directory, name, error),
                Err(error) => debug!("a question was not finished: {error}"),
            }
        }
    });
    answers.answers.sort_by_key(|(pid, _)| *pid);
    answers.unanswered.sort_by_key(|of| of.pid);
    Ok(answers)
}

/// Connects to each agent that has a socket in this directory, for as long as the clients live. Must be called within a
/// tokio runtime. A socket that no process listens on is removed.
pub fn connect_all(directory: &Directory) -> Result<Answers<Client>, DirectoryError> {
    let mut clients = Answers::default();
    for name in clients.sockets(directory)? {
        if let Some(client) = clients.connect(directory, name, MAX_MESSAGE, Scope::Message) {
            clients.answers.push((name.pid, client));
        }
    }
    Ok(clients)
}

impl<T> Answers<T> {
    /// Returns the sockets in a directory. An agent that another user cannot imitate comes first.
    fn sockets(&mut self, directory: &Directory) -> Result<Vec<SocketName>, DirectoryError> {
        let names = directory.names()?;
        let mut names: Vec<_> = names
            .iter()
            .filter_map(|name| SocketName::parse(name))
            .collect();
        names.sort_by_key(|name| (rank(name.pid), name.pid));
        if names.len() > MAX_SOCKETS {
            self.unanswered.push(Unanswered {
                pid: None,
                socket: directory.path().to_string_lossy().into_owned(),
                error: format!(
                    "there are {} sockets: {MAX_SOCKETS} of them were asked",
                    names.len()
                ),
            });
            names.truncate(MAX_SOCKETS);
        }
        Ok(names)
    }

    /// Connects to an agent; none if there is none any more, or if the connection failed, which is recorded.
    fn connect(
        &mut self,
        directory: &Directory,
        name: SocketName,
        limit: usize,
        scope: Scope,
    ) -> Option<Client> {
        let opened = open(directory, name).and_then(|stream| {
            let client = stream.map(|stream| Client::new(stream, name.pid, limit, scope));
            client.transpose().map_err(|error| error.to_string().into())
        });
        opened.unwrap_or_else(|Unopened { error, denied }| {
            self.denied |= denied;
            self.failed(directory, name, error);
            None
        })
    }

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

/// What is known of an agent that was asked.
struct Asked {
    pid: u32,
    share: usize,
    deadline: Instant,
    read: Arc<AtomicUsize>,
}

impl Asked {
    fn new(client: &Client, share: usize, deadline: Instant) -> Self {
        Self {
            pid: client.pid(),
            share,
            deadline,
            read: client.counter(),
        }
    }

    /// Waits for the answer; none if the agent stopped meanwhile.
    async fn answer<T>(
        self,
        asking: impl Future<Output = Result<T, AskError>>,
    ) -> Result<Option<T>, String> {
        let asked = timeout_at(self.deadline, asking).await;
        let Self { pid, share, .. } = self;
        match (asked, self.read.load(Ordering::Relaxed)) {
            (Ok(Ok(answer)), _) => Ok(Some(answer)),
            (Err(_), 0) => Err(format!("the agent with pid {pid} does not answer")),
            (Err(_), read) => Err(format!(
                "the agent with pid {pid} does not answer in time: {read} bytes within {} s",
                PATIENCE.as_secs()
            )),
            (Ok(Err(error)), _) if error.is_closed() => {
                if ends(pid).await {
                    Ok(None)
                } else {
                    Err(format!(
                        "the agent with pid {pid} does not answer: it closed the connection"
                    ))
                }
            }
            (Ok(Err(AskError::Varlink(zlink::Error::BufferOverflow))), _) => {
                Err(format!("its answer has more than {share} bytes"))
            }
            (Ok(Err(error @ (AskError::Agent(_) | AskError::Other(_)))), _) => {
                Err(error.to_string())
            }
            (Ok(Err(AskError::Varlink(zlink::Error::VarlinkService(error)))), _) => {
                Err(format!("the agent with pid {pid} refuses: {error}"))
            }
            (Ok(Err(error)), _) => Err(format!("its answer is no status: {error}")),
        }
    }
}

/// Returns whether this process ends within [`END`]: an agent that stops closes its connections first.
async fn ends(pid: u32) -> bool {
    let ended = async {
        while runs(pid) {
            sleep(POLL).await;
        }
    };
    timeout(END, ended).await.is_ok()
}
