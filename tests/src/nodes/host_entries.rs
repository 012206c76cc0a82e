//! The host's own neighbour entries: a child that appears, moves here, moves away, or whose parent gets another MAC,
//! and what is not the agent's to change.

use std::collections::BTreeMap;

use crate::rows::prelude::*;

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B08",
        Kind::Gap,
        "children appear, move here and away while the host has an entry in each state; the parent's MAC changes",
        "the host reaches each address within 1 s, whoever has it",
        Run::Each(&Mode::ALL, moves),
    ),
    Row::new(
        "B08",
        Kind::Held,
        "a child takes the address of a live station; a child has an address with an entry made by hand",
        "the host keeps the entries",
        Run::Own(keeps),
    )
    .on_any_kernel(),
];

/// The host reaches an address within this time.
const WITHIN: Duration = Duration::from_secs(1);
/// Time after which an address counts as unreachable; the kernel repeats a question after 1 s.
const GIVE_UP: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_millis(40);
/// Longer than the agent waits for the former owner of an address.
const WATCHED: Duration = Duration::from_millis(1300);
/// Another MAC of the parent.
const OTHER_MAC: [u8; 6] = [2, 0x34, 0, 0, 0, 0x77];
/// A MAC that no station has.
const DEAD_MAC: [u8; 6] = [2, 0x34, 0, 0, 0, 0xdd];

/// States of the host's entry before a child moves here, each with an address of its own.
const STATES: [(&str, Pair); 4] = [
    ("reachable", Pair::new(120)),
    ("stale", Pair::new(121)),
    ("delay", Pair::new(122)),
    ("probe", Pair::new(123)),
];
/// The host's entry has failed: there was no answer.
const FAILED: Pair = Pair::new(124);
/// The host is asking when the child appears.
const INCOMPLETE: Pair = Pair::new(125);

fn moves(scene: &mut Scene) -> Result<()> {
    let mode = scene.mode;
    let host = &scene.host;
    let alone = STEADY
        .both()
        .map(|address| reaches(host, address, PATIENCE));
    let reached = alone.iter().filter(|it| matches!(it, Ok(true))).count();
    scene.alone(format!(
        "{mode}: the host reaches a child in {reached} of 2 families"
    ));
    scene.start(&[])?;
    let steps: [(&str, Step); 3] = [
        ("appears or moves here", move_here),
        ("moves away", move_away),
        ("another MAC of the parent", change_mac),
    ];
    for (step, play) in steps {
        scene.case(step);
        let reached = play(&scene.site)?;
        for (address, at) in &reached {
            let what = format!("the host reaches {address} after");
            scene.expect_most(&what, at.unwrap_or(Duration::MAX), WITHIN);
        }
        let latest = reached.values().flatten().max().copied();
        let latest = latest.unwrap_or_default().as_millis();
        scene.with_agent(format!("{mode}, {step}: {latest} ms"));
    }
    Ok(())
}

/// When the host first reached each address; none if it did not in time.
type Reached = BTreeMap<IpAddr, Option<Duration>>;
type Step = fn(&Site) -> Result<Reached>;

/// Gives all addresses to `third` while the host has entries for them; returns when the host reached each.
fn move_here(site: &Site) -> Result<Reached> {
    let vm01 = colons(site.vm01.hardware_address(LAN)?);
    for address in FAILED.both() {
        // The kernel gives up after three questions.
        reaches(&site.host, address, PATIENCE)?;
    }
    thread::sleep(Duration::from_millis(3200));
    let entries = STATES.iter().flat_map(|(state, pair)| {
        pair.both().map(|address| {
            format!("neigh replace {address} dev {PARENT} lladdr {vm01} nud {state}\n")
        })
    });
    site.host.ip(&entries.collect::<String>())?;
    for address in INCOMPLETE.both() {
        reaches(&site.host, address, PATIENCE)?;
    }
    site.third
        .ip(&all().map(|pair| pair.added(CHILD)).collect::<String>())?;
    Ok(reached(&site.host, all().flat_map(Pair::both)))
}

/// Gives all addresses to a station on the LAN while the host has them at its own MAC.
fn move_away(site: &Site) -> Result<Reached> {
    let lines = |line: fn(Pair, &str) -> String, device| -> String {
        all().map(|pair| line(pair, device)).collect()
    };
    site.third.ip(&lines(Pair::deleted, CHILD))?;
    site.vm01.ip(&lines(Pair::added, LAN))?;
    let reached = reached(&site.host, all().flat_map(Pair::both));
    site.vm01.ip(&lines(Pair::deleted, LAN))?;
    Ok(reached)
}

fn change_mac(site: &Site) -> Result<Reached> {
    let children = || STEADY.both().into_iter().chain(THIRD.both());
    for address in children() {
        reaches(&site.host, address, WITHIN)?;
    }
    let mac = colons(OTHER_MAC);
    site.host
        .ip(&format!("link set {PARENT} address {mac}\n"))?;
    Ok(reached(&site.host, children()))
}

fn all() -> impl Iterator<Item = Pair> {
    let with_mac = STATES.into_iter().map(|(_, pair)| pair);
    with_mac.chain([FAILED, INCOMPLETE])
}

fn reaches(host: &Netns, address: IpAddr, patience: Duration) -> Result<bool> {
    host.run(|| ping(None, address, patience))
}

/// Returns when the host first reached each address.
fn reached(host: &Netns, addresses: impl Iterator<Item = IpAddr>) -> Reached {
    let begun = Instant::now();
    let mut found: Reached = addresses.map(|address| (address, None)).collect();
    while begun.elapsed() < GIVE_UP && found.values().any(Option::is_none) {
        for (&address, at) in found.iter_mut().filter(|(_, at)| at.is_none()) {
            if reaches(host, address, PATIENCE).unwrap_or(false) {
                *at = Some(begun.elapsed());
            }
        }
    }
    found
}

/// Entries that a person or another program made, with the words that `ip neigh` takes.
const BY_HAND: [(&str, Pair); 4] = [
    ("nud permanent", Pair::new(130)),
    ("nud noarp", Pair::new(131)),
    ("nud reachable extern_learn", Pair::new(132)),
    ("nud stale protocol static", Pair::new(133)),
];

fn keeps(play: &Play) -> Result<()> {
    for (mode, dad) in Mode::ALL
        .into_iter()
        .flat_map(|mode| [(mode, "optimistic"), (mode, "off")])
    {
        let mut scene = play.scene(mode)?;
        scene.case(format!("--dad {dad}"));
        scene.start(&["--dad", dad])?;
        kept(&scene)?;
    }
    Ok(())
}

fn kept(scene: &Scene) -> Result<()> {
    let Site {
        host, vm01, third, ..
    } = &scene.site;
    let (live, dead) = (colons(vm01.hardware_address(LAN)?), colons(DEAD_MAC));
    scene.expect_reached_within(host, NEIGHBOUR.both(), GIVE_UP)?;
    let entries = BY_HAND.iter().flat_map(|(words, pair)| {
        let entry =
            |address| format!("neigh replace {address} dev {PARENT} lladdr {dead} {words}\n");
        pair.both().map(entry)
    });
    host.ip(&entries.collect::<String>())?;
    let by_hand = BY_HAND.iter().map(|(_, pair)| pair.added(CHILD));
    third.ip(&by_hand.collect::<String>())?;
    scene.take(NEIGHBOUR.both())?;
    let mut wrong = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < WATCHED {
        for address in NEIGHBOUR.both() {
            let _sent = reaches(host, address, PATIENCE)?;
            wrong.extend(unless(host, address, &live)?);
        }
        thread::sleep(PATIENCE);
    }
    for address in BY_HAND.iter().flat_map(|(_, pair)| pair.both()) {
        wrong.extend(unless(host, address, &dead)?);
    }
    wrong.dedup();
    scene.expect_none("entries", wrong);
    Ok(())
}

/// Returns the host's entry for `address` unless it has this MAC.
fn unless(host: &Netns, address: IpAddr, mac: &str) -> Result<Option<String>> {
    let shown = host.neighbour_entry(PARENT, address)?;
    let is_kept = shown.contains(&format!("lladdr {mac} "));
    Ok((!is_kept).then(|| format!("{address}: {:?}", shown.trim())))
}
