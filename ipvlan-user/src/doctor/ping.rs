//! Echo requests to several addresses at once.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recvfrom,
        sendto, socket,
    },
};

/// Time between two requests to an address.
const AGAIN: Duration = Duration::from_millis(300);
const HEADER: usize = 8;

/// What came of the requests to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It replied, so long after the first request.
    Reply(Duration),
    /// It did not reply in time; with the error of the last request, if that failed.
    Silence(Option<String>),
    /// This process may not send echo requests.
    Denied,
}

/// A socket of one family.
struct Echo {
    socket: OwnedFd,
    is_v6: bool,
    /// The kernel sets neither the identifier nor, in IPv4, the checksum, and returns the IPv4 header.
    is_raw: bool,
    identifier: u16,
}

/// Sends echo requests from the netns of this thread to all of these addresses until each has replied, for at most
/// this time. The outcomes are in the order of the addresses.
pub(super) fn ping(targets: &[IpAddr], patience: Duration) -> Vec<Outcome> {
    let begun = Instant::now();
    let sockets = [false, true].map(|is_v6| {
        let is_wanted = targets.iter().any(|target| target.is_ipv6() == is_v6);
        is_wanted.then(|| Echo::open(is_v6).ok()).flatten()
    });
    let mut outcomes: Vec<Outcome> = targets
        .iter()
        .map(|target| match &sockets[usize::from(target.is_ipv6())] {
            Some(_) => Outcome::Silence(None),
            None => Outcome::Denied,
        })
        .collect();
    let is_open = |outcome: &Outcome| matches!(outcome, Outcome::Silence(_));
    while begun.elapsed() < patience && outcomes.iter().any(is_open) {
        for (index, target) in targets.iter().enumerate() {
            let echo = &sockets[usize::from(target.is_ipv6())];
            if let (Outcome::Silence(failure), Some(echo)) = (&mut outcomes[index], echo) {
                *failure = echo
                    .send(*target, index)
                    .err()
                    .map(|errno| errno.desc().to_owned());
            }
        }
        let until = (begun + patience).min(Instant::now() + AGAIN);
        while outcomes.iter().any(is_open) && receive(&sockets, until) {
            for echo in sockets.iter().flatten() {
                while let Some((from, index)) = echo.receive() {
                    let outcome = outcomes.get_mut(index);
                    if let Some(outcome) =
                        outcome.filter(|it| is_open(it) && targets[index] == from)
                    {
                        *outcome = Outcome::Reply(begun.elapsed());
                    }
                }
            }
        }
    }
    outcomes
}

/// Waits until a packet arrives; returns whether one has.
fn receive(sockets: &[Option<Echo>; 2], until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    let mut waiting: Vec<PollFd<'_>> = sockets
        .iter()
        .flatten()
        .map(|echo| PollFd::new(echo.socket.as_fd(), PollFlags::POLLIN))
        .collect();
    let timeout = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
    timeout > 0 && matches!(poll(&mut waiting, PollTimeout::from(timeout)), Ok(1..))
}

impl Echo {
    /// Opens a ping socket, for which `net.ipv4.ping_group_range` is asked, or a raw one, which takes `CAP_NET_RAW`.
    fn open(is_v6: bool) -> io::Result<Self> {
        let (family, protocol) = if is_v6 {
            (AddressFamily::Inet6, SockProtocol::IcmpV6)
        } else {
            (AddressFamily::Inet, SockProtocol::Icmp)
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let open = |kind| socket(family, kind, flags, protocol);
        let (socket, is_raw) = match open(SockType::Datagram) {
            Ok(socket) => (socket, false),
            Err(_) => (open(SockType::Raw)?, true),
        };
        let identifier = std::process::id().to_le_bytes();
        Ok(Self {
            socket,
            is_v6,
            is_raw,
            identifier: u16::from_le_bytes([identifier[0], identifier[1]]),
        })
    }

    fn send(&self, target: IpAddr, index: usize) -> nix::Result<usize> {
        let sequence = u16::try_from(index).unwrap_or(u16::MAX);
        let to = SockaddrStorage::from(SocketAddr::new(target, 0));
        let request = request(self.is_v6, self.identifier, sequence);
        sendto(self.socket.as_raw_fd(), &request, &to, MsgFlags::empty())
    }

    /// Returns the sender and the number of a reply; none if nothing more has arrived.
    fn receive(&self) -> Option<(IpAddr, usize)> {
        let mut packet = [0; 256];
        loop {
            let received = recvfrom::<SockaddrStorage>(self.socket.as_raw_fd(), &mut packet);
            let (length, from) = match received {
                Ok((length, from)) => (length, from?),
                Err(Errno::EINTR) => continue,
                // EAGAIN, or the ICMP error of an earlier request.
                Err(_) => return None,
            };
            let v4 = from.as_sockaddr_in().map(|from| IpAddr::from(from.ip()));
            let from = v4.or_else(|| from.as_sockaddr_in6().map(|from| from.ip().into()))?;
            let packet = &packet[..length];
            if let Some(sequence) = self.sequence(packet) {
                return Some((from, usize::from(sequence)));
            }
        }
    }

    /// Returns the number of a reply to one of our requests.
    fn sequence(&self, packet: &[u8]) -> Option<u16> {
        let header = match packet.first() {
            Some(first) if self.is_raw && !self.is_v6 => usize::from(first & 0xf) * 4,
            _ => 0,
        };
        let reply = if self.is_v6 { 129 } else { 0 };
        let message = packet.get(header..)?.first_chunk::<HEADER>()?;
        let is_ours = !self.is_raw || message[4..6] == self.identifier.to_be_bytes();
        (message[0] == reply && is_ours).then(|| u16::from_be_bytes([message[6], message[7]]))
    }
}

/// Returns an echo request. In IPv6 and for ping sockets the kernel replaces the checksum.
fn request(is_v6: bool, identifier: u16, sequence: u16) -> [u8; HEADER] {
    let kind: u8 = if is_v6 { 128 } else { 8 };
    let sum = u32::from(kind) << 8;
    let sum = sum + u32::from(identifier) + u32::from(sequence);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let checksum = !u16::try_from(folded).unwrap_or(u16::MAX);
    let mut request = [kind, 0, 0, 0, 0, 0, 0, 0];
    request[2..4].copy_from_slice(&checksum.to_be_bytes());
    request[4..6].copy_from_slice(&identifier.to_be_bytes());
    request[6..8].copy_from_slice(&sequence.to_be_bytes());
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_request_is_right() {
        for (identifier, sequence) in [(0, 0), (0xffff, 0xffff), (0x1234, 7), (0xf7ff, 0)] {
            let request = request(false, identifier, sequence);
            let words = request
                .chunks(2)
                .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
            let sum: u32 = words.sum();
            let folded = (sum & 0xffff) + (sum >> 16);
            assert_eq!(folded, 0xffff, "{request:?}");
        }
    }

    #[test]
    fn a_reply_is_one_to_a_request_of_ours() {
        let echo = |is_v6, is_raw| Echo {
            socket: nix::unistd::pipe().unwrap().0,
            is_v6,
            is_raw,
            identifier: 7,
        };
        let mut reply = request(false, 7, 3);
        reply[0] = 0;
        assert_eq!(echo(false, false).sequence(&reply), Some(3));
        let mut packet = vec![0x45; 20];
        packet.extend(reply);
        assert_eq!(echo(false, true).sequence(&packet), Some(3));
        packet[25] = 8;
        assert_eq!(echo(false, true).sequence(&packet), None);
        assert_eq!(echo(false, false).sequence(&request(false, 7, 3)), None);
        let mut reply = request(true, 7, 4);
        reply[0] = 129;
        assert_eq!(echo(true, true).sequence(&reply), Some(4));
        assert_eq!(echo(true, true).sequence(&reply[..7]), None);
    }

    #[test]
    fn the_loopback_replies_where_requests_are_allowed() {
        let outcomes = ping(&[[127, 0, 0, 1].into()], Duration::from_secs(2));
        let is_right = matches!(outcomes[..], [Outcome::Reply(_) | Outcome::Denied]);
        assert!(is_right, "{outcomes:?}");
    }
}
