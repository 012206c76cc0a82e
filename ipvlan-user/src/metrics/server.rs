//! The HTTP server: `/metrics`, `/healthz` and `/readyz`, to a few clients at a time.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request as HttpRequest, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};
use tracing::{debug, warn};

use super::{Listener, family::exposition, listener::Stream, ready};
use crate::runtime::{Request, State, trim_heap};

/// Most connections at a time; further clients wait. Each has one request.
const CONNECTIONS: usize = 8;
/// Longest head of a request, in bytes, and most header fields.
const LONGEST_HEAD: usize = 16 << 10;
const MOST_FIELDS: usize = 64;
/// How long a client may take to send the head, and for everything.
const HEAD_TIME: Duration = Duration::from_secs(2);
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// How long the agent's loop may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Media type of the text of the metrics, and of the others.
const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// What requests are answered from.
#[derive(Clone, Debug)]
pub struct Server {
    /// To the agent's loop.
    pub requests: mpsc::Sender<Request>,
    /// Whether each child has series of its own.
    pub children: bool,
    /// How long the agent's loop may take to answer.
    pub patience: Duration,
}

/// Serves clients for ever. Cancelling closes their connections.
pub async fn serve(listener: Listener, server: Server) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // It is never closed.
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok(stream) => {
                let server = server.clone();
                tokio::spawn(async move {
                    server.serve_client(stream).await;
                    drop(permit);
                });
            }
            Err(failure) => warn!("metrics socket: {failure}"),
        }
    }
}

impl Server {
    async fn serve_client(&self, stream: Box<dyn Stream>) {
        let service = service_fn(|request| self.answer(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(LONGEST_HEAD)
            .max_headers(MOST_FIELDS)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        match timeout(CONNECTION_TIME, connection).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => debug!("metrics client: {failure}"),
            Err(_) => debug!("metrics client: it took longer than {CONNECTION_TIME:?}"),
        }
        trim_heap();
    }

    async fn answer(
        &self,
        request: HttpRequest<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let answer = match request.uri().path() {
            "/metrics" | "/healthz" | "/readyz" if !is_read => {
                let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
                let allowed = HeaderValue::from_static("GET, HEAD");
                answer.headers_mut().insert(ALLOW, allowed);
                answer
            }
            path @ ("/metrics" | "/healthz" | "/readyz") => match self.state().await {
                Err(reason) => plain(StatusCode::SERVICE_UNAVAILABLE, reason + "\n"),
                Ok(state) => self.show(path, state),
            },
            _ => plain(
                StatusCode::NOT_FOUND,
                "there are /metrics, /healthz and /readyz\n",
            ),
        };
        Ok(answer)
    }

    fn show(&self, path: &str, state: Arc<State>) -> Response<Full<Bytes>> {
        match path {
            "/metrics" => match exposition(state, self.children) {
                Ok(text) => answer(StatusCode::OK, OPENMETRICS, text),
                // A string takes any text.
                Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "no text\n"),
            },
            "/readyz" => match &ready::reasons(&state)[..] {
                [] => plain(StatusCode::OK, "ready\n"),
                reasons => plain(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n"),
            },
            _ => plain(StatusCode::OK, "ok\n"),
        }
    }

    /// Requests the state, as it is known. An error is the reason why there is none.
    async fn state(&self) -> Result<Arc<State>, String> {
        const STOPPING: &str = "the agent stops";
        let request = async {
            let (reply, answer) = oneshot::channel();
            let fresh = false;
            let sent = self.requests.send(Request::Status { fresh, reply }).await;
            sent.map_err(|_closed| STOPPING)?;
            answer.await.map_err(|_dropped| STOPPING)
        };
        match timeout(self.patience, request).await {
            Ok(result) => result.map_err(str::to_owned),
            Err(_) => Err(format!(
                "the agent's loop did not answer within {:?}",
                self.patience
            )),
        }
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    answer(status, PLAIN, text)
}

fn answer(
    status: StatusCode,
    media_type: HeaderValue,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
