//! Requests that are answered, for an l3 child by the agent's programs, for an l2 child by its own kernel.

use anyhow::Result;

use super::{Bench, INSTRUCTIONS, row::Row};
use crate::{bpf::Hook, cost, lab::Lab};

/// What an answer by TC may cost beside the kernel's.
const BY_TC: f64 = 0.33;
/// And one by XDP in the driver.
const BY_XDP: f64 = 0.2;

pub(super) fn measure(bench: &Bench, lab: &Lab) -> Result<()> {
    for measured in cost::rows(&bench.ipvlan, lab)? {
        for (hook, variant, goal) in [
            (Hook::Tc, "agent, TC", BY_TC),
            (Hook::Xdp, "agent, XDP native", BY_XDP),
        ] {
            let path = format!("{} answered, beyond the floor of {hook:?}", measured.name);
            let answer = measured.answer(hook);
            let row = |variant: &str, value| Row::new(&path, variant, 1, value, INSTRUCTIONS);
            let kernel = row("the kernel of an l2 child", answer.kernel);
            bench.tell(&kernel.beside(answer.kernel))?;
            bench.tell(
                &row(variant, answer.ours)
                    .beside(answer.kernel)
                    .at_most(goal),
            )?;
        }
    }
    Ok(())
}
