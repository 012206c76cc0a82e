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
    demo::mode::Mode,
    faults::site::{CHILD, Site},
    netns::Netns,
    probe::packet::PacketSocket,
};

/// Less than the backlog of broadcasts of the driver (`IPVLAN_QBACKLOG_LIMIT`, 1 000).
const BATCH: u32 = 64;
const ROOM: usize = 8 << 20;
/// `ETH_P_ALL`
const EVERY_TYPE: u16 = 3;
/// The protocols of a raw socket for each: what a generated frame can carry.
const PROTOCOLS: [i32; 4] = [1, 6, 17, 253];
const PROTOCOLS_V6: [i32; 4] = [58, 6, 17, 253];

/// The attacker's socket, and those that see what its siblings get.
pub(super) struct Wire {
    attacker: OwnedFd,
    /// The ifindex of its child.
    index: i32,
    siblings: Vec<Tap>,
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
        // Without a type the socket receives nothing, and the kernel reads the type in each frame.
        let attacker = site
            .third
            .run(|| PacketSocket::open(CHILD, 0))?
            .into_inner();
        setsockopt(&attacker, SndBuf, &ROOM)?;
        let index = site.third.run(|| Ok(if_nametoindex(CHILD)?))?;
        let index = i32::try_from(index)?;
        let mut siblings = Vec::new();
        for netns in [&site.steady, &site.unnamed] {
            siblings.extend(taps(netns, site.mode)?);
        }
        Ok(Self {
            attacker,
            index,
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
            self.send(&frames)?;
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
            self.send_one(&frame.bytes);
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

    /// Sends one frame; a device that refuses it has lost it.
    pub(super) fn send_one(&self, frame: &[u8]) {
        let _refused = send_many(&self.attacker, self.index, &[IoSlice::new(frame)]);
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

    fn send(&self, frames: &[Frame]) -> Result<()> {
        let slices: Vec<_> = frames
            .iter()
            .map(|frame| IoSlice::new(&frame.bytes))
            .collect();
        let mut rest = &slices[..];
        while !rest.is_empty() {
            match send_many(&self.attacker, self.index, rest) {
                Ok(sent) => rest = &rest[sent.max(1)..],
                // The device refused the first one of them.
                Err(errno) => {
                    ensure!(errno != Errno::EBADF, "cannot send: {errno}");
                    rest = &rest[1..];
                }
            }
        }
        Ok(())
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

/// Sends `frames` from the device `index` by one system call; returns how many were sent.
///
/// Each names its `EtherType` beside it: Linux 6.1 does not read that in the frames of an ipvlan device, which
/// drops them then.
fn send_many(socket: &OwnedFd, index: i32, frames: &[IoSlice<'_>]) -> nix::Result<usize> {
    let mut names: Vec<_> = frames.iter().map(|frame| name(index, frame)).collect();
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
    // SAFETY: `messages` has `length` elements, whose names and slices live longer than the call; an `IoSlice`
    // has the layout of an `iovec`, and sending writes to neither.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), length, 0) };
    Errno::result(sent).map(|sent| usize::try_from(sent).unwrap_or_default())
}

fn name(index: i32, frame: &[u8]) -> libc::sockaddr_ll {
    let ether_type = frame
        .get(12..14)
        .map_or([0; 2], |bytes| [bytes[0], bytes[1]]);
    libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap_or_default(),
        sll_protocol: u16::from_ne_bytes(ether_type),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    }
}
