//! Between the host and its children: turned around by the agent's programs, or through a child of the
//! host's own on the same parent (a shim).

use std::net::Ipv4Addr;

use anyhow::{Context, Result};

use super::{
    Bench, Compared,
    sink::Sink,
    site::{HOST_V4, Kind, SHIM_V4, Site},
};
use crate::{demo::mode::Mode, lab::Lab};

/// What a packet may cost beside one through a shim.
const HAIRPIN: f64 = 1.04;

/// What a packet costs to a child of this site, or to this address of the host.
type Price = fn(&Bench, &Site, Ipv4Addr) -> Result<f64>;

const WAYS: [(&str, Price, Option<f64>); 2] = [
    ("host to child", to_child, Some(HAIRPIN)),
    ("child to host", to_host, None),
];

/// What a packet costs on both ways, in each mode, beside one through a shim. From an l3 child the kernel routes by
/// itself; from one in l2 nothing arrives without an agent or a shim.
pub(super) fn packets(bench: &Bench, lab: &Lab) -> Result<()> {
    for mode in [Mode::L3, Mode::L2] {
        for (way, price, ratio) in WAYS {
            let path = format!("{way}, {mode}");
            let site = Site::build(lab, Kind::Ipvlan(mode), 1)?;
            let (base_name, host) = if ratio.is_some() || mode == Mode::L2 {
                site.add_shim()?;
                ("ipvlan shim", SHIM_V4)
            } else {
                ("no agent", HOST_V4)
            };
            let base = price(bench, &site, host).context(base_name)?;
            bench.tell_base(&path, base_name, 1, base)?;
            drop(site);
            let site = Site::build(lab, Kind::Ipvlan(mode), 1)?;
            let compared = Compared {
                ratio,
                ..Compared::new(&path, "agent", 1)
            };
            bench.beside_agent(&site, &[], &compared, base, || price(bench, &site, HOST_V4))?;
        }
    }
    // For comparison: a shim of macvlan.
    let site = Site::build(lab, Kind::Macvlan, 1)?;
    site.add_shim()?;
    let price = to_child(bench, &site, SHIM_V4).context("by macvlan")?;
    bench.tell_base("host to child, macvlan", "macvlan shim", 1, price)
}

fn to_child(bench: &Bench, site: &Site, _: Ipv4Addr) -> Result<f64> {
    bench.price_to_child(&site.host, site, 0)
}

fn to_host(bench: &Bench, site: &Site, host: Ipv4Addr) -> Result<f64> {
    let (netns, to) = (&site.host, host.into());
    bench.price_from(site.child(0)?.0, Sink::Socket { netns, to })
}
