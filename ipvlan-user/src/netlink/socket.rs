//! Request sockets, and what carries requests in tests.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sys::{
    socket::{setsockopt, sockopt::ReceiveTimeout},
    time::{TimeVal, TimeValLike},
};

use super::NetlinkError;

/// The kernel answers within the system call; this only turns a hang into an error.
const ANSWER_SECONDS: i64 = 10;

/// Carries requests to the kernel and its answers back, one datagram at a time.
pub(crate) trait Channel: std::fmt::Debug + Send {
    /// Sends one request.
    fn send(&mut self, request: &[u8]) -> io::Result<()>;

    /// Receives one datagram. Returns its whole length, which exceeds that of `buffer` if it was cut.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Discards what is left of an answer.
    fn reset(&mut self) -> Result<(), NetlinkError>;
}

/// A strict-checking socket in the netns of the thread that opened it.
#[derive(Debug)]
pub(crate) struct KernelChannel(Socket);

impl KernelChannel {
    pub(crate) fn new() -> Result<Self, NetlinkError> {
        open().map(Self)
    }
}

impl Channel for KernelChannel {
    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.0.send(request, 0).map(drop)
    }

    fn receive(&mut self, mut buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(&mut buffer, libc::MSG_TRUNC)
    }

    fn reset(&mut self) -> Result<(), NetlinkError> {
        self.0 = open()?;
        Ok(())
    }
}

fn open() -> Result<Socket, NetlinkError> {
    let failed = |step| move |source| NetlinkError::Socket { step, source };
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
