//! Metrics: from the state of the agent to a text in the `OpenMetrics` format, and the HTTP server that hands it out.
//!
//! ```text
//! Prometheus ─► HTTP ─► Request::Status ─► agent's loop ─► State ─► METRICS ─► OpenMetrics text
//! ```
//!
//! The server is a client of the agent's loop, as those of the socket are: a scrape costs what a status costs, and a
//! client that does not read delays nothing. Nothing here counts: each value is read from the state. Without
//! `--metrics` there is neither a socket nor a task.

mod agent;
mod child;
mod endpoint;
mod family;
mod listener;
mod parent;
mod ready;
mod server;

pub use self::{
    endpoint::{Endpoint, EndpointError, MetricsChoice},
    family::{Kind, Metric, Scope, Series, metrics},
    listener::{BindError, Listener, SocketFile},
    server::{PATIENCE, Server, serve},
};

#[cfg(test)]
mod tests;
