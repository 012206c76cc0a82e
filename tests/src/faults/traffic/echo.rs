//! A stream of numbered echo requests to one address, which the kernel there replies to.

use std::{
    net::IpAddr,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use ipvlan_packet::checksum;
use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, recv,
        send, setsockopt, socket, sockopt::RcvBufForce,
    },
};

use super::{log::Log, source::Source};
use crate::probe::target::Target;

/// Room for everything that a machine that stands still for a while has not taken.
const ROOM: usize = 4 << 20;

/// One stream.
#[derive(Debug)]
pub(super) struct Echo {
    socket: OwnedFd,
    address: IpAddr,
    identifier: u16,
    interval: Duration,
}

impl Echo {
    /// A stream to `address` from the current netns.
    pub(super) fn open(address: IpAddr, interval: Duration) -> Result<Self> {
        // Those of pings begin at 1.
        static NEXT: AtomicU16 = AtomicU16::new(0x8000);
        let (family, protocol) = match address {
            IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
            IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket =
            socket(family, SockType::Raw, flags, protocol).context("cannot open an ICMP socket")?;
        setsockopt(&socket, RcvBufForce, &ROOM).context("cannot have room for replies")?;
        let to = SockaddrStorage::from(Target::from(address).port(0));
        connect(socket.as_raw_fd(), &to).with_context(|| format!("cannot ping {address}"))?;
        Ok(Self {
            socket,
            address,
            identifier: NEXT.fetch_add(1, Ordering::Relaxed),
            interval,
        })
    }

    fn request(&self, number: u32) -> Vec<u8> {
        let kind = if self.address.is_ipv4() { 8 } else { 128 };
        let mut message = vec![kind, 0, 0, 0];
        message.extend(self.identifier.to_be_bytes());
        message.extend([0, 0]);
        message.extend(number.to_be_bytes());
        if self.address.is_ipv4() {
            // The kernel does it for ICMPv6, whose checksum covers addresses that it chooses.
            let sum = checksum::internet(&message);
            message[2..4].copy_from_slice(&sum);
        }
        message
    }

    /// The number in a reply to one of ours. An IPv4 socket gives the IP header as well.
    fn number(&self, packet: &[u8]) -> Option<u32> {
        let (header, reply) = match self.address {
            IpAddr::V4(_) => (usize::from(packet.first()? & 0xf) * 4, 0),
            IpAddr::V6(_) => (0, 129),
        };
        let message = packet.get(header..)?;
        let ours = *message.first()? == reply
            && message.get(4..6)? == self.identifier.to_be_bytes().as_slice();
        if !ours {
            return None;
        }
        Some(u32::from_be_bytes(message.get(8..12)?.try_into().ok()?))
    }
}

impl Source for Echo {
    fn interval(&self) -> Duration {
        self.interval
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.socket.as_fd()]
    }

    fn send(&mut self, log: &Log) -> Result<()> {
        let request = self.request(log.next());
        log.send(self.address, false);
        // Whatever is in the way, the packet has not arrived.
        let _lost = send(self.socket.as_raw_fd(), &request, MsgFlags::empty());
        Ok(())
    }

    fn receive(&self, log: &Log) -> Result<()> {
        let mut packet = [0; 256];
        loop {
            match recv(self.socket.as_raw_fd(), &mut packet, MsgFlags::empty()) {
                Ok(length) => {
                    if let Some(number) = self.number(&packet[..length]) {
                        log.answered(number, None);
                    }
                }
                Err(Errno::EAGAIN) => return Ok(()),
                // A router or a neighbour table that says no; the socket lives on.
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_reply_is_told_from_a_request_and_from_that_of_others() {
        let (socket, _end) = nix::unistd::pipe().unwrap();
        let mut echo = Echo {
            socket,
            address: Ipv4Addr::LOCALHOST.into(),
            identifier: 7,
            interval: Duration::ZERO,
        };
        let mut packet = vec![0x45; 20];
        packet.extend(echo.request(0x0102_0304));
        assert_eq!(echo.number(&packet), None);
        packet[20] = 0;
        assert_eq!(echo.number(&packet), Some(0x0102_0304));
        assert_eq!(echo.number(&packet[..30]), None);
        echo.identifier = 8;
        assert_eq!(echo.number(&packet), None);
    }
}
