//! Stations that answer for every address, or ask for every address: no duplicates.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use ipvlan_packet::{
    ARP, Arp, IPV6, Nd,
    arp::REQUEST,
    nd::{SOLICITATION, TARGET_MAC, option},
};

use crate::{
    demo::mode::Mode,
    faults::{
        site::{CHILD, LAN, MAC, Pair, Site},
        stage::Plan,
    },
    probe::{packet::PacketSocket, ping::ping},
    rows::{
        row::{Kind, Row, Verdict},
        scene::{self, ANSWERED_WITHIN, Scene, becomes},
    },
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B15",
        Kind::Gap,
        "a station answers every request of the parent, as Azure does; a child gets an address (--dad strict and optimistic)",
        "one finding, no duplicate; the host reaches the child at once, the LAN after the probe",
        answers_all,
    ).on_any_kernel(),
    Row::new(
        "B22",
        Kind::Gap,
        "unicast probes from 0.0.0.0 and :: while a new address is probed for (--dad strict)",
        "no conflict: answered when the probe has ended",
        tracked,
    ).on_any_kernel(),
];

/// The new address.
const NEW: Pair = Pair::new(180);
/// The station that answers for every address.
const FABRIC: [u8; 6] = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc];
/// Three probes and an examination have ended by then.
const PROBED: Duration = Duration::from_secs(12);
/// Three probes have ended by then; after a conflict the next one would only start.
const UNDISTURBED: Duration = Duration::from_millis(8500);
/// The agent has seen a new address by then; its probe ends 4 s later at the earliest.
const KNOWN: Duration = Duration::from_millis(300);
const WAIT: Duration = Duration::from_millis(2);

fn answers_all(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for dad in ["strict", "optimistic"] {
        let scene = Scene::build(plan, Mode::L3, "bridge")?;
        let stop = AtomicBool::new(false);
        let played = thread::scope(|scope| {
            let vm01 = &scene.site.vm01;
            let station = scope.spawn(|| vm01.run(|| answer_all(&stop)));
            let played = appears(plan, &scene, dad, &mut verdict);
            stop.store(true, Ordering::Relaxed);
            let answers = station
                .join()
                .map_err(|_| anyhow!("the station panicked"))?;
            played?;
            answers
        });
        let answers = played?;
        verdict.expect(answers > 0, || "the station answered nothing".to_owned());
        verdict.agent(format!("{dad}: one finding after {answers} false answers"));
    }
    verdict.alone("l3 children are not answered at all");
    Ok(verdict)
}

/// Starts the agent, adds the address and asks for it from the host and the LAN.
fn appears(plan: &Plan, scene: &Scene, dad: &str, verdict: &mut Verdict) -> Result<()> {
    let site = &scene.site;
    let agent = crate::faults::stage::start_serving(&plan.ipvlan, site, &["--dad", dad])?;
    thread::sleep(PROBED);
    for address in NEW.both() {
        scene::add(&site.third, CHILD, address)?;
        // A request that is sent before the agent knows the address is answered by the station.
        thread::sleep(KNOWN);
        let reached = site.host.run(|| ping(None, address, ANSWERED_WITHIN))?;
        verdict.expect(reached, || {
            format!("{dad}: the host does not reach {address} at once")
        });
    }
    thread::sleep(PROBED);
    for address in NEW.both() {
        let answered = becomes(site, address, true, ANSWERED_WITHIN)?;
        verdict.expect(answered, || {
            format!("{dad}: {address} is not answered on the LAN")
        });
    }
    let status = agent.status()?;
    let events = status["parents"][0]["events"].as_array();
    let of_kind = |kind: &str| {
        let events = events.into_iter().flatten();
        events.filter(|event| event["kind"] == kind).count()
    };
    let (findings, claims) = (of_kind("no_owner"), of_kind("claim"));
    verdict.expect((findings, claims) == (1, 0), || {
        format!("{dad}: {findings} findings, {claims} claims: {events:?}")
    });
    agent.stop()
}

/// Answers every request that the parent sends, for whatever address; returns how many.
fn answer_all(stop: &AtomicBool) -> Result<u32> {
    let (arp, nd) = (
        PacketSocket::open(LAN, ARP)?,
        PacketSocket::open(LAN, IPV6)?,
    );
    let mut buffer = [0; 256];
    let mut answers = 0;
    while !stop.load(Ordering::Relaxed) {
        if let Some(length) = arp.receive(&mut buffer, WAIT)?
            && let Some(answer) = arp_answer(&buffer[..length.min(buffer.len())])
        {
            let _dropped = arp.send(&answer);
            answers += 1;
        }
        if let Some(length) = nd.receive(&mut buffer, WAIT)?
            && let Some(answer) = nd_answer(&buffer[..length.min(buffer.len())])
        {
            let _dropped = nd.send(&answer);
            answers += 1;
        }
    }
    Ok(answers)
}

fn arp_answer(frame: &[u8]) -> Option<Vec<u8>> {
    let request = Arp::parse(frame)?;
    // Requests of the parent, but no announcements.
    if request.eth_src != MAC || request.oper != REQUEST || request.spa == request.tpa {
        return None;
    }
    Some(request.answered_by(FABRIC).to(MAC).frame())
}

fn nd_answer(frame: &[u8]) -> Option<Vec<u8>> {
    let asked = Nd::parse(frame)?;
    if asked.eth_src != MAC || asked.kind != SOLICITATION {
        return None;
    }
    let letters = if asked.is_probe() { "" } else { "S" };
    let named = option(TARGET_MAC, &FABRIC);
    Some(asked.answered(FABRIC, letters, named).frame())
}

fn tracked(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    scene.start(&["--dad", "strict"])?;
    thread::sleep(PROBED);
    for address in NEW.both() {
        scene::add(&scene.site.third, CHILD, address)?;
    }
    let begun = Instant::now();
    let mut probes = 0;
    while begun.elapsed() < UNDISTURBED {
        probe(&scene.site)?;
        probes += 1;
        thread::sleep(Duration::from_millis(250));
    }
    for address in NEW.both() {
        let answered = becomes(&scene.site, address, true, ANSWERED_WITHIN)?;
        verdict.expect(answered, || {
            format!("{address} is not answered after {probes} unicast probes")
        });
    }
    let status = scene.parent()?;
    verdict.expect(!status["events"].to_string().contains("held_back"), || {
        format!("a conflict is reported: {}", status["events"])
    });
    verdict.alone("l3 children are not answered at all");
    verdict.agent(format!(
        "answered in spite of {probes} unicast probes of each address"
    ));
    scene.clear()?;
    Ok(verdict)
}

/// Sends a unicast probe of each family: of ARP as IP device tracking does, and of IPv6 in a unicast frame.
fn probe(site: &Site) -> Result<()> {
    let mac = site.vm01.hardware_address(LAN)?;
    let request = Arp::request(mac, Ipv4Addr::UNSPECIFIED, NEW.v4).to(MAC);
    let solicitation = Nd {
        eth_dst: MAC,
        ..Nd::multicast(mac, Ipv6Addr::UNSPECIFIED, NEW.v6)
    };
    site.vm01.run(|| {
        let _dropped = PacketSocket::open(LAN, ARP)?.send(&request.frame());
        let _dropped = PacketSocket::open(LAN, IPV6)?.send(&solicitation.frame());
        Ok(())
    })
}
