//! DHCP requests as they arrive on the LAN, and requests of a client that has no packet socket.

use std::net::UdpSocket;

use ipvlan_packet::{
    Dhcp, IPV4, array, checksum,
    dhcp::{
        CHECKSUM, CLIENT_ID, DISCOVER, END, FLAGS, MESSAGE, MESSAGE_TYPE, OPTIONS, find, option,
    },
    ip::{number::UDP, v4},
};
use nix::sys::socket::{setsockopt, sockopt};

use crate::rows::prelude::*;

/// A request from the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Whether the broadcast flag is set.
    pub(super) broadcast: bool,
    /// Whether the UDP checksum is right, or there is none.
    pub(super) summed: bool,
    /// Whether the checksum field has the sum of the pseudo header: the card is to do the rest.
    pub(super) left_to_card: bool,
    /// The transaction.
    pub(super) xid: u32,
    /// The MAC that it was sent to.
    pub(super) to: [u8; 6],
    /// The address that the client has.
    pub(super) ciaddr: Ipv4Addr,
    /// The message type; 0 without one.
    pub(super) kind: u8,
    /// The client identifier, which is empty without one.
    pub(super) client_id: Vec<u8>,
}

/// Receives all IPv4 frames on a device.
#[derive(Debug)]
pub(super) struct Wire(PacketSocket);

impl Wire {
    /// Receives on the LAN's station from now on.
    pub(super) fn open(station: &Netns) -> Result<Self> {
        station.run(|| PacketSocket::open(LAN, IPV4)).map(Self)
    }

    /// Takes the requests that have arrived, or arrive within `patience` if there are none.
    pub(super) fn requests(&self, patience: Duration) -> Result<Vec<Seen>> {
        let deadline = Instant::now() + patience;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = if seen.is_empty() {
                left
            } else {
                Duration::ZERO
            };
            match self.0.frame(wait)? {
                Some(frame) => seen.extend(request(&frame)),
                None if seen.is_empty() && !left.is_zero() => {}
                None => return Ok(seen),
            }
        }
    }
}

/// Reads a message of a client to the port of servers.
fn request(frame: &[u8]) -> Option<Seen> {
    let is_request = frame.get(OPTIONS..).is_some()
        && frame[v4::VERSION_IHL] == 0x45
        && frame[23] == UDP
        && array(frame, v4::LEN) == Some([0, 68, 0, 67]);
    if !is_request {
        return None;
    }
    let udp_len: [u8; 2] = array(frame, v4::LEN + 4)?;
    let datagram = frame.get(v4::LEN..v4::LEN + usize::from(u16::from_be_bytes(udp_len)))?;
    let pseudo = [&frame[v4::SRC..v4::LEN], &[0, UDP], &udp_len].concat();
    let field = u16::from_be_bytes(array(frame, CHECKSUM)?);
    let options = datagram.get(OPTIONS - v4::LEN..)?;
    let kind = find(options, MESSAGE_TYPE).and_then(|value| value.first());
    Some(Seen {
        broadcast: frame[FLAGS] & 0x80 != 0,
        summed: field == 0
            || checksum::internet(&[&pseudo[..], datagram].concat()) == checksum::RIGHT,
        left_to_card: field == !u16::from_be_bytes(checksum::internet(&pseudo)),
        xid: u32::from_be_bytes(array(frame, MESSAGE + 4)?),
        to: array(frame, 0)?,
        ciaddr: array::<4>(frame, MESSAGE + 12)?.into(),
        kind: kind.copied().unwrap_or_default(),
        client_id: find(options, CLIENT_ID).unwrap_or_default().to_vec(),
    })
}

/// Broadcasts a DHCPDISCOVER from the child in `netns` by a UDP socket, whose checksum is left to the card. Returns
/// whether an offer came back within `patience`.
pub(super) fn discover(netns: &Netns, xid: u32, patience: Duration) -> Result<bool> {
    let socket = netns.run(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 68)).context("cannot bind port 68")?;
        setsockopt(&socket, sockopt::BindToDevice, &CHILD.into())?;
        Ok(socket)
    })?;
    socket.set_broadcast(true)?;
    socket.set_read_timeout(Some(patience))?;
    socket
        .send_to(&message(xid), (Ipv4Addr::BROADCAST, 67))
        .context("cannot broadcast a DHCPDISCOVER")?;
    let mut reply = [0; 1_500];
    match socket.recv_from(&mut reply) {
        Ok((length, _)) => Ok(length > 240 && reply[0] == 2 && reply[4..8] == xid.to_be_bytes()),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error).context("cannot receive an offer"),
    }
}

/// A DHCPDISCOVER (RFC 2131 §2) with a client identifier.
fn message(xid: u32) -> Vec<u8> {
    let options = [
        option(MESSAGE_TYPE, &[DISCOVER]),
        option(CLIENT_ID, &[255, 0, 0, 0, 99]),
        vec![END],
    ];
    let request = Dhcp {
        xid,
        ..Dhcp::with(MAC, &options)
    };
    let mut message = request.message();
    message.resize(300, 0);
    message
}
