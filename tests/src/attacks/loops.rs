//! Packets that the parent received are never sent back to it: no loop while an entry is stale and the host
//! forwards.

use std::net::UdpSocket;

use crate::rows::{checks::forwarded, prelude::*};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "S8",
        Container,
        "a child is removed while no agent runs; the host forwards; 10 packets from the LAN",
        "each packet is forwarded at most once",
        Run::Each(&Mode::ALL, stale_entry),
    ),
    Row::new(
        "S8",
        Station,
        "the same behind two nodes that route the address to each other",
        "each packet is forwarded at most once by each node per round",
        Run::Each(L3, two_nodes),
    ),
];

const PACKETS: u64 = 10;
/// Everything that circulates has used up its hops by then.
const CIRCULATED: Duration = Duration::from_secs(3);
const LOST: Pair = Pair::new(140);
/// Hops of a packet, the default of Linux.
const HOPS: u64 = 64;

/// Makes a router of `netns`. A packet leaves by the device that it came in by.
fn forward(netns: &Netns, device: &str) -> Result<()> {
    netns.sysctl("ipv4/ip_forward", "1")?;
    netns.sysctl("ipv6/conf/all/forwarding", "1")?;
    for device in ["all", device] {
        netns.sysctl(&format!("ipv4/conf/{device}/send_redirects"), "0")?;
    }
    Ok(())
}

/// Sends packets to the address of a child that is gone, to the parent's MAC; returns how many times the
/// host forwarded one of either family.
fn forwarded_lost(scene: &Scene) -> Result<[u64; 2]> {
    let before = forwarded(&scene.host)?;
    for address in LOST.both() {
        site::set_neighbour(&scene.vm01, LAN, address, MAC, "permanent")?;
        scene.vm01.run(|| {
            let socket = UdpSocket::bind((Family::of(address).unspecified(), 0))?;
            for _ in 0..PACKETS {
                socket
                    .send_to(b"lost", (address, 9))
                    .with_context(|| format!("cannot send to {address}"))?;
                thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        })?;
    }
    thread::sleep(CIRCULATED);
    let after = forwarded(&scene.host)?;
    Ok([after[0] - before[0], after[1] - before[1]])
}

/// Makes a child that has [`LOST`], and lets the agent answer for it; the agent is killed, and the child
/// removed.
fn leave_stale(scene: &mut Scene) -> Result<()> {
    let place = scene.add_netns("lost")?;
    scene.add_child(&scene.others[place], LOST)?;
    scene.start(&[])?;
    for address in LOST.both() {
        let answered = || becomes(&scene.site, address, true, Duration::ZERO);
        wait_for("the child is answered", answered)?;
    }
    scene.kill()?;
    scene.others.clear();
    thread::sleep(Duration::from_secs(1));
    Ok(())
}

/// Returns how many times packets are forwarded without an agent, and after one was killed.
fn alone_and_stale(scene: &mut Scene) -> Result<([u64; 2], [u64; 2])> {
    forward(&scene.host, PARENT)?;
    let alone = forwarded_lost(scene)?;
    leave_stale(scene)?;
    Ok((alone, forwarded_lost(scene)?))
}

fn stale_entry(scene: &mut Scene) -> Result<()> {
    let mode = scene.mode;
    let (alone, stale) = alone_and_stale(scene)?;
    scene.alone(format!("{mode}: forwarded {}/{} times", alone[0], alone[1]));
    scene.with_agent(format!("{mode}: forwarded {}/{} times", stale[0], stale[1]));
    for (family, times) in Family::ALL.into_iter().zip(stale) {
        scene.expect_most(&format!("forwarded of {family}"), times, PACKETS);
    }
    // What the parent received and another interface sent are two things.
    scene.start_again()
}

/// vm01 is a second node: it sends what it gets for the lost address to the first one's MAC.
fn two_nodes(scene: &mut Scene) -> Result<()> {
    let site = &scene.site;
    forward(&site.vm01, LAN)?;
    let other = site.vm01.hardware_address(LAN)?;
    for address in LOST.both() {
        site::set_neighbour(&site.host, PARENT, address, other, "permanent")?;
    }
    let (alone, stale) = alone_and_stale(scene)?;
    let shown = |[v4, v6]: [u64; 2]| format!("forwarded {v4}/{v6} times by the first");
    scene.alone(shown(alone));
    scene.with_agent(shown(stale));
    for (family, (times, alone)) in Family::ALL.into_iter().zip(stale.into_iter().zip(alone)) {
        // Two routers that point at each other share the hops of a packet; a hairpin adds none.
        let most = alone.max(PACKETS * HOPS / 2);
        scene.expect_most(&format!("forwarded of {family}"), times, most);
    }
    Ok(())
}
