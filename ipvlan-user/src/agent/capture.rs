//! Captures of frames: which clients want which frames, and which parents have programs that capture.
//!
//! A parent has them while a client wants its frames. A task of its own reads them, so that no flood of frames delays a
//! sync.

mod filter;
mod reader;
mod stream;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use ipvlan_common::CAPTURE_SNAP;
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use self::{
    filter::{Filter, Label},
    reader::{Client, Labels},
};
pub(super) use self::{reader::Capture, stream::Stream};
use super::{parents::Parents, serving::Serving, status_view};
use crate::{
    facts::Snapshot,
    protocol::{CaptureParameters, Frame, varlink::Error},
    runtime::{Feed, Subscription, feed},
    text::chain,
};

/// Most clients that capture at a time.
const CLIENTS: usize = 16;
/// Frames that wait for one client.
const QUEUE: usize = 1024;
/// Bytes of a frame that are captured unless the client wants another number.
const LENGTH: u32 = 256;

/// All captures.
#[derive(Default)]
pub(super) struct Captures {
    wanted: Vec<Wanted>,
    /// Notified when a client has gone.
    released: Arc<Notify>,
}

/// What one client wants.
#[derive(Clone)]
struct Wanted {
    parent: Option<String>,
    client: Client,
}

impl Wanted {
    fn is_for(&self, serving: &Serving) -> bool {
        is_meant(self.parent.as_deref(), serving)
    }
}

impl Captures {
    /// Begins a capture.
    pub(super) fn begin(
        &mut self,
        parameters: CaptureParameters,
        parents: &mut Parents,
        snapshot: &Snapshot,
    ) -> Result<Subscription<Frame>, Error> {
        let CaptureParameters { parent, of, length } = parameters;
        check_parent(parent.as_deref(), parents)?;
        let filter = match of {
            None => Filter::All,
            Some(of) => match of.parse::<IpAddr>() {
                Ok(address) => Filter::Address(address),
                Err(_) => Filter::Child(of),
            },
        };
        if let Filter::Child(child) = &filter {
            let meant = |serving: &&Serving| is_meant(parent.as_deref(), serving);
            let mut labels = parents
                .serving()
                .filter(meant)
                .flat_map(|serving| labels(serving, snapshot).into_values());
            if !labels.any(|label| label.is_called(child)) {
                let child = child.clone();
                return Err(Error::NoSuchChild { child });
            }
        }
        let (feed, subscription): (Feed<Frame>, _) = feed(QUEUE, &self.released);
        let client = Client {
            stream: Stream::Frames(feed),
            filter,
            length: length.unwrap_or(LENGTH).clamp(1, CAPTURE_SNAP),
        };
        self.add(Wanted { parent, client }, parents, snapshot)?;
        Ok(subscription)
    }

    /// Sends frames to a stream of events, too.
    pub(super) fn add_stream(
        &mut self,
        parent: Option<String>,
        stream: Stream,
        parents: &mut Parents,
        snapshot: &Snapshot,
    ) -> Result<(), Error> {
        let client = Client {
            stream,
            filter: Filter::All,
            length: LENGTH,
        };
        self.add(Wanted { parent, client }, parents, snapshot)
    }

    fn add(
        &mut self,
        wanted: Wanted,
        parents: &mut Parents,
        snapshot: &Snapshot,
    ) -> Result<(), Error> {
        let open = |wanted: &&Wanted| !wanted.client.stream.is_closed();
        if self.wanted.iter().filter(open).count() >= CLIENTS {
            let reason = format!("{CLIENTS} clients capture already");
            return Err(Error::CaptureFailed { reason });
        }
        self.wanted.push(wanted);
        if let Some(reason) = self.update(parents, snapshot) {
            warn!("frames not captured: {reason}");
            self.wanted.pop();
            // Other parents may have begun.
            let _other = self.update(parents, snapshot);
            return Err(Error::CaptureFailed { reason });
        }
        Ok(())
    }

    /// Returns what is notified when a client has gone.
    pub(super) const fn release(&self) -> &Arc<Notify> {
        &self.released
    }

    /// Waits until a client has gone. Cancelling loses nothing.
    pub(super) async fn released(&self) {
        self.released.notified().await;
    }

    /// Begins and ends captures as clients and parents come and go. What fails is logged and tried again.
    pub(super) fn follow(&mut self, parents: &mut Parents, snapshot: &Snapshot) {
        if !self.wanted.is_empty() {
            let _reason = self.update(parents, snapshot);
        }
    }

    /// Begins and ends captures of parents as clients want them. Returns why one could not begin.
    fn update(&mut self, parents: &mut Parents, snapshot: &Snapshot) -> Option<String> {
        self.wanted
            .retain(|wanted| !wanted.client.stream.is_closed());
        let mut failure = None;
        for serving in parents.serving_mut() {
            let clients: Vec<_> = self
                .wanted
                .iter()
                .filter(|wanted| wanted.is_for(serving))
                .map(|wanted| wanted.client.clone())
                .collect();
            let labels = labels(serving, snapshot);
            if let Err(reason) = serving.set_capture(clients, labels) {
                // Each sync tries it again.
                debug!(parent = serving.name(), "frames not captured: {reason}");
                failure = Some(format!("{}: {reason}", serving.name()));
            }
        }
        failure
    }
}

impl Serving {
    /// Begins a capture, changes its clients, or ends it if there are none.
    fn set_capture(&mut self, clients: Vec<Client>, labels: Labels) -> Result<(), String> {
        match (&mut self.capture, clients.iter().map(|of| of.length).max()) {
            (Some(capture), Some(length)) => capture.set(clients, labels, length),
            (None, Some(length)) => {
                let started = self.datapath.start_capture(length);
                let maps = started.map_err(|error| chain(&error))?;
                let name = self.link.name.to_string();
                match Capture::new(name, maps, clients, labels) {
                    Ok(capture) => {
                        self.capture = Some(capture);
                        info!(parent = self.name(), "capture began");
                        Ok(())
                    }
                    Err(error) => {
                        let stopped = self.datapath.stop_capture();
                        stopped.map_err(|error| chain(&error))?;
                        Err(error.to_string())
                    }
                }
            }
            (Some(_), None) => {
                self.capture = None;
                info!(parent = self.name(), "capture ended");
                if let Err(error) = self.datapath.stop_capture() {
                    let error = chain(&error);
                    warn!(
                        parent = self.name(),
                        "programs that capture are still attached: {error}"
                    );
                }
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }
}

/// Returns whether a parent is the one that a client named, if it named one.
pub(super) fn is_meant(name: Option<&str>, serving: &Serving) -> bool {
    name.is_none_or(|name| name == serving.name())
}

/// Fails if a client named a parent that is not attached.
pub(super) fn check_parent(name: Option<&str>, parents: &Parents) -> Result<(), Error> {
    match name {
        Some(parent) if !parents.serving().any(|of| is_meant(name, of)) => {
            Err(Error::NoSuchParent {
                parent: parent.to_owned(),
            })
        }
        _ => Ok(()),
    }
}

/// Returns the children of a parent by the slots of their counters.
fn labels(serving: &Serving, snapshot: &Snapshot) -> Labels {
    let slots = serving.installed.slots();
    let labels = serving.desired.children.iter().map(|view| {
        let label = Label {
            child: view.name.to_string(),
            ifindex: view.key.ifindex,
            netns: status_view::netns(view.key.netns, snapshot),
        };
        (slots.of(view.key), label)
    });
    labels.collect::<BTreeMap<_, _>>()
}
