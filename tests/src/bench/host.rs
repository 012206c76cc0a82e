//! Between the host and its children: turned around by the agent's programs, or through a child of the
//! host's own on the same parent (a shim).

use anyhow::{Context, Result};

use super::{
    Bench, Compared,
    sink::Sink,
    site::{HOST_V4, Kind, Site, address_of},
    source::{Source, prime},
};
use crate::{bpf::Hook, demo::mode::Mode, family::Family, lab::Lab};

/// What a packet may cost beside one through a shim.
const HAIRPIN: f64 = 1.04;
const TO_CHILD: &str = "host to child";
const TO_HOST: &str = "child to host";

/// What a packet costs, in each mode.
pub(super) fn packets(bench: &Bench, lab: &Lab) -> Result<()> {
    for mode in [Mode::L3, Mode::L2] {
        let kind = Kind::Ipvlan(mode);
        let path = |way: &str| format!("{way}, {mode}");
        let shim = Site::build(lab, kind, 1)?;
        shim.add_shim()?;
        let shimmed = to_child(bench, &shim).context("by a shim")?;
        bench.tell_base(&path(TO_CHILD), "ipvlan shim", 1, shimmed)?;
        drop(shim);
        let site = Site::build(lab, kind, 1)?;
        let path = path(TO_CHILD);
        let compared = Compared::new(&path, "agent", 1).ratio(HAIRPIN);
        bench.beside_agent(&site, &[], &compared, shimmed, || to_child(bench, &site))?;
        drop(site);
        back(bench, lab, mode)?;
    }
    macvlan(bench, lab)
}

/// The other way: in l3 the kernel routes by itself; in l2 nothing arrives without an agent, so a child's
/// packets to the host's shim are what it is compared with.
fn back(bench: &Bench, lab: &Lab, mode: Mode) -> Result<()> {
    let path = format!("{TO_HOST}, {mode}");
    let site = Site::build(lab, Kind::Ipvlan(mode), 1)?;
    let (name, base) = if mode == Mode::L2 {
        site.add_shim()?;
        ("ipvlan shim", to_host(bench, &site, super::site::SHIM_V4)?)
    } else {
        ("no agent", to_host(bench, &site, HOST_V4)?)
    };
    bench.tell_base(&path, name, 1, base)?;
    drop(site);
    let site = Site::build(lab, Kind::Ipvlan(mode), 1)?;
    let compared = Compared::new(&path, "agent", 1);
    bench.beside_agent(&site, &[], &compared, base, || {
        to_host(bench, &site, HOST_V4)
    })
}

/// For comparison: a shim of macvlan.
fn macvlan(bench: &Bench, lab: &Lab) -> Result<()> {
    let site = Site::build(lab, Kind::Macvlan, 1)?;
    site.add_shim()?;
    let price = to_child(bench, &site).context("by macvlan")?;
    bench.tell_base(&format!("{TO_CHILD}, macvlan"), "macvlan shim", 1, price)
}

fn to_child(bench: &Bench, site: &Site) -> Result<f64> {
    let (netns, device) = site.child(0)?;
    let to = address_of(0, Family::V4);
    prime(&site.host, to)?;
    bench.price(
        &Source::Socket {
            netns: &site.host,
            to,
        },
        Sink::Device {
            netns,
            device: &device,
            hook: Hook::Tc,
            to,
        },
    )
}

fn to_host(bench: &Bench, site: &Site, host: std::net::Ipv4Addr) -> Result<f64> {
    let (netns, _) = site.child(0)?;
    let to = host.into();
    prime(netns, to)?;
    bench.price(
        &Source::Socket { netns, to },
        Sink::Socket {
            netns: &site.host,
            to,
        },
    )
}
