//! Others on the same parent: a second agent, programs that are not ours.

use anyhow::anyhow;

use super::{pins, row::Row, stage::Stage};
use crate::{
    agent::Agent,
    bpf::{Hook, Program},
    init,
    rows::{prelude::*, truth},
};

pub(super) const ROWS: &[Row] = &[
    Row::new("a second agent, later and at the same moment", second).on_any_kernel(),
    Row::new("foreign XDP program by a link, before and after", xdp_link),
    Row::new(
        "foreign XDP program by netlink, before and after",
        xdp_netlink,
    ),
    Row::new("XDP switched off by netlink (--xdp generic)", xdp_off).with(&["--xdp", "generic"]),
    Row::new("foreign TCX programs before and after", tcx).with_tcx(),
    Row::new("foreign clsact filters before and after (clsact)", filters)
        .with(&["--attach", "clsact"]),
    Row::new("ipvlan cleanup, twice", cleanup).on_any_kernel(),
];

/// `EX_TEMPFAIL`
const TAKEN: i32 = 75;

fn second(stage: &mut Stage) -> Result<()> {
    let pid = format!("pid {}", stage.agent()?.pid());
    stage.expect_failure(&mut stage.command(&[]), TAKEN, &pid)?;
    // Two at once: one of them serves.
    stage.stop()?;
    let ended = thread::scope(|scope| {
        let starts = [(); 2].map(|()| {
            let command = stage.command(&[]);
            let (program, host) = (&stage.scene.play.plan.ipvlan, &stage.scene.site.host);
            scope.spawn(move || serves(Agent::spawn(command, program, runtime_dir(PARENT), host)?))
        });
        starts.map(|start| start.join().map_err(|_| anyhow!("a start panicked")))
    });
    let mut serving = Vec::new();
    let mut refused = Vec::new();
    for ended in ended {
        match ended?? {
            Ok(agent) => serving.push(agent),
            Err(code) => refused.push(code),
        }
    }
    let found = (serving.len(), &refused[..]);
    stage.expect_eq("serving, and exit codes", found, (1, &[TAKEN][..]));
    let agent = serving.pop().context("of two none serves")?;
    stage.give_agent(Some(agent));
    stage.settle()
}

/// Waits until an agent is ready, or has ended; returns its exit code then.
fn serves(mut agent: Agent) -> Result<std::result::Result<Agent, i32>> {
    match agent.wait_ready(&[PARENT]) {
        Ok(()) => Ok(Ok(agent)),
        Err(_) if agent.has_ended() => Ok(Err(init::exit_code(agent.wait(PATIENCE)?))),
        Err(error) => Err(error),
    }
}

/// In the driver; row B03 of the nodes attaches a generic one.
fn xdp_link(stage: &mut Stage) -> Result<()> {
    let mut foreign = None;
    // The driver makes its queues anew.
    stage.outage(|site| {
        foreign = Some(site.host.run(|| Program::xdp_pass()?.attach(PARENT))?);
        Ok(())
    })?;
    foreign_xdp(stage)?;
    stage.outage(|_| {
        drop(foreign);
        Ok(())
    })
}

fn xdp_netlink(stage: &mut Stage) -> Result<()> {
    let pin = Path::new("/sys/fs/bpf/foreign-xdp");
    Program::xdp_pass()?.pin(pin)?;
    let set = |what: &str| format!("link set dev {PARENT} xdpdrv {what}\n");
    stage.outage(|site| site.host.ip(&set(&format!("pinned {}", pin.display()))))?;
    foreign_xdp(stage)?;
    stage.outage(|site| site.host.ip(&set("off")))?;
    fs::remove_file(pin)?;
    Ok(())
}

/// What a link has attached, netlink cannot take away.
fn xdp_off(stage: &mut Stage) -> Result<()> {
    for mode in ["xdp", "xdpgeneric", "xdpdrv"] {
        let off = format!("link set dev {PARENT} {mode} off\n");
        // Whether it fails or does nothing is the kernel's business; what is attached is compared.
        let _refused = stage.host.ip(&off);
        stage.settle()?;
    }
    Ok(())
}

/// Beside an XDP program that is not ours: started anew, and asked for XDP, the agent leaves it alone.
fn foreign_xdp(stage: &mut Stage) -> Result<()> {
    let before = xdp(stage)?.context("there is no foreign XDP program")?;
    for options in [&["--xdp", "native"][..], &[]] {
        stage.stop()?;
        stage.start(options)?;
        stage.settle()?;
        stage.case(format!("{options:?}"));
        stage.expect_eq("the XDP program", xdp(stage)?, Some(before));
        let note = format!("another XDP program (id {before})");
        let is_noted = stage.parent()?.notes(&note);
        stage.expect_eq("the program is noted", is_noted, !options.is_empty());
    }
    Ok(())
}

/// Id of the XDP program of the parent.
fn xdp(stage: &Stage) -> Result<Option<u64>> {
    let mut command = Command::new("ip");
    command.args(["-json", "link", "show", "dev", PARENT]);
    let shown: serde_json::Value = serde_json::from_str(&stage.host.command(&mut command, "")?)?;
    Ok(shown[0]["xdp"]["prog"]["id"].as_u64())
}

/// One that was there first and one that came later; ours go and come between them.
fn tcx(stage: &mut Stage) -> Result<()> {
    let attach = |hook, site: &Site| site.host.run(|| Program::tc_next(hook)?.attach(PARENT));
    let ours = truth::attached(stage)?;
    let later = (attach(Hook::Tc, stage)?, attach(Hook::Egress, stage)?);
    stage.settle()?;
    let beside = truth::attached(stage)?;
    stage.expect_eq("the foreign programs are there", beside != ours, true);
    stage.kill()?;
    stage.start_again()?;
    stage.settle()?;
    stage.expect_eq("attached", &truth::attached(stage)?, &beside);
    drop(later);
    stage.settle()
}

fn filters(stage: &mut Stage) -> Result<()> {
    for priority in ["1", "50000"] {
        let rest = format!("ingress prio {priority} protocol all matchall action continue");
        stage.tc("filter add", &rest)?;
    }
    stage.settle()?;
    let matchalls = |stage: &Stage| -> Result<usize> {
        let shown = stage.tc("filter show", "ingress")?;
        let is_one = |line: &&str| line.contains("matchall") && line.contains("handle");
        Ok(shown.lines().filter(is_one).count())
    };
    let before = matchalls(stage)?;
    stage.kill()?;
    stage.start_again()?;
    stage.settle()?;
    let left = (before, matchalls(stage)?);
    stage.expect_eq("foreign filters before and after a start", left, (2, 2));
    for priority in ["1", "50000"] {
        stage.tc("filter del", &format!("ingress prio {priority}"))?;
    }
    stage.settle()
}

/// Everything of ours goes, whatever is not ours stays, and nothing is wrong with doing it again.
fn cleanup(stage: &mut Stage) -> Result<()> {
    let begun = Instant::now();
    stage.stop()?;
    for _ in 0..2 {
        stage.cleanup()?;
        stage.expect_none("cleanup left", truth::attached(stage)?);
        stage.expect_none("cleanup left", pins::listing()?);
    }
    stage.start_again()?;
    stage.recovered(begun)
}
