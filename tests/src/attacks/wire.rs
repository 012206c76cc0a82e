//! Many frames at once, and what of them arrives at other children.

use std::{
    collections::BTreeSet,
    os::fd::{AsRawFd as _, OwnedFd},
};

use ipvlan_packet::{ETH_LEN, IPV4, IPV6, ZERO, ethernet, ip::v6, patched};
use nix::{
    errno::Errno,
    net::if_::if_nametoindex,
    sys::socket::{
        MsgFlags, SockaddrIn6, SockaddrStorage, recv, recvfrom, sendto, setsockopt,
        sockopt::{RcvBufForce, SndBuf},
    },
};

use super::frames::{self, Frame};
use crate::{
    bpf::{Attached, Hook, Program},
    faults::is_at_least,
    netns::descriptor,
    probe::packet::link_address,
    rows::prelude::*,
};

/// Less than the backlog of broadcasts of the driver (`IPVLAN_QBACKLOG_LIMIT`, 1 000).
const BATCH: usize = 64;
const LOOPBACK: &str = "lo";
const ROOM: usize = 8 << 20;
/// Families and protocols of raw sockets: what a generated frame can carry.
const RAW: [(i32, [i32; 4]); 2] = [
    (libc::AF_INET, [1, 6, 17, 253]),
    (libc::AF_INET6, [58, 6, 17, 253]),
];

/// The attacker's sockets, and those that see what its siblings get.
pub(super) struct Wire {
    /// Sends frames from the attacker's child.
    pub(super) attacker: Outlet,
    /// Sends frames that no socket is named for any more when they leave by the attacker's child. `None` where the
    /// kernel has no TCX (before Linux 6.6).
    pub(super) without_socket: Option<Outlet>,
    siblings: Vec<Tap>,
}

/// A packet socket and the index of the device that it sends from.
pub(super) struct Outlet {
    socket: OwnedFd,
    index: u32,
    /// What leads the frames to another device.
    _redirect: Option<Attached>,
}

impl Outlet {
    /// Opens it on `device` of the current netns.
    fn open(device: &str, redirect: Option<Attached>) -> Result<Self> {
        // Without a type the socket receives nothing, and the kernel reads the type in each frame.
        let socket = PacketSocket::open(device, 0)?.into_inner();
        setsockopt(&socket, SndBuf, &ROOM)?;
        Ok(Self {
            socket,
            index: if_nametoindex(device)?,
            _redirect: redirect,
        })
    }

    /// Opens one for frames without a socket: the loopback device takes the socket off what is sent from it
    /// (`loopback_xmit`), and a program there redirects it to the child.
    fn without_socket() -> Result<Self> {
        let redirect = Program::redirect(Hook::Tc, CHILD)?.attach(LOOPBACK)?;
        Self::open(LOOPBACK, Some(redirect))
    }

    /// Sends `frames`; those that the device refuses are lost.
    ///
    /// Each names an `EtherType` beside it: Linux 6.1 does not read that in the frames of an ipvlan device, which
    /// drops them then.
    pub(super) fn send<'a>(&self, frames: impl IntoIterator<Item = &'a Frame>) -> Result<()> {
        for frame in frames {
            let to = link_address(self.index, frame.protocol)?;
            let sent = sendto(
                self.socket.as_raw_fd(),
                &frame.bytes,
                &to,
                MsgFlags::empty(),
            );
            ensure!(sent != Err(Errno::EBADF), "cannot send");
        }
        Ok(())
    }
}

/// Numbers of the frames that arrived at a sibling.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrived {
    pub(super) numbers: BTreeSet<u32>,
    /// Answers to frames and errors about them, which others sent.
    pub(super) reflected: usize,
}

/// A socket that sees what a sibling gets.
struct Tap {
    socket: OwnedFd,
    kind: TapKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TapKind {
    /// Frames of its device: IP, ARP and everything else.
    Device,
    /// Packets that its kernel takes, where a device in mode l3s shows none.
    Raw,
    /// The same for IPv6, whose sockets give no header: the source is beside.
    RawV6,
}

impl Wire {
    /// Opens the sockets on the children of `site`: the attacker in `third`.
    pub(super) fn open(site: &Site) -> Result<Self> {
        let attacker = site.third.run(|| Outlet::open(CHILD, None))?;
        let has_tcx = is_at_least(6, 6)?;
        let outlet = || has_tcx.then(Outlet::without_socket).transpose();
        let without_socket = site.third.run(outlet)?;
        let mut siblings = Vec::new();
        for netns in [&site.steady, &site.unnamed] {
            siblings.extend(taps(netns, site.mode)?);
        }
        Ok(Self {
            attacker,
            without_socket,
            siblings,
        })
    }

    /// Sends frames `0..count` of `seed`; returns those that arrived at a sibling.
    pub(super) fn play(&self, seed: u32, count: u32) -> Result<Arrived> {
        let numbers: Vec<_> = (0..count).collect();
        // The work queue of broadcasts runs while this thread sleeps.
        let mut arrived =
            self.play_in_batches(seed, numbers.chunks(BATCH), Duration::from_micros(300))?;
        // Packets that waited for a neighbour entry.
        thread::sleep(Duration::from_secs(3));
        self.drain(|seen| note(seed, &[], seen, &mut arrived))?;
        arrived.numbers.retain(|number| *number < count);
        Ok(arrived)
    }

    /// Sends these frames of `seed` once more, each by itself; returns those that arrived at a sibling.
    pub(super) fn replay(&self, seed: u32, numbers: &[u32]) -> Result<Arrived> {
        self.play_in_batches(seed, numbers.chunks(1), Duration::from_millis(5))
    }

    /// Sends these frames of `seed`, and after each batch sleeps for `pause`.
    fn play_in_batches<'a>(
        &self,
        seed: u32,
        batches: impl Iterator<Item = &'a [u32]>,
        pause: Duration,
    ) -> Result<Arrived> {
        let mut arrived = Arrived::default();
        self.drain(|_| {})?;
        for numbers in batches {
            let frame = |&number| (number, frames::frame(seed, number));
            let frames: Vec<_> = numbers.iter().map(frame).collect();
            let sent = |without| {
                let is_sent = move |number| self.is_without_socket(number) == without;
                let frames = frames.iter().filter(move |(number, _)| is_sent(*number));
                frames.map(|(_, frame)| frame)
            };
            self.attacker.send(sent(false))?;
            if let Some(outlet) = &self.without_socket {
                outlet.send(sent(true))?;
            }
            thread::sleep(pause);
            self.drain(|seen| note(seed, &frames, seen, &mut arrived))?;
        }
        Ok(arrived)
    }

    /// Returns whether frame `number` is sent without a socket.
    pub(super) fn is_without_socket(&self, number: u32) -> bool {
        self.without_socket.is_some() && number % 4 == 3
    }

    /// Calls `each` with every frame that has arrived at a sibling and was not read yet. A packet of a raw
    /// socket gets an Ethernet header of zeroes and its type.
    pub(super) fn drain(&self, mut each: impl FnMut(&[u8])) -> Result<()> {
        let mut buffer = [0; 4096];
        for tap in &self.siblings {
            loop {
                match tap.receive(&mut buffer) {
                    Ok(seen) => each(&seen),
                    Err(Errno::EAGAIN) => break,
                    Err(Errno::EINTR | Errno::ENETDOWN) => {}
                    Err(errno) => return Err(errno).context("cannot read what arrived"),
                }
            }
        }
        Ok(())
    }
}

fn taps(netns: &Netns, mode: Mode) -> Result<Vec<Tap>> {
    netns.run(|| {
        let device = PacketSocket::open(CHILD, EVERY_TYPE)?.into_inner();
        let mut taps = vec![(device, TapKind::Device)];
        for (family, protocols) in RAW.into_iter().filter(|_| mode == Mode::L3s) {
            let kind = if family == libc::AF_INET {
                TapKind::Raw
            } else {
                TapKind::RawV6
            };
            for protocol in protocols {
                taps.push((raw(family, protocol)?, kind));
            }
        }
        let tap = |(socket, kind)| {
            setsockopt(&socket, RcvBufForce, &ROOM).context("cannot have room for frames")?;
            Ok(Tap { socket, kind })
        };
        taps.into_iter().map(tap).collect()
    })
}

/// `nix` has no name for the protocol of experiments.
fn raw(family: i32, protocol: i32) -> Result<OwnedFd> {
    // SAFETY: a plain system call; the descriptor it returns belongs to nobody else.
    let opened = unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
    descriptor(
        Errno::result(opened)
            .context("cannot open a raw socket")?
            .into(),
    )
}

impl Tap {
    /// Receives what has arrived, with an Ethernet header.
    fn receive(&self, buffer: &mut [u8]) -> nix::Result<Vec<u8>> {
        let mut flags = MsgFlags::MSG_DONTWAIT;
        // `recvfrom` of nix takes no flags.
        flags.set(MsgFlags::MSG_PEEK, self.kind == TapKind::RawV6);
        let socket = self.socket.as_raw_fd();
        let length = recv(socket, buffer, flags)?.min(buffer.len());
        Ok(match self.kind {
            TapKind::Device => buffer[..length].to_vec(),
            TapKind::Raw => with_header(IPV4, &[], &buffer[..length]),
            TapKind::RawV6 => {
                let (_, from) = recvfrom::<SockaddrStorage>(socket, buffer)?;
                let source = from.as_ref().and_then(SockaddrStorage::as_sockaddr_in6);
                let source = source.map_or(Ipv6Addr::UNSPECIFIED, SockaddrIn6::ip);
                let header = patched(vec![0; 40], v6::SRC - ETH_LEN, &source.octets());
                with_header(IPV6, &header, &buffer[..length])
            }
        })
    }
}

fn with_header(ether_type: u16, header: &[u8], packet: &[u8]) -> Vec<u8> {
    [&ethernet(ZERO, ZERO, ether_type)[..], header, packet].concat()
}

/// Records `received`, which arrived at a sibling while `frames` of `seed` were sent.
fn note(seed: u32, sent: &[(u32, Frame)], received: &[u8], arrived: &mut Arrived) {
    match frames::cookie(received) {
        // An error quotes a part of a frame, and may end in the middle of a number.
        Some(number) if frames::frame(seed, number).is(received) => {
            arrived.numbers.insert(number);
        }
        Some(_) => arrived.reflected += 1,
        None => {
            // Cut frames have no number; their bytes behind the Ethernet header tell them.
            let rest = received.get(ETH_LEN..).filter(|rest| rest.len() > 8);
            let mut sent = sent.iter();
            let same = sent.find(|(_, frame)| frame.bytes.get(ETH_LEN..) == rest);
            let same = rest.and(same);
            arrived.numbers.extend(same.map(|(number, _)| *number));
        }
    }
}
