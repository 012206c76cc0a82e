//! Programs of others on the parent: who runs first, and what the agent reports when frames do not reach it.

use std::{path::Path, process::Command, thread, time::Duration};

use anyhow::Result;
use serde_json::Value;

use crate::{
    bpf::{Attached, Hook, Program},
    demo::mode::Mode,
    faults::{
        site::{HOST, PARENT, PORT, STEADY, Site},
        stage::{PATIENCE, Plan},
    },
    hooks,
    lab::receive_xdp,
    probe::ping::ping,
    rows::{
        row::{Kind, Row, Verdict},
        scene::{STEADY_ADDRESSES, Scene},
    },
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B03",
        Kind::Silent,
        "foreign filters that end the chain, before and after the agent (clsact)",
        "ours run before them; where that is not possible `degraded`, with their names",
        filters,
    ),
    Row::new(
        "B03",
        Kind::Silent,
        "foreign TCX programs that end the chain, before and after the agent",
        "ours run before them; against one that insists `degraded`, with its id",
        tcx,
    ),
    Row::new(
        "B03",
        Kind::Silent,
        "the programs are detached by another process while the agent runs",
        "attached again",
        detached,
    ),
    Row::new(
        "B18",
        Kind::Silent,
        "an ingress qdisc on the parent before the agent, deleted later (clsact)",
        "no egress program at ingress; `degraded`; the qdisc stays; mended when it is deleted",
        ingress_qdisc,
    ),
    Row::new(
        "B33",
        Kind::Silent,
        "--xdp native on a veth whose peer does not receive what XDP sends, and on one whose peer does",
        "answered by the TC programs, with a note; answered by XDP",
        veth,
    ),
    Row::new(
        "B03",
        Kind::Silent,
        "foreign generic XDP program that takes frames of several buffers, before and after the agent",
        "answered, although the kernel hides the Ethernet header from TC programs (Linux 6.9)",
        generic_xdp,
    ),
];

const CLSACT: &[&str] = &["--attach", "clsact"];
/// Longer than all announcements after a start, which fill caches.
const ANNOUNCED: Duration = Duration::from_secs(4);

fn tc(site: &Site, words: &str) -> Result<String> {
    let mut command = Command::new("tc");
    site.host
        .command(command.args(words.split_whitespace()), "")
}

/// Adds a filter that matches every frame and does not pass it on.
fn end(node: &Site, side: &str, priority: u32) -> Result<()> {
    tc(
        node,
        &format!("filter add dev {PARENT} {side} prio {priority} protocol all matchall action ok"),
    )
    .map(drop)
}

/// Requires that the agent reports `state`, with a reason that names `named`, and that children are answered
/// on the LAN and reached from the host exactly if it is ready.
fn expect(
    scene: &mut Scene,
    verdict: &mut Verdict,
    setting: &str,
    named: Option<&str>,
) -> Result<()> {
    let parent = scene.parent()?;
    let reason = parent["reason"].as_str().unwrap_or_default();
    let state = if named.is_some() { "degraded" } else { "ready" };
    verdict.expect(
        parent["state"] == state && reason.contains(named.unwrap_or_default()),
        || format!("{setting}: {} because of {reason:?}", parent["state"]),
    );
    if named.is_none() {
        let answered = scene.steady_answered()?;
        verdict.expect(answered == STEADY_ADDRESSES, || {
            format!("{setting}: {answered} of {STEADY_ADDRESSES} addresses are answered")
        });
        reached(scene, verdict, setting)?;
    }
    verdict.agent(format!("{setting}: {state}"));
    Ok(())
}

/// Requires that the host reaches a child, of which it has no neighbour entry, and is reached by it.
fn reached(scene: &Scene, verdict: &mut Verdict, setting: &str) -> Result<()> {
    let site = &scene.site;
    site.host.ip(&format!("neigh flush dev {PARENT}\n"))?;
    for (from, addresses) in [(&site.host, STEADY.both()), (&site.steady, HOST.both())] {
        for address in addresses {
            let reached = from.run(|| ping(None, address, PATIENCE))?;
            verdict.expect(reached, || format!("{setting}: {address} is not reached"));
        }
    }
    Ok(())
}

fn filters(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    tc(&scene.site, &format!("qdisc add dev {PARENT} clsact"))?;
    for side in ["ingress", "egress"] {
        end(&scene.site, side, 2)?;
    }
    scene.start(CLSACT)?;
    thread::sleep(ANNOUNCED);
    expect(&mut scene, &mut verdict, "pref 2 before the start", None)?;
    // The only place before pref 1 is in it, and not with another kind.
    for side in ["ingress", "egress"] {
        tc(
            &scene.site,
            &format!("filter del dev {PARENT} {side} prio 2"),
        )?;
    }
    scene.clear()?;
    end(&scene.site, "ingress", 1)?;
    scene.start(CLSACT)?;
    expect(
        &mut scene,
        &mut verdict,
        "pref 1 before the start",
        Some("matchall of pref 1"),
    )?;
    tc(
        &scene.site,
        &format!("filter del dev {PARENT} ingress prio 1"),
    )?;
    expect(&mut scene, &mut verdict, "that deleted", None)?;
    for side in ["ingress", "egress"] {
        end(&scene.site, side, 5)?;
    }
    expect(&mut scene, &mut verdict, "pref 5 after the start", None)?;
    same_priority(&mut scene, &mut verdict)?;
    // Packets of IP alone, or passed on: nothing is wrong.
    scene.clear()?;
    let harmless = [
        "protocol ip prio 1 matchall action ok",
        "protocol all prio 2 matchall action continue",
    ];
    for words in harmless {
        tc(
            &scene.site,
            &format!("filter add dev {PARENT} ingress {words}"),
        )?;
    }
    scene.start(CLSACT)?;
    expect(&mut scene, &mut verdict, "filters that keep nothing", None)?;
    scene.stop()?;
    scene.start(CLSACT)?;
    expect(&mut scene, &mut verdict, "adopted", None)?;
    scene.stop()?;
    scene.start(&["--attach", "clsact", "--order", "after"])?;
    expect(
        &mut scene,
        &mut verdict,
        "--order after",
        Some("matchall of pref 5"),
    )?;
    Ok(verdict)
}

/// A program of pref 1, as Cilium and others attach it, whose handle is 1: ours shares the priority.
fn same_priority(scene: &mut Scene, verdict: &mut Verdict) -> Result<()> {
    let pin = Path::new("/sys/fs/bpf/nodes-end");
    Program::tc_end(Hook::Tc)?.pin(pin)?;
    let filter = format!(
        "filter replace dev {PARENT} ingress prio 1 handle 1 protocol all bpf object-pinned {} da",
        pin.display()
    );
    tc(&scene.site, &filter)?;
    expect(scene, verdict, "a program of pref 1 after the start", None)?;
    tc(&scene.site, &filter)?;
    expect(scene, verdict, "that replaced", None)?;
    let filters = tc(
        &scene.site,
        &format!("filter show dev {PARENT} ingress pref 1"),
    )?;
    verdict.expect(
        filters.contains("nodes-end") && filters.contains("parent_ingress"),
        || format!("filters of pref 1 are {filters}"),
    );
    tc(
        &scene.site,
        &format!("filter del dev {PARENT} ingress prio 1 protocol all handle 1 bpf"),
    )?;
    std::fs::remove_file(pin)?;
    Ok(())
}

/// Whether this kernel has TCX.
fn has_tcx(site: &Site) -> bool {
    site.host
        .run(|| Program::tc_next(Hook::Tc)?.attach(PARENT))
        .is_ok()
}

fn tcx(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    if !has_tcx(&scene.site) {
        verdict.agent("this kernel has no TCX");
        return Ok(verdict);
    }
    let first = |site: &Site, hook| -> Result<Attached> {
        site.host
            .run(|| Program::tc_end(hook)?.attach_first(PARENT))
    };
    let before = [
        first(&scene.site, Hook::Tc)?,
        first(&scene.site, Hook::Egress)?,
    ];
    scene.start(&[])?;
    thread::sleep(ANNOUNCED);
    expect(&mut scene, &mut verdict, "before the start", None)?;
    let later = [
        first(&scene.site, Hook::Tc)?,
        first(&scene.site, Hook::Egress)?,
    ];
    expect(&mut scene, &mut verdict, "first after the start", None)?;
    scene.kill()?;
    let meanwhile = first(&scene.site, Hook::Tc)?;
    scene.start_again()?;
    expect(&mut scene, &mut verdict, "first while no agent ran", None)?;
    // One that is first again whenever ours is.
    let mut insists = Vec::new();
    for _ in 0..7 {
        insists.push(first(&scene.site, Hook::Tc)?);
        scene.parent()?;
    }
    expect(
        &mut scene,
        &mut verdict,
        "one that insists",
        Some("TCX program"),
    )?;
    drop((insists, meanwhile, later, before));
    expect(&mut scene, &mut verdict, "all of them detached", None)?;
    scene.stop()?;
    let before = first(&scene.site, Hook::Tc)?;
    scene.start(&["--order", "after"])?;
    let notes = notes(&scene.parent()?);
    verdict.expect(notes.contains("--order after: TCX program"), || {
        format!("--order after: notes are {notes}")
    });
    drop(before);
    scene.clear()?;
    let left = hooks::attached(&scene.site.host, &[PARENT])?;
    verdict.expect(left.is_empty(), || format!("cleanup left {left:?}"));
    Ok(verdict)
}

fn notes(parent: &Value) -> String {
    parent["notes"].to_string()
}

fn detached(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    scene.start(CLSACT)?;
    tc(&scene.site, &format!("filter del dev {PARENT} ingress"))?;
    expect(&mut scene, &mut verdict, "filter deleted", None)?;
    tc(&scene.site, &format!("qdisc del dev {PARENT} clsact"))?;
    expect(&mut scene, &mut verdict, "qdisc deleted", None)?;
    scene.clear()?;
    let left = hooks::attached(&scene.site.host, &[PARENT])?;
    verdict.expect(left.is_empty(), || format!("cleanup left {left:?}"));
    Ok(verdict)
}

fn ingress_qdisc(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for mode in [Mode::L2, Mode::L3] {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        tc(&scene.site, &format!("qdisc add dev {PARENT} ingress"))?;
        scene.start(CLSACT)?;
        let setting = format!("{mode}, ingress qdisc");
        expect(&mut scene, &mut verdict, &setting, Some("ingress qdisc"))?;
        // Twice: the second agent must not take what it finds at ingress for both hooks.
        scene.stop()?;
        scene.start_again()?;
        expect(&mut scene, &mut verdict, &setting, Some("ingress qdisc"))?;
        let answered = scene.steady_answered()?;
        verdict.expect(answered == STEADY_ADDRESSES, || {
            format!("{setting}: {answered} of {STEADY_ADDRESSES} addresses are answered")
        });
        let filters = tc(&scene.site, &format!("filter show dev {PARENT} ingress"))?;
        verdict.expect(
            filters.contains("parent_ingress") && !filters.contains("parent_egress"),
            || format!("{setting}: filters are {filters}"),
        );
        scene.clear()?;
        let qdiscs = tc(&scene.site, &format!("qdisc show dev {PARENT}"))?;
        verdict.expect(qdiscs.contains("ingress"), || {
            format!("{setting}: cleanup removed the foreign qdisc")
        });
        scene.start(CLSACT)?;
        tc(&scene.site, &format!("qdisc del dev {PARENT} ingress"))?;
        expect(
            &mut scene,
            &mut verdict,
            &format!("{mode}, qdisc deleted"),
            None,
        )?;
        scene.clear()?;
        let left = hooks::attached(&scene.site.host, &[PARENT])?;
        verdict.expect(left.is_empty(), || format!("cleanup left {left:?}"));
    }
    Ok(verdict)
}

fn veth(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for mode in [Mode::L2, Mode::L3] {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        scene.start(&["--xdp", "native"])?;
        let setting = format!("{mode}, peer without XDP");
        expect(&mut scene, &mut verdict, &setting, None)?;
        let parent = scene.parent()?;
        verdict.expect(notes(&parent).contains("peer"), || {
            format!("{setting}: notes are {}", notes(&parent))
        });
        scene.clear()?;
        let peer = receive_xdp(&scene.site.lan, PORT)?;
        scene.start(&["--xdp", "native"])?;
        let setting = format!("{mode}, peer with XDP");
        expect(&mut scene, &mut verdict, &setting, None)?;
        let counters = scene.parent()?["counters"]["xdp"].clone();
        let answers = |reason: &str| counters[reason].as_u64().unwrap_or_default();
        verdict.expect(
            answers("arp_answered") > 0 && answers("nd_answered") > 0,
            || format!("{setting}: counters of XDP are {counters}"),
        );
        drop(peer);
    }
    Ok(verdict)
}

fn generic_xdp(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for (mode, options) in [(Mode::L2, &[][..]), (Mode::L3, CLSACT), (Mode::L3s, &[])] {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        let attach = |site: &Site| -> Result<Attached> {
            site.host
                .run(|| Program::xdp_pass()?.attach_generic(PARENT))
        };
        let before = attach(&scene.site)?;
        scene.start(options)?;
        thread::sleep(ANNOUNCED);
        let setting = format!("{mode}, before the start");
        expect(&mut scene, &mut verdict, &setting, None)?;
        let refused = malformed(&scene)?;
        verdict.expect(refused == 0, || {
            format!("{setting}: {refused} frames are malformed")
        });
        drop(before);
        let _after = attach(&scene.site)?;
        let setting = format!("{mode}, after the start");
        expect(&mut scene, &mut verdict, &setting, None)?;
    }
    Ok(verdict)
}

/// Returns how many received frames the programs could not parse.
fn malformed(scene: &Scene) -> Result<u64> {
    let counters = scene.parent()?["counters"]["ingress"].clone();
    Ok(counters["malformed"].as_u64().unwrap_or_default())
}
