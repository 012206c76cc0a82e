//! A socket for whole Ethernet frames of one device.

use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    net::if_::if_nametoindex,
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        socket::{
            AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, bind, recv, send,
            socket,
        },
        time::TimeSpec,
    },
};

/// Frames of every type, sent ones too (`ETH_P_ALL`).
pub const EVERY_TYPE: u16 = 3;
/// The length of the longest frame that [`PacketSocket::frame`] returns whole.
const LONGEST: usize = 2048;

/// Sends and receives frames of one `EtherType` on one device.
#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens a socket on `device` of the current netns for frames of type `ether_type`.
    pub fn open(device: &str, ether_type: u16) -> Result<Self> {
        // Without a protocol it receives nothing until it is bound to its device.
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .context("cannot open a packet socket")?;
        let index =
            if_nametoindex(device).with_context(|| format!("no interface {device} here"))?;
        bind(socket.as_raw_fd(), &link_address(index, ether_type)?)
            .with_context(|| format!("cannot bind a packet socket to {device}"))?;
        Ok(Self(socket))
    }

    /// The socket itself.
    #[must_use]
    pub fn into_inner(self) -> OwnedFd {
        self.0
    }

    /// Sends one frame.
    pub fn send(&self, frame: &[u8]) -> nix::Result<usize> {
        send(self.0.as_raw_fd(), frame, MsgFlags::empty())
    }

    /// Receives one frame, or nothing within `patience`, which is kept to the microsecond: what a socket
    /// itself waits is counted in ticks of the kernel, of 4 ms.
    pub fn receive(&self, buffer: &mut [u8], patience: Duration) -> Result<Option<usize>> {
        let mut readable = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut readable, Some(TimeSpec::from_duration(patience)), None) {
            Ok(0) | Err(Errno::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(errno) => return Err(errno).context("cannot wait for a frame"),
        }
        match recv(self.0.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => Ok(Some(length)),
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => Ok(None),
            Err(errno) => Err(errno).context("cannot receive a frame"),
        }
    }

    /// Receives one frame, or nothing within `patience`.
    pub fn frame(&self, patience: Duration) -> Result<Option<Vec<u8>>> {
        let mut buffer = [0; LONGEST];
        let length = self.receive(&mut buffer, patience)?;
        Ok(length.map(|length| buffer[..length.min(LONGEST)].to_vec()))
    }

    /// Returns the frames that arrive within `time`, those that have arrived already included, and when.
    pub fn frames(&self, time: Duration) -> Result<Vec<(Duration, Vec<u8>)>> {
        let begun = Instant::now();
        let mut frames = Vec::new();
        loop {
            let left = time.saturating_sub(begun.elapsed());
            match self.frame(left)? {
                Some(frame) => frames.push((begun.elapsed(), frame)),
                None if left.is_zero() => return Ok(frames),
                None => {}
            }
        }
    }
}

/// Returns the address by which a packet socket sends frames of this type from a device.
pub(crate) fn link_address(index: u32, ether_type: u16) -> Result<LinkAddr> {
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET)?,
        sll_protocol: ether_type.to_be(),
        sll_ifindex: i32::try_from(index)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = u32::try_from(size_of_val(&address))?;
    // SAFETY: `address` is a whole sockaddr_ll of family AF_PACKET and outlives the call, which
    // copies it.
    unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(length)) }
        .context("cannot make a link-layer address")
}
