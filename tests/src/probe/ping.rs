//! ICMP echo.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsRawFd, OwnedFd},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, bind, recvfrom,
        sendto, socket,
    },
};

use super::{PAUSE, is_refusal, receive_within};

const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;
const PAYLOAD: &[u8] = b"is every child behind its parent reachable from everywhere? ";

/// Does `target` answer an echo request sent from `source` within `patience`?
///
/// Without a `source` the kernel chooses the address.
pub fn ping(source: Option<Ipv4Addr>, target: Ipv4Addr, patience: Duration) -> Result<bool> {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let identifier = NEXT.fetch_add(1, Ordering::Relaxed);
    let socket = open(source)?;
    let to = SockaddrIn::from(SocketAddrV4::new(target, 0));
    let deadline = Instant::now() + patience;
    for sequence in 1u16.. {
        let now = Instant::now();
        if now >= deadline {
            break;
        }
        let request = request(identifier, sequence);
        match sendto(socket.as_raw_fd(), &request, &to, MsgFlags::empty()) {
            Err(errno) if !is_refusal(errno) => {
                return Err(errno).with_context(|| format!("cannot ping {target}"));
            }
            _ => {}
        }
        if replied(&socket, identifier, target, deadline.min(now + PAUSE))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn open(source: Option<Ipv4Addr>) -> Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::Icmp,
    )
    .context("cannot open an ICMP socket")?;
    if let Some(source) = source {
        bind(
            socket.as_raw_fd(),
            &SockaddrIn::from(SocketAddrV4::new(source, 0)),
        )
        .with_context(|| format!("cannot ping from {source}"))?;
    }
    Ok(socket)
}

fn replied(socket: &OwnedFd, identifier: u16, target: Ipv4Addr, deadline: Instant) -> Result<bool> {
    let mut packet = [0; 256];
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        receive_within(socket, left)?;
        match recvfrom::<SockaddrIn>(socket.as_raw_fd(), &mut packet) {
            Ok((length, Some(from)))
                if from.ip() == target && is_reply(&packet[..length], identifier) =>
            {
                return Ok(true);
            }
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) if is_refusal(errno) => {}
            Err(errno) => return Err(errno).context("cannot receive ICMP"),
        }
    }
    Ok(false)
}

fn request(identifier: u16, sequence: u16) -> Vec<u8> {
    let mut message = vec![ECHO_REQUEST, 0, 0, 0];
    message.extend(identifier.to_be_bytes());
    message.extend(sequence.to_be_bytes());
    message.extend(PAYLOAD);
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

fn is_reply(packet: &[u8], identifier: u16) -> bool {
    let header = usize::from(packet.first().copied().unwrap_or_default() & 0xf) * 4;
    let Some(message) = packet.get(header..) else {
        return false;
    };
    message.first() == Some(&ECHO_REPLY)
        && message.get(4..6) == Some(&identifier.to_be_bytes())
        && message.get(8..) == Some(PAYLOAD)
}

fn checksum(message: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in message.chunks(2) {
        sum += u32::from(u16::from_be_bytes([
            pair[0],
            pair.get(1).copied().unwrap_or_default(),
        ]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_sums_to_zero() {
        assert_eq!(checksum(&request(7, 1)), 0);
    }

    #[test]
    fn recognises_only_the_reply_to_its_own_request() {
        let mut packet = vec![0x45; 20];
        packet.extend(request(7, 1));
        assert!(!is_reply(&packet, 7), "that is the request");
        packet[20] = ECHO_REPLY;
        assert!(is_reply(&packet, 7));
        assert!(!is_reply(&packet, 8));
        assert!(!is_reply(&packet[..30], 7));
    }
}
