//! The LAN's end of the link: one frame in, everything that comes back out.
//!
//! A frame that may stay unanswered is followed by a ping of the child that never does. The kernel
//! works through the frames of one processor in order, so when the ping's answer is there, so is
//! everything that the frame caused. The ping goes to everybody, since broadcasts take the
//! longest way: through the work queue of an l2 parent. Where an answer can still be on its way when
//! that to the ping is there, the ping is sent twice: what an l2 child sends to a group goes through
//! that queue, too, and what a native XDP program sends waits until the driver has worked through all
//! it has received.

use std::{
    io::IoSliceMut,
    net::Ipv4Addr,
    os::fd::{AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use etherparse::{IpNumber, PacketBuilder};
use ipvlan_packet::{BROADCAST, Mac};
use nix::{
    errno::Errno,
    sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, send, setsockopt, sockopt::RcvBufForce},
};

use super::world::{CHILD, MTU, PARENT_MAC};
use crate::probe::{packet::PacketSocket, receive_within};

/// Who sends the pings.
pub(crate) const SENTINEL: Ipv4Addr = Ipv4Addr::new(10, 77, 255, 250);
/// The MAC they come from.
pub(crate) const SENTINEL_MAC: Mac = [2, 0x77, 0x5e, 0, 0, 0];

const ALL: u16 = 0x0003;
/// How long the answer to a ping may take: generous, for an emulated machine under load.
const PATIENCE: Duration = Duration::from_secs(10);
const RECEIVE_BUFFER: usize = 4 << 20;
/// Room for a frame and its Ethernet header.
const LONGEST: usize = MTU + 64;

/// What came back: a frame, and the VLAN tag that the kernel had taken out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Tag control information of the tag, if there was one.
    pub tag: Option<u16>,
    /// The bytes without it.
    pub bytes: Vec<u8>,
}

/// A socket at the LAN's end.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: OwnedFd,
    serial: u16,
    pings: usize,
}

impl Wire {
    /// Opens it on `device` of the current netns. Each frame is followed by so many `pings`.
    pub(crate) fn open(device: &str, pings: usize) -> Result<Self> {
        let socket = PacketSocket::open(device, ALL)?.into_inner();
        setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER)
            .context("cannot enlarge a receive buffer")?;
        receive_auxiliary(&socket)?;
        Ok(Self {
            socket,
            serial: 0,
            pings,
        })
    }

    /// Sends `frame` and gives everything that came back because of it.
    pub(crate) fn exchange(&mut self, frame: &[u8]) -> Result<Vec<Received>> {
        let mut answers = Vec::new();
        self.send(frame)?;
        for _ in 0..self.pings {
            self.serial = self.serial.wrapping_add(1);
            self.send(&ping(self.serial)?)?;
            self.receive_until_pong(&mut answers)?;
        }
        Ok(answers)
    }

    fn receive_until_pong(&self, answers: &mut Vec<Received>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let Some(received) = self.receive(left)? else {
                continue;
            };
            if is_pong(&received.bytes, self.serial) {
                return Ok(());
            }
            if !is_membership_report(&received.bytes) {
                answers.push(received);
            }
        }
        bail!(
            "the ping behind it was not answered within {PATIENCE:?}; before that: {answers:02x?}"
        )
    }

    fn send(&self, frame: &[u8]) -> Result<()> {
        send(self.socket.as_raw_fd(), frame, MsgFlags::empty())
            .with_context(|| format!("cannot send {} bytes", frame.len()))
            .map(drop)
    }

    fn receive(&self, patience: Duration) -> Result<Option<Received>> {
        receive_within(&self.socket, patience)?;
        let mut buffer = [0; LONGEST];
        let mut control = nix::cmsg_space!(libc::tpacket_auxdata);
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let message = match recvmsg::<()>(
            self.socket.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            MsgFlags::empty(),
        ) {
            Ok(message) => message,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(errno) => return Err(errno).context("cannot receive a frame"),
        };
        let mut tag = None;
        for control in message.cmsgs().context("a control message is cut off")? {
            if let ControlMessageOwned::Unknown(unknown) = control {
                tag = tag.or(tag_of(&unknown.data_bytes));
            }
        }
        let length = message.bytes;
        Ok(Some(Received {
            tag,
            bytes: buffer[..length].to_vec(),
        }))
    }
}

/// Asks for `struct tpacket_auxdata` with every frame: the kernel takes VLAN tags out of frames
/// before sockets see them.
fn receive_auxiliary(socket: &OwnedFd) -> Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: `on` is as long as said and outlives the call, which copies it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_AUXDATA,
            (&raw const on).cast(),
            u32::try_from(size_of_val(&on))?,
        )
    };
    Errno::result(result)
        .context("cannot ask for VLAN tags")
        .map(drop)
}

/// The tag in a `struct tpacket_auxdata` (`linux/if_packet.h`).
fn tag_of(auxiliary: &[u8]) -> Option<u16> {
    let status = auxiliary
        .get(..4)?
        .try_into()
        .map(u32::from_ne_bytes)
        .ok()?;
    let tag = auxiliary
        .get(16..18)?
        .try_into()
        .map(u16::from_ne_bytes)
        .ok()?;
    (status & libc::TP_STATUS_VLAN_VALID != 0).then_some(tag)
}

fn ping(serial: u16) -> Result<Vec<u8>> {
    let builder = PacketBuilder::ethernet2(SENTINEL_MAC, BROADCAST)
        .ipv4(SENTINEL.octets(), CHILD.v4.octets(), 64)
        .icmpv4_echo_request(0, serial);
    let mut frame = Vec::with_capacity(builder.size(0));
    builder.write(&mut frame, &[])?;
    Ok(frame)
}

/// Is `frame` the child's answer to the ping `serial`?
fn is_pong(frame: &[u8], serial: u16) -> bool {
    const ECHO_REPLY: u8 = 0;
    frame.get(..6) == Some(&SENTINEL_MAC)
        && frame.get(6..14) == Some(&[&PARENT_MAC[..], &[8, 0]].concat()[..])
        && frame.get(23) == Some(&IpNumber::ICMP.0)
        && frame.get(34) == Some(&ECHO_REPLY)
        && frame.get(40..42) == Some(&serial.to_be_bytes()[..])
}

/// Is it a report about multicast groups (RFC 3810)? Those repeat themselves some seconds after a
/// group was joined and have nothing to do with the frames.
fn is_membership_report(frame: &[u8]) -> bool {
    const HOP_BY_HOP: u8 = 0;
    frame.get(12..14) == Some(&[0x86, 0xdd])
        && frame.get(20) == Some(&HOP_BY_HOP)
        && frame.get(54) == Some(&IpNumber::IPV6_ICMP.0)
        && matches!(frame.get(62), Some(130..=132 | 143))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_the_last_ping_ends_an_exchange() {
        let mut pong = Vec::new();
        PacketBuilder::ethernet2(PARENT_MAC, SENTINEL_MAC)
            .ipv4(CHILD.v4.octets(), SENTINEL.octets(), 64)
            .icmpv4_echo_reply(0, 0x1234)
            .write(&mut pong, &[])
            .unwrap();
        assert!(is_pong(&pong, 0x1234));
        assert!(!is_pong(&pong, 0x1235));
        assert!(!is_pong(&ping(0x1234).unwrap(), 0x1234));
        for length in 0..pong.len() {
            assert!(!is_pong(&pong[..length], 0x1234), "{length}");
        }
    }

    #[test]
    fn a_tag_is_reported_only_where_there_is_one() {
        let mut auxiliary = [0; 20];
        auxiliary[16..18].copy_from_slice(&0x2064u16.to_ne_bytes());
        assert_eq!(tag_of(&auxiliary), None);
        auxiliary[..4].copy_from_slice(&libc::TP_STATUS_VLAN_VALID.to_ne_bytes());
        assert_eq!(tag_of(&auxiliary), Some(0x2064));
        assert_eq!(tag_of(&auxiliary[..17]), None);
    }
}
