//! Isolation: under `private` and `vepa` nothing of a container reaches a sibling through the agent that
//! the driver alone would not deliver.

use std::{fmt::Write as _, net::IpAddr, thread, time::Duration};

use anyhow::{Result, ensure};

use super::{
    frames::{self, OFF_LINK},
    row::{
        Attacker::{self, Container},
        Row, Verdict,
    },
    scene::{self, Scene, becomes},
    wire::{Arrived, Wire},
};
use crate::{
    demo::mode::Mode,
    faults::{
        site::{CHILD, GATEWAY, MAC, NOBODY, Pair, STEADY, THIRD, VM01},
        stage::{PATIENCE, Plan},
    },
    probe::{arp, checksum, nd, neighbour::Question as _, ping::ping},
};

pub(super) const ROWS: &[Row] = &[
    exact(
        "private l3, l3s: an IPv4 total length of 65535 to a sibling",
        repaired_length,
    ),
    exact(
        "vepa l3, l3s: a source that is nobody's, to a sibling",
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
        "random frames, all modes, private and vepa, off-link addresses allowed",
        "0 frames at a sibling beyond those that the driver alone delivers",
        random,
    ),
    Row::new(
        "S3",
        Container,
        "the same frames while the flag is bridge: the count can fail",
        "frames arrive",
        floor,
    ),
];

const fn exact(attack: &'static str, run: fn(&Plan) -> Result<Verdict>) -> Row {
    const WHO: Attacker = Container;
    Row::new(
        "S3",
        WHO,
        attack,
        "0 frames at a sibling beyond those that the driver alone delivers",
        run,
    )
}

/// Every setting of the generator: mode, flag, and whether the attacker has an off-link address that the
/// operator allows.
const SETTINGS: [(Mode, &str, bool); 9] = [
    (Mode::L2, "private", false),
    (Mode::L2, "vepa", false),
    (Mode::L3, "private", false),
    (Mode::L3, "vepa", false),
    (Mode::L3s, "private", false),
    (Mode::L3s, "vepa", false),
    (Mode::L2, "private", true),
    (Mode::L2, "vepa", true),
    (Mode::L3, "private", true),
];
/// With these every address may attract traffic.
const ALLOW_ALL: [&str; 4] = ["--allow", "0.0.0.0/0", "--allow", "::/0"];
const SEED: u32 = 12;
/// Frames of all settings together, in the long form.
const MILLION: u32 = 1_000_000;
const SHORT: u32 = 2_500;
/// A packet that waits for a neighbour entry has left by then, or is lost.
const ARRIVED: Duration = Duration::from_millis(1500);
/// How many frames are shown of those that arrived.
const SHOWN: usize = 1;

/// Sends each of `frames` to siblings, without an agent and with one; counts those that arrive.
fn each(
    plan: &Plan,
    modes: &[Mode],
    flag: &'static str,
    takes_off_link: bool,
    frames: &[Vec<u8>],
) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for &mode in modes {
        let mut scene = isolated(plan, mode, flag, takes_off_link)?;
        let wire = Wire::open(&scene.site)?;
        let alone = count(&wire, frames)?;
        verdict.alone(format!("{mode}: {alone} arrive"));
        start(&mut scene, takes_off_link)?;
        let with_agent = count(&wire, frames)?;
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
fn host_reaches_children(scene: &Scene, verdict: &mut Verdict) -> Result<()> {
    for address in STEADY.both() {
        let reached = scene.site.host.run(|| ping(None, address, PATIENCE))?;
        verdict.expect(reached, || format!("the host does not reach {address}"));
    }
    Ok(())
}

fn isolated(plan: &Plan, mode: Mode, flag: &'static str, takes_off_link: bool) -> Result<Scene> {
    let scene = Scene::build(plan, mode, flag)?;
    if takes_off_link {
        for address in OFF_LINK.both() {
            scene::add(&scene.site.third, CHILD, address)?;
        }
    }
    Ok(scene)
}

fn start(scene: &mut Scene, takes_off_link: bool) -> Result<()> {
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
fn count(wire: &Wire, frames: &[Vec<u8>]) -> Result<usize> {
    wire.drain(|_| {})?;
    for _ in 0..3 {
        for frame in frames {
            wire.send_one(frame);
        }
        thread::sleep(ARRIVED);
    }
    let mut arrived = 0;
    wire.drain(|seen| {
        // Cookies and messages in the gateway's name; never what the kernels say by themselves.
        let named = frames::cookie(seen).is_some()
            || frames.iter().any(|frame| frame.get(14..) == seen.get(14..));
        arrived += usize::from(named);
    })?;
    Ok(arrived)
}

fn frame(destination: [u8; 6], ether_type: u16, packet: &[u8]) -> Vec<u8> {
    let head = [&destination[..], &MAC, &ether_type.to_be_bytes()].concat();
    [&head[..], packet].concat()
}

/// A UDP packet with a cookie from `source` to `destination`, whose length field is `total` if given.
fn packet(source: IpAddr, destination: IpAddr, total: Option<u16>) -> Vec<u8> {
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
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
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

fn to_sibling(source: Pair, total: Option<u16>) -> Vec<Vec<u8>> {
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
        let request = arp::Request {
            to: MAC,
            sha: MAC,
            spa: GATEWAY.v4,
            tpa: STEADY.v4,
        };
        let mut message = request.frame();
        message[21] = operation;
        frames.push(message);
    }
    let advertisement = nd::Advertisement {
        ethernet: MAC,
        source: GATEWAY.v6,
        destination: STEADY.v6,
        target: GATEWAY.v6,
        router: true,
        solicited: true,
        overrides: true,
        target_link_layer: Some(MAC),
    };
    frames.push(advertisement.frame(MAC));
    each(plan, &[Mode::L2], "vepa", false, &frames)
}

/// Plays the same frames without and with the agent, in every setting.
fn random(plan: &Plan) -> Result<Verdict> {
    let count = plan.either(SHORT, MILLION.div_ceil(9));
    let mut verdict = Verdict::default();
    let (mut sent, mut alone_total, mut residue) = (0, 0, 0);
    for (place, (mode, flag, takes_off_link)) in SETTINGS.into_iter().enumerate() {
        let seed = SEED + u32::try_from(place)?;
        let mut scene = isolated(plan, mode, flag, takes_off_link)?;
        let wire = Wire::open(&scene.site)?;
        let alone = wire.play(seed, count)?;
        start(&mut scene, takes_off_link)?;
        let with_agent = wire.play(seed, count)?;
        host_reaches_children(&scene, &mut verdict)?;
        scene.clear()?;
        let mut found = beyond(seed, &alone, &with_agent);
        // The driver drops a broadcast now and then; what it delivers the second time is its own.
        let again = wire.replay(seed, &found.others)?;
        found.others.retain(|&number| !again.contains(number));
        let setting = format!(
            "{mode} {flag}{}",
            if takes_off_link { ", off-link" } else { "" }
        );
        println!(
            "{setting}: {count} frames, alone {} arrive, with the agent {}, beyond {} (reflected {}), {} in the host's name",
            alone.len(),
            with_agent.len(),
            found.others.len(),
            with_agent.reflected,
            found.from_host.len()
        );
        verdict.expect(found.others.is_empty(), || {
            shown(&setting, seed, &found.others)
        });
        residue += found.from_host.len();
        let closed = tells_the_sender();
        verdict.expect(!closed || found.from_host.is_empty(), || {
            shown(&setting, seed, &found.from_host)
        });
        sent += count;
        alone_total += alone.len();
    }
    verdict.alone(format!(
        "of {sent} frames {alone_total} arrive: broadcasts and groups in l2"
    ));
    verdict.agent(if verdict.is_met() {
        format!("0 more of {sent}")
    } else {
        "frames arrive".to_owned()
    });
    if residue > 0 {
        verdict.agent(format!(
            "{residue} in the host's own name, where the kernel does not tell programs the sender's netns"
        ));
    }
    Ok(verdict)
}

/// Frames that arrived with the agent and not without it.
struct Beyond {
    from_host: Vec<u32>,
    others: Vec<u32>,
}

fn beyond(seed: u32, alone: &Arrived, with_agent: &Arrived) -> Beyond {
    let (from_host, others) = with_agent
        .beyond(alone)
        .partition(|&number| frames::frame(seed, number).is_from_host());
    Beyond { from_host, others }
}

fn shown(setting: &str, seed: u32, numbers: &[u32]) -> String {
    let mut text = format!("{setting}: {} frames arrive:", numbers.len());
    for &number in numbers.iter().take(SHOWN) {
        let _written = write!(text, " {number}=");
        for byte in frames::frame(seed, number).bytes.iter().take(80) {
            let _written = write!(text, "{byte:02x}");
        }
    }
    text
}

/// Returns whether the kernel tells a TC program whose socket sent a packet: `bpf_get_netns_cookie` is
/// there for TC programs since Linux 6.15.
fn tells_the_sender() -> bool {
    crate::faults::is_at_least(6, 15).unwrap_or(false)
}

/// The counts are compared with those of an isolated parent: with `bridge` the driver delivers.
fn floor(plan: &Plan) -> Result<Verdict> {
    const COUNT: u32 = 1_000;
    let mut verdict = Verdict::default();
    for mode in Mode::ALL {
        let mut scene = isolated(plan, mode, "private", false)?;
        let wire = Wire::open(&scene.site)?;
        let alone = wire.play(SEED, COUNT)?;
        scene.start(&[])?;
        let flip = format!("link set {CHILD} type ipvlan mode {mode} bridge\n");
        scene.site.third.ip(&flip)?;
        scene.wait_parent("bridge", |parent| parent["flag"] == "bridge")?;
        let with_agent = wire.play(SEED, COUNT)?;
        let found = beyond(SEED, &alone, &with_agent).others.len();
        verdict.alone(format!("{mode}: {} arrive under private", alone.len()));
        verdict.agent(format!("{mode}: {found} more arrive under bridge"));
        verdict.expect(found > 0, || format!("{mode}: the count cannot fail"));
        scene.clear()?;
    }
    Ok(verdict)
}
