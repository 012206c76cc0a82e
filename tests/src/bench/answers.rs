//! What an answer costs beyond the floor: the kernel's for an l2 child, ours for an l3 child by TC and by XDP.
//!
//! Frames are made at the LAN's end, many at once, and the clock runs from the first of them to the last answer. The
//! floor is what it costs to make them and to drop them at the hook of the parent where an answer would be made. An
//! answer ends where the driver would get it, behind all of TC egress, the agent's own program included; one by XDP at
//! the LAN's end, for there is nothing in between that could count it, so the way there is charged to us.
//!
//! The asker is the same all the time: the kernel has its route and neighbour entry, which is the least it can need.

use anyhow::{Context, Result, ensure};
use ipvlan_packet::Arp;

use super::{
    Bench, INSTRUCTIONS, let_in,
    row::Row,
    site::{Kind, LAN, PARENT, PARENT_MAC, Site, v4, v6},
    source::Source,
};
use crate::{
    bpf::{Counter, Hook, Program},
    demo::mode::Mode,
    lab::Lab,
    oracle::asker::Asker,
};

/// How much of what the kernel needs ours may take.
const LIMIT: f64 = 1.0 / 3.0;
/// What is wanted of one by XDP in the driver.
const BY_XDP: f64 = 0.2;

/// A request, and the length of its answer.
struct Request(&'static str, Vec<u8>, usize);

fn requests() -> [Request; 4] {
    let asker = Asker::new(0);
    let arp = asker.request(v4(0));
    let to_parent = Arp {
        eth_dst: PARENT_MAC,
        ..arp
    };
    [
        Request("ARP request", arp.frame(), 42),
        Request("unicast ARP request", to_parent.frame(), 42),
        Request("solicitation", asker.multicast(v6(0)).frame(), 86),
        Request("unicast solicitation", asker.unicast(v6(0)).frame(), 78),
    ]
}

pub(super) fn measure(bench: &Bench, lab: &Lab) -> Result<()> {
    for request in requests() {
        println!("measuring: {}", request.0);
        answers(bench, lab, &request).context(request.0)?;
    }
    Ok(())
}

fn answers(bench: &Bench, lab: &Lab, request: &Request) -> Result<()> {
    const HOOKS: [Hook; 2] = [Hook::Tc, Hook::Xdp];
    let site = Site::build(lab, Kind::Ipvlan(Mode::L2), 1)?;
    let mut floors = [0.0; 2];
    for (floor, hook) in floors.iter_mut().zip(HOOKS) {
        *floor = dropped(bench, &site, hook, request)?;
    }
    let kernel = answered(bench, &site, Hook::Tc, request)?;
    drop(site);
    for ((hook, floor), (program, variant, options, goal)) in HOOKS.into_iter().zip(floors).zip([
        ("ingress", "agent, TC", &[][..], LIMIT),
        ("xdp", "agent, XDP native", &["--xdp", "native"], BY_XDP),
    ]) {
        let site = Site::build(lab, Kind::Ipvlan(Mode::L3), 1)?;
        let agent = bench.agent(&site, options)?;
        let ours = answered(bench, &site, hook, request)?;
        let counted = agent.counted(program, ["arp_answered", "nd_answered"])?;
        ensure!(
            counted.iter().sum::<u64>() == bench.plan().frames(),
            "the programs counted {counted:?} answers"
        );
        agent.stop()?;
        let row = |path: &str, variant: &str, value| {
            let path = format!("{} {path} of {hook:?}", request.0);
            Row::new(path, variant, 1, value, INSTRUCTIONS)
        };
        let [kernel, ours] = [kernel, ours].map(|cost| cost - floor);
        let answer = "answered, beyond the floor";
        bench.tell(&row("dropped, the floor", "no agent", floor))?;
        bench.tell(&row(answer, "the kernel of an l2 child", kernel).beside(kernel))?;
        let ours = row(answer, variant, ours).beside(kernel).at_most(goal);
        bench.tell_limited(&ours, LIMIT)?;
    }
    Ok(())
}

/// Returns what it costs to make a frame and to drop it at `hook` of the parent.
fn dropped(bench: &Bench, site: &Site, hook: Hook, request: &Request) -> Result<f64> {
    let _let_in = (hook != Hook::Xdp).then(|| let_in(site)).transpose()?;
    let (program, mut counter) = Program::count(hook, request.1.len())?;
    let _dropped = site.host.run(|| program.attach(PARENT))?;
    per_frame(bench, site, &mut counter, request).with_context(|| format!("dropped by {hook:?}"))
}

/// Returns what it costs to make a frame and to have it answered on the way that `hook` is for.
fn answered(bench: &Bench, site: &Site, hook: Hook, request: &Request) -> Result<f64> {
    let (_let_in, _counted, mut counter) = if hook == Hook::Xdp {
        let (program, counter) = Program::count(Hook::Xdp, request.2)?;
        (None, site.lan.run(|| program.attach(LAN))?, counter)
    } else {
        let (program, counter) = Program::count(Hook::Egress, request.2)?;
        let let_in = let_in(site)?;
        let attached = site.host.run(|| program.attach(PARENT))?;
        (Some(let_in), attached, counter)
    };
    per_frame(bench, site, &mut counter, request).with_context(|| format!("answered by {hook:?}"))
}

/// Returns the instructions from the sending of the first frame to the arrival of the last one, per frame.
fn per_frame(bench: &Bench, site: &Site, counter: &mut Counter, request: &Request) -> Result<f64> {
    Source::live(site, request.1.clone()).measure(counter, bench.plan())
}
