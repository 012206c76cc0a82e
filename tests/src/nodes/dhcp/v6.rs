//! `DHCPv6` (RFC 8415): replies go to the link-local address of the client, which the driver knows.

use std::{
    io::ErrorKind,
    net::{Ipv6Addr, SocketAddrV6, UdpSocket},
};

use nix::net::if_::if_nametoindex;

use super::Server;
use crate::rows::prelude::*;

/// `All_DHCP_Relay_Agents_and_Servers`
const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
const CLIENT_PORT: u16 = 546;
const SERVER_PORT: u16 = 547;
const SOLICIT: u8 = 1;
const ADVERTISE: u8 = 2;
/// The address of the client.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x501);
/// One try.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn solicit(play: &Play) -> Result<()> {
    let mut scene = play.isolated(Mode::L2, "private")?;
    scene
        .vm01
        .ip(&format!("addr add fe80::510/64 dev {LAN} nodad\n"))?;
    let place = scene.add_netns_with_child("red")?;
    scene.others[place].ip(&format!("addr add {LINK_LOCAL}/64 dev {CHILD} nodad\n"))?;
    let server = Server::dnsmasq(&scene.vm01)?;
    let outcome = |advertised| {
        if advertised {
            "an advertisement"
        } else {
            "nothing"
        }
    };
    play.alone(outcome(advertised(&scene.others[place])?));
    scene.start(&[])?;
    let advertised = advertised(&scene.others[place])?;
    scene.expect(advertised, || format!("the server: {}", server.log()));
    play.with_agent(outcome(advertised));
    scene.clear()
}

/// Asks servers from the child in `netns` up to five times; returns whether one advertised itself.
fn advertised(netns: &Netns) -> Result<bool> {
    let (socket, index) = netns.run(|| {
        let index = if_nametoindex(CHILD)?;
        let own = SocketAddrV6::new(LINK_LOCAL, CLIENT_PORT, 0, index);
        let socket = UdpSocket::bind(own).context("cannot bind port 546")?;
        Ok((socket, index))
    })?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let servers = SocketAddrV6::new(SERVERS, SERVER_PORT, 0, index);
    for xid in 1..=5 {
        socket.send_to(&message(xid), servers)?;
        let mut reply = [0; 1_500];
        match socket.recv_from(&mut reply) {
            Ok((length, _)) if length > 4 => {
                return Ok(reply[..4] == [ADVERTISE, 0, 0, xid]);
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("cannot receive an advertisement"),
        }
    }
    Ok(false)
}

/// A Solicit with a client identifier (DUID-LL), an elapsed time and an `IA_NA`.
fn message(xid: u8) -> Vec<u8> {
    let mut message = vec![SOLICIT, 0, 0, xid];
    message.extend([0, 1, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 5, 1]);
    message.extend([0, 8, 0, 2, 0, 0]);
    message.extend([0, 3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    message
}
