//! From the LAN to an ipvlan child: what an attached agent adds to the kernel's own way.

use anyhow::{Result, ensure};

use super::{
    Bench, Compared, let_in,
    price::Plan,
    price_of,
    sink::Sink,
    site::{Kind, LAN, LAN_MAC, LAN_V4, PARENT, Site, address_of, lan_address},
    source::{self, Source},
};
use crate::{
    bpf::{Hook, Program},
    demo::mode::Mode,
    family::Family,
    lab::Lab,
};

/// What an agent may add to each frame.
const ADDED: f64 = 125.0;
/// What it may where every packet is looked up and counted.
const ADDED_BY_LOOKUP: f64 = 260.0;
/// What all of it may be, with the kernel's own generator in front.
const WHOLE: f64 = 1.045;
/// Numbers of children.
const CHILDREN: [u32; 4] = [1, 256, 4_096, 16_384];
/// A child in the host's own netns, for which packets have to be looked up.
pub(super) const LOCAL: &str = "link add link ens34 name local0 type ipvlan mode l3\naddr add 10.77.2.9/32 dev local0\nlink set local0 up\n";

/// With and without an agent, in every way it can be attached.
pub(super) fn attached(bench: &Bench, lab: &Lab) -> Result<()> {
    let site = Site::build(lab, Kind::Ipvlan(Mode::L3), 1)?;
    for family in Family::ALL {
        live(bench, &site, family)?;
    }
    from_pktgen(bench, &site)?;
    looked_up(bench, &site)
}

/// Packets that XDP makes at the LAN's end, for a child.
pub(super) fn live_source(site: &Site, child: u32, family: Family) -> Result<Source<'_>> {
    let to = (address_of(child, family), site.mac_for_lan(child));
    let frame = source::frame((lan_address(family), LAN_MAC), to)?;
    Ok(Source::live(site, frame))
}

/// What they cost, to the hook of its device.
pub(super) fn by_live_frames(
    bench: &Bench,
    site: &Site,
    child: u32,
    family: Family,
) -> Result<f64> {
    let (netns, device) = site.child(child)?;
    let sink = Sink::Device {
        netns,
        device: &device,
        to: address_of(child, family),
    };
    bench.price(&live_source(site, child, family)?, sink)
}

fn live(bench: &Bench, site: &Site, family: Family) -> Result<()> {
    let path = match family {
        Family::V4 => "RX, LAN to l3 child",
        Family::V6 => "RX IPv6, LAN to l3 child",
    };
    let measure = || by_live_frames(bench, site, 0, family);
    let let_in_by_us = let_in(site)?;
    let base = measure()?;
    bench.tell_base(path, "no agent", 1, base)?;
    beside_empty(bench, site, path, base, measure)?;
    let compared = Compared::new(path, "agent", 1).added(ADDED);
    bench.beside_agent(site, &[], &compared, base, measure)?;
    let compared = Compared::new(path, "agent, clsact", 1);
    bench.beside_agent(site, &["--attach", "clsact"], &compared, base, measure)?;
    drop(let_in_by_us);
    let compared = Compared::new(path, "agent, XDP native (base: an empty one)", 1);
    bench.beside_agent(site, &["--xdp", "native"], &compared, base, measure)
}

/// What an empty program on the parent costs: no agent can add less.
fn beside_empty(
    bench: &Bench,
    site: &Site,
    path: &str,
    base: f64,
    measure: impl Fn() -> Result<f64>,
) -> Result<()> {
    let _attached = site
        .host
        .run(|| Program::tc_next(Hook::Tc)?.attach(PARENT))?;
    let compared = Compared::new(path, "empty TCX program", 1);
    bench.tell_beside(&compared, base, measure()?)
}

/// The same with the kernel's own generator: the whole way that the goal is a part of.
fn from_pktgen(bench: &Bench, site: &Site) -> Result<()> {
    let path = "RX, LAN to l3 child, pktgen and all";
    let to = address_of(0, Family::V4);
    let (netns, device) = site.child(0)?;
    let source = Source::Pktgen {
        netns: &site.lan,
        device: LAN,
        to,
        from: LAN_V4.into(),
        mac: site.mac_for_lan(0),
    };
    let sink = Sink::Device {
        netns,
        device: &device,
        to,
    };
    let plan = Plan {
        batch: 5_000,
        ..bench.plan()
    };
    let measure = || price_of(plan, &source, sink);
    let base = measure()?;
    bench.tell_base(path, "no agent", 1, base)?;
    beside_empty(bench, site, path, base, measure)?;
    for (variant, options, goal) in [
        ("agent", &[][..], Some(WHOLE)),
        ("agent, clsact", &["--attach", "clsact"], None),
        ("agent, XDP generic", &["--xdp", "generic"], None),
    ] {
        let compared = Compared {
            ratio: goal,
            ..Compared::new(path, variant, 1)
        };
        bench.beside_agent(site, options, &compared, base, measure)?;
    }
    Ok(())
}

/// With a lookup and counting of every packet, which takes a child in the host's own netns.
fn looked_up(bench: &Bench, site: &Site) -> Result<()> {
    let path = "RX, LAN to l3 child, looked up and counted";
    site.host.ip(LOCAL)?;
    let _let_in = let_in(site)?;
    let measure = || by_live_frames(bench, site, 0, Family::V4);
    let base = measure()?;
    bench.tell_base(path, "no agent", 1, base)?;
    let agent = bench.agent(site, &["--deliver", "redirect"])?;
    let counted = || agent.counted("ingress", ["left_to_driver"]);
    let [before] = counted()?;
    let ours = measure()?;
    let seen = counted()?[0] - before;
    let sent = bench.plan().frames();
    ensure!(seen >= sent, "{seen} of {sent} packets were looked up");
    let compared = Compared::new(path, "agent", 1).added(ADDED_BY_LOOKUP);
    bench.tell_beside(&compared, base, ours)?;
    agent.stop()
}

/// From the LAN to one of many children: the driver's table has 256 buckets, ours is as large as need be.
pub(super) fn scale(bench: &Bench, lab: &Lab) -> Result<()> {
    let path = "RX, LAN to one of many l3 children";
    let mut one = None;
    for children in CHILDREN {
        println!("making {children} children");
        let site = Site::build(lab, Kind::Ipvlan(Mode::L3), children)?;
        let _let_in = let_in(&site)?;
        let measure = || by_live_frames(bench, &site, children / 2, Family::V4);
        let alone = measure()?;
        let base = *one.get_or_insert(alone);
        bench.tell_beside(&Compared::new(path, "no agent", children), base, alone)?;
        let compared = Compared::new(path, "agent", children);
        bench.beside_agent(&site, &[], &compared, base, measure)?;
    }
    Ok(())
}
