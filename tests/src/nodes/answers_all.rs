//! Stations that answer for every address, or ask for every address: no duplicates.

use ipvlan_packet::{
    ARP, Arp, IPV6, Mac, Nd,
    arp::REQUEST,
    nd::{SOLICITATION, TARGET_MAC, option},
};

use crate::{
    probe::responder::respond,
    rows::{prelude::*, status::Parent},
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B15",
        Kind::Gap,
        "a station answers every request of the parent, as Azure does; a child gets an address (--dad strict and \
         optimistic)",
        "one finding, no duplicate; the host reaches the child at once, the LAN after the probe",
        Run::Own(|play| {
            answers_all(&play.scene(Mode::L3)?, "strict")?;
            answers_all(&play.scene(Mode::L3)?, "optimistic")
        }),
    )
    .alone("l3 children are not answered at all")
    .on_any_kernel(),
    Row::new(
        "B22",
        Kind::Gap,
        "unicast probes from 0.0.0.0 and :: while a new address is probed for (--dad strict)",
        "no conflict: answered when the probe has ended",
        Run::Each(L3, tracked),
    )
    .alone("l3 children are not answered at all")
    .on_any_kernel(),
];

/// The new address.
const NEW: Pair = Pair::new(180);
/// The station that answers for every address.
const FABRIC: Mac = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc];
/// Three probes and an examination have ended by then.
const PROBED: Duration = Duration::from_secs(12);
/// Three probes have ended by then; after a conflict the next one would only start.
const UNDISTURBED: Duration = Duration::from_millis(8500);
/// The agent has seen a new address by then; its probe ends 4 s later at the earliest.
const KNOWN: Duration = Duration::from_millis(300);

fn answers_all(scene: &Scene, dad: &str) -> Result<()> {
    scene.case(dad);
    let vm01 = &scene.vm01;
    let station = |stop: &AtomicBool| vm01.run(|| respond(LAN, EVERY_TYPE, stop, false_answer));
    let (answers, ()) = beside(station, || appears(scene, dad))?;
    scene.expect_least("answers of the station", answers, 1);
    scene.with_agent(format!("{dad}: one finding after {answers} false answers"));
    Ok(())
}

/// Starts the agent, adds the address and asks for it from the host and the LAN.
fn appears(scene: &Scene, dad: &str) -> Result<()> {
    let agent = scene.spawn(&["--dad", dad])?;
    thread::sleep(PROBED);
    for address in NEW.both() {
        scene.take([address])?;
        // A request that is sent before the agent knows the address is answered by the station.
        thread::sleep(KNOWN);
        scene.expect_reached_within(&scene.host, [address], ANSWERED_WITHIN)?;
    }
    thread::sleep(PROBED);
    scene.expect_answers_within(NEW.both(), true, ANSWERED_WITHIN)?;
    let parent = Parent::of(&agent.status()?).context("the status has no parent")?;
    let events = parent.events;
    let of_kind = |kind| events.iter().filter(|event| event.kind == kind).count();
    let (findings, claims) = (of_kind("no_owner"), of_kind("claim"));
    scene.expect_eq("findings and claims", (findings, claims), (1, 0));
    agent.stop()
}

/// Returns the answer to any request of the parent, for whatever address; announcements are none.
fn false_answer(frame: &[u8]) -> Option<Vec<u8>> {
    if let Some(asked) = Arp::parse(frame) {
        let is_request = asked.eth_src == MAC && asked.oper == REQUEST && asked.spa != asked.tpa;
        return is_request.then(|| asked.answered_by(FABRIC).to(MAC).frame());
    }
    let asked = Nd::parse(frame).filter(|it| it.eth_src == MAC && it.kind == SOLICITATION)?;
    let letters = if asked.is_probe() { "" } else { "S" };
    let named = option(TARGET_MAC, &FABRIC);
    Some(asked.answered(FABRIC, letters, named).frame())
}

fn tracked(scene: &mut Scene) -> Result<()> {
    scene.start(&["--dad", "strict"])?;
    thread::sleep(PROBED);
    scene.take(NEW.both())?;
    let begun = Instant::now();
    let mut probes = 0;
    while begun.elapsed() < UNDISTURBED {
        probe(&scene.site)?;
        probes += 1;
        thread::sleep(Duration::from_millis(250));
    }
    scene.expect_answers_within(NEW.both(), true, ANSWERED_WITHIN)?;
    let events = scene.parent()?.events;
    let conflicts = events.iter().filter(|event| event.action == "held_back");
    scene.expect_none("conflicts", conflicts);
    scene.with_agent(format!(
        "answered in spite of {probes} unicast probes of each address"
    ));
    Ok(())
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
