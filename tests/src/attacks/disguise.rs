//! Frames whose `EtherType` is not the protocol that their sender names beside them.

use std::{net::Ipv6Addr, thread, time::Duration};

use anyhow::{Result, ensure};

use super::{
    frames::Frame,
    isolation::{
        ARRIVED, count, exact, frame, host_reaches_children, isolated, packet, to_sibling,
    },
    wire::Wire,
};
use crate::{
    demo::mode::Mode,
    faults::{
        site::{CHILD, GATEWAY, HOST, MAC, PARENT, STEADY, THIRD},
        stage::{PATIENCE, Plan},
    },
    probe::ping::ping,
    rows::{
        row::{Row, Verdict},
        scene::{self, Scene, becomes},
    },
};

pub(super) const ROWS: &[Row] = &[exact(
    "vepa l2: a frame whose EtherType is not the protocol that its sender names beside it",
    two_types,
)];

/// The kernel keeps the MAC of a neighbour for a second (`locktime`).
const LOCK_TIME: Duration = Duration::from_millis(1_200);

/// A packet socket names any protocol beside a frame, and the programs go by it. The driver goes by the `EtherType` in
/// the frame where it receives.
fn two_types(plan: &Plan) -> Result<Verdict> {
    const IPV4: u16 = 0x0800;
    // An ARP message whose target is the sibling, and IPv4 from the attacker to the host, which under vepa is
    // hairpinned.
    let mut bytes = frame(MAC, 0x0806, &packet(THIRD.v4.into(), HOST.v4.into(), None));
    bytes[38..42].copy_from_slice(&STEADY.v4.octets());
    let frames = [Frame::with_protocol(IPV4, bytes)];
    let mut verdict = Verdict::default();
    let by_driver = count_in_private(plan)?;
    verdict.alone(format!("private: {by_driver} arrive by the driver"));
    let mut scene = isolated(plan, Mode::L2, "vepa", false)?;
    scene::add(&scene.site.third, CHILD, DISGUISE.into())?;
    let wire = Wire::open(&scene.site)?;
    let alone = count(&wire, &frames)?;
    let poisoned = poisons_the_host(&scene, &wire)?;
    verdict.alone(format!(
        "vepa: {alone} arrive at a sibling, {poisoned} at the host"
    ));
    scene.start(&[])?;
    ensure!(
        becomes(&scene.site, DISGUISE.into(), true, PATIENCE)?,
        "{DISGUISE} is not answered"
    );
    let with_agent = count(&wire, &frames)?;
    let poisoned = poisons_the_host(&scene, &wire)?;
    verdict.agent(format!(
        "vepa: {with_agent} arrive at a sibling, {poisoned} at the host"
    ));
    verdict.expect(with_agent <= alone, || {
        format!("{with_agent} frames arrive, and {alone} without the agent")
    });
    verdict.expect(poisoned == 0, || {
        "the host takes an ARP message in VLAN 0 for its gateway's".to_owned()
    });
    host_reaches_children(&scene, &mut verdict)?;
    scene.clear()?;
    Ok(verdict)
}

/// Counts what arrives of packets whose protocol, as their sender names it, the driver does not know: it hands them to the
/// parent, where it delivers them by the `EtherType` in the frame.
fn count_in_private(plan: &Plan) -> Result<usize> {
    const UNKNOWN: u16 = 0x88b5;
    let scene = isolated(plan, Mode::L2, "private", false)?;
    let wire = Wire::open(&scene.site)?;
    let frames: Vec<_> = to_sibling(THIRD, None)
        .into_iter()
        .map(|bytes| Frame::with_protocol(UNKNOWN, bytes))
        .collect();
    count(&wire, &frames)
}

/// An address whose bytes are the end of an ARP message: lengths 6 and 4, a reply, from `POISON` and the gateway.
const DISGUISE: Ipv6Addr = Ipv6Addr::new(
    0x0604, 0x0002, 0x02de, 0xad00, 0x0009, 0xac10, 0x5b01, 0x0234,
);
/// The MAC that the message gives the gateway.
const POISON: &str = "02:de:ad:00:00:09";

/// Sends an ARP reply in VLAN 0 that as IPv6 is from [`DISGUISE`] to the host; returns how many of the host's entries of
/// its gateway have the MAC in it afterwards.
fn poisons_the_host(scene: &Scene, wire: &Wire) -> Result<usize> {
    const IPV6: u16 = 0x86dd;
    let host = &scene.site.host;
    ensure!(
        host.run(|| ping(None, GATEWAY.v4, PATIENCE))?,
        "the host does not reach its gateway"
    );
    thread::sleep(LOCK_TIME);
    let mut message = vec![0x60, 0, 0x08, 0x06, 0, 1, 8, 0];
    message.extend(DISGUISE.octets());
    message.extend(HOST.v6.octets());
    message.extend([0; 8]);
    wire.send_each(&[Frame::with_protocol(IPV6, frame(MAC, 0x8100, &message))])?;
    thread::sleep(ARRIVED);
    let entries = host.neighbour_entry(PARENT, GATEWAY.v4.into())?;
    host.ip(&format!("neigh flush dev {PARENT}\n"))?;
    Ok(entries.matches(POISON).count())
}
