//! The clients of the status socket: each is answered after a full scan, so that link counters are current.

use std::{io, mem, path::Path, sync::Arc};

use tokio::net::UnixStream;
use tracing::{debug, warn};

use crate::{
    protocol,
    runtime::{StatusSocket, answer, trim_heap},
};

/// The status socket and the clients that wait at it.
pub(super) struct Clients {
    socket: StatusSocket,
    /// Those that connected after the current full scan began.
    waiting: Vec<UnixStream>,
    /// Those that are answered when it is complete.
    in_scan: Vec<UnixStream>,
}

impl Clients {
    /// Creates the status socket.
    pub(super) fn bind(runtime_dir: &Path) -> io::Result<Self> {
        Ok(Self {
            socket: StatusSocket::bind(runtime_dir)?,
            waiting: Vec::new(),
            in_scan: Vec::new(),
        })
    }

    /// Waits for a client to connect. Cancelling loses nothing.
    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        self.socket.accept().await
    }

    /// Adds a client. Returns whether a full scan has to begin for it.
    pub(super) fn add(&mut self, client: io::Result<UnixStream>) -> bool {
        match client {
            Ok(stream) => {
                self.waiting.push(stream);
                true
            }
            Err(failure) => {
                warn!("status socket: {failure}");
                false
            }
        }
    }

    /// Assigns the waiting clients to the full scan that begins.
    pub(super) fn begin_scan(&mut self) {
        self.in_scan.append(&mut self.waiting);
    }

    /// Answers the clients of the full scan that is complete.
    pub(super) fn answer(&mut self, status: impl FnOnce() -> protocol::Agent) {
        let clients = mem::take(&mut self.in_scan);
        if clients.is_empty() {
            return;
        }
        let status = match serde_json::to_vec(&status()) {
            Ok(json) => Arc::new(json),
            Err(failure) => {
                warn!("status: {failure}");
                return;
            }
        };
        for stream in clients {
            let status = Arc::clone(&status);
            // A task for each: a client that does not read delays no other.
            tokio::spawn(async move {
                if let Err(failure) = answer(stream, &status).await {
                    debug!("status client: {failure}");
                }
                // The last of them frees the document.
                drop(status);
                trim_heap();
            });
        }
    }
}
