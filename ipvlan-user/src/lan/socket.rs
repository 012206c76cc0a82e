//! A socket that sends frames from the parent and receives nothing.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike as _, bind, send, socket,
};

/// Sends frames from one interface, through its egress hook. Needs `CAP_NET_RAW`.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
}

/// The outcome of sending a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It left.
    Yes,
    /// The interface is down: no station would receive it.
    Down,
    /// The queue is full.
    Full,
}

impl PacketSocket {
    /// Opens one in the netns of the calling thread. Without a protocol the kernel hands it no
    /// frames (`packet_create` registers no hook for 0).
    pub fn open(ifindex: u32) -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )?;
        bind(socket.as_raw_fd(), &link_address(ifindex)?)?;
        Ok(Self { socket })
    }

    /// Returns one that sends to a socket that a test reads.
    #[cfg(test)]
    pub(super) const fn to_test(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Sends a frame, Ethernet header included. An interface that is down or gone is no error: addresses are
    /// announced when it is back.
    pub fn send(&self, frame: &[u8]) -> io::Result<Sent> {
        match send(self.socket.as_raw_fd(), frame, MsgFlags::empty()) {
            Ok(_) => Ok(Sent::Yes),
            Err(nix::Error::ENETDOWN | nix::Error::ENXIO | nix::Error::ENODEV) => Ok(Sent::Down),
            Err(nix::Error::ENOBUFS | nix::Error::EAGAIN) => Ok(Sent::Full),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn link_address(ifindex: u32) -> io::Result<LinkAddr> {
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?,
        sll_protocol: 0,
        sll_ifindex: i32::try_from(ifindex).map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = u32::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: `address` is a whole sockaddr_ll of family AF_PACKET and outlives the call, which
    // copies it.
    unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(length)) }
        .ok_or_else(|| io::Error::other("not a link-layer address"))
}
