//! Requests to the kernel: one message out, rows or an acknowledgement in.
//!
//! A dump is either complete or an error: the errno of `NLMSG_DONE` is checked (a dump that is not
//! permitted ends like an empty one otherwise), a dump that changes interrupted is repeated, and
//! all of an answer is read before its first fault is reported.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sys::{
    socket::{setsockopt, sockopt::ReceiveTimeout},
    time::{TimeVal, TimeValLike},
};

use super::{
    DiscoverError,
    attribute::{self, Malformed},
};

const RECEIVE_BUFFER: usize = 256 * 1024;
const ATTEMPTS: u32 = 3;
/// The kernel answers within the system call; this only turns a hang into an error.
const ANSWER_SECONDS: i64 = 10;

/// A strict-checking request socket and the buffer its answers are read into.
#[derive(Debug)]
pub(crate) struct Rtnl {
    socket: Socket,
    buffer: Vec<u8>,
    request: Vec<u8>,
    sequence: u32,
    broken: bool,
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

    fn failed(self, source: io::Error) -> DiscoverError {
        DiscoverError::Request {
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

enum Round<T> {
    Complete(Vec<T>),
    Interrupted,
}

impl Rtnl {
    /// Opens a socket in the netns of the calling thread.
    pub(crate) fn new() -> Result<Self, DiscoverError> {
        Ok(Self {
            socket: open()?,
            buffer: vec![0; RECEIVE_BUFFER],
            request: Vec::new(),
            sequence: 0,
            broken: false,
        })
    }

    /// Dumps all rows that `decode` makes something of.
    pub(crate) fn dump<T>(
        &mut self,
        request: Request,
        message: &(impl NetlinkSerializable + Clone),
        mut decode: impl FnMut(&[u8]) -> Result<Option<T>, Malformed>,
    ) -> Result<Vec<T>, DiscoverError> {
        for _ in 0..ATTEMPTS {
            self.send(request, message, NLM_F_REQUEST | NLM_F_DUMP)?;
            if let Round::Complete(rows) = self.receive(request, true, &mut decode)? {
                return Ok(rows);
            }
        }
        Err(DiscoverError::Interrupted {
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
    ) -> Result<Option<T>, DiscoverError> {
        self.send(request, message, NLM_F_REQUEST | NLM_F_ACK)?;
        match self.receive(request, false, &mut decode)? {
            Round::Complete(rows) => Ok(rows.into_iter().next()),
            Round::Interrupted => Ok(None),
        }
    }

    /// Makes one change; `flags` are those beside the usual ones.
    pub(crate) fn change(
        &mut self,
        request: Request,
        message: &RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), DiscoverError> {
        self.send(request, message, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        self.receive(request, false, &mut |_| Ok(None::<()>))
            .map(drop)
    }

    fn send(
        &mut self,
        request: Request,
        message: &(impl NetlinkSerializable + Clone),
        flags: u16,
    ) -> Result<(), DiscoverError> {
        if self.broken {
            self.socket = open()?;
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
        self.socket
            .send(&self.request, 0)
            .map_err(|source| request.failed(source))?;
        Ok(())
    }

    /// Reads datagrams up to the end of the answer.
    fn receive<T>(
        &mut self,
        request: Request,
        dump: bool,
        decode: &mut impl FnMut(&[u8]) -> Result<Option<T>, Malformed>,
    ) -> Result<Round<T>, DiscoverError> {
        let mut rows = Vec::new();
        let mut interrupted = false;
        let mut malformed = None;
        // Until the answer has ended a later request could read its remains.
        self.broken = true;
        loop {
            let length = self
                .socket
                .recv(&mut &mut self.buffer[..], libc::MSG_TRUNC)
                .map_err(|source| request.failed(source))?;
            let datagram = self
                .buffer
                .get(..length)
                .ok_or_else(|| Malformed("longer than the receive buffer").answer_to(request))?;
            let mut rest = datagram;
            while !rest.is_empty() {
                let message = NetlinkBuffer::new_checked(rest)
                    .map_err(|_| Malformed("truncated message").answer_to(request))?;
                let consumed = attribute::aligned(message.length() as usize).min(rest.len());
                rest = &rest[consumed..];
                if message.sequence_number() != self.sequence {
                    continue;
                }
                interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
                match message.message_type() {
                    kind @ (NLMSG_DONE | NLMSG_ERROR) => {
                        self.broken = false;
                        check_errno(message.payload(), kind == NLMSG_DONE, request)?;
                        if let Some(malformed) = malformed {
                            return Err(Malformed::answer_to(malformed, request));
                        }
                        return Ok(if interrupted && dump {
                            Round::Interrupted
                        } else {
                            Round::Complete(rows)
                        });
                    }
                    _ => match decode(message.payload()) {
                        Ok(row) => rows.extend(row),
                        Err(error) => malformed = malformed.or(Some(error)),
                    },
                }
            }
        }
    }
}

/// Both `NLMSG_DONE` and `NLMSG_ERROR` start with a negative errno, or zero.
fn check_errno(payload: &[u8], done: bool, request: Request) -> Result<(), DiscoverError> {
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
    fn answer_to(self, request: Request) -> DiscoverError {
        DiscoverError::Malformed {
            request: request.to_string(),
            reason: self.0,
        }
    }
}

fn open() -> Result<Socket, DiscoverError> {
    let failed = |step| move |source| DiscoverError::Socket { step, source };
    let mut socket = Socket::new(NETLINK_ROUTE).map_err(failed("socket"))?;
    socket.bind_auto().map_err(failed("bind"))?;
    // A connected socket takes datagrams from the kernel only.
    socket
        .connect(&SocketAddr::new(0, 0))
        .map_err(failed("connect"))?;
    socket
        .set_netlink_get_strict_chk(true)
        .map_err(failed("NETLINK_GET_STRICT_CHK"))?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(ANSWER_SECONDS))
        .map_err(|errno| failed("SO_RCVTIMEO")(errno.into()))?;
    Ok(socket)
}
