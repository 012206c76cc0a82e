//! Starts without a privilege, and with no more than are needed.

use std::{
    collections::BTreeSet,
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Stdio},
};

use nix::{sys::signal::Signal, unistd::chown};

use super::{is_at_least, row::Row, stage::Stage};
use crate::{agent::Agent, netns::NOBODY, rows::prelude::*};

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

/// How often it is looked whether other programs are attached.
const POLL: Duration = Duration::from_millis(100);

/// The parent of agents of these rows.
const PARENT: &str = "ens36";

/// Returns a start of an agent of its own without privileges but these capabilities, as `setpriv` takes them, with
/// options of `setpriv` before.
fn with_capabilities(
    stage: &Stage,
    set: &str,
    options: impl FnOnce(&mut Command),
) -> Result<Command> {
    connect(&stage.host, PARENT, &stage.lan, "p-ens36")?;
    let agent = stage.command_for(PARENT);
    let mut command = Command::new("setpriv");
    command.args(["bounding-set", "inh-caps"].map(|of| format!("--{of}=-all{set}")));
    options(&mut command);
    command.arg(agent.get_program()).args(agent.get_args());
    Ok(command)
}

/// Ends with 77 and names the one; nothing is attached, and the one that serves goes on.
fn without_one(stage: &mut Stage) -> Result<()> {
    for missing in NEEDED {
        let others = NEEDED.iter().filter(|capability| **capability != missing);
        let set: Vec<_> = others.map(|capability| format!(",+{capability}")).collect();
        let mut command = with_capabilities(stage, &set.concat(), |_| {})?;
        let name = format!("CAP_{}", missing.to_uppercase());
        stage.expect_failure(&mut command, NO_PERMISSION, &name)?;
        stage.expect_nothing_on(PARENT, &format!("without {name}"))?;
        stage.host.ip(&format!("link del {PARENT}\n"))?;
    }
    stage.settle()
}

impl Stage {
    /// Requires that the agent soon has these programs attached, and that the kernel followed no more instructions of
    /// them than is promised.
    fn expect_verified(&self, agent: &Agent, programs: [&str; 2]) -> Result<()> {
        let attached = || {
            let verified = agent.verified()?;
            let names: Vec<_> = verified.iter().map(|(name, _)| name.as_str()).collect();
            Ok(programs.iter().all(|program| names.contains(program)))
        };
        let is_attached = until(PATIENCE, POLL, attached)?;
        let verified = agent.verified()?;
        self.expect(is_attached, || {
            format!("{programs:?} expected, attached: {verified:?}")
        });
        for (program, followed) in verified {
            println!("only the four: {program}: {followed} instructions followed");
            let what = format!("instructions of {program} that the kernel followed");
            self.expect_most(&what, followed, VERIFIED_AT_MOST);
        }
        Ok(())
    }
}

/// Returns the ids of the attached programs.
fn program_ids(agent: &Agent) -> Result<BTreeSet<u64>> {
    let status = agent.status()?;
    let hooks = status["parents"][0]["hooks"].as_array();
    let hooks = hooks.with_context(|| format!("no hooks in {status}"))?;
    Ok(hooks
        .iter()
        .filter_map(|hook| hook["program_id"].as_u64())
        .collect())
}

/// A capture that ends with this.
struct Capture(Child);

impl Drop for Capture {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

impl Stage {
    /// Requires the same of the programs that are attached while frames are captured, and that the usual ones come back.
    fn expect_capturing_verified(&self, agent: &Agent, runtime: &Path) -> Result<()> {
        let usual = program_ids(agent)?;
        let mut command = Command::new(&self.play.plan.ipvlan);
        command.args(["capture", "--runtime-dir"]).arg(runtime);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let capture = Capture(self.host.run(|| Ok(command.spawn()?))?);
        let captures = || Ok(program_ids(agent)?.is_disjoint(&usual));
        let is_capturing = until(PATIENCE, POLL, captures)?;
        let verified = agent.verified()?;
        self.expect(is_capturing, || {
            format!(
                "programs that capture expected, attached: {verified:?}\n{}",
                agent.said()
            )
        });
        for (program, followed) in verified {
            println!("only the four: {program}, capturing: {followed} instructions followed");
            let what = format!("instructions of {program}, capturing, that the kernel followed");
            self.expect_most(&what, followed, VERIFIED_AT_MOST);
        }
        drop(capture);
        let are_usual = until(PATIENCE, POLL, || Ok(program_ids(agent)? == usual))?;
        self.expect(are_usual, || {
            "the usual programs did not come back".to_owned()
        });
        Ok(())
    }
}

/// Serves a parent of its own; its programs are no longer than is promised as the kernel follows them for
/// somebody who may not see the kernel's memory.
fn only_the_four(stage: &mut Stage) -> Result<()> {
    let runtime = runtime_dir(PARENT);
    fs::create_dir_all(&runtime)?;
    chown(&runtime, Some(NOBODY.into()), Some(NOBODY.into()))?;
    let set = NEEDED.map(|capability| format!(",+{capability}")).concat();
    let mut command = with_capabilities(stage, &set, |command| {
        command.arg(format!("--ambient-caps=-all{set}"));
        command.args(["--reuid", &NOBODY.to_string(), "--clear-groups"]);
    })?;
    // Its pins are in a directory of its user's.
    let pins = pin_dir(PARENT);
    fs::create_dir_all(&pins)?;
    chown(&pins, Some(NOBODY.into()), Some(NOBODY.into()))?;
    fs::set_permissions(&pins, Permissions::from_mode(0o700))?;
    command.args(["--deliver", "redirect"]);
    command.args(["--allow", "0.0.0.0/0", "--allow", "::/0"]);
    let begun = Instant::now();
    let mut agent = Agent::spawn(
        command,
        &stage.play.plan.ipvlan,
        runtime.clone(),
        &stage.host,
    )?;
    agent.wait_ready(&[PARENT])?;
    println!("only the four: ready after {:?}", begun.elapsed());
    stage.expect_verified(&agent, ["parent_ingress", "parent_egress"])?;
    stage.expect_capturing_verified(&agent, &runtime)?;
    // An off-link address that is allowed, and a child in the parent's own netns, have longer programs.
    let child = stage.lab.netns("offlink")?;
    let netns = child.reference();
    stage.host.ip(&format!(
        "link add link {PARENT} name off0 netns {netns} type ipvlan mode l3\n\
         link add link {PARENT} name own0 type ipvlan mode l3\n\
         addr add 203.0.113.10/32 dev own0\nlink set own0 up\n"
    ))?;
    child.ip("addr add 203.0.113.9/32 dev off0\nlink set off0 up\n")?;
    stage.expect_verified(&agent, ["parent_ingress_demux", "parent_egress_routed"])?;
    child.ip("link set off0 type ipvlan mode l3 private\n")?;
    // Programs can ask for the sender's netns since then.
    if is_at_least(6, 15)? {
        let isolated = ["parent_ingress_demux", "parent_egress_routed_isolated"];
        stage.expect_verified(&agent, isolated)?;
    }
    stage.expect_capturing_verified(&agent, &runtime)?;
    agent.signal(Signal::SIGTERM)?;
    let code = agent.wait(PATIENCE)?.code();
    stage.expect_eq("exit code", code, Some(0));
    // In a directory of root's it may not remove it.
    let _removed = fs::remove_dir_all(&runtime);
    fs::remove_dir_all(&pins)?;
    stage.host.ip(&format!("link del {PARENT}\n"))?;
    stage.settle()
}
