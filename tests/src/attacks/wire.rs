//! Many frames at once, and what of them arrives at other children.

use std::{
    io::IoSlice,
    mem,
    os::fd::{AsRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    errno::Errno,
    net::if_::if_nametoindex,
    sys::socket::{
        AddressFamily, MsgFlags, SockaddrStorage, recv, recvfrom, setsockopt,
        sockopt::{RcvBufForce, SndBuf},
    },
};

use super::frames::{self, Frame};
use crate::{
    bpf::{Attached, Hook, Program},
    demo::mode::Mode,
    faults::{
        is_at_least,
        site::{CHILD, Site},
    },
    netns::Netns,
    probe::packet::PacketSocket,
};

/// Less than the backlog of broadcasts of the driver (`IPVLAN_QBACKLOG_LIMIT`, 1 000).
const BATCH: u32 = 64;
const LOOPBACK: &str = "lo";
const ROOM: usize = 8 << 20;
/// `ETH_P_ALL`
const EVERY_TYPE: u16 = 3;
/// The protocols of a raw socket for each: what a generated frame can carry.
const PROTOCOLS: [i32; 4] = [1, 6, 17, 253];
const PROTOCOLS_V6: [i32; 4] = [58, 6, 17, 253];

/// The attacker's sockets, and those that see what its siblings get.
pub(super) struct Wire {
    attacker: Outlet,
    /// Frames that no socket is named for any more when they leave by the attacker's child. `None` where the
    /// kernel has no TCX (before Linux 6.6).
    without_socket: Option<(Outlet, Attached)>,
    siblings: Vec<Tap>,
}

/// A packet socket and the index of the device that it sends from.
struct Outlet {
    socket: OwnedFd,
    index: i32,
}

impl Outlet {
    /// Opens it on `device` of the current netns.
    fn open(device: &str) -> Result<Self> {
        // Without a type the socket receives nothing, and the kernel reads the type in each frame.
        let socket = PacketSocket::open(device, 0)?.into_inner();
        setsockopt(&socket, SndBuf, &ROOM)?;
        let index = i32::try_from(if_nametoindex(device)?)?;
        Ok(Self { socket, index })
    }

    /// Sends `frames`; those that the device refuses are lost.
    fn send<'a>(&self, frames: impl Iterator<Item = &'a Frame>) -> Result<()> {
        let (slices, protocols): (Vec<_>, Vec<_>) = frames
            .map(|frame| (IoSlice::new(&frame.bytes), frame.protocol))
            .unzip();
        let mut begin = 0;
        while begin < slices.len() {
            match send_many(self, &slices[begin..], &protocols[begin..]) {
                Ok(sent) => begin += sent.max(1),
                // The device refused the first one of them.
                Err(errno) => {
                    ensure!(errno != Errno::EBADF, "cannot send: {errno}");
                    begin += 1;
                }
            }
        }
        Ok(())
    }
}

/// Returns an outlet for frames without a socket in the current netns, and what leads them to the child: the loopback
/// device takes the socket off what is sent from it (`loopback_xmit`), and a program there redirects it.
fn outlet_without_socket() -> Result<(Outlet, Attached)> {
    let program = Program::redirect(Hook::Tc, CHILD)?.attach(LOOPBACK)?;
    Ok((Outlet::open(LOOPBACK)?, program))
}

/// Numbers of the frames that arrived at a sibling.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrived {
    bits: Vec<u64>,
    /// No frame with this number or a higher one was sent.
    limit: u32,
    /// Answers to frames and errors about them, which others sent.
    pub(super) reflected: usize,
}

impl Arrived {
    fn insert(&mut self, number: u32) {
        let (place, bit) = (place(number), 1 << (number % 64));
        if self.bits.len() <= place {
            self.bits.resize(place + 1, 0);
        }
        self.bits[place] |= bit;
    }

    /// Returns whether frame `number` arrived.
    pub(super) fn contains(&self, number: u32) -> bool {
        let word = self.bits.get(place(number)).copied().unwrap_or_default();
        word & 1 << (number % 64) != 0
    }

    /// Returns how many arrived.
    pub(super) fn len(&self) -> u32 {
        self.bits.iter().map(|word| word.count_ones()).sum()
    }

    /// Returns the numbers of those that arrived here and not in `other`.
    pub(super) fn beyond<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u32> + 'a {
        let end = u32::try_from(self.bits.len() * 64).unwrap_or(u32::MAX);
        (0..end).filter(|&number| self.contains(number) && !other.contains(number))
    }
}

fn place(number: u32) -> usize {
    usize::try_from(number / 64).unwrap_or(usize::MAX)
}

/// A socket that sees what a sibling gets.
enum Tap {
    /// Frames of its device: IP, ARP and everything else.
    Device(OwnedFd),
    /// Packets that its kernel takes, where a device in mode l3s shows none.
    Raw(OwnedFd),
    /// The same for IPv6, whose sockets give no header: the source is beside.
    RawV6(OwnedFd),
}

impl Wire {
    /// Opens the sockets on the children of `site`: the attacker in `third`.
    pub(super) fn open(site: &Site) -> Result<Self> {
        let attacker = site.third.run(|| Outlet::open(CHILD))?;
        let without_socket = if is_at_least(6, 6)? {
            site.third.ip(&format!("link set {LOOPBACK} up\n"))?;
            Some(site.third.run(outlet_without_socket)?)
        } else {
            None
        };
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
        let mut arrived = Arrived {
            limit: count,
            ..Arrived::default()
        };
        self.drain(|_| {})?;
        let mut begin = 0;
        while begin < count {
            let end = count.min(begin + BATCH);
            let frames: Vec<_> = (begin..end)
                .map(|number| frames::frame(seed, number))
                .collect();
            self.send(begin, &frames)?;
            // The work queue of broadcasts runs while this thread sleeps.
            std::thread::sleep(std::time::Duration::from_micros(300));
            self.drain(|seen| note(seed, begin, &frames, seen, &mut arrived))?;
            begin = end;
        }
        // Packets that waited for a neighbour entry.
        std::thread::sleep(std::time::Duration::from_secs(3));
        self.drain(|seen| note(seed, count, &[], seen, &mut arrived))?;
        Ok(arrived)
    }

    /// Sends these frames of `seed` once more, each by itself; returns those that arrived at a sibling.
    pub(super) fn replay(&self, seed: u32, numbers: &[u32]) -> Result<Arrived> {
        let mut arrived = Arrived {
            limit: u32::MAX,
            ..Arrived::default()
        };
        self.drain(|_| {})?;
        for &number in numbers {
            let frame = frames::frame(seed, number);
            self.send(number, std::slice::from_ref(&frame))?;
            std::thread::sleep(std::time::Duration::from_millis(5));
            self.drain(|seen| {
                note(
                    seed,
                    number,
                    std::slice::from_ref(&frame),
                    seen,
                    &mut arrived,
                );
            })?;
        }
        Ok(arrived)
    }

    /// Sends `frames` from a socket on the attacker's child.
    pub(super) fn send_each(&self, frames: &[Frame]) -> Result<()> {
        self.attacker.send(frames.iter())
    }

    /// Sends `frames` without a socket; returns whether that is possible.
    pub(super) fn send_without_socket(&self, frames: &[Frame]) -> Result<bool> {
        match &self.without_socket {
            Some((outlet, _)) => outlet.send(frames.iter()).map(|()| true),
            None => Ok(false),
        }
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
                let seen = match tap {
                    Tap::Device(socket) => {
                        recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)
                            .map(|length| buffer[..length.min(buffer.len())].to_vec())
                    }
                    Tap::Raw(socket) => {
                        recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT).map(
                            |length| with_header(0x0800, &[], &buffer[..length.min(buffer.len())]),
                        )
                    }
                    Tap::RawV6(socket) => receive_v6(socket, &mut buffer),
                };
                match seen {
                    Ok(seen) => each(&seen),
                    Err(Errno::EAGAIN) => break,
                    Err(Errno::EINTR | Errno::ENETDOWN) => {}
                    Err(errno) => return Err(errno).context("cannot read what arrived"),
                }
            }
        }
        Ok(())
    }

    /// Sends frames from number `begin` on.
    fn send(&self, begin: u32, frames: &[Frame]) -> Result<()> {
        let (without, with): (Vec<_>, Vec<_>) = (begin..)
            .zip(frames)
            .partition(|&(number, _)| self.is_without_socket(number));
        self.attacker
            .send(with.into_iter().map(|(_, frame)| frame))?;
        match &self.without_socket {
            Some((outlet, _)) => outlet.send(without.into_iter().map(|(_, frame)| frame)),
            None => Ok(()),
        }
    }
}

fn taps(netns: &Netns, mode: Mode) -> Result<Vec<Tap>> {
    netns.run(|| {
        let device = PacketSocket::open(CHILD, EVERY_TYPE)?.into_inner();
        let mut taps = vec![Tap::Device(device)];
        if mode == Mode::L3s {
            for protocol in PROTOCOLS {
                taps.push(Tap::Raw(raw(AddressFamily::Inet, protocol)?));
            }
            for protocol in PROTOCOLS_V6 {
                taps.push(Tap::RawV6(raw(AddressFamily::Inet6, protocol)?));
            }
        }
        for tap in &taps {
            let (Tap::Device(socket) | Tap::Raw(socket) | Tap::RawV6(socket)) = tap;
            setsockopt(socket, RcvBufForce, &ROOM).context("cannot have room for frames")?;
        }
        Ok(taps)
    })
}

fn raw(family: AddressFamily, protocol: i32) -> Result<OwnedFd> {
    // `nix` has no name for the protocol of experiments.
    let family = family as i32;
    // SAFETY: a plain system call; the descriptor it returns belongs to nobody else.
    let descriptor = unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
    let descriptor = Errno::result(descriptor).context("cannot open a raw socket")?;
    // SAFETY: just opened, and owned by nothing else.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(descriptor) })
}

fn receive_v6(socket: &OwnedFd, buffer: &mut [u8]) -> nix::Result<Vec<u8>> {
    let flags = MsgFlags::MSG_DONTWAIT;
    // `recvfrom` of nix takes no flags.
    let length = recv(socket.as_raw_fd(), buffer, flags | MsgFlags::MSG_PEEK)?;
    let (_, from) = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), buffer)?;
    let source = from
        .and_then(|from| {
            from.as_sockaddr_in6()
                .map(nix::sys::socket::SockaddrIn6::ip)
        })
        .unwrap_or(std::net::Ipv6Addr::UNSPECIFIED);
    let mut header = [0; 40];
    header[8..24].copy_from_slice(&source.octets());
    Ok(with_header(
        0x86dd,
        &header,
        &buffer[..length.min(buffer.len())],
    ))
}

fn with_header(ether_type: u16, header: &[u8], packet: &[u8]) -> Vec<u8> {
    [&[0; 12][..], &ether_type.to_be_bytes(), header, packet].concat()
}

/// Records `received`, which arrived at a sibling while `frames` of `seed`, from number `begin` on, were sent.
fn note(seed: u32, begin: u32, frames: &[Frame], received: &[u8], arrived: &mut Arrived) {
    match frames::cookie(received) {
        // An error quotes a part of a frame, and may end in the middle of a number.
        Some(number) if number < arrived.limit && frames::frame(seed, number).is(received) => {
            arrived.insert(number);
        }
        Some(_) => arrived.reflected += 1,
        None => {
            // Cut frames have no number; their bytes behind the Ethernet header tell them.
            let rest = received.get(14..).unwrap_or_default();
            let same = frames.iter().position(|frame| {
                let sent = frame.bytes.get(14..).unwrap_or_default();
                sent.len() > 8 && sent == rest
            });
            if let Some(place) = same {
                arrived.insert(begin + u32::try_from(place).unwrap_or(u32::MAX));
            }
        }
    }
}

/// Sends `frames` by one system call; returns how many were sent.
///
/// Each names an `EtherType` beside it: Linux 6.1 does not read that in the frames of an ipvlan device, which
/// drops them then.
fn send_many(outlet: &Outlet, frames: &[IoSlice<'_>], protocols: &[u16]) -> nix::Result<usize> {
    let mut names: Vec<_> = protocols
        .iter()
        .map(|&protocol| name(outlet.index, protocol))
        .collect();
    let mut messages: Vec<libc::mmsghdr> = frames
        .iter()
        .zip(&mut names)
        .map(|(frame, name)| {
            // SAFETY: all zeroes is a message without name, data and control data.
            let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
            message.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
            message.msg_hdr.msg_namelen =
                u32::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or_default();
            message.msg_hdr.msg_iov = std::ptr::from_ref(frame).cast_mut().cast();
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    let length = u32::try_from(messages.len()).unwrap_or(u32::MAX);
    let socket = outlet.socket.as_raw_fd();
    // SAFETY: `messages` has `length` elements, whose names and slices live longer than the call; an `IoSlice`
    // has the layout of an `iovec`, and sending writes to neither.
    let sent = unsafe { libc::sendmmsg(socket, messages.as_mut_ptr(), length, 0) };
    Errno::result(sent).map(|sent| usize::try_from(sent).unwrap_or_default())
}

fn name(index: i32, protocol: u16) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap_or_default(),
        sll_protocol: protocol.to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    }
}
