//! The metrics of the agent, if they are served.

use tokio::{sync::mpsc, task::JoinHandle};
use tracing::info;

use super::AgentError;
use crate::{
    config::MetricsSettings,
    metrics::{Listener, PATIENCE, Server, SocketFile, serve},
    runtime::Request,
};

/// The socket of the metrics, which is not served yet.
pub(super) struct Bound {
    listener: Listener,
    file: Option<SocketFile>,
    children: bool,
}

/// The task that serves the metrics, which ends when this is dropped.
pub(super) struct Metrics {
    task: JoinHandle<()>,
    _file: Option<SocketFile>,
}

impl Bound {
    /// Listens where the settings say; none if metrics are off.
    pub(super) fn new(settings: &MetricsSettings) -> Result<Option<Self>, AgentError> {
        let MetricsSettings { endpoint, children } = settings;
        let Some(endpoint) = endpoint else {
            return Ok(None);
        };
        let (listener, file) = Listener::bind(endpoint)?;
        info!(%endpoint, children, "serving metrics");
        Ok(Some(Self {
            listener,
            file,
            children: *children,
        }))
    }

    /// Serves them by requests to the agent's loop.
    pub(super) fn serve(self, requests: mpsc::Sender<Request>) -> Metrics {
        let server = Server {
            requests,
            children: self.children,
            patience: PATIENCE,
        };
        Metrics {
            task: tokio::spawn(serve(self.listener, server)),
            _file: self.file,
        }
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.task.abort();
    }
}
