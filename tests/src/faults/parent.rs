//! The parent goes down, is renamed, gets another MAC or MTU, goes away and comes back; parents of
//! other kinds.

use super::{
    row::Row,
    stage::{Stage, ask},
};
use crate::rows::prelude::*;

pub(super) const ROWS: &[Row] = &[
    Row::new("parent down for 0.5 s, up", down).asked_meanwhile(),
    Row::new("parent renamed, and back", rename).asked_meanwhile(),
    Row::new("new MAC of the parent, and the old one", mac).asked_meanwhile(),
    Row::new("MTU of the parent 9000, 1400, 1500", mtu).on_any_kernel(),
    Row::new("parent deleted, made again", delete).asked_meanwhile(),
    Row::new("parent deleted, made again (clsact)", delete)
        .by_clsact()
        .asked_meanwhile(),
    Row::new("parent moved to another netns, and back", moved).asked_meanwhile(),
    Row::new("a parent becomes a bridge port", enslaved).on_any_kernel(),
    Row::new(
        "a VLAN device as parent, addresses of another parent's",
        vlan,
    )
    .on_any_kernel(),
    Row::new("a bond as parent, addresses of another parent's", bond).on_any_kernel(),
];

const NEW_MAC: [u8; 6] = [2, 0x34, 0, 0, 0, 2];
const NEW_NAME: &str = "uplink0";
/// Long enough that nobody can overlook it.
const A_WHILE: Duration = Duration::from_millis(500);
/// Who has not answered by then will not.
const SILENCE: Duration = Duration::from_millis(300);

fn down(stage: &mut Stage) -> Result<()> {
    stage.outage(|site| {
        site.host.ip(&format!("link set {PARENT} down\n"))?;
        thread::sleep(A_WHILE);
        site.host.ip(&format!("link set {PARENT} up\n"))?;
        site.route()
    })
}

/// Only a device that is down can be renamed on Linux 6.1.
fn rename(stage: &mut Stage) -> Result<()> {
    for (from, to) in [(PARENT, NEW_NAME), (NEW_NAME, PARENT)] {
        let before = stage.parent()?;
        stage.outage(|site| {
            let routes = default_routes(to, Some(GATEWAY));
            site.host.ip(&format!(
                "link set {from} down\nlink set {from} name {to}\nlink set {to} up\n{routes}"
            ))
        })?;
        let after = stage.parent()?;
        stage.expect_eq("the name", &after.name[..], to);
        stage.expect_eq(
            "the programs, not attached anew",
            &after.hooks,
            &before.hooks,
        );
    }
    Ok(())
}

fn mac(stage: &mut Stage) -> Result<()> {
    for mac in [NEW_MAC, MAC] {
        let host = &stage.scene.site.host;
        let change = || host.ip(&format!("link set {PARENT} address {}\n", colons(mac)));
        stage.traffic.change_mac(mac, change)?;
        stage.settle()?;
    }
    Ok(())
}

fn mtu(stage: &mut Stage) -> Result<()> {
    for mtu in [9000, 1400, 1500] {
        let change = format!("link set {PARENT} mtu {mtu}\n");
        stage.host.ip(&change)?;
        stage.settle()?;
    }
    Ok(())
}

fn delete(stage: &mut Stage) -> Result<()> {
    let begun = Instant::now();
    stage.host.ip(&format!("link del {PARENT}\n"))?;
    stage.wait_parent("waiting", |parent| parent.state == "waiting")?;
    stage.plug_parent()?;
    // They went with it.
    stage.add_children()?;
    stage.recovered(begun)
}

fn moved(stage: &mut Stage) -> Result<()> {
    let elsewhere = stage.lab.netns("elsewhere")?;
    let begun = Instant::now();
    let moved = format!("link set {PARENT} netns {}\n", elsewhere.reference());
    stage.host.ip(&moved)?;
    stage.wait_parent("waiting", |parent| parent.state == "waiting")?;
    elsewhere.ip(&format!("link set {PARENT} up\n"))?;
    let deaf = wait_for("silence", || Ok(stage.traffic.deaf()));
    stage.expect(deaf.is_ok(), || "answered in another netns".to_owned());
    let back = format!("link set {PARENT} netns {}\n", stage.host.reference());
    elsewhere.ip(&back)?;
    stage.host.ip(&format!("link set {PARENT} up\n"))?;
    stage.configure_parent()?;
    stage.recovered(begun)
}

/// With children it cannot become one, and one cannot be a parent: a device has one receive handler.
fn enslaved(stage: &mut Stage) -> Result<()> {
    const CAUSE: &str = "`port7` is a port of bridge `br7`";
    let Site { host, lan, .. } = &stage.scene.site;
    host.ip("link add br7 type bridge\n")?;
    let refused = host.ip(&format!("link set {PARENT} master br7\n")).is_err();
    stage.expect_eq("a parent with children stays one", refused, true);
    connect(host, "port7", lan, "p-port7")?;
    let second = stage.second("port7")?;
    host.ip("link set port7 master br7\n")?;
    wait_for("a port of a bridge is not served", || {
        let parent = &second.agent.status()?["parents"][0];
        Ok(parent["state"] == "waiting" && parent["reason"] == CAUSE)
    })?;
    stage.expect_nothing_on("port7", "while it is a port")?;
    second.stop()?;
    stage.expect_failure(&mut stage.command_for("port7"), 1, CAUSE)?;
    host.ip("link del port7\nlink del br7\n")?;
    stage.settle()
}

fn vlan(stage: &mut Stage) -> Result<()> {
    let add = |netns: &Netns, below: &str, device: &str| {
        netns.ip(&format!(
            "link add link {below} name {device} type vlan id 100\nlink set {device} up\n"
        ))
    };
    add(&stage.host, PARENT, "ens34.100")?;
    add(&stage.vm01, LAN, "lan7")?;
    beside(stage, "ens34.100", "lan7")
}

fn bond(stage: &mut Stage) -> Result<()> {
    let Site { host, vm01, .. } = &stage.scene.site;
    connect(host, "slave7", vm01, "lan7")?;
    host.ip("link add bond7 type bond mode active-backup miimon 50\n\
         link set slave7 down\n\
         link set slave7 master bond7\n\
         link set bond7 up\n")?;
    beside(stage, "bond7", "lan7")
}

/// `parent` of the host, with `lan` at the other end, has a child with an address that a child of the
/// main parent has too: each is answered for where it is, and nothing else is. Both are gone then.
fn beside(stage: &mut Stage, parent: &str, lan: &str) -> Result<()> {
    let netns = stage.lab.netns("beside")?;
    stage.add_child_of(parent, &netns, STEADY)?;
    let second = stage.second(parent)?;
    let own = stage.host.hardware_address(parent)?;
    let same = ask(&stage.vm01, lan, STEADY, PATIENCE)?;
    let other = ask(&stage.vm01, lan, THIRD, SILENCE)?;
    let settled = stage.settle();
    second.stop()?;
    stage.host.ip(&format!("link del {parent}\n"))?;
    stage.vm01.ip(&format!("link del {lan}\n"))?;
    stage.case(format!("behind {parent}"));
    stage.expect_eq("its child is answered by", same, Some(own));
    stage.expect_eq("a child of the main parent is answered by", other, None);
    settled
}
