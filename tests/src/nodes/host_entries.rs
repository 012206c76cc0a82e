//! The host's own neighbour entries: a child that appears, moves here, moves away, or whose parent gets another MAC,
//! and what is not the agent's to change.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    demo::mode::Mode,
    faults::{
        site::{CHILD, LAN, NEIGHBOUR, PARENT, Pair, STEADY, Site, THIRD},
        stage::Plan,
    },
    netns::{Netns, colons},
    probe::ping::ping,
    rows::{
        row::{Kind, Row, Verdict},
        scene::{self, Scene},
    },
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B08",
        Kind::Gap,
        "children appear, move here and away while the host has an entry in each state; the parent's MAC changes",
        "the host reaches each address within 1 s, whoever has it",
        moves,
    ),
    Row::new(
        "B08",
        Kind::Held,
        "a child takes the address of a live station; a child has an address with an entry made by hand",
        "the host keeps the entries",
        keeps,
    ),
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

fn moves(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for mode in Mode::ALL {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        let alone = STEADY
            .both()
            .map(|address| reaches(&scene.site.host, address, PATIENCE));
        let reached = alone
            .into_iter()
            .filter(|it| matches!(it, Ok(true)))
            .count();
        verdict.alone(format!(
            "{mode}: the host reaches a child in {reached} of 2 families"
        ));
        scene.start(&[])?;
        let site = &scene.site;
        let here = move_here(site)?;
        judge(&mut verdict, mode, "appears or moves here", &here);
        let away = move_away(site)?;
        judge(&mut verdict, mode, "moves away", &away);
        let changed = change_mac(site)?;
        judge(&mut verdict, mode, "another MAC of the parent", &changed);
    }
    Ok(verdict)
}

/// Gives all addresses to `third` while the host has entries for them; returns when the host reached each.
fn move_here(site: &Site) -> Result<BTreeMap<IpAddr, Option<Duration>>> {
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
    Ok(reached(&site.host))
}

/// Gives all addresses to a station on the LAN while the host has them at its own MAC.
fn move_away(site: &Site) -> Result<BTreeMap<IpAddr, Option<Duration>>> {
    site.third
        .ip(&all().map(|pair| pair.deleted(CHILD)).collect::<String>())?;
    site.vm01
        .ip(&all().map(|pair| pair.added(LAN)).collect::<String>())?;
    let reached = reached(&site.host);
    site.vm01
        .ip(&all().map(|pair| pair.deleted(LAN)).collect::<String>())?;
    Ok(reached)
}

fn change_mac(site: &Site) -> Result<BTreeMap<IpAddr, Option<Duration>>> {
    let children = || STEADY.both().into_iter().chain(THIRD.both());
    for address in children() {
        reaches(&site.host, address, WITHIN)?;
    }
    let mac = colons(OTHER_MAC);
    site.host
        .ip(&format!("link set {PARENT} address {mac}\n"))?;
    Ok(reached_of(&site.host, children()))
}

fn all() -> impl Iterator<Item = Pair> {
    let with_mac = STATES.into_iter().map(|(_, pair)| pair);
    with_mac.chain([FAILED, INCOMPLETE])
}

fn reaches(host: &Netns, address: IpAddr, patience: Duration) -> Result<bool> {
    host.run(|| ping(None, address, patience))
}

fn reached(host: &Netns) -> BTreeMap<IpAddr, Option<Duration>> {
    reached_of(host, all().flat_map(Pair::both))
}

/// Returns when the host first reached each address; none if it did not in time.
fn reached_of(
    host: &Netns,
    addresses: impl Iterator<Item = IpAddr>,
) -> BTreeMap<IpAddr, Option<Duration>> {
    let begun = Instant::now();
    let mut found: BTreeMap<IpAddr, Option<Duration>> =
        addresses.map(|address| (address, None)).collect();
    while begun.elapsed() < GIVE_UP && found.values().any(Option::is_none) {
        for (&address, at) in found.iter_mut().filter(|(_, at)| at.is_none()) {
            if reaches(host, address, PATIENCE).unwrap_or(false) {
                *at = Some(begun.elapsed());
            }
        }
    }
    found
}

fn judge(
    verdict: &mut Verdict,
    mode: Mode,
    what: &str,
    reached: &BTreeMap<IpAddr, Option<Duration>>,
) {
    for (address, at) in reached {
        verdict.expect(at.is_some_and(|at| at < WITHIN), || {
            format!("{mode}, {what}: the host reaches {address} after {at:?}")
        });
    }
    let latest = reached
        .values()
        .flatten()
        .max()
        .copied()
        .unwrap_or_default();
    verdict.agent(format!("{mode}, {what}: {} ms", latest.as_millis()));
}

/// Entries that a person or another program made, with the words that `ip neigh` takes.
const BY_HAND: [(&str, Pair); 4] = [
    ("nud permanent", Pair::new(130)),
    ("nud noarp", Pair::new(131)),
    ("nud reachable extern_learn", Pair::new(132)),
    ("nud stale protocol static", Pair::new(133)),
];

fn keeps(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for mode in Mode::ALL {
        for dad in ["optimistic", "off"] {
            let mut scene = Scene::build(plan, mode, "bridge")?;
            scene.start(&["--dad", dad])?;
            let site = &scene.site;
            let (vm01, dead) = (colons(site.vm01.hardware_address(LAN)?), colons(DEAD_MAC));
            for address in NEIGHBOUR.both() {
                let alive = reaches(&site.host, address, GIVE_UP)?;
                verdict.expect(alive, || {
                    format!("{mode}, --dad {dad}: {address} does not answer at first")
                });
            }
            for (words, pair) in BY_HAND {
                for address in pair.both() {
                    site.host.ip(&format!(
                        "neigh replace {address} dev {PARENT} lladdr {dead} {words}\n"
                    ))?;
                }
            }
            let by_hand = BY_HAND.iter().map(|(_, pair)| pair.added(CHILD));
            site.third.ip(&by_hand.collect::<String>())?;
            for address in NEIGHBOUR.both() {
                scene::add(&site.third, CHILD, address)?;
            }
            let mut wrong = Vec::new();
            let begun = Instant::now();
            while begun.elapsed() < WATCHED {
                for address in NEIGHBOUR.both() {
                    let _sent = reaches(&site.host, address, PATIENCE)?;
                    wrong.extend(unless(&site.host, address, &vm01)?);
                }
                thread::sleep(PATIENCE);
            }
            for address in BY_HAND.iter().flat_map(|(_, pair)| pair.both()) {
                wrong.extend(unless(&site.host, address, &dead)?);
            }
            wrong.dedup();
            verdict.expect(wrong.is_empty(), || {
                format!("{mode}, --dad {dad}: {}", wrong.join(", "))
            });
        }
    }
    verdict.agent("the host keeps the MAC of the station, and entries made by hand");
    Ok(verdict)
}

/// Returns the host's entry for `address` unless it has this MAC.
fn unless(host: &Netns, address: IpAddr, mac: &str) -> Result<Option<String>> {
    let shown = host.neighbour_entry(PARENT, address)?;
    let is_kept = shown.contains(&format!("lladdr {mac} "));
    Ok((!is_kept).then(|| format!("{address}: {:?}", shown.trim())))
}
