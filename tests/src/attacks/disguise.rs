//! Frames whose `EtherType` is not the protocol that their sender names beside them.

use ipvlan_packet::{ARP, IPV4, IPV6, arp::TPA, ethernet, patched};

use super::{
    frames::Frame,
    isolation::{ARRIVED, count, exact, host_reaches_children, packet, to_sibling},
    wire::Wire,
};
use crate::rows::prelude::*;

pub(super) const ROWS: &[Row] = &[exact(
    "vepa l2: a frame whose EtherType is not the protocol that its sender names beside it",
    two_types,
)];

/// The kernel keeps the MAC of a neighbour for a second (`locktime`).
const LOCK_TIME: Duration = Duration::from_millis(1_200);
/// A protocol that the driver does not know.
const UNKNOWN: u16 = 0x88b5;
const VLAN: u16 = 0x8100;
/// An address whose bytes are the end of an ARP message: lengths 6 and 4, a reply, from `POISON` and the gateway.
const DISGUISE: Ipv6Addr = Ipv6Addr::new(
    0x0604, 0x0002, 0x02de, 0xad00, 0x0009, 0xac10, 0x5b01, 0x0234,
);
/// The MAC that the message gives the gateway.
const POISON: &str = "02:de:ad:00:00:09";

/// A packet socket names any protocol beside a frame, and the programs go by it. The driver goes by the `EtherType` in
/// the frame where it receives.
fn two_types(play: &Play) -> Result<()> {
    // Packets whose protocol, as their sender names it, the driver does not know: it hands them to the parent, where it
    // delivers them by the `EtherType` in the frame.
    let frames: Vec<_> = to_sibling(THIRD, None)
        .into_iter()
        .map(|bytes| Frame::with_protocol(UNKNOWN, bytes))
        .collect();
    let scene = play.isolated(Mode::L2, "private")?;
    let by_driver = count(&Wire::open(&scene.site)?, &frames)?;
    play.alone(format!("private: {by_driver} arrive by the driver"));
    drop(scene);

    // An ARP message whose target is the sibling, and IPv4 from the attacker to the host, which under vepa is
    // hairpinned.
    let bytes = packet(MAC, THIRD.v4.into(), HOST.v4.into(), None);
    let bytes = patched(bytes, 12, &ARP.to_be_bytes());
    let bytes = patched(bytes, TPA, &STEADY.v4.octets());
    let frames = [Frame::with_protocol(IPV4, bytes)];
    let mut scene = play.isolated(Mode::L2, "vepa")?;
    scene.take([DISGUISE.into()])?;
    let wire = Wire::open(&scene.site)?;
    let alone = count(&wire, &frames)?;
    let poisoned = poisons_the_host(&scene, &wire)?;
    let shown =
        |count, poisoned| format!("vepa: {count} arrive at a sibling, {poisoned} at the host");
    play.alone(shown(alone, poisoned));
    scene.start(&[])?;
    ensure!(
        becomes(&scene.site, DISGUISE.into(), true, PATIENCE)?,
        "{DISGUISE} is not answered"
    );
    let with_agent = count(&wire, &frames)?;
    let poisoned = poisons_the_host(&scene, &wire)?;
    play.with_agent(shown(with_agent, poisoned));
    scene.expect_most("frames that arrive", with_agent, alone);
    scene.expect_eq(
        "the host's entries by an ARP message in VLAN 0",
        poisoned,
        0,
    );
    host_reaches_children(&scene)?;
    scene.clear()
}

/// Sends an ARP reply in VLAN 0 that as IPv6 is from [`DISGUISE`] to the host; returns how many of the host's entries of
/// its gateway have the MAC in it afterwards.
fn poisons_the_host(scene: &Scene, wire: &Wire) -> Result<usize> {
    let host = &scene.host;
    ensure!(
        host.run(|| ping(None, GATEWAY.v4, PATIENCE))?,
        "the host does not reach its gateway"
    );
    thread::sleep(LOCK_TIME);
    let frame = [
        &ethernet(MAC, MAC, VLAN)[..],
        &[0x60, 0, 0x08, 0x06, 0, 1, 8, 0],
        &DISGUISE.octets(),
        &HOST.v6.octets(),
        &[0; 8],
    ];
    wire.attacker
        .send(&[Frame::with_protocol(IPV6, frame.concat())])?;
    thread::sleep(ARRIVED);
    let entries = host.neighbour_entry(PARENT, GATEWAY.v4.into())?;
    host.ip(&format!("neigh flush dev {PARENT}\n"))?;
    Ok(entries.matches(POISON).count())
}
