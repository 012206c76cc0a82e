//! A bond as the parent, whose ports have MACs of their own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use ipvlan_packet::{Arp, Nd};

use crate::{
    demo::mode::Mode,
    faults::{
        site::{LAN, MAC, NEIGHBOUR, PARENT, THIRD, UNNAMED},
        stage::{PATIENCE, Plan},
    },
    lab::connect,
    netns::colons,
    probe::{neighbour, ping::ping},
    rows::{
        row::{Kind, Row, Verdict},
        scene::Scene,
    },
};

pub(super) const ROWS: &[Row] = &[Row::new(
    "B17",
    Kind::Gap,
    "the parent is a bond in balance-alb; unicast requests to the MAC of its other port",
    "answered, and packets to that MAC are delivered",
    port_of_bond,
)];

fn port_of_bond(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for mode in [Mode::L2, Mode::L3] {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        let other = bond(&scene)?;
        let alone = asked_at(&scene, other)?;
        verdict.alone(format!("{mode}: {} of 2 answered", alone.len()));
        scene.start(&[])?;
        let with_agent = asked_at(&scene, other)?;
        verdict.agent(format!("{mode}: {} of 2 answered", with_agent.len()));
        verdict.expect(with_agent.len() == 2, || {
            format!("{mode}: answered for {with_agent:?} only")
        });
        let site = &scene.site;
        for address in THIRD.both() {
            site.vm01.ip(&format!(
                "neigh replace {address} lladdr {} dev {LAN} nud permanent\n",
                colons(other)
            ))?;
            let reached = site.vm01.run(|| ping(None, address, PATIENCE))?;
            verdict.expect(reached, || {
                format!("{mode}: a packet to the other port's MAC does not reach {address}")
            });
        }
        scene.clear()?;
    }
    Ok(verdict)
}

/// Puts a bond in the parent's place; returns the MAC of its port that is not the bond's.
fn bond(scene: &Scene) -> Result<[u8; 6]> {
    let site = &scene.site;
    site.host.ip(&format!("link del {PARENT}\n"))?;
    let ports = ["q0", "q1"];
    for port in ports {
        connect(&site.host, port, &site.lan, &format!("p-{port}"))?;
        site.lan.ip(&format!(
            "link set p-{port} master br0\nlink set p-{port} type bridge_slave learning off\n"
        ))?;
    }
    site.host.ip(&format!(
        "link add {PARENT} type bond mode balance-alb miimon 100\n\
         link set q0 down\nlink set q0 master {PARENT}\n\
         link set q1 down\nlink set q1 master {PARENT}\n\
         link set {PARENT} up\n"
    ))?;
    site.configure_parent()?;
    site.add_children()?;
    let macs = ports
        .iter()
        .map(|port| site.host.hardware_address(port))
        .collect::<Result<Vec<_>>>()?;
    macs.into_iter()
        .find(|&mac| mac != MAC)
        .context("both ports of the bond have its MAC")
}

/// Asks for the two addresses of a child by unicast to `mac`; returns those that are answered.
fn asked_at(scene: &Scene, mac: [u8; 6]) -> Result<Vec<IpAddr>> {
    let vm01 = &scene.site.vm01;
    let own = vm01.hardware_address(LAN)?;
    let (v4, v6): (Ipv4Addr, Ipv6Addr) = (UNNAMED.v4, UNNAMED.v6);
    let request = Arp::request(own, NEIGHBOUR.v4, v4).to(mac);
    let question = Nd::unicast(mac, own, NEIGHBOUR.v6, v6);
    let (by_arp, by_nd) = vm01.run(|| {
        Ok((
            neighbour::ask(LAN, &request, PATIENCE / 5)?,
            neighbour::ask(LAN, &question, PATIENCE / 5)?,
        ))
    })?;
    let answered = [(IpAddr::V4(v4), by_arp), (IpAddr::V6(v6), by_nd)];
    Ok(answered
        .into_iter()
        .filter(|(_, mac)| mac.is_some())
        .map(|(address, _)| address)
        .collect())
}
