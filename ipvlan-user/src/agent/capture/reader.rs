//! The frames of one parent: from the ring buffer of its programs to the clients.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ipvlan_common::{CaptureHeader, Hook, ReasonClass};
use nix::time::{ClockId, clock_gettime};
use tokio::{
    io::{Interest, unix::AsyncFd},
    task::{AbortHandle, yield_now},
    time::sleep,
};

use super::{
    filter::{Filter, Label},
    stream::Stream,
};
use crate::{
    attach::CaptureMaps,
    protocol::{self, Frame, Verdict},
};

/// Most records that are taken at once.
const BATCH: usize = 128;
/// How long the reader waits while the queue of each client is full: frames are dropped in the kernel then, which takes
/// less of the processor.
const PAUSE: Duration = Duration::from_millis(10);

/// The children of a parent by the slots of their counters.
pub(super) type Labels = BTreeMap<u32, Label>;

/// A client and what it wants.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) stream: Stream,
    pub(super) filter: Filter,
    /// Most bytes of a frame.
    pub(super) length: u32,
}

/// The capture of a parent. Ends when it is dropped.
pub(in crate::agent) struct Capture {
    shared: Arc<Mutex<Shared>>,
    length: Array<MapData, u32>,
    reader: AbortHandle,
}

/// What the reader and the agent share.
struct Shared {
    parent: String,
    clients: Vec<Client>,
    labels: Labels,
}

impl Capture {
    /// Reads from now on. Must be called within a tokio runtime.
    pub(super) fn new(
        parent: String,
        maps: CaptureMaps,
        clients: Vec<Client>,
        labels: Labels,
    ) -> io::Result<Self> {
        let CaptureMaps { ring, lost, length } = maps;
        // SAFETY: the ring buffer owns the descriptor of its map, never changes it, and closes it when dropped.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }?;
        let shared = Arc::new(Mutex::new(Shared {
            parent,
            clients,
            labels,
        }));
        let reader = tokio::spawn(read(ring, lost, Arc::clone(&shared)));
        Ok(Self {
            shared,
            length,
            reader: reader.abort_handle(),
        })
    }

    /// Changes the clients, the children, and how many bytes of a frame are captured.
    pub(super) fn set(
        &mut self,
        clients: Vec<Client>,
        labels: Labels,
        length: u32,
    ) -> Result<(), String> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.clients = clients;
        shared.labels = labels;
        let set = self.length.set(0, length, 0);
        set.map_err(|error| error.to_string())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Reads the ring buffer until it is aborted.
async fn read(
    mut ring: AsyncFd<RingBuf<MapData>>,
    lost: PerCpuArray<MapData, u64>,
    shared: Arc<Mutex<Shared>>,
) {
    let mut known_lost = 0;
    // The descriptor of a map reports no error.
    while let Ok(mut ready) = ring.readable_mut().await {
        let mut taken = 0;
        let offset = clock_offset();
        let is_full = {
            let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let ring = ready.get_inner_mut();
            while taken < BATCH
                && let Some(record) = ring.next()
            {
                taken += 1;
                shared.send(&record, offset);
            }
            let now_lost: u64 = lost.get(&0, 0).map_or(known_lost, |of| of.iter().sum());
            if now_lost > known_lost {
                for client in &shared.clients {
                    client.stream.count_dropped(now_lost - known_lost);
                }
                known_lost = now_lost;
            }
            shared.clients.iter().all(|client| client.stream.is_full())
        };
        if taken < BATCH {
            ready.clear_ready();
        }
        if is_full {
            sleep(PAUSE).await;
        } else {
            yield_now().await;
        }
    }
}

impl Shared {
    /// Sends a record to the clients that want it.
    fn send(&self, record: &[u8], offset: Duration) {
        let Some((header, data)) = CaptureHeader::from_record(record) else {
            return;
        };
        let Some(hook) = header.hook() else { return };
        let label = self.labels.get(&header.slot);
        for client in &self.clients {
            if !client.filter.matches(data, label) {
                continue;
            }
            let Some(topic) = client.stream.topic(header.reason(), data) else {
                continue;
            };
            let start = &data[..data.len().min(client.length as usize)];
            let frame = Frame {
                parent: self.parent.clone(),
                hook: word(hook).into(),
                verdict: verdict(header.reason().class()).into(),
                reason: header.reason().word().to_owned(),
                child: label.map(|label| label.child.clone()),
                ifindex: label.map(|label| label.ifindex),
                netns: label.map(|label| label.netns.clone()),
                time_ns: nanoseconds(offset).saturating_add(header.time),
                length: header.len,
                data: STANDARD.encode(start),
            };
            client.stream.send(topic, frame);
        }
    }
}

const fn word(hook: Hook) -> protocol::Hook {
    match hook {
        Hook::Ingress => protocol::Hook::Ingress,
        Hook::Egress => protocol::Hook::Egress,
        Hook::Xdp => protocol::Hook::Xdp,
    }
}

const fn verdict(class: ReasonClass) -> Verdict {
    match class {
        ReasonClass::Answered => Verdict::Answered,
        ReasonClass::Hairpinned => Verdict::Hairpinned,
        ReasonClass::Redirected => Verdict::Redirected,
        ReasonClass::Dropped => Verdict::Dropped,
        ReasonClass::Delegated | ReasonClass::Passed => Verdict::Passed,
    }
}

/// Returns what a time of `CLOCK_MONOTONIC`, which programs read, is to be added to for a time since 1970.
fn clock_offset() -> Duration {
    let since_boot = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(Duration::ZERO, |now| now.saturating_sub(since_boot))
}

fn nanoseconds(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}
