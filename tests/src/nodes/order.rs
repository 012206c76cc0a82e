//! Programs of others on the parent: who runs first, and what the agent reports when frames do not reach it.

use crate::{
    bpf::{Attached, Hook, Program},
    hooks,
    lab::receive_xdp,
    rows::prelude::*,
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B03",
        Kind::Silent,
        "foreign filters that end the chain, before and after the agent (clsact)",
        "ours run before them; where that is not possible `degraded`, with their names",
        Run::Each(L3, filters),
    ),
    Row::new(
        "B03",
        Kind::Silent,
        "foreign TCX programs that end the chain, before and after the agent",
        "ours run before them; against one that insists `degraded`, with its id",
        Run::Each(L3, tcx),
    ),
    Row::new(
        "B03",
        Kind::Silent,
        "the programs are detached by another process while the agent runs",
        "attached again",
        Run::Each(L3, detached),
    ),
    Row::new(
        "B18",
        Kind::Silent,
        "an ingress qdisc on the parent before the agent, deleted later (clsact)",
        "no egress program at ingress; `degraded`; the qdisc stays; mended when it is deleted",
        Run::Each(L2_L3, ingress_qdisc),
    ),
    Row::new(
        "B33",
        Kind::Silent,
        "--xdp native on a veth whose peer does not receive what XDP sends, and on one whose peer does",
        "answered by the TC programs, with a note; answered by XDP",
        Run::Each(L2_L3, veth),
    ),
    Row::new(
        "B03",
        Kind::Silent,
        "foreign generic XDP program that takes frames of several buffers, before and after the agent",
        "answered, although the kernel hides the Ethernet header from TC programs (Linux 6.9)",
        Run::Own(generic_xdp),
    ),
];

const CLSACT: &[&str] = &["--attach", "clsact"];
/// Longer than all announcements after a start, which fill caches.
const ANNOUNCED: Duration = Duration::from_secs(4);

/// A word of each side of a parent, as `tc` calls it.
const SIDES: [&str; 2] = ["ingress", "egress"];

/// Adds a filter that matches every frame and does not pass it on.
fn end(scene: &Scene, side: &str, priority: u32) -> Result<()> {
    let rest = format!("{side} prio {priority} protocol all matchall action ok");
    scene.tc("filter add", &rest).map(drop)
}

/// Requires that the agent is ready, and that children are answered on the LAN and reached from the host.
fn ready(scene: &Scene, case: &str) -> Result<()> {
    expect(scene, case, "ready", "")?;
    scene.expect_others_answered()?;
    // Neither has a neighbour entry.
    scene.host.ip(&format!("neigh flush dev {PARENT}\n"))?;
    scene.expect_reached(&scene.host, STEADY.both())?;
    scene.expect_reached(&scene.steady, HOST.both())
}

/// Requires that the agent is degraded, with a reason that names `named`.
fn degraded(scene: &Scene, case: &str, named: &str) -> Result<()> {
    expect(scene, case, "degraded", named)
}

fn expect(scene: &Scene, case: &str, state: &str, named: &str) -> Result<()> {
    scene.case(case);
    let parent = scene.parent()?;
    let reason = parent.reason.unwrap_or_default();
    scene.expect_eq("the state", &parent.state[..], state);
    scene.expect_has("the reason", &reason, named);
    scene.with_agent(format!("{case}: {state}"));
    Ok(())
}

/// Removes everything of the agent, and requires that nothing is attached any more.
fn clear(scene: &mut Scene) -> Result<()> {
    scene.clear()?;
    let left = hooks::attached(&scene.host, &[PARENT])?;
    scene.expect_none("cleanup left", left);
    Ok(())
}

fn filters(scene: &mut Scene) -> Result<()> {
    scene.tc("qdisc add", "clsact")?;
    for side in SIDES {
        end(scene, side, 2)?;
    }
    scene.start(CLSACT)?;
    thread::sleep(ANNOUNCED);
    ready(scene, "pref 2 before the start")?;
    // The only place before pref 1 is in it, and not with another kind.
    for side in SIDES {
        scene.tc("filter del", &format!("{side} prio 2"))?;
    }
    scene.clear()?;
    end(scene, "ingress", 1)?;
    scene.start(CLSACT)?;
    degraded(scene, "pref 1 before the start", "matchall of pref 1")?;
    scene.tc("filter del", "ingress prio 1")?;
    ready(scene, "that deleted")?;
    for side in SIDES {
        end(scene, side, 5)?;
    }
    ready(scene, "pref 5 after the start")?;
    same_priority(scene)?;
    // Packets of IP alone, or passed on: nothing is wrong.
    scene.clear()?;
    for harmless in [
        "protocol ip prio 1 matchall action ok",
        "protocol all prio 2 matchall action continue",
    ] {
        scene.tc("filter add", &format!("ingress {harmless}"))?;
    }
    scene.start(CLSACT)?;
    ready(scene, "filters that keep nothing")?;
    scene.stop()?;
    scene.start(CLSACT)?;
    ready(scene, "adopted")?;
    scene.stop()?;
    scene.start(&["--attach", "clsact", "--order", "after"])?;
    degraded(scene, "--order after", "matchall of pref 5")
}

/// A program of pref 1, as Cilium and others attach it, whose handle is 1: ours shares the priority.
fn same_priority(scene: &Scene) -> Result<()> {
    let pin = Path::new("/sys/fs/bpf/nodes-end");
    Program::tc_end(Hook::Tc)?.pin(pin)?;
    let filter = format!(
        "ingress prio 1 handle 1 protocol all bpf object-pinned {} da",
        pin.display()
    );
    scene.tc("filter replace", &filter)?;
    ready(scene, "a program of pref 1 after the start")?;
    scene.tc("filter replace", &filter)?;
    ready(scene, "that replaced")?;
    let filters = scene.tc("filter show", "ingress pref 1")?;
    for name in ["nodes-end", "parent_ingress"] {
        scene.expect_has("pref 1", &filters, name);
    }
    scene.tc("filter del", "ingress prio 1 protocol all handle 1 bpf")?;
    Ok(fs::remove_file(pin)?)
}

fn tcx(scene: &mut Scene) -> Result<()> {
    let probe = || Program::tc_next(Hook::Tc)?.attach(PARENT);
    if scene.host.run(probe).is_err() {
        scene.with_agent("this kernel has no TCX");
        return Ok(());
    }
    let first = |scene: &Scene, hook| -> Result<Attached> {
        let attach = || Program::tc_end(hook)?.attach_first(PARENT);
        scene.host.run(attach)
    };
    let before = [first(scene, Hook::Tc)?, first(scene, Hook::Egress)?];
    scene.start(&[])?;
    thread::sleep(ANNOUNCED);
    ready(scene, "before the start")?;
    let later = [first(scene, Hook::Tc)?, first(scene, Hook::Egress)?];
    ready(scene, "first after the start")?;
    scene.kill()?;
    let meanwhile = first(scene, Hook::Tc)?;
    scene.start_again()?;
    ready(scene, "first while no agent ran")?;
    // One that is first again whenever ours is.
    let mut insists = Vec::new();
    for _ in 0..7 {
        insists.push(first(scene, Hook::Tc)?);
        scene.parent()?;
    }
    degraded(scene, "one that insists", "TCX program")?;
    drop((insists, meanwhile, later, before));
    ready(scene, "all of them detached")?;
    scene.stop()?;
    let before = first(scene, Hook::Tc)?;
    scene.start(&["--order", "after"])?;
    let parent = scene.parent()?;
    let notes = parent.notes.join("; ");
    scene.expect_has("`status`", &notes, "--order after: TCX program");
    drop(before);
    clear(scene)
}

fn detached(scene: &mut Scene) -> Result<()> {
    scene.start(CLSACT)?;
    scene.tc("filter del", "ingress")?;
    ready(scene, "filter deleted")?;
    scene.tc("qdisc del", "clsact")?;
    ready(scene, "qdisc deleted")?;
    clear(scene)
}

fn ingress_qdisc(scene: &mut Scene) -> Result<()> {
    let case = format!("{}, ingress qdisc", scene.mode);
    scene.tc("qdisc add", "ingress")?;
    scene.start(CLSACT)?;
    degraded(scene, &case, "ingress qdisc")?;
    // Twice: the second agent must not take what it finds at ingress for both hooks.
    scene.stop()?;
    scene.start_again()?;
    degraded(scene, &case, "ingress qdisc")?;
    scene.expect_others_answered()?;
    let filters = scene.tc("filter show", "ingress")?;
    scene.expect(
        filters.contains("parent_ingress") && !filters.contains("parent_egress"),
        || format!("filters are {filters}"),
    );
    scene.clear()?;
    let qdiscs = scene.tc("qdisc show", "")?;
    scene.expect_has("after cleanup the parent", &qdiscs, "ingress");
    scene.start(CLSACT)?;
    scene.tc("qdisc del", "ingress")?;
    ready(scene, &format!("{}, qdisc deleted", scene.mode))?;
    clear(scene)
}

fn veth(scene: &mut Scene) -> Result<()> {
    let mode = scene.mode;
    scene.start(&["--xdp", "native"])?;
    ready(scene, &format!("{mode}, peer without XDP"))?;
    let parent = scene.parent()?;
    scene.expect_has("`status`", &parent.notes.join("; "), "peer");
    scene.clear()?;
    let _peer = receive_xdp(&scene.lan, PORT)?;
    scene.start(&["--xdp", "native"])?;
    ready(scene, &format!("{mode}, peer with XDP"))?;
    let parent = scene.parent()?;
    for reason in ["arp_answered", "nd_answered"] {
        scene.expect_least(reason, parent.counter("xdp", reason), 1);
    }
    scene.clear()
}

fn generic_xdp(play: &Play) -> Result<()> {
    for (mode, options) in [(Mode::L2, &[][..]), (Mode::L3, CLSACT), (Mode::L3s, &[])] {
        let mut scene = play.scene(mode)?;
        let attach = || Program::xdp_pass()?.attach_generic(PARENT);
        let before = scene.host.run(attach)?;
        scene.start(options)?;
        thread::sleep(ANNOUNCED);
        ready(&scene, &format!("{mode}, before the start"))?;
        // Received frames that the programs could not parse.
        let refused = scene.parent()?.counter("ingress", "malformed");
        scene.expect_eq("malformed frames", refused, 0);
        drop(before);
        let _after = scene.host.run(attach)?;
        ready(&scene, &format!("{mode}, after the start"))?;
    }
    Ok(())
}
