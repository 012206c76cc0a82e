//! The socket on which metrics are served.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{fd::AsRawFd as _, unix::net::UnixStream as StdStream},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::stat::SFlag;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    time::sleep,
};

use super::Endpoint;
use crate::{
    directory::{Directory, DirectoryError, Entry},
    runtime::listen,
};

/// How long after an error the next client is waited for.
const PAUSE: Duration = Duration::from_secs(2);
/// Mode of the directory of a socket, if it is created.
const DIRECTORY_MODE: u32 = 0o755;

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// Of a path.
    Unix(UnixListener),
    /// Of a loopback address.
    Tcp(TcpListener),
}

/// The file of a Unix socket, removed when it is dropped.
#[derive(Debug)]
pub struct SocketFile {
    directory: Directory,
    name: OsString,
    entry: Entry,
    /// Whether the directory was created for it.
    created: bool,
}

/// Metrics cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Something else has the path.
    #[error("`{}` is not replaced: {reason}", path.display())]
    NotReplaced {
        /// The path.
        path: PathBuf,
        /// What it is.
        reason: String,
    },
    /// A process listens there.
    #[error("another process listens at {0}")]
    InUse(String),
    /// The directory of the socket cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The socket could not be made.
    #[error("listen at {endpoint}")]
    Listen {
        /// Where.
        endpoint: String,
        /// Why not.
        source: io::Error,
    },
}

impl BindError {
    /// Returns what the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotReplaced { .. } => {
                Some("remove it, or give `--metrics` a path where nothing is")
            }
            Self::InUse(_) => Some("give each agent an endpoint of its own with `--metrics`"),
            Self::Directory(_) | Self::Listen { .. } => None,
        }
    }

    /// Returns the error number, if the system refused something.
    pub(crate) fn os_error(&self) -> Option<i32> {
        match self {
            Self::Directory(error) => error.os_error(),
            Self::Listen { source, .. } => source.raw_os_error(),
            Self::NotReplaced { .. } | Self::InUse(_) => None,
        }
    }
}

impl Listener {
    /// Listens there. A socket that an agent of this user left behind is replaced.
    pub fn bind(endpoint: &Endpoint) -> Result<(Self, Option<SocketFile>), BindError> {
        let failed = |source: io::Error| {
            if source.kind() == io::ErrorKind::AddrInUse {
                BindError::InUse(endpoint.to_string())
            } else {
                BindError::Listen {
                    endpoint: endpoint.to_string(),
                    source,
                }
            }
        };
        match endpoint {
            Endpoint::Unix(path) => {
                let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                    return Err(failed(io::ErrorKind::InvalidInput.into()));
                };
                let created = Directory::find(parent)?.is_none();
                let directory = Directory::create(parent, DIRECTORY_MODE)?;
                remove_old(&directory, path, name)?;
                let hidden = hidden(name);
                let (listener, entry) = listen(&directory, &hidden, name).map_err(failed)?;
                let file = SocketFile {
                    directory,
                    name: name.to_owned(),
                    entry,
                    created,
                };
                Ok((Self::Unix(listener), Some(file)))
            }
            Endpoint::Tcp(address) => {
                // Sets SO_REUSEADDR: connections of an agent before do not keep the port.
                let listener = std::net::TcpListener::bind(address).map_err(failed)?;
                listener.set_nonblocking(true).map_err(failed)?;
                let listener = TcpListener::from_std(listener).map_err(failed)?;
                Ok((Self::Tcp(listener), None))
            }
        }
    }

    /// Waits for a client. An error comes late: its cause, such as no file descriptor left, would come at once again.
    pub(super) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        let accepted: io::Result<Box<dyn Stream>> = match self {
            Self::Unix(listener) => listener.accept().await.map(|(of, _)| Box::new(of) as _),
            Self::Tcp(listener) => listener.accept().await.map(|(of, _)| Box::new(of) as _),
        };
        if accepted.is_err() {
            sleep(PAUSE).await;
        }
        accepted
    }
}

/// A connected client.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Removes a socket that nobody listens on any more.
fn remove_old(directory: &Directory, path: &Path, name: &OsStr) -> Result<(), BindError> {
    let (place, entry) = match directory.open_place(name) {
        Ok(opened) => opened,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if let Some(reason) = directory.distrust(&entry, SFlag::S_IFSOCK) {
        return Err(BindError::NotReplaced {
            path: path.to_owned(),
            reason,
        });
    }
    let connected = {
        let _acting = directory.act();
        StdStream::connect(format!("/proc/self/fd/{}", place.as_raw_fd()))
    };
    // Anything but a refusal is the doing of a process that listens.
    if !connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        return Err(BindError::InUse(format!("unix:{}", path.display())));
    }
    directory.remove_if(name, &entry)?;
    Ok(())
}

/// Returns the name of a socket that cannot be connected to yet.
fn hidden(name: &OsStr) -> OsString {
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    hidden
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // What cannot be removed is a socket that refuses, which the next agent replaces.
        let _: Result<bool, _> = self.directory.remove_if(&self.name, &self.entry);
        if self.created {
            self.directory.remove_if_empty();
        }
    }
}
