//! Others on the same parent: a second agent, programs that are not ours.

use std::{path::Path, process::Command, thread};

use anyhow::{Context as _, Result, anyhow};

use super::{
    row::{Needs, Row},
    site::{PARENT, Site},
    stage::Stage,
};
use crate::bpf::{Hook, Program};

pub(super) const ROWS: &[Row] = &[
    Row::new("a second agent, later and at the same moment", second).on_any_kernel(),
    Row::new("foreign XDP program by a link, before and after", xdp_link),
    Row::new(
        "foreign XDP program by netlink, before and after",
        xdp_netlink,
    ),
    Row::new("XDP switched off by netlink (--xdp generic)", xdp_off).with(&["--xdp", "generic"]),
    Row {
        needs: Needs::Tcx,
        ..Row::new("foreign TCX programs before and after", tcx)
    },
    Row::new("foreign clsact filters before and after (clsact)", filters)
        .with(&["--attach", "clsact"]),
    Row::new("ipvlan cleanup, twice", cleanup).on_any_kernel(),
];

/// `EX_TEMPFAIL`
const TAKEN: i32 = 75;

fn second(stage: &mut Stage) -> Result<()> {
    let pid = stage.agent()?.pid();
    let (code, said) = stage.fails(&mut stage.command(&[]))?;
    stage.expect(
        code == TAKEN && said.contains(&format!("pid {pid}")),
        || format!("the second ended with {code}: {said}"),
    );
    // Two at once: one of them serves.
    stage.stop()?;
    let ended = thread::scope(|scope| {
        let starts = [(); 2].map(|()| scope.spawn(|| stage.fails_or_serves(stage.command(&[]))));
        starts.map(|start| start.join().map_err(|_| anyhow!("a start panicked")))
    });
    let mut serving = Vec::new();
    let mut refused = 0;
    for ended in ended {
        match ended?? {
            Ok(agent) => serving.push(agent),
            Err((TAKEN, _)) => refused += 1,
            Err((code, said)) => stage
                .problems
                .push(format!("of two one ended with {code}: {said}")),
        }
    }
    let counted = (serving.len(), refused);
    stage.expect(counted == (1, 1), || {
        format!("of two {} serve, {} are refused", counted.0, counted.1)
    });
    stage.agent = Some(serving.pop().context("of two none serves")?);
    stage.settle()
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
    std::fs::remove_file(pin)?;
    Ok(())
}

/// What a link has attached, netlink cannot take away.
fn xdp_off(stage: &mut Stage) -> Result<()> {
    for mode in ["xdp", "xdpgeneric", "xdpdrv"] {
        let off = format!("link set dev {PARENT} {mode} off\n");
        // Whether it fails or does nothing is the kernel's business; what is attached is compared.
        let _refused = stage.site.host.ip(&off);
        stage.settle()?;
    }
    Ok(())
}

/// Beside an XDP program that is not ours: started anew, and asked for XDP, the agent leaves it alone.
fn foreign_xdp(stage: &mut Stage) -> Result<()> {
    let before = xdp(stage)?.context("there is no foreign XDP program")?;
    let program = stage.plan.ipvlan.clone();
    for options in [&["--xdp", "native"][..], &[]] {
        stage.stop()?;
        stage.start_with(&program, options)?;
        stage.settle()?;
        let beside = xdp(stage)?;
        stage.expect(beside == Some(before), || {
            format!("with {options:?} XDP is {beside:?}, and was {before}")
        });
        let notes = stage.parent()?["notes"].to_string();
        let told = notes.contains(&format!("another XDP program (id {before})"));
        stage.expect(told != options.is_empty(), || {
            format!("with {options:?} it notes {notes}")
        });
    }
    Ok(())
}

/// Id of the XDP program of the parent.
fn xdp(stage: &Stage) -> Result<Option<u64>> {
    let mut command = Command::new("ip");
    command.args(["-json", "link", "show", "dev", PARENT]);
    let shown: serde_json::Value =
        serde_json::from_str(&stage.site.host.command(&mut command, "")?)?;
    Ok(shown[0]["xdp"]["prog"]["id"].as_u64())
}

/// One that was there first and one that came later; ours go and come between them.
fn tcx(stage: &mut Stage) -> Result<()> {
    let attach = |hook, site: &Site| site.host.run(|| Program::tc_next(hook)?.attach(PARENT));
    let ours = stage.hooks()?;
    let later = (
        attach(Hook::Tc, &stage.site)?,
        attach(Hook::Egress, &stage.site)?,
    );
    stage.settle()?;
    let beside = stage.hooks()?;
    stage.expect(beside != ours, || {
        "the foreign programs are not there".to_owned()
    });
    stage.kill()?;
    stage.start()?;
    stage.settle()?;
    let after = stage.hooks()?;
    stage.expect(after == beside, || {
        format!("attached is {after:?}, and was {beside:?}")
    });
    drop(later);
    stage.settle()
}

fn filters(stage: &mut Stage) -> Result<()> {
    let foreign = |priority: u32| {
        let words = format!(
            "filter add dev {PARENT} ingress prio {priority} protocol all matchall action continue"
        );
        let mut command = Command::new("tc");
        command.args(words.split_whitespace());
        command
    };
    for priority in [1, 50_000] {
        stage.site.host.command(&mut foreign(priority), "")?;
    }
    stage.settle()?;
    let before = matchalls(stage)?;
    stage.kill()?;
    stage.start()?;
    stage.settle()?;
    let after = matchalls(stage)?;
    stage.expect(before == 2 && after == before, || {
        format!("of {before} foreign filters {after} are left")
    });
    for priority in ["1", "50000"] {
        let mut command = Command::new("tc");
        command.args(["filter", "del", "dev", PARENT, "ingress", "prio", priority]);
        stage.site.host.command(&mut command, "")?;
    }
    stage.settle()
}

fn matchalls(stage: &Stage) -> Result<usize> {
    let mut command = Command::new("tc");
    command.args(["filter", "show", "dev", PARENT, "ingress"]);
    let shown = stage.site.host.command(&mut command, "")?;
    Ok(shown
        .lines()
        .filter(|line| line.contains("matchall") && line.contains("handle"))
        .count())
}

/// Everything of ours goes, whatever is not ours stays, and nothing is wrong with doing it again.
fn cleanup(stage: &mut Stage) -> Result<()> {
    let begun = std::time::Instant::now();
    stage.stop()?;
    for _ in 0..2 {
        super::stage::cleanup(&stage.plan, &stage.site)?;
        let left = stage.hooks()?;
        stage.expect(left.is_empty(), || format!("cleanup left {left:?}"));
        let pinned = super::pins::listing()?;
        stage.expect(pinned.is_empty(), || format!("cleanup left {pinned:?}"));
    }
    stage.start()?;
    stage.traffic.recovered(begun);
    stage.settle()
}
