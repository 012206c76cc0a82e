//! Starts without a privilege, and where something is read-only.

use std::process::Command;

use anyhow::Result;

use super::{row::Row, stage::Stage};

pub(super) const ROWS: &[Row] = &[Row::new(
    "each capability missing, one after the other",
    without_one,
)];

/// What the agent needs, and who misses it.
const NEEDED: [&str; 4] = ["bpf", "net_admin", "net_broadcast", "net_raw"];
/// `EX_NOPERM`
const NO_PERMISSION: i32 = 77;

/// Ends with 77 and names the one; nothing is attached, and the one that serves goes on.
fn without_one(stage: &mut Stage) -> Result<()> {
    crate::lab::connect(&stage.site.host, "ens36", &stage.site.lan, "p-ens36")?;
    for missing in NEEDED {
        let mut set = "-all".to_owned();
        for capability in NEEDED.iter().filter(|capability| **capability != missing) {
            set += ",+";
            set += capability;
        }
        let agent = stage.command_for("ens36");
        let mut command = Command::new("setpriv");
        command
            .args([format!("--bounding-set={set}"), format!("--inh-caps={set}")])
            .arg(agent.get_program())
            .args(agent.get_args());
        let (code, said) = stage.fails(&mut command)?;
        let name = format!("CAP_{}", missing.to_uppercase());
        stage.expect(code == NO_PERMISSION && said.contains(&name), || {
            format!("without {name} it ended with {code}: {said}")
        });
        let left = stage.hooks_beside("ens36")?;
        stage.expect(left.is_empty(), || {
            format!("without {name} it left {left:?}")
        });
    }
    stage.site.host.ip("link del ens36\n")?;
    stage.settle()
}
