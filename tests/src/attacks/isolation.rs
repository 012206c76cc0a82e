//! Isolation: under `private` and `vepa` nothing of a container reaches a sibling through the agent that
//! the driver alone would not deliver.

use std::{io::ErrorKind, net::TcpStream};

use ipvlan_packet::{
    Arp, IpPacket, Mac, Nd,
    arp::OPER,
    checksum,
    ip::{v4, v6},
    nd, patched,
};

use super::{
    frames::{self, Frame, OFF_LINK, cookie_of},
    wire::Wire,
};
use crate::rows::prelude::*;

pub(super) const ROWS: &[Row] = &[
    // `ip_local_out` repairs the length of what the host sends on.
    exact(
        "private l3, l3s: an IPv4 total length of 65535 to a sibling",
        |play| {
            each(
                play,
                L3_L3S,
                "private",
                false,
                &to_sibling(THIRD, Some(65_535)),
            )
        },
    ),
    exact(
        "vepa l3, l3s: a source that no host has, to a sibling",
        |play| {
            let sources = [UNOWNED, VM01, GATEWAY, THIRD];
            let frames = sources.map(|source| to_sibling(source, None)).concat();
            each(play, L3_L3S, "vepa", false, &frames)
        },
    ),
    // A frame for the MAC of another station leaves by the parent, whatever address it is for.
    exact(
        "private l2: a frame to a sibling, with an off-link address",
        |play| {
            let sources = [OFF_LINK, THIRD, UNOWNED, VM01];
            let frames = sources.map(|source| to_sibling(source, None)).concat();
            let to_station = |frame: &Vec<u8>| patched(frame.clone(), 0, &STATION);
            let to_station: Vec<_> = frames.iter().map(to_station).collect();
            each(play, L2, "private", true, &[frames, to_station].concat())
        },
    ),
    // In l2 a frame to the parent's MAC is to a sibling or to the host, and with `vepa` it goes to the wire.
    exact(
        "vepa l2: an ARP reply and an advertisement in the gateway's name to the parent's MAC",
        |play| {
            let [v4, v6] = in_gateways_name(STEADY);
            let request = patched(v4.clone(), OPER, &[0, 1]);
            each(play, L2, "vepa", false, &[v4, request, v6])
        },
    ),
    Row::new(
        "S3",
        Container,
        "vepa: a packet from the host's own address, by a packet socket and without a socket",
        "0 by a socket on Linux 6.15 and newer; without a socket nothing tells it from a packet of the host's kernel, \
         which still reaches the sibling",
        Run::Own(hosts_name),
    )
    .on_every_kernel(),
];

pub(super) const fn exact(attack: &'static str, run: fn(&Play) -> Result<()>) -> Row {
    Row::new(
        "S3",
        Container,
        attack,
        "0 frames at a sibling beyond those that the driver alone delivers",
        Run::Own(run),
    )
}

/// With these every address may attract traffic.
const ALLOW_ALL: [&str; 4] = ["--allow", "0.0.0.0/0", "--allow", "::/0"];
/// A packet that waits for a neighbour entry has left by then, or is lost.
pub(super) const ARRIVED: Duration = Duration::from_millis(1500);
/// How often a frame is sent that may wait for a neighbour entry.
const REPEATS: usize = 3;
/// The MAC of another station.
const STATION: Mac = [2, 0xde, 0xad, 0, 0, 1];

/// Sends each of `frames` to siblings, without an agent and with one; counts those that arrive.
fn each(
    play: &Play,
    modes: &[Mode],
    flag: &'static str,
    takes_off_link: bool,
    frames: &[Vec<u8>],
) -> Result<()> {
    let frames: Vec<_> = frames.iter().cloned().map(Frame::of).collect();
    for &mode in modes {
        let mut scene = isolated(play, mode, flag, takes_off_link)?;
        let wire = Wire::open(&scene.site)?;
        let alone = count(&wire, &frames)?;
        play.alone(format!("{mode}: {alone} arrive"));
        start(&mut scene, takes_off_link)?;
        let with_agent = count(&wire, &frames)?;
        play.with_agent(format!("{mode}: {with_agent} arrive"));
        // The driver of Linux 6.1 delivers some by itself.
        scene.expect_most("frames that arrive", with_agent, alone);
        host_reaches_children(&scene)?;
        scene.clear()?;
    }
    Ok(())
}

/// What must still work: isolation is between children.
pub(super) fn host_reaches_children(scene: &Scene) -> Result<()> {
    scene.expect_reached(&scene.host, STEADY.both())
}

pub(super) fn isolated(
    play: &Play,
    mode: Mode,
    flag: &'static str,
    takes_off_link: bool,
) -> Result<Scene> {
    let scene = play.isolated(mode, flag)?;
    if takes_off_link {
        scene.take(OFF_LINK.both())?;
    }
    Ok(scene)
}

pub(super) fn start(scene: &mut Scene, takes_off_link: bool) -> Result<()> {
    if !takes_off_link {
        return scene.start(&[]);
    }
    scene.start(&ALLOW_ALL)?;
    for address in OFF_LINK.both() {
        ensure!(
            becomes(&scene.site, address, true, PATIENCE)?,
            "{address} is allowed and not answered"
        );
    }
    Ok(())
}

/// Sends `frames` from a socket and counts what arrives at siblings.
pub(super) fn count(wire: &Wire, frames: &[Frame]) -> Result<usize> {
    count_by(wire, frames, |frames| wire.attacker.send(frames))
}

/// Sends `frames` by `send`, three times, since the first may wait for a neighbour entry; counts what arrives.
fn count_by(wire: &Wire, frames: &[Frame], send: impl Fn(&[Frame]) -> Result<()>) -> Result<usize> {
    wire.drain(|_| {})?;
    for _ in 0..REPEATS {
        send(frames)?;
        thread::sleep(ARRIVED);
    }
    let mut arrived = 0;
    wire.drain(|seen| {
        // Cookies and messages in the gateway's name; never what the kernels send by themselves.
        let named = frames.iter().any(|frame| {
            (frames::cookie(seen).is_some() && frame.is(seen))
                || frame.bytes.get(14..) == seen.get(14..)
        });
        arrived += usize::from(named);
    })?;
    Ok(arrived)
}

/// A UDP packet with a cookie to the MAC `eth_dst`, whose length field is `total` if given.
pub(super) fn packet(
    eth_dst: Mac,
    source: IpAddr,
    destination: IpAddr,
    total: Option<u16>,
) -> Vec<u8> {
    const UDP: [u8; 8] = [0x11, 0x5c, 0x14, 0xe9, 0, 16, 0, 0];
    let packet = IpPacket {
        payload: [&UDP[..], &cookie_of(1)].concat(),
        ..IpPacket::udp([eth_dst, MAC], source, destination)
    };
    let frame = packet.frame();
    match (source, total) {
        (_, None) => frame,
        (IpAddr::V6(_), Some(total)) => patched(frame, v6::PAYLOAD_LEN, &total.to_be_bytes()),
        (IpAddr::V4(_), Some(total)) => {
            let frame = patched(frame, v4::TOTAL_LEN, &total.to_be_bytes());
            let frame = patched(frame, v4::CHECKSUM, &[0; 2]);
            let sum = checksum::internet(&frame[v4::VERSION_IHL..v4::LEN]);
            patched(frame, v4::CHECKSUM, &sum)
        }
    }
}

/// Packets of both families to a sibling.
pub(super) fn to_sibling(source: Pair, total: Option<u16>) -> Vec<Vec<u8>> {
    let to = |address| packet(MAC, source.like(address), address, total);
    STEADY.both().map(to).into()
}

/// An ARP reply and an advertisement to `target` at the parent's MAC: the gateway is at the same MAC.
pub(super) fn in_gateways_name(target: Pair) -> [Vec<u8>; 2] {
    let request = Arp::request(MAC, GATEWAY.v4, target.v4).to(MAC).frame();
    let advertisement = Nd {
        eth_dst: MAC,
        dst: target.v6,
        flags: nd::flags("RSO"),
        ..Nd::announcement(MAC, GATEWAY.v6)
    };
    [patched(request, OPER, &[0, 2]), advertisement.frame()]
}

/// A packet from the host's address: by a packet socket, and by the loopback device, which leaves no socket on it.
fn hosts_name(play: &Play) -> Result<()> {
    let frames: Vec<_> = to_sibling(HOST, None).into_iter().map(Frame::of).collect();
    let sent = frames.len() * REPEATS;
    for mode in Mode::ALL {
        let mut scene = play.isolated(mode, "vepa")?;
        let wire = Wire::open(&scene.site)?;
        let alone = count(&wire, &frames)? + count_without_socket(&wire, &frames)?.unwrap_or(0);
        play.alone(format!("{mode}: {alone} arrive"));
        scene.start(&[])?;
        let by_socket = count(&wire, &frames)?;
        play.with_agent(format!("{mode}: {by_socket} of {sent} by a socket"));
        if let Some(without) = count_without_socket(&wire, &frames)? {
            play.with_agent(format!("{without} of {sent} without"));
        }
        if tells_the_sender() {
            scene.expect_eq("frames of a socket that arrive", by_socket, 0);
        }
        host_reaches_children(&scene)?;
        host_refuses(&scene)?;
        scene.clear()?;
    }
    Ok(())
}

/// Sends `frames` without a socket; counts what arrives.
fn count_without_socket(wire: &Wire, frames: &[Frame]) -> Result<Option<usize>> {
    let Some(outlet) = &wire.without_socket else {
        return Ok(None);
    };
    count_by(wire, frames, |frames| outlet.send(frames)).map(Some)
}

/// The host's kernel refuses a connection of an isolated child: its reset is from the host's address, and in IPv6
/// without a socket (`tcp_v6_send_response`).
fn host_refuses(scene: &Scene) -> Result<()> {
    const CLOSED: u16 = 9;
    for address in HOST.both() {
        let to = (address, CLOSED).into();
        let connect = || Ok(TcpStream::connect_timeout(&to, PATIENCE));
        let kind = scene.steady.run(connect)?.err().map(|error| error.kind());
        let what = format!("a connection to {address}");
        scene.expect_eq(&what, kind, Some(ErrorKind::ConnectionRefused));
    }
    Ok(())
}

/// Returns whether the kernel lets a TC program ask for the netns of the socket that sent a packet: `bpf_get_netns_cookie` is
/// there for TC programs since Linux 6.15.
pub(super) fn tells_the_sender() -> bool {
    crate::faults::is_at_least(6, 15).unwrap_or(false)
}
