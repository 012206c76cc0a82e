//! From children and the host to the LAN, and between children; and what people use instead of ipvlan.

use std::net::IpAddr;

use anyhow::{Context, Result};

use super::{
    Bench, Compared, let_in, rx,
    sink::Sink,
    site::{Kind, LAN, LAN_V4, PARENT, Site, address_of, lan_address},
    source::prime,
};
use crate::{
    bpf::{Hook, Program},
    demo::mode::Mode,
    family::Family,
    lab::Lab,
    netns::Netns,
};

/// What an agent may add to a packet that leaves.
const ADDED: f64 = 125.0;
/// And what all of it may be beside no agent.
const WHOLE: f64 = 1.03;

/// With and without an agent.
pub(super) fn attached(bench: &Bench, lab: &Lab) -> Result<()> {
    for mode in [Mode::L3, Mode::L2] {
        let site = Site::build(lab, Kind::Ipvlan(mode), 1)?;
        let (child, _) = site.child(0)?;
        for family in Family::ALL {
            let name = match family {
                Family::V4 => "",
                Family::V6 if bench.quick || mode == Mode::L2 => continue,
                Family::V6 => " IPv6",
            };
            let to = lan_address(family);
            let paths = [
                (format!("TX{name}, {mode} child to LAN"), child),
                (
                    format!("TX{name}, host to LAN, beside {mode} child"),
                    &site.host,
                ),
            ];
            let measure =
                |path: &str, from| to_lan(bench, &site, from, to).with_context(|| path.to_owned());
            let mut bases = Vec::new();
            for (path, from) in &paths {
                let base = measure(path, from)?;
                bench.tell_base(path, "no agent", 1, base)?;
                // At ingress too, as the agent: once any device has one there, all look for theirs, also
                // the one that stands for the LAN.
                let (ingress, egress) =
                    (Program::tc_next(Hook::Tc)?, Program::tc_next(Hook::Egress)?);
                let _ingress = site.host.run(|| ingress.attach(PARENT))?;
                let _egress = site.host.run(|| egress.attach(PARENT))?;
                let compared = Compared::new(path, "empty TCX programs", 1);
                bench.tell_beside(&compared, base, measure(path, from)?)?;
                bases.push(base);
            }
            let agent = bench.agent(&site, &[])?;
            for ((path, from), base) in paths.iter().zip(bases) {
                let price = measure(path, from)?;
                let compared = Compared::new(path, "agent", 1).ratio(WHOLE).added(ADDED);
                bench.tell_beside(&compared, base, price)?;
            }
            agent.stop()?;
        }
    }
    Ok(())
}

fn to_lan(bench: &Bench, site: &Site, from: &Netns, to: IpAddr) -> Result<f64> {
    let (netns, device) = (&site.lan, LAN);
    bench.price_from(from, Sink::Device { netns, device, to })
}

/// From the LAN to a socket of a child: in every mode it ends there.
fn to_socket(bench: &Bench, site: &Site) -> Result<f64> {
    let (netns, _) = site.child(0)?;
    let to = address_of(0, Family::V4);
    let source = rx::live_source(site, 0, Family::V4)?;
    bench.price(&source, Sink::Socket { netns, to })
}

const KINDS: [Kind; 6] = [
    Kind::Ipvlan(Mode::L3),
    Kind::Ipvlan(Mode::L2),
    Kind::Ipvlan(Mode::L3s),
    Kind::Macvlan,
    Kind::Bridge,
    Kind::Routed,
];

/// Every way by everything that people use, and by ipvlan with the agent. The first, ipvlan l3 alone,
/// is what all others are compared with.
pub(super) fn alternatives(bench: &Bench, lab: &Lab) -> Result<()> {
    let mut bases: Option<[f64; 3]> = None;
    for kind in KINDS {
        let site = Site::apart(lab, kind, 2)?;
        let _let_in = let_in(&site)?;
        let all = |variant: &str| {
            Ok::<_, anyhow::Error>([
                to_socket(bench, &site).with_context(|| format!("RX, {variant}"))?,
                to_lan(bench, &site, site.child(0)?.0, LAN_V4.into())
                    .with_context(|| format!("TX, {variant}"))?,
                bench
                    .price_to_child(site.child(0)?.0, &site, 1)
                    .with_context(|| format!("sibling, {variant}"))?,
            ])
        };
        // Who bridges has to know where everybody is, who routes whom to ask.
        for number in 0..2 {
            prime(site.child(number)?.0, LAN_V4.into())?;
        }
        let prices = all(&kind.name())?;
        let base = *bases.get_or_insert(prices);
        tell_all(bench, &kind.name(), base, prices)?;
        if matches!(kind, Kind::Ipvlan(_)) {
            let agent = bench.agent(&site, &[])?;
            let variant = format!("{} + agent", kind.name());
            tell_all(bench, &variant, base, all(&variant)?)?;
            agent.stop()?;
        }
    }
    Ok(())
}

fn tell_all(bench: &Bench, variant: &str, base: [f64; 3], prices: [f64; 3]) -> Result<()> {
    let paths = [
        "RX, LAN to a child's socket",
        "TX, a child's socket to LAN",
        "child to child",
    ];
    for ((path, base), price) in paths.into_iter().zip(base).zip(prices) {
        bench.tell_beside(&Compared::new(path, variant, 2), base, price)?;
    }
    Ok(())
}
