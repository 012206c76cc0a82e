//! What the verifier had to look at for each program, as an agent loads it.

use anyhow::Result;

use super::{
    Bench, INSTRUCTIONS, let_in,
    row::Row,
    rx,
    site::{Kind, Site},
};
use crate::{demo::mode::Mode, faults::privilege::VERIFIED_AT_MOST, lab::Lab};

pub(super) fn measure(bench: &Bench, lab: &Lab) -> Result<()> {
    let site = Site::build(lab, Kind::Ipvlan(Mode::L3), 1)?;
    of_agent(bench, &site, &["--xdp", "native"])?;
    // Other programs of both hooks: a child in the host's netns, and one that it is not on-link with.
    site.host.ip(rx::LOCAL)?;
    let (netns, device) = site.child(0)?;
    netns.ip(&format!("addr add 192.0.2.5/32 dev {device}\n"))?;
    let _let_in = let_in(&site)?;
    of_agent(bench, &site, &["--deliver", "redirect"])
}

fn of_agent(bench: &Bench, site: &Site, options: &[&str]) -> Result<()> {
    let agent = bench.agent(site, options)?;
    for (name, verified) in agent.verified()? {
        let path = "verifier, loaded by the agent";
        let row = Row::new(path, &name, 0, verified.into(), INSTRUCTIONS);
        bench.tell(&row.at_most(VERIFIED_AT_MOST.into()))?;
    }
    agent.stop()
}
