//! ICMP and `ICMPv6` echo.

use std::{
    net::IpAddr,
    os::fd::{AsRawFd, OwnedFd},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use ipvlan_packet::checksum;
use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, recvfrom,
        sendto, socket,
    },
};

use super::{PAUSE, is_refusal, receive_within, target::Target};
use crate::family::Family;

const PAYLOAD: &[u8] = b"is every child behind its parent reachable from everywhere? ";

/// Does `target` answer an echo request sent from `source` within `patience`?
///
/// Without a `source` the kernel chooses the address.
pub fn ping(source: Option<IpAddr>, target: impl Into<Target>, patience: Duration) -> Result<bool> {
    let target = target.into();
    let echo = Echo::open(target, SockFlag::empty())?;
    if let Some(source) = source {
        let from = SockaddrStorage::from(Target::from(source).port(0));
        bind(echo.socket.as_raw_fd(), &from)
            .with_context(|| format!("cannot ping from {source}"))?;
    }
    let deadline = Instant::now() + patience;
    for sequence in 1u16.. {
        let now = Instant::now();
        if now >= deadline {
            break;
        }
        match echo.send(sequence, PAYLOAD) {
            Err(errno) if !is_refusal(errno) => {
                return Err(errno).with_context(|| format!("cannot ping {target}"));
            }
            _ => {}
        }
        if echo.replied(deadline.min(now + PAUSE))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the types of request and reply.
fn types(family: Family) -> (u8, u8) {
    match family {
        Family::V4 => (8, 0),
        Family::V6 => (128, 129),
    }
}

/// Echo requests to one address, and the replies to them.
#[derive(Debug)]
pub(crate) struct Echo {
    pub(crate) socket: OwnedFd,
    target: Target,
    identifier: u16,
}

impl Echo {
    /// Opens a socket in the current netns.
    pub(crate) fn open(target: Target, flags: SockFlag) -> Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(1);
        let (family, protocol) = match target.address {
            IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
            IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
        };
        let flags = flags | SockFlag::SOCK_CLOEXEC;
        let socket =
            socket(family, SockType::Raw, flags, protocol).context("cannot open an ICMP socket")?;
        Ok(Self {
            socket,
            target,
            identifier: NEXT.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Sends a request.
    pub(crate) fn send(&self, sequence: u16, payload: &[u8]) -> nix::Result<usize> {
        let to = SockaddrStorage::from(self.target.port(0));
        let request = self.request(sequence, payload);
        sendto(self.socket.as_raw_fd(), &request, &to, MsgFlags::empty())
    }

    /// Receives a packet; returns the payload if it is a reply to one of these requests.
    pub(crate) fn receive(&self) -> nix::Result<Option<Vec<u8>>> {
        let mut packet = [0; 256];
        let (length, from) = recvfrom::<SockaddrStorage>(self.socket.as_raw_fd(), &mut packet)?;
        let is_from = from.and_then(|from| ip(&from)) == Some(self.target.address);
        let reply = self.reply(&packet[..length]).filter(|_| is_from);
        Ok(reply.map(<[u8]>::to_vec))
    }

    fn replied(&self, deadline: Instant) -> Result<bool> {
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            receive_within(&self.socket, left)?;
            match self.receive() {
                Ok(reply) if reply.as_deref() == Some(PAYLOAD) => return Ok(true),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) if is_refusal(errno) => {}
                Err(errno) => return Err(errno).context("cannot receive ICMP"),
            }
        }
        Ok(false)
    }

    fn family(&self) -> Family {
        Family::of(self.target.address)
    }

    fn request(&self, sequence: u16, payload: &[u8]) -> Vec<u8> {
        let (request, _) = types(self.family());
        let mut message = vec![request, 0, 0, 0];
        message.extend(self.identifier.to_be_bytes());
        message.extend(sequence.to_be_bytes());
        message.extend(payload);
        if self.family() == Family::V4 {
            // The kernel does it for ICMPv6, whose checksum covers addresses that it chooses.
            let sum = checksum::internet(&message);
            message[2..4].copy_from_slice(&sum);
        }
        message
    }

    /// Returns the payload of a reply. An IPv4 socket gives the IP header as well, an IPv6 one does not.
    fn reply<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        let header = match self.family() {
            Family::V4 => usize::from(packet.first()? & 0xf) * 4,
            Family::V6 => 0,
        };
        let (_, reply) = types(self.family());
        let message = packet.get(header..)?;
        let is_ours =
            *message.first()? == reply && message.get(4..6)? == self.identifier.to_be_bytes();
        message.get(8..).filter(|_| is_ours)
    }
}

fn ip(from: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = || from.as_sockaddr_in().map(|from| from.ip().into());
    let v6 = || from.as_sockaddr_in6().map(|from| from.ip().into());
    v4().or_else(v6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_distinguished_from_a_request_and_from_replies_to_others() {
        for (family, header) in [(Family::V4, 20), (Family::V6, 0)] {
            let (end, _other_end) = nix::unistd::pipe().unwrap();
            let mut echo = Echo {
                socket: end,
                target: family.unspecified().into(),
                identifier: 7,
            };
            let request = echo.request(1, b"number");
            let sum = checksum::internet(&request);
            assert_eq!(sum == checksum::RIGHT, family == Family::V4);
            let mut packet = vec![0x45; header];
            packet.extend(request);
            assert_eq!(echo.reply(&packet), None, "that is the request");
            packet[header] = types(family).1;
            assert_eq!(echo.reply(&packet), Some(&b"number"[..]), "{family}");
            assert_eq!(echo.reply(&packet[..header + 7]), None, "{family}");
            echo.identifier = 8;
            assert_eq!(echo.reply(&packet), None, "{family}");
        }
    }
}
