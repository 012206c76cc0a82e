//! Isolation: under `private` and `vepa` nothing of a container reaches a sibling through the agent that
//! the driver alone would not deliver.

use std::{
    io::ErrorKind,
    net::{IpAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use ipvlan_packet::{Arp, Nd, checksum, nd};

use super::{
    frames::{self, Frame, OFF_LINK},
    wire::Wire,
};
use crate::{
    demo::mode::Mode,
    faults::{
        site::{CHILD, GATEWAY, HOST, MAC, NOBODY, PARENT, Pair, STEADY, Site, THIRD, VM01},
        stage::{PATIENCE, Plan},
    },
    probe::ping::ping,
    rows::{
        row::{
            Kind::{self, Container},
            Row, Verdict,
        },
        scene::{self, Scene, becomes},
    },
};

pub(super) const ROWS: &[Row] = &[
    exact(
        "private l3, l3s: an IPv4 total length of 65535 to a sibling",
        repaired_length,
    ),
    exact(
        "vepa l3, l3s: a source that no host has, to a sibling",
        nobodys_source,
    ),
    exact(
        "private l2: a frame to a sibling, with an off-link address",
        off_link,
    ),
    exact(
        "vepa l2: an ARP reply and an advertisement in the gateway's name to the parent's MAC",
        gateways_name,
    ),
    Row::new(
        "S3",
        Container,
        "vepa: a packet from the host's own address, by a packet socket and without a socket",
        "0 by a socket on Linux 6.15 and newer; without a socket nothing tells it from a packet of the host's kernel, \
         which still reaches the sibling",
        hosts_name,
    ),
];

pub(super) const fn exact(attack: &'static str, run: fn(&Plan) -> Result<Verdict>) -> Row {
    const WHO: Kind = Container;
    Row::new(
        "S3",
        WHO,
        attack,
        "0 frames at a sibling beyond those that the driver alone delivers",
        run,
    )
}

/// With these every address may attract traffic.
const ALLOW_ALL: [&str; 4] = ["--allow", "0.0.0.0/0", "--allow", "::/0"];
/// A packet that waits for a neighbour entry has left by then, or is lost.
pub(super) const ARRIVED: Duration = Duration::from_millis(1500);
/// How often a frame is sent that may wait for a neighbour entry.
const REPEATS: usize = 3;
/// Sends each of `frames` to siblings, without an agent and with one; counts those that arrive.
fn each(
    plan: &Plan,
    modes: &[Mode],
    flag: &'static str,
    takes_off_link: bool,
    frames: &[Vec<u8>],
) -> Result<Verdict> {
    let frames: Vec<_> = frames.iter().cloned().map(Frame::of).collect();
    let mut verdict = Verdict::default();
    for &mode in modes {
        let mut scene = isolated(plan, mode, flag, takes_off_link)?;
        let wire = Wire::open(&scene.site)?;
        let alone = count(&wire, &frames)?;
        verdict.alone(format!("{mode}: {alone} arrive"));
        start(&mut scene, takes_off_link)?;
        let with_agent = count(&wire, &frames)?;
        verdict.agent(format!("{mode}: {with_agent} arrive"));
        // The driver of Linux 6.1 delivers some by itself.
        verdict.expect(with_agent <= alone, || {
            format!("{mode} {flag}: {with_agent} frames arrive, and {alone} without the agent")
        });
        host_reaches_children(&scene, &mut verdict)?;
        scene.clear()?;
    }
    Ok(verdict)
}

/// What must still work: isolation is between children.
pub(super) fn host_reaches_children(scene: &Scene, verdict: &mut Verdict) -> Result<()> {
    let Site { host, mode, .. } = &scene.site;
    for address in STEADY.both() {
        let reached = host.run(|| ping(None, address, PATIENCE))?;
        if !reached {
            let entry = host.neighbour_entry(PARENT, address)?;
            verdict.problems.push(format!(
                "{mode}: the host does not reach {address}: {}",
                entry.trim()
            ));
        }
    }
    Ok(())
}

pub(super) fn isolated(
    plan: &Plan,
    mode: Mode,
    flag: &'static str,
    takes_off_link: bool,
) -> Result<Scene> {
    let scene = Scene::build(plan, mode, flag)?;
    if takes_off_link {
        for address in OFF_LINK.both() {
            scene::add(&scene.site.third, CHILD, address)?;
        }
    }
    Ok(scene)
}

pub(super) fn start(scene: &mut Scene, takes_off_link: bool) -> Result<()> {
    scene.start(if takes_off_link { &ALLOW_ALL } else { &[] })?;
    if takes_off_link {
        for address in OFF_LINK.both() {
            ensure!(
                becomes(&scene.site, address, true, PATIENCE)?,
                "{address} is allowed and not answered"
            );
        }
    }
    Ok(())
}

/// Sends `frames` three times, since the first may wait for a neighbour entry; counts what arrives.
pub(super) fn count(wire: &Wire, frames: &[Frame]) -> Result<usize> {
    wire.drain(|_| {})?;
    for _ in 0..REPEATS {
        wire.send_each(frames)?;
        thread::sleep(ARRIVED);
    }
    arrived(wire, frames)
}

/// Counts what has arrived of `frames`.
fn arrived(wire: &Wire, frames: &[Frame]) -> Result<usize> {
    let mut arrived = 0;
    wire.drain(|seen| {
        // Cookies and messages in the gateway's name; never what the kernels say by themselves.
        let named = frames.iter().any(|frame| {
            (frames::cookie(seen).is_some() && frame.is(seen))
                || frame.bytes.get(14..) == seen.get(14..)
        });
        arrived += usize::from(named);
    })?;
    Ok(arrived)
}

pub(super) fn frame(destination: [u8; 6], ether_type: u16, packet: &[u8]) -> Vec<u8> {
    let head = [&destination[..], &MAC, &ether_type.to_be_bytes()].concat();
    [&head[..], packet].concat()
}

/// A UDP packet with a cookie from `source` to `destination`, whose length field is `total` if given.
pub(super) fn packet(source: IpAddr, destination: IpAddr, total: Option<u16>) -> Vec<u8> {
    let udp = [
        0x11, 0x5c, 0x14, 0xe9, 0, 16, 0, 0, 0xc0, 0x0c, 0x1e, 0x57, 0, 0, 0, 1,
    ];
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut packet = vec![0x45, 0];
            packet.extend(total.unwrap_or(36).to_be_bytes());
            packet.extend([0, 1, 0, 0, 64, 17, 0, 0]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
            let sum = checksum::internet(&packet);
            packet[10..12].copy_from_slice(&sum);
            [&packet[..], &udp].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut packet = vec![0x60, 0, 0, 0];
            packet.extend(total.unwrap_or(16).to_be_bytes());
            packet.extend([17, 64]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
            [&packet[..], &udp].concat()
        }
        _ => Vec::new(),
    }
}

pub(super) fn to_sibling(source: Pair, total: Option<u16>) -> Vec<Vec<u8>> {
    [
        frame(
            MAC,
            0x0800,
            &packet(source.v4.into(), STEADY.v4.into(), total),
        ),
        frame(
            MAC,
            0x86dd,
            &packet(source.v6.into(), STEADY.v6.into(), total),
        ),
    ]
    .to_vec()
}

/// `ip_local_out` repairs the length of what the host sends on.
fn repaired_length(plan: &Plan) -> Result<Verdict> {
    let frames = to_sibling(THIRD, Some(65_535));
    each(plan, &[Mode::L3, Mode::L3s], "private", false, &frames)
}

fn nobodys_source(plan: &Plan) -> Result<Verdict> {
    let frames: Vec<_> = [NOBODY, VM01, GATEWAY, THIRD]
        .into_iter()
        .flat_map(|source| to_sibling(source, None))
        .collect();
    each(plan, &[Mode::L3, Mode::L3s], "vepa", false, &frames)
}

/// A frame for the MAC of another station leaves by the parent, whatever address it is for.
fn off_link(plan: &Plan) -> Result<Verdict> {
    const STATION: [u8; 6] = [2, 0xde, 0xad, 0, 0, 1];
    let mut frames: Vec<_> = [OFF_LINK, THIRD, NOBODY, VM01]
        .into_iter()
        .flat_map(|source| to_sibling(source, None))
        .collect();
    let to_station: Vec<_> = frames
        .iter()
        .map(|frame| [&STATION[..], &frame[6..]].concat())
        .collect();
    frames.extend(to_station);
    each(plan, &[Mode::L2], "private", true, &frames)
}

/// In l2 a frame to the parent's MAC is to a sibling or to the host, and with `vepa` it goes to the wire.
fn gateways_name(plan: &Plan) -> Result<Verdict> {
    let mut frames = Vec::new();
    for operation in [2, 1] {
        let request = Arp::request(MAC, GATEWAY.v4, STEADY.v4).to(MAC);
        let mut message = request.frame();
        message[21] = operation;
        frames.push(message);
    }
    let advertisement = Nd {
        eth_dst: MAC,
        dst: STEADY.v6,
        flags: nd::flags("RSO"),
        ..Nd::announcement(MAC, GATEWAY.v6)
    };
    frames.push(advertisement.frame());
    each(plan, &[Mode::L2], "vepa", false, &frames)
}

/// A packet from the host's address: by a packet socket, and by the loopback device, which leaves no socket on it.
fn hosts_name(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let frames: Vec<_> = to_sibling(HOST, None).into_iter().map(Frame::of).collect();
    let sent = frames.len() * REPEATS;
    for mode in Mode::ALL {
        let mut scene = isolated(plan, mode, "vepa", false)?;
        let wire = Wire::open(&scene.site)?;
        let alone = count(&wire, &frames)? + count_without_socket(&wire, &frames)?.unwrap_or(0);
        verdict.alone(format!("{mode}: {alone} arrive"));
        scene.start(&[])?;
        let by_socket = count(&wire, &frames)?;
        verdict.agent(format!("{mode}: {by_socket} of {sent} by a socket"));
        if let Some(without) = count_without_socket(&wire, &frames)? {
            verdict.agent(format!("{without} of {sent} without"));
        }
        verdict.expect(!tells_the_sender() || by_socket == 0, || {
            format!("{mode}: {by_socket} of the frames that a socket sent arrive")
        });
        host_reaches_children(&scene, &mut verdict)?;
        host_refuses(&scene, &mut verdict)?;
        scene.clear()?;
    }
    Ok(verdict)
}

/// Sends `frames` without a socket; counts what arrives.
fn count_without_socket(wire: &Wire, frames: &[Frame]) -> Result<Option<usize>> {
    wire.drain(|_| {})?;
    for _ in 0..REPEATS {
        if !wire.send_without_socket(frames)? {
            return Ok(None);
        }
        thread::sleep(ARRIVED);
    }
    arrived(wire, frames).map(Some)
}

/// The host's kernel refuses a connection of an isolated child: its reset is from the host's address, and in IPv6
/// without a socket (`tcp_v6_send_response`).
fn host_refuses(scene: &Scene, verdict: &mut Verdict) -> Result<()> {
    const CLOSED: u16 = 9;
    for address in HOST.both() {
        let connected = scene.site.steady.run(|| {
            Ok(TcpStream::connect_timeout(
                &(address, CLOSED).into(),
                PATIENCE,
            ))
        })?;
        let kind = connected.err().map(|error| error.kind());
        verdict.expect(kind == Some(ErrorKind::ConnectionRefused), || {
            format!(
                "{}: a connection to {address} is not refused: {kind:?}",
                scene.site.mode
            )
        });
    }
    Ok(())
}

/// Returns whether the kernel lets a TC program ask for the netns of the socket that sent a packet: `bpf_get_netns_cookie` is
/// there for TC programs since Linux 6.15.
pub(super) fn tells_the_sender() -> bool {
    crate::faults::is_at_least(6, 15).unwrap_or(false)
}
