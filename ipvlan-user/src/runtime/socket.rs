//! Asking an agent for its status: one JSON document per connection, then the end.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream as BlockingStream},
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt as _,
    net::{UnixListener, UnixStream},
    time::{sleep, timeout},
};

use crate::status::Agent;

/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest answer that is read.
const MAX_ANSWER: u64 = 256 << 20;

/// The socket of a running agent, removed when it is dropped.
#[derive(Debug)]
pub struct StatusSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl StatusSocket {
    /// Creates the socket of this process, for its user and group.
    pub fn bind(dir: &Path) -> io::Result<Self> {
        let path = dir.join(format!("{}.sock", process::id()));
        loop {
            fs::create_dir_all(dir)?;
            match listen(&path) {
                Ok(listener) => return Ok(Self { listener, path }),
                // Somebody who asked for a status found the directory empty, and removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !dir.exists() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for somebody who asks. An error comes late: its cause, such as no file descriptor
    /// left, would come at once again.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        match self.listener.accept().await {
            Ok((stream, _)) => Ok(stream),
            Err(error) => {
                sleep(PATIENCE).await;
                Err(error)
            }
        }
    }
}

/// A socket at `path`, put there when somebody listens on it: who asks removes one that nobody does.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let hidden = path.with_extension("new");
    match fs::remove_file(&hidden) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(&hidden)?;
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o660))?;
    fs::rename(&hidden, path)?;
    Ok(listener)
}

impl Drop for StatusSocket {
    fn drop(&mut self) {
        // What cannot be removed is only a stale socket, which `query_all` removes.
        let _: io::Result<()> = fs::remove_file(&self.path);
        if let Some(dir) = self.path.parent() {
            super::remove_dir_if_empty(dir);
        }
    }
}

/// Sends the answer; a client that does not read is left alone after a while.
pub async fn answer(mut stream: UnixStream, status: &[u8]) -> io::Result<()> {
    timeout(PATIENCE, async {
        stream.write_all(status).await?;
        stream.shutdown().await
    })
    .await?
}

/// Asks every agent that has its socket in `dir`. A socket nobody listens on is removed.
pub fn query_all(dir: &Path) -> io::Result<Vec<Agent>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "sock")
    });
    paths.sort();
    let mut agents = Vec::new();
    for path in paths {
        match query(&path) {
            Ok(agent) => agents.push(agent),
            // Its agent was killed.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(&path)?;
            }
            // It stopped between the listing and the question, or between that and the answer.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionReset
                ) => {}
            // The kernel's word for a read that timed out.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let pid = path.file_stem().unwrap_or_default().display();
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("the agent with pid {pid} does not answer"),
                ));
            }
            Err(error) => {
                return Err(io::Error::new(
                    error.kind(),
                    format!("{}: {error}", path.display()),
                ));
            }
        }
    }
    Ok(agents)
}

fn query(path: &Path) -> io::Result<Agent> {
    let stream = BlockingStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(serde_json::from_slice(&answer)?)
}
