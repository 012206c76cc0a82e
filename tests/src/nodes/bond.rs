//! A bond as the parent, whose ports have MACs of their own.

use crate::rows::prelude::*;

pub(super) const ROWS: &[Row] = &[Row::new(
    "B17",
    Kind::Gap,
    "the parent is a bond in balance-alb; unicast requests to the MAC of its other port",
    "answered, and packets to that MAC are delivered",
    Run::Each(L2_L3, port_of_bond),
)];

fn port_of_bond(scene: &mut Scene) -> Result<()> {
    let mode = scene.mode;
    let other = bond(scene)?;
    let alone = asked_at(scene, other)?;
    scene.alone(format!("{mode}: {} of 2 answered", alone.len()));
    scene.start(&[])?;
    let with_agent = asked_at(scene, other)?;
    scene.with_agent(format!("{mode}: {} of 2 answered", with_agent.len()));
    scene.expect_eq("answered", &with_agent[..], &UNNAMED.both());
    let vm01 = &scene.vm01;
    for address in THIRD.both() {
        site::set_neighbour(vm01, LAN, address, other, "permanent")?;
    }
    scene.case("packets to the other port's MAC");
    scene.expect_reached(vm01, THIRD.both())
}

/// Puts a bond in the parent's place; returns the MAC of its port that is not the bond's.
fn bond(scene: &Scene) -> Result<[u8; 6]> {
    let site = &scene.site;
    site.host.ip(&format!("link del {PARENT}\n"))?;
    let ports = ["q0", "q1"];
    for port in ports {
        site.plug(&site.host, port, &format!("p-{port}"))?;
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
    let vm01 = &scene.vm01;
    let own = vm01.hardware_address(LAN)?;
    let mut answered = Vec::new();
    for address in UNNAMED.both() {
        let asker = NEIGHBOUR.like(address);
        let question = neighbour::question(own, asker, address, Some(mac))?;
        let answer = vm01.run(|| neighbour::ask(LAN, &*question, PATIENCE / 5))?;
        answered.extend(answer.map(|_| address));
    }
    Ok(answered)
}
