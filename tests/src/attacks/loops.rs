//! Packets that the parent received are never sent back to it: no loop while an entry is stale and the host
//! forwards.

use std::{net::UdpSocket, thread, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    demo::mode::Mode,
    family::Family,
    faults::{
        site::{LAN, MAC, Pair},
        stage::{Plan, wait_for},
    },
    netns::colons,
    rows::{
        row::{
            Kind::{Container, Station},
            Row, Verdict,
        },
        scene::{self, Scene},
    },
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "S8",
        Container,
        "a child is removed while no agent runs; the host forwards; 10 packets from the LAN",
        "each packet is forwarded at most once",
        stale_entry,
    ),
    Row::new(
        "S8",
        Station,
        "the same behind two nodes that route the address to each other",
        "each packet is forwarded at most once by each node per round",
        two_nodes,
    ),
];

const PACKETS: u64 = 10;
/// Everything that circulates has used up its hops by then.
const CIRCULATED: Duration = Duration::from_secs(3);
const LOST: Pair = Pair::new(140);
/// Hops of a packet, the default of Linux.
const HOPS: u64 = 64;

fn forwards(scene: &Scene) -> Result<()> {
    let host = &scene.site.host;
    host.sysctl("ipv4/ip_forward", "1")?;
    host.sysctl("ipv6/conf/all/forwarding", "1")?;
    // A packet leaves by the device that it came in by.
    host.sysctl("ipv4/conf/all/send_redirects", "0")?;
    host.sysctl("ipv4/conf/ens34/send_redirects", "0")
}

/// Sends packets to the address of a child that is gone, to the parent's MAC; returns how many times the
/// host forwarded one of either family.
fn forwarded(scene: &Scene) -> Result<[u64; 2]> {
    let read = || -> Result<[u64; 2]> {
        Ok([
            scene::snmp(&scene.site.host, "Ip", "ForwDatagrams")?,
            scene::snmp6(&scene.site.host, "Ip6OutForwDatagrams")?,
        ])
    };
    let before = read()?;
    for address in LOST.both() {
        scene.site.vm01.ip(&format!(
            "neigh replace {address} lladdr {} dev {LAN} nud permanent\n",
            colons(MAC)
        ))?;
        scene.site.vm01.run(|| {
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
    let after = read()?;
    Ok([after[0] - before[0], after[1] - before[1]])
}

/// Makes a child that has [`LOST`], and lets the agent answer for it; the agent is killed, and the child
/// removed.
fn leave_stale(scene: &mut Scene, options: &[&str]) -> Result<()> {
    let place = scene.site.add_netns("lost")?;
    let site = &scene.site;
    site.add_child(&site.others[place], LOST)?;
    scene.start(options)?;
    let answered = || {
        let site = &scene.site;
        Ok(scene::becomes(site, LOST.v4.into(), true, Duration::ZERO)?
            && scene::becomes(site, LOST.v6.into(), true, Duration::ZERO)?)
    };
    wait_for("the child is answered", answered)?;
    scene.kill()?;
    scene.site.others.clear();
    thread::sleep(Duration::from_secs(1));
    Ok(())
}

fn stale_entry(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for mode in Mode::ALL {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        forwards(&scene)?;
        let alone = forwarded(&scene)?;
        verdict.alone(format!("{mode}: forwarded {}/{} times", alone[0], alone[1]));
        leave_stale(&mut scene, &[])?;
        let with_agent = forwarded(&scene)?;
        verdict.agent(format!(
            "{mode}: forwarded {}/{} times",
            with_agent[0], with_agent[1]
        ));
        for (family, times) in Family::ALL.into_iter().zip(with_agent) {
            verdict.expect(times <= PACKETS, || {
                format!("{mode}: {PACKETS} packets of {family} are forwarded {times} times")
            });
        }
        // What the parent received and another interface sent are two things.
        scene.start_again()?;
    }
    Ok(verdict)
}

/// vm01 is a second node: it sends what it gets for the lost address to the first one's MAC.
fn two_nodes(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    forwards(&scene)?;
    let vm01 = &scene.site.vm01;
    vm01.sysctl("ipv4/ip_forward", "1")?;
    vm01.sysctl("ipv6/conf/all/forwarding", "1")?;
    vm01.sysctl("ipv4/conf/all/send_redirects", "0")?;
    vm01.sysctl("ipv4/conf/eth0/send_redirects", "0")?;
    let other = vm01.hardware_address(LAN)?;
    for address in LOST.both() {
        scene.site.host.ip(&format!(
            "neigh replace {address} lladdr {} dev ens34 nud permanent\n",
            colons(other)
        ))?;
    }
    let alone = forwarded(&scene)?;
    verdict.alone(format!(
        "forwarded {}/{} times by the first",
        alone[0], alone[1]
    ));
    leave_stale(&mut scene, &[])?;
    let with_agent = forwarded(&scene)?;
    verdict.agent(format!(
        "forwarded {}/{} times by the first",
        with_agent[0], with_agent[1]
    ));
    for (family, (times, alone)) in Family::ALL
        .into_iter()
        .zip(with_agent.into_iter().zip(alone))
    {
        // Two routers that point at each other share the hops of a packet; a hairpin adds none.
        let most = alone.max(PACKETS * HOPS / 2);
        verdict.expect(times <= most, || {
            format!("{PACKETS} packets of {family} are forwarded {times} times, and {alone} alone")
        });
    }
    Ok(verdict)
}
