//! A socket of which at most so many bytes are read: zlink keeps up to 100 MB of a message.

use std::{
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use zlink::{
    connection::socket::{ReadHalf, ReadResult, Socket},
    tokio::unix::Stream,
};

/// The half that is written.
pub(super) type WriteHalf = <Stream as Socket>::WriteHalf;

/// What the limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The bytes of each message.
    Message,
    /// All bytes.
    Connection,
}

/// A connected socket with a limit.
#[derive(Debug)]
pub(super) struct Bounded {
    stream: Stream,
    limit: usize,
    scope: Scope,
    read: Arc<AtomicUsize>,
}

impl Bounded {
    /// Limits a connected socket to `limit` bytes.
    pub(super) fn new(stream: UnixStream, limit: usize, scope: Scope) -> zlink::Result<Self> {
        Ok(Self {
            stream: stream.try_into()?,
            limit,
            scope,
            read: Arc::default(),
        })
    }

    /// Returns the counter of the bytes that were read.
    pub(super) fn counter(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.read)
    }
}

impl Socket for Bounded {
    type ReadHalf = BoundedReadHalf;
    type WriteHalf = WriteHalf;

    fn split(self) -> (BoundedReadHalf, WriteHalf) {
        let Self {
            stream,
            limit,
            scope,
            read,
        } = self;
        let (inner, write) = stream.split();
        let bounded = BoundedReadHalf {
            inner,
            limit,
            scope,
            counted: 0,
            read,
        };
        (bounded, write)
    }
}

/// The half that is read.
#[derive(Debug)]
pub(super) struct BoundedReadHalf {
    inner: <Stream as Socket>::ReadHalf,
    limit: usize,
    scope: Scope,
    /// Bytes that count at this moment.
    counted: usize,
    read: Arc<AtomicUsize>,
}

impl ReadHalf for BoundedReadHalf {
    /// Fails with [`zlink::Error::BufferOverflow`] beyond the limit. Descriptors that came with the bytes are closed.
    async fn read(&mut self, buffer: &mut [u8]) -> zlink::Result<ReadResult> {
        let mut result = self.inner.read(buffer).await?;
        drop(result.take_fds());
        let length = result.bytes_read();
        self.read.fetch_add(length, Ordering::Relaxed);
        let end = buffer[..length].iter().rposition(|&byte| byte == 0);
        self.counted = match (self.scope, end) {
            (Scope::Message, Some(end)) => length - end - 1,
            _ => self.counted.saturating_add(length),
        };
        if self.counted > self.limit {
            return Err(zlink::Error::BufferOverflow);
        }
        Ok(result)
    }
}
