//! The socket of an agent.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, Permissions},
    io,
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::Path,
    process,
    time::Duration,
};

use nix::sys::stat::SFlag;
use tokio::{
    net::{UnixListener, UnixStream},
    time::sleep,
};

use crate::directory::{Directory, DirectoryError, Entry};

/// How long after an error the next client is waited for.
const PAUSE: Duration = Duration::from_secs(2);
/// Mode of the directory, if it is created.
const DIRECTORY_MODE: u32 = 0o755;
/// Mode of the socket: its user and its group may connect.
const MODE: u32 = 0o660;
/// How often the directory may be removed meanwhile.
const TRIES: u32 = 100;

/// The socket of a running agent, removed when it is dropped.
#[derive(Debug)]
pub struct StatusSocket {
    listener: UnixListener,
    directory: Directory,
    name: OsString,
    entry: Entry,
}

impl StatusSocket {
    /// Creates the socket of this process, for its user and group.
    pub fn bind(dir: &Path) -> io::Result<Self> {
        let name = SocketName { pid: process::id() };
        for _ in 1..TRIES {
            let directory = Directory::create(dir, DIRECTORY_MODE).map_err(into_io)?;
            match listen(&directory, &name.hidden(), &name.file()) {
                Ok((listener, entry)) => {
                    return Ok(Self {
                        listener,
                        directory,
                        name: name.file(),
                        entry,
                    });
                }
                // Another process found the directory empty, and removed it.
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && !directory.is_in_place() => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Waits for a client. An error comes late: its cause, such as no file descriptor left, would come
    /// at once again.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        match self.listener.accept().await {
            Ok((stream, _)) => Ok(stream),
            Err(error) => {
                sleep(PAUSE).await;
                Err(error)
            }
        }
    }
}

/// Listens on a socket that gets its name when it can be connected to: a client removes one that refuses.
pub(crate) fn listen(
    directory: &Directory,
    hidden: &OsStr,
    name: &OsStr,
) -> io::Result<(UnixListener, Entry)> {
    directory.remove(hidden).map_err(into_io)?;
    let _acting = directory.act();
    let listener = UnixListener::bind(directory.at(hidden))?;
    let (place, entry) = directory.open_place(hidden).map_err(into_io)?;
    if let Some(reason) = directory.distrust(&entry, SFlag::S_IFSOCK) {
        return Err(io::Error::other(format!(
            "the socket was replaced: {reason}"
        )));
    }
    // By its descriptor: the name may lead elsewhere by now.
    let path = format!("/proc/self/fd/{}", place.as_raw_fd());
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    directory.rename(hidden, name).map_err(into_io)?;
    Ok((listener, entry))
}

/// Keeps the error number, by which a missing permission is recognised.
fn into_io(error: DirectoryError) -> io::Error {
    match error {
        DirectoryError::Io { source, .. } => source,
        other => io::Error::other(other),
    }
}

impl Drop for StatusSocket {
    fn drop(&mut self) {
        // What cannot be removed is only a stale socket, which a client removes.
        let _: Result<bool, _> = self.directory.remove_if(&self.name, &self.entry);
        self.directory.remove_if_empty();
    }
}

/// Name of a socket: `<pid>.sock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SocketName {
    pub(super) pid: u32,
}

impl SocketName {
    pub(super) fn file(self) -> OsString {
        format!("{}.sock", self.pid).into()
    }

    fn hidden(self) -> OsString {
        format!("{}.new", self.pid).into()
    }

    /// Parses a file name; none if it is not one that [`Self::file`] gives.
    pub(super) fn parse(file: &OsStr) -> Option<Self> {
        let pid = file.to_str()?.strip_suffix(".sock")?.parse().ok()?;
        let name = Self { pid };
        (name.file() == file).then_some(name)
    }
}
