//! Starts without a privilege, and with no more than are needed.

use std::{fs, process::Command, time::Instant};

use anyhow::Result;
use nix::{sys::signal::Signal, unistd::chown};

use super::{
    row::Row,
    stage::{PATIENCE, Stage, runtime_dir},
};
use crate::{agent::Agent, netns::NOBODY};

pub(super) const ROWS: &[Row] = &[
    Row::new("each capability missing, one after the other", without_one).on_any_kernel(),
    Row::new("only the four capabilities, and not root", only_the_four).on_any_kernel(),
];

/// What the agent needs, and who misses it.
const NEEDED: [&str; 4] = ["bpf", "net_admin", "net_broadcast", "net_raw"];
/// As the kernel follows it: of each program, on every kernel.
pub(crate) const VERIFIED_AT_MOST: u32 = 30_000;
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

/// Serves a parent of its own; its programs are no longer than is promised as the kernel follows them for
/// somebody who may not see the kernel's memory.
fn only_the_four(stage: &mut Stage) -> Result<()> {
    const PARENT: &str = "ens36";
    crate::lab::connect(&stage.site.host, PARENT, &stage.site.lan, "p-ens36")?;
    let runtime = runtime_dir(PARENT);
    fs::create_dir_all(&runtime)?;
    chown(&runtime, Some(NOBODY.into()), Some(NOBODY.into()))?;
    let set = NEEDED.map(|capability| format!("+{capability}")).join(",");
    let agent = stage.command_for(PARENT);
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &NOBODY.to_string(), "--clear-groups"])
        .args([
            format!("--bounding-set=-all,{set}"),
            format!("--inh-caps=-all,{set}"),
            format!("--ambient-caps=-all,{set}"),
        ])
        .arg(agent.get_program())
        .args(agent.get_args())
        .arg("--no-pin");
    let begun = Instant::now();
    let mut agent = Agent::spawn(
        command,
        &stage.plan.ipvlan,
        runtime.clone(),
        &stage.site.host,
    )?;
    agent.wait_ready(&[PARENT])?;
    let took = begun.elapsed();
    println!("only the four: ready after {took:?}");
    for (program, verified) in agent.verified()? {
        println!("only the four: {program}: {verified} instructions followed");
        stage.expect(verified <= VERIFIED_AT_MOST, || {
            format!(
                "the kernel followed {verified} instructions of {program}, more than {VERIFIED_AT_MOST}"
            )
        });
    }
    agent.signal(Signal::SIGTERM)?;
    let status = agent.wait(PATIENCE)?;
    stage.expect(status.success(), || format!("it ended with {status}"));
    // In a directory of root's it may not remove it.
    let _removed = fs::remove_dir_all(&runtime);
    stage.site.host.ip("link del ens36\n")?;
    stage.settle()
}
