//! One broadcast or multicast request into a parent of many l2 children: the driver clones it to each, the
//! agent's programs answer or drop it before that.

use std::{net::Ipv4Addr, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    Bench, Compared, let_in,
    price::Plan,
    site::{Kind, PARENT, Site, shared_group, v4, v6},
    source::Source,
};
use crate::{
    bpf::{Attached, Counter, Hook, Program},
    demo::mode::Mode,
    lab::Lab,
    oracle::asker::Asker,
};

const CHILDREN: [u32; 4] = [1, 16, 64, 256];
/// What a request may cost beside one that the driver clones to so many children.
const GOAL: (u32, f64) = (256, 0.01);
/// Neither the host nor a child has it.
const UNOWNED: Ipv4Addr = Ipv4Addr::new(10, 77, 200, 200);
/// Clones in one batch, about: a request for many children takes long.
const CLONES: u32 = 20_000;

/// A request, and where its way ends.
struct Request {
    path: &'static str,
    frame: Vec<u8>,
    /// The length of its answer, if somebody has the address.
    answer: Option<usize>,
    /// Every child gets a clone, whatever groups it is in.
    to_all: bool,
    /// All children have to be in one group. Addresses in subnets of their own come with that, for which the
    /// agent attaches programs that look up more; so this comes last.
    one_group: bool,
}

pub(super) fn measure(bench: &Bench, lab: &Lab) -> Result<()> {
    for children in CHILDREN {
        if bench.quick && children != 1 && children != GOAL.0 {
            continue;
        }
        println!("making {children} children");
        let site = Site::build(lab, Kind::Ipvlan(Mode::L2), children)?;
        let _let_in = let_in(&site)?;
        for request in requests(children) {
            if request.one_group {
                site.join_one_group()?;
            }
            let path = request.path;
            let base = by_kernel(bench, &site, &request).context(path)?;
            bench.tell_base(path, "no agent", children, base)?;
            let price = by_agent(bench, &site, &request).context(path)?;
            let mut compared = Compared::new(path, "agent", children);
            if children == GOAL.0 {
                compared = compared.ratio(GOAL.1);
            }
            bench.tell_beside(&compared, base, price)?;
        }
    }
    Ok(())
}

/// For the child that is cloned to last, or for nobody.
fn requests(children: u32) -> [Request; 4] {
    let asker = Asker::new(0);
    let last = children - 1;
    let arp = Request {
        path: "broadcast ARP for an l2 child",
        frame: asker.request(v4(last)).frame(),
        answer: Some(42),
        to_all: true,
        one_group: false,
    };
    [
        Request {
            path: "broadcast ARP for nobody here, l2",
            frame: asker.request(UNOWNED).frame(),
            answer: None,
            ..arp
        },
        arp,
        Request {
            path: "multicast NS for an l2 child",
            frame: asker.multicast(v6(last)).frame(),
            answer: Some(86),
            to_all: false,
            one_group: false,
        },
        Request {
            path: "multicast NS to a group of all l2 children",
            frame: asker.multicast(shared_group(last)).frame(),
            answer: Some(86),
            to_all: true,
            one_group: true,
        },
    ]
}

fn plan(bench: &Bench, site: &Site) -> Plan {
    let clones = if bench.quick { CLONES / 4 } else { CLONES };
    Plan {
        batch: (clones / site.children).clamp(20, 900),
        batches: bench.plan().batches.min(5),
    }
}

/// To the answer of the last child, or to the last child if there is none.
fn by_kernel(bench: &Bench, site: &Site, request: &Request) -> Result<f64> {
    let (_counted, mut counter) = if let Some(length) = request.answer {
        at_egress(site, length)?
    } else {
        let (netns, device) = site.child(site.children - 1)?;
        // Not dropped there: some drivers count only what is taken.
        let (program, counter) = Program::watch(Hook::Tc, request.frame.len())?;
        (netns.run(|| program.attach(&device))?, counter)
    };
    let plan = plan(bench, site);
    let (price, clones) = send(site, &mut counter, plan, request)?;
    let expected = plan.frames() * u64::from(site.children);
    ensure!(
        !request.to_all || clones >= expected,
        "{clones} clones arrived, there should be {expected}"
    );
    Ok(price)
}

/// To the answer; where there is none, to before the program that drops it.
fn by_agent(bench: &Bench, site: &Site, request: &Request) -> Result<f64> {
    // The counter runs before a program that drops, so the agent's run behind it.
    let order: &[&str] = match request.answer {
        Some(_) => &[],
        None => &["--order", "after"],
    };
    let watch = || -> Result<_> {
        let (program, counter) = Program::watch(Hook::Tc, request.frame.len())?;
        Ok((site.host.run(|| program.attach(PARENT))?, counter))
    };
    let watched = request.answer.is_none().then(watch).transpose()?;
    let agent = bench.agent(site, order)?;
    let (_counted, mut counter) = match (request.answer, watched) {
        (Some(length), _) => at_egress(site, length)?,
        (None, watched) => watched.context("nothing counts")?,
    };
    let plan = plan(bench, site);
    let (price, clones) = send(site, &mut counter, plan, request)?;
    ensure!(
        clones < plan.frames(),
        "{clones} clones arrived though the agent answers"
    );
    agent.stop()?;
    Ok(price)
}

fn at_egress(site: &Site, length: usize) -> Result<(Attached, Counter)> {
    let (program, counter) = Program::count(Hook::Egress, length)?;
    Ok((site.host.run(|| program.attach(PARENT))?, counter))
}

/// Returns what a request costs, and how many clones of it arrived.
fn send(site: &Site, counter: &mut Counter, plan: Plan, request: &Request) -> Result<(f64, u64)> {
    let before = received(site)?;
    let price = Source::live(site, request.frame.clone()).measure(counter, plan)?;
    Ok((price, received(site)? - before))
}

/// Packets that all children have received, as the driver counts them.
fn received(site: &Site) -> Result<u64> {
    let mut sum = 0;
    for netns in site.netns() {
        let mut command = Command::new("ip");
        command.args(["-s", "-j", "link", "show", "type", "ipvlan"]);
        let shown: Value = serde_json::from_str(&netns.command(&mut command, "")?)?;
        for link in shown.as_array().into_iter().flatten() {
            let packets = link["stats64"]["rx"]["packets"].as_u64();
            sum += packets.context("`ip -s -j link` tells no packets")?;
        }
    }
    Ok(sum)
}
