//! What the verifier had to look at for each program, as an agent loads it.

use anyhow::{Context, Result, ensure};

use super::{
    Bench, INSTRUCTIONS, let_in,
    row::Row,
    rx,
    site::{Kind, Site},
};
use crate::{bpf, demo::mode::Mode, lab::Lab};

/// The budget of the project.
const BUDGET: f64 = 20_000.0;

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
    let status = agent.status()?;
    let hooks = status["parents"][0]["hooks"].as_array();
    let hooks = hooks.with_context(|| format!("no hooks in {status}"))?;
    ensure!(hooks.len() > 1, "the agent is not attached: {status}");
    for hook in hooks {
        let name = hook["program"].as_str().context("a program has a name")?;
        let id = hook["program_id"].as_u64().context("a program has an id")?;
        let verified = bpf::verified_instructions(u32::try_from(id)?)?;
        ensure!(verified > 0, "the kernel does not tell what verifying took");
        let path = "verifier, loaded by the agent";
        let row = Row::new(path, name, 0, verified.into(), INSTRUCTIONS);
        bench.tell(&row.at_most(BUDGET))?;
    }
    agent.stop()
}
