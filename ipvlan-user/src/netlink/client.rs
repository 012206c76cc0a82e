//! Requests to the kernel: one message out, rows or an acknowledgement in.
//!
//! A dump is either complete or an error: the errno of `NLMSG_DONE` is checked (a dump that is not
//! permitted ends like an empty one otherwise), and a dump that changes interrupted is repeated. A dump
//! that exceeds its limit, or has a fault, is abandoned: its rest is never read.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;

use super::{
    NetlinkError,
    attribute::{self, Malformed},
    socket::{Channel, KernelChannel},
};

const RECEIVE_BUFFER: usize = 256 * 1024;
const ATTEMPTS: u32 = 3;

/// A request socket and the buffer its answers are read into.
#[derive(Debug)]
pub(crate) struct Rtnl {
    channel: Box<dyn Channel>,
    buffer: Vec<u8>,
    request: Vec<u8>,
    sequence: u32,
    broken: bool,
    /// Datagrams with rows that the last answer had.
    datagrams: usize,
}

/// What is asked, for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) name: &'static str,
    pub(crate) nsid: Option<i32>,
}

impl Request {
    pub(crate) const fn own(name: &'static str) -> Self {
        Self { name, nsid: None }
    }

    fn failed(self, source: io::Error) -> NetlinkError {
        NetlinkError::Request {
            request: self.to_string(),
            source,
        }
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.nsid {
            None => f.write_str(self.name),
            Some(nsid) => write!(f, "{} of netns with nsid {nsid}", self.name),
        }
    }
}

/// How much of a dump is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// Rows that are kept.
    pub(crate) rows: usize,
    /// Rows that are not.
    pub(crate) others: usize,
}

impl Limit {
    /// All of it.
    pub(crate) const NONE: Self = Self {
        rows: usize::MAX,
        others: usize::MAX,
    };
}

/// How a dump ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All rows were read.
    Complete,
    /// There are more rows than the limit allows to keep. Those that are within it were kept.
    TooManyRows,
    /// There are more rows of no use than the limit allows.
    TooManyOthers,
}

/// One message of an answer, with its header.
type Row<'a> = NetlinkBuffer<&'a [u8]>;

enum Round<T> {
    Ended(Vec<T>, End),
    Interrupted,
}

impl Rtnl {
    /// Opens a socket in the netns of the calling thread.
    pub(crate) fn new() -> Result<Self, NetlinkError> {
        Ok(Self::over(Box::new(KernelChannel::new()?)))
    }

    /// Makes requests over this channel.
    pub(crate) fn over(channel: Box<dyn Channel>) -> Self {
        Self {
            channel,
            buffer: vec![0; RECEIVE_BUFFER],
            request: Vec::new(),
            sequence: 0,
            broken: false,
            datagrams: 0,
        }
    }

    /// Dumps all rows that `decode` makes something of.
    pub(crate) fn dump<T>(
        &mut self,
        request: Request,
        message: &(impl NetlinkSerializable + Clone),
        decode: impl FnMut(&[u8]) -> Result<Option<T>, Malformed>,
    ) -> Result<Vec<T>, NetlinkError> {
        let (rows, _) = self.dump_some(request, message, Limit::NONE, decode)?;
        Ok(rows)
    }

    /// Dumps the rows that `decode` makes something of, up to a limit.
    pub(crate) fn dump_some<T>(
        &mut self,
        request: Request,
        message: &(impl NetlinkSerializable + Clone),
        limit: Limit,
        mut decode: impl FnMut(&[u8]) -> Result<Option<T>, Malformed>,
    ) -> Result<(Vec<T>, End), NetlinkError> {
        let mut of_payload = |row: &Row<'_>| decode(row.payload());
        self.dump_rows(request, message, limit, &mut of_payload)
    }

    fn dump_rows<T>(
        &mut self,
        request: Request,
        message: &(impl NetlinkSerializable + Clone),
        limit: Limit,
        decode: &mut impl FnMut(&Row<'_>) -> Result<Option<T>, Malformed>,
    ) -> Result<(Vec<T>, End), NetlinkError> {
        for _ in 0..ATTEMPTS {
            self.send(request, message, NLM_F_REQUEST | NLM_F_DUMP)?;
            if let Round::Ended(rows, end) = self.receive(request, Some(limit), decode)? {
                return Ok((rows, end));
            }
        }
        Err(NetlinkError::Interrupted {
            request: request.to_string(),
            attempts: ATTEMPTS,
        })
    }

    /// As [`Self::dump_some`], where the kernel does not report that the dump was interrupted by changes. Rows that
    /// arrive in one datagram were read at once; more of them are read until they are the same twice in a row.
    pub(crate) fn dump_steady<T: PartialEq>(
        &mut self,
        request: Request,
        message: &(impl NetlinkSerializable + Clone),
        limit: Limit,
        mut decode: impl FnMut(&[u8]) -> Result<Option<T>, Malformed>,
    ) -> Result<(Vec<T>, End), NetlinkError> {
        let mut before = None;
        for _ in 0..=ATTEMPTS {
            let now = self.dump_some(request, message, limit, &mut decode)?;
            if self.datagrams <= 1 || before.as_ref() == Some(&now) {
                return Ok(now);
            }
            before = Some(now);
        }
        Err(NetlinkError::Interrupted {
            request: request.to_string(),
            attempts: ATTEMPTS,
        })
    }

    /// Makes one request; the answer is the row that `decode` finds before the acknowledgement.
    pub(crate) fn ask<T>(
        &mut self,
        request: Request,
        message: &RouteNetlinkMessage,
        mut decode: impl FnMut(&[u8]) -> Result<Option<T>, Malformed>,
    ) -> Result<Option<T>, NetlinkError> {
        let mut of_payload = |row: &Row<'_>| decode(row.payload());
        let rows = self.acknowledged(request, message, 0, &mut of_payload)?;
        Ok(rows.into_iter().next())
    }

    /// Makes one change; `flags` are those beside the usual ones.
    pub(crate) fn change(
        &mut self,
        request: Request,
        message: &RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), NetlinkError> {
        self.acknowledged(request, message, flags, &mut |_| Ok(None::<()>))
            .map(drop)
    }

    /// Makes one request or change, and returns the rows before the acknowledgement as the library decodes them.
    pub(crate) fn ask_decoded(
        &mut self,
        request: Request,
        message: &RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        self.acknowledged(request, message, flags, &mut |row| Ok(decoded(row)))
    }

    /// Dumps all rows as the library decodes them; none for a row that it cannot: what other processes have set up may
    /// be newer than this build.
    pub(crate) fn dump_decoded(
        &mut self,
        request: Request,
        message: &RouteNetlinkMessage,
    ) -> Result<Vec<Option<RouteNetlinkMessage>>, NetlinkError> {
        let mut each = |row: &Row<'_>| Ok(Some(decoded(row)));
        let (rows, _) = self.dump_rows(request, message, Limit::NONE, &mut each)?;
        Ok(rows)
    }

    fn acknowledged<T>(
        &mut self,
        request: Request,
        message: &RouteNetlinkMessage,
        flags: u16,
        decode: &mut impl FnMut(&Row<'_>) -> Result<Option<T>, Malformed>,
    ) -> Result<Vec<T>, NetlinkError> {
        self.send(request, message, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        match self.receive(request, None, decode)? {
            Round::Ended(rows, _) => Ok(rows),
            Round::Interrupted => Ok(Vec::new()),
        }
    }

    fn send(
        &mut self,
        request: Request,
        message: &(impl NetlinkSerializable + Clone),
        flags: u16,
    ) -> Result<(), NetlinkError> {
        if self.broken {
            self.channel.reset()?;
            self.broken = false;
        }
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message.clone()));
        packet.finalize();
        self.request.clear();
        self.request.resize(packet.buffer_len(), 0);
        packet.serialize(&mut self.request);
        self.channel
            .send(&self.request)
            .map_err(|source| request.failed(source))
    }

    /// Reads datagrams up to the end of the answer; of a dump, up to its limit.
    fn receive<T>(
        &mut self,
        request: Request,
        dump: Option<Limit>,
        decode: &mut impl FnMut(&Row<'_>) -> Result<Option<T>, Malformed>,
    ) -> Result<Round<T>, NetlinkError> {
        let mut rows = Vec::new();
        let limit = dump.unwrap_or(Limit::NONE);
        let mut others = 0;
        let mut interrupted = false;
        self.datagrams = 0;
        // Until the answer has ended a later request could read its remains.
        self.broken = true;
        loop {
            let length = match self.channel.receive(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                received => received.map_err(|source| request.failed(source))?,
            };
            let datagram = self
                .buffer
                .get(..length)
                .ok_or_else(|| Malformed("longer than the receive buffer").answer_to(request))?;
            if datagram.is_empty() {
                return Err(Malformed("empty datagram").answer_to(request));
            }
            let mut rest = datagram;
            let mut has_rows = false;
            while !rest.is_empty() {
                let message = NetlinkBuffer::new_checked(rest)
                    .map_err(|_| Malformed("truncated message").answer_to(request))?;
                let consumed = attribute::aligned(message.length() as usize).min(rest.len());
                rest = &rest[consumed..];
                if message.sequence_number() != self.sequence {
                    continue;
                }
                interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
                let kind = message.message_type();
                if matches!(kind, NLMSG_DONE | NLMSG_ERROR) {
                    self.broken = false;
                    check_errno(message.payload(), kind == NLMSG_DONE, request)?;
                    return Ok(if interrupted && dump.is_some() {
                        Round::Interrupted
                    } else {
                        Round::Ended(rows, End::Complete)
                    });
                }
                if !std::mem::replace(&mut has_rows, true) {
                    self.datagrams += 1;
                }
                match decode(&message) {
                    Ok(Some(_)) if rows.len() == limit.rows => {
                        return Ok(Round::Ended(rows, End::TooManyRows));
                    }
                    Ok(None) if others == limit.others => {
                        return Ok(Round::Ended(rows, End::TooManyOthers));
                    }
                    Ok(Some(row)) => rows.push(row),
                    Ok(None) => others += 1,
                    Err(malformed) => return Err(malformed.answer_to(request)),
                }
            }
        }
    }
}

/// Returns a row as the library decodes it, if it can.
fn decoded(row: &Row<'_>) -> Option<RouteNetlinkMessage> {
    let mut header = NetlinkHeader::default();
    header.message_type = row.message_type();
    RouteNetlinkMessage::deserialize(&header, row.payload()).ok()
}

/// Both `NLMSG_DONE` and `NLMSG_ERROR` start with a negative errno, or zero.
fn check_errno(payload: &[u8], done: bool, request: Request) -> Result<(), NetlinkError> {
    let errno = match attribute::i32_at(payload, 0) {
        Some(errno) => errno,
        // Old kernels end a dump without one.
        None if done => 0,
        None => return Err(Malformed("truncated acknowledgement").answer_to(request)),
    };
    if errno == 0 {
        return Ok(());
    }
    Err(request.failed(io::Error::from_raw_os_error(errno.saturating_neg())))
}

impl Malformed {
    fn answer_to(self, request: Request) -> NetlinkError {
        NetlinkError::Malformed {
            request: request.to_string(),
            reason: self.0,
        }
    }
}
