//! A request from a process on the LAN to the answer at its own device, by every hook there is.

use anyhow::{Context, Result};

use super::{
    Bench, Compared,
    site::{Kind, LAN, PARENT, Site, v4, v6},
    source::Source,
};
use crate::{
    agent::Agent,
    bpf::{Hook, Program},
    demo::mode::Mode,
    lab::Lab,
    oracle::asker::Asker,
};

/// A request, and the length of its answer.
struct Request(&'static str, Vec<u8>, usize);

/// The kernel's answer for an l2 child is what ours for an l3 child are compared with.
pub(super) fn measure(bench: &Bench, lab: &Lab) -> Result<()> {
    let asker = Asker::new(0);
    let requests = [
        Request(
            "ARP of a process, answered, whole way",
            asker.request(v4(0)).frame(),
            42,
        ),
        Request(
            "NS of a process, answered, whole way",
            asker.multicast(v6(0)).frame(),
            86,
        ),
    ];
    let site = Site::build(lab, Kind::Ipvlan(Mode::L2), 1)?;
    let bases = requests
        .iter()
        .map(|request| {
            let base = answered(bench, &site, request).context(request.0)?;
            bench.tell_base(request.0, "the kernel of an l2 child", 1, base)?;
            Ok(base)
        })
        .collect::<Result<Vec<_>>>()?;
    drop(site);
    for (variant, options) in [
        ("agent, TCX", &[][..]),
        ("agent, clsact", &["--attach", "clsact"]),
        ("agent, XDP native", &["--xdp", "native"]),
        ("agent, XDP generic", &["--xdp", "generic"]),
    ] {
        let site = Site::build(lab, Kind::Ipvlan(Mode::L3), 1)?;
        let agent: Agent = bench.agent(&site, options)?;
        for (request, base) in requests.iter().zip(&bases) {
            let ours = answered(bench, &site, request)
                .with_context(|| format!("{} by {variant} on {PARENT}", request.0))?;
            bench.tell_beside(&Compared::new(request.0, variant, 1), *base, ours)?;
        }
        agent.stop()?;
    }
    Ok(())
}

fn answered(bench: &Bench, site: &Site, request: &Request) -> Result<f64> {
    let Request(_, frame, answer) = request;
    // A veth takes what XDP sends back only where it would run a program itself; so it is for all.
    let _takes_xdp = site.lan.run(|| Program::xdp_pass()?.attach(LAN))?;
    let (program, mut counter) = Program::count(Hook::Tc, *answer)?;
    let _counted = site.lan.run(|| program.attach(LAN))?;
    let source = Source::Raw {
        netns: &site.lan,
        device: LAN,
        frame,
    };
    source.measure(&mut counter, bench.plan())
}
