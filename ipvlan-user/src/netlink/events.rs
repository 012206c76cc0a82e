//! The socket of netlink events of all netns.

use std::{
    io::IoSliceMut,
    os::fd::{AsRawFd, RawFd},
};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{
        ControlMessageOwned, MsgFlags, NetlinkAddr, recvmsg, setsockopt,
        sockopt::{RcvBuf, RcvBufForce},
    },
};

use super::{NetlinkError, attribute, error::ALL_NETNSES};

/// A non-blocking socket that receives events of all netns with an nsid.
#[derive(Debug)]
pub(crate) struct EventSocket(Socket);

/// Where datagrams of events are received.
#[derive(Debug)]
pub(crate) struct EventBuffer {
    /// The events.
    pub(crate) bytes: Vec<u8>,
    control: Vec<u8>,
}

impl EventBuffer {
    /// Returns a buffer for datagrams of this length.
    pub(crate) fn new(length: usize) -> Self {
        Self {
            bytes: vec![0; length],
            control: cmsg_space!(i32),
        }
    }
}

/// One datagram of events.
pub(crate) struct Datagram {
    /// Its whole length, which exceeds that of the buffer if it was cut.
    pub(crate) length: usize,
    /// The netns where it happened; none for our own.
    pub(crate) nsid: Option<i32>,
    /// Whether the kernel sent it, not another process.
    pub(crate) by_kernel: bool,
}

impl EventSocket {
    /// Subscribes to these groups in the netns of the calling thread, with room for about this many bytes of events.
    pub(crate) fn new(receive_buffer: usize, groups: &[u32]) -> Result<Self, NetlinkError> {
        let failed = |step| move |source| NetlinkError::Socket { step, source };
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(failed("socket"))?;
        socket
            .set_non_blocking(true)
            .map_err(failed("O_NONBLOCK"))?;
        // Forcing needs CAP_NET_ADMIN; without it net.core.rmem_max is as good as it gets.
        if setsockopt(&socket, RcvBufForce, &receive_buffer).is_err() {
            setsockopt(&socket, RcvBuf, &receive_buffer)
                .map_err(|errno| failed("SO_RCVBUF")(errno.into()))?;
        }
        socket
            .set_listen_all_namespaces(true)
            .map_err(failed(ALL_NETNSES))?;
        socket
            .bind(&SocketAddr::new(0, 0))
            .map_err(failed("bind"))?;
        for &group in groups {
            socket
                .add_membership(group)
                .map_err(failed("NETLINK_ADD_MEMBERSHIP"))?;
        }
        Ok(Self(socket))
    }

    /// Receives one datagram with its control message, which `recvfrom` loses.
    pub(crate) fn receive(&self, buffer: &mut EventBuffer) -> Result<Datagram, Errno> {
        let mut parts = [IoSliceMut::new(&mut buffer.bytes)];
        let message = recvmsg::<NetlinkAddr>(
            self.0.as_raw_fd(),
            &mut parts,
            Some(&mut buffer.control),
            MsgFlags::MSG_TRUNC,
        )?;
        let nsid = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Unknown(control)
                if control.cmsg_header.cmsg_level == libc::SOL_NETLINK
                    && control.cmsg_header.cmsg_type == libc::NETLINK_LISTEN_ALL_NSID =>
            {
                attribute::i32_at(&control.data_bytes, 0)
            }
            _ => None,
        });
        Ok(Datagram {
            length: message.bytes,
            nsid,
            by_kernel: message.address.is_some_and(|sender| sender.pid() == 0),
        })
    }
}

impl AsRawFd for EventSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
