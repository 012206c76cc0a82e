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
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let target = target.into();
    let echo = Echo {
        family: Family::of(target.address),
        identifier: NEXT.fetch_add(1, Ordering::Relaxed),
    };
    let socket = echo.open(source)?;
    let to = SockaddrStorage::from(target.port(0));
    let deadline = Instant::now() + patience;
    for sequence in 1u16.. {
        let now = Instant::now();
        if now >= deadline {
            break;
        }
        match sendto(
            socket.as_raw_fd(),
            &echo.request(sequence),
            &to,
            MsgFlags::empty(),
        ) {
            Err(errno) if !is_refusal(errno) => {
                return Err(errno).with_context(|| format!("cannot ping {target}"));
            }
            _ => {}
        }
        if echo.replied(&socket, target.address, deadline.min(now + PAUSE))? {
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

/// What the requests of one probe have in common.
#[derive(Clone, Copy, Debug)]
struct Echo {
    family: Family,
    identifier: u16,
}

impl Echo {
    fn open(self, source: Option<IpAddr>) -> Result<OwnedFd> {
        let (family, protocol) = match self.family {
            Family::V4 => (AddressFamily::Inet, SockProtocol::Icmp),
            Family::V6 => (AddressFamily::Inet6, SockProtocol::IcmpV6),
        };
        let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)
            .context("cannot open an ICMP socket")?;
        if let Some(source) = source {
            let from = SockaddrStorage::from(Target::from(source).port(0));
            bind(socket.as_raw_fd(), &from)
                .with_context(|| format!("cannot ping from {source}"))?;
        }
        Ok(socket)
    }

    fn replied(self, socket: &OwnedFd, target: IpAddr, deadline: Instant) -> Result<bool> {
        let mut packet = [0; 256];
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            receive_within(socket, left)?;
            match recvfrom::<SockaddrStorage>(socket.as_raw_fd(), &mut packet) {
                Ok((length, Some(from)))
                    if ip(&from) == Some(target) && self.is_reply(&packet[..length]) =>
                {
                    return Ok(true);
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) if is_refusal(errno) => {}
                Err(errno) => return Err(errno).context("cannot receive ICMP"),
            }
        }
        Ok(false)
    }

    fn request(self, sequence: u16) -> Vec<u8> {
        let (request, _) = types(self.family);
        let mut message = vec![request, 0, 0, 0];
        message.extend(self.identifier.to_be_bytes());
        message.extend(sequence.to_be_bytes());
        message.extend(PAYLOAD);
        if self.family == Family::V4 {
            // The kernel does it for ICMPv6, whose checksum covers addresses that it chooses.
            let sum = checksum::internet(&message);
            message[2..4].copy_from_slice(&sum);
        }
        message
    }

    /// Is `packet` the reply? An IPv4 socket gives the IP header as well, an IPv6 one does not.
    fn is_reply(self, packet: &[u8]) -> bool {
        let header = match self.family {
            Family::V4 => usize::from(packet.first().copied().unwrap_or_default() & 0xf) * 4,
            Family::V6 => 0,
        };
        let Some(message) = packet.get(header..) else {
            return false;
        };
        let (_, reply) = types(self.family);
        message.first() == Some(&reply)
            && message.get(4..6) == Some(&self.identifier.to_be_bytes())
            && message.get(8..) == Some(PAYLOAD)
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

    const ECHO: Echo = Echo {
        family: Family::V4,
        identifier: 7,
    };

    #[test]
    fn request_sums_to_zero() {
        assert_eq!(checksum::internet(&ECHO.request(1)), checksum::RIGHT);
    }

    #[test]
    fn recognises_only_the_reply_to_its_own_request() {
        for (family, header) in [(Family::V4, 20), (Family::V6, 0)] {
            let echo = Echo { family, ..ECHO };
            let other = Echo {
                identifier: 8,
                ..echo
            };
            let mut packet = vec![0x45; header];
            packet.extend(echo.request(1));
            assert!(!echo.is_reply(&packet), "that is the request");
            packet[header] = types(family).1;
            assert!(echo.is_reply(&packet), "{family}");
            assert!(!other.is_reply(&packet), "{family}");
            assert!(!echo.is_reply(&packet[..header + 10]), "{family}");
        }
    }
}
