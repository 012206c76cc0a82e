//! Random frames of a container, in every setting of isolation.

use std::fmt::Write as _;

use super::{
    frames,
    isolation::{host_reaches_children, isolated, start, tells_the_sender},
    wire::{Arrived, Wire},
};
use crate::rows::prelude::*;

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "S3",
        Container,
        "random frames, all modes, private and vepa, off-link addresses allowed",
        "0 frames at a sibling beyond those that the driver alone delivers",
        Run::Own(random),
    ),
    Row::new(
        "S3",
        Container,
        "the same frames while the flag is bridge: the count can fail",
        "frames arrive",
        Run::Own(floor),
    ),
];

/// Every setting of the generator: flag and mode, and whether the attacker has an off-link address that the operator
/// allows.
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

/// What happened to the frames of all settings.
#[derive(Default)]
struct Tally {
    sent: u32,
    alone: usize,
    /// In the host's own name, sent by a socket.
    by_socket: usize,
    /// In the host's own name, sent without one.
    without_socket: usize,
}

/// Plays the same frames without and with the agent, in every setting.
fn random(play: &Play) -> Result<()> {
    let count = play.plan.either(SHORT, MILLION.div_ceil(9));
    let mut tally = Tally::default();
    for (seed, (mode, flag, takes_off_link)) in (SEED..).zip(SETTINGS) {
        let mut scene = isolated(play, mode, flag, takes_off_link)?;
        if takes_off_link {
            scene.case("off-link");
        }
        compare(&mut scene, takes_off_link, seed, count, &mut tally)?;
    }
    let Tally { sent, alone, .. } = tally;
    play.alone(format!(
        "of {sent} frames {alone} arrive: broadcasts and groups in l2"
    ));
    play.with_agent(format!("0 more of {sent}"));
    for (count, how) in [
        (
            tally.by_socket,
            ", where the kernel does not report the sender's netns to programs",
        ),
        (tally.without_socket, " without a socket"),
    ] {
        if count > 0 {
            play.with_agent(format!("{count} in the host's own name{how}"));
        }
    }
    Ok(())
}

fn compare(
    scene: &mut Scene,
    off_link: bool,
    seed: u32,
    count: u32,
    tally: &mut Tally,
) -> Result<()> {
    let wire = Wire::open(&scene.site)?;
    let alone = wire.play(seed, count)?;
    start(scene, off_link)?;
    let with_agent = wire.play(seed, count)?;
    host_reaches_children(scene)?;
    scene.clear()?;
    let mut found = beyond(seed, &alone, &with_agent);
    // The driver drops a broadcast now and then; what it delivers the second time is its own.
    let again = wire.replay(seed, &found.others)?;
    found
        .others
        .retain(|number| !again.numbers.contains(number));
    println!(
        "{count} frames, alone {} arrive, with the agent {}, beyond {} (reflected {}), {} in the host's name",
        alone.numbers.len(),
        with_agent.numbers.len(),
        found.others.len(),
        with_agent.reflected,
        found.from_host.len()
    );
    scene.expect(found.others.is_empty(), || shown(seed, &found.others));
    let (without, with): (Vec<_>, Vec<_>) = found
        .from_host
        .iter()
        .partition(|&&number| wire.is_without_socket(number));
    scene.expect(!tells_the_sender() || with.is_empty(), || {
        shown(seed, &with)
    });
    tally.sent += count;
    tally.alone += alone.numbers.len();
    tally.by_socket += with.len();
    tally.without_socket += without.len();
    Ok(())
}

/// Frames that arrived with the agent and not without it.
struct Beyond {
    from_host: Vec<u32>,
    others: Vec<u32>,
}

fn beyond(seed: u32, alone: &Arrived, with_agent: &Arrived) -> Beyond {
    let (from_host, others) = (&with_agent.numbers - &alone.numbers)
        .into_iter()
        .partition(|&number| frames::frame(seed, number).is_from_host());
    Beyond { from_host, others }
}

fn shown(seed: u32, numbers: &[u32]) -> String {
    let mut text = format!("{} frames arrive:", numbers.len());
    for &number in numbers.iter().take(SHOWN) {
        let _written = write!(text, " {number}=");
        for byte in frames::frame(seed, number).bytes.iter().take(80) {
            let _written = write!(text, "{byte:02x}");
        }
    }
    text
}

/// The counts are compared with those of an isolated parent: with `bridge` the driver delivers.
fn floor(play: &Play) -> Result<()> {
    const COUNT: u32 = 1_000;
    for mode in Mode::ALL {
        let mut scene = play.isolated(mode, "private")?;
        let wire = Wire::open(&scene.site)?;
        let alone = wire.play(SEED, COUNT)?;
        scene.start(&[])?;
        let flip = format!("link set {CHILD} type ipvlan mode {mode} bridge\n");
        scene.third.ip(&flip)?;
        scene.wait_parent("bridge", |parent| parent.flag.as_deref() == Some("bridge"))?;
        let with_agent = wire.play(SEED, COUNT)?;
        let found = beyond(SEED, &alone, &with_agent).others.len();
        play.alone(format!(
            "{mode}: {} arrive under private",
            alone.numbers.len()
        ));
        play.with_agent(format!("{mode}: {found} more arrive under bridge"));
        scene.expect_least("more frames that arrive", found, 1);
        scene.clear()?;
    }
    Ok(())
}
