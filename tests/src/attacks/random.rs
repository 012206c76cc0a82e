//! Random frames of a container, in every setting of isolation.

use std::fmt::Write as _;

use anyhow::Result;

use super::{
    frames,
    isolation::{host_reaches_children, isolated, start, tells_the_sender},
    wire::{Arrived, Wire},
};
use crate::{
    demo::mode::Mode,
    faults::{site::CHILD, stage::Plan},
    rows::row::{Kind::Container, Row, Verdict},
};

pub(super) const ROWS: &[Row] = &[
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
const SEED: u32 = 12;
/// Frames of all settings together, in the long form.
const MILLION: u32 = 1_000_000;
const SHORT: u32 = 2_500;
/// How many frames are shown of those that arrived.
const SHOWN: usize = 1;

/// Plays the same frames without and with the agent, in every setting.
fn random(plan: &Plan) -> Result<Verdict> {
    let count = plan.either(SHORT, MILLION.div_ceil(9));
    let mut verdict = Verdict::default();
    let (mut sent, mut alone_total, mut residue, mut without_socket) = (0, 0, 0, 0);
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
        let (without, with): (Vec<_>, Vec<_>) = found
            .from_host
            .iter()
            .partition(|&&number| wire.is_without_socket(number));
        residue += with.len();
        without_socket += without.len();
        verdict.expect(!tells_the_sender() || with.is_empty(), || {
            shown(&setting, seed, &with)
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
    if without_socket > 0 {
        verdict.agent(format!(
            "{without_socket} in the host's own name without a socket"
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
