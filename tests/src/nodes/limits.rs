//! Settings that the agent cannot mend and notes in `status` (docs/limits.md).

use std::net::IpAddr;

use anyhow::Result;

use crate::{
    agent,
    demo::mode::Mode,
    faults::{
        site::{CHILD, GATEWAY, PARENT, STEADY, THIRD, UNNAMED},
        stage::{PATIENCE, Plan},
        truth,
    },
    probe::ping::ping,
    rows::{
        row::{Kind, Row, Verdict},
        scene::{SILENCE, Scene, add, answered_on_lan, becomes},
    },
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B02, B04, B05, B06b, B13, B19",
        Kind::Gap,
        "a child that forwards, a shim with routes, a child without an address, an allowed off-link child without a route",
        "noted in `status` while it is so; with a route the off-link child is reached",
        notes,
    ).on_any_kernel(),
    Row::new(
        "-",
        Kind::Regression,
        "a tunnel of the host has a /30 that overlaps the LAN, with the child's address as its broadcast address",
        "answered: directed broadcasts of the parent's prefixes alone refuse",
        overlapping_tunnel,
    ),
    Row::new(
        "-",
        Kind::Gap,
        "`ipvlan run --iface` with an ipvtap child",
        "refused, with the parent in the hint",
        tap_as_parent,
    ).on_any_kernel(),
];

/// An off-link address.
const OFF_LINK: &str = "10.1.0.5";
const ALLOW: [&str; 6] = [
    "--allow",
    "10.0.0.0/8",
    "--allow",
    "172.16.0.0/12",
    "--allow",
    "2001:db8::/32",
];

fn notes(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for mode in Mode::ALL {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        scene.start(&ALLOW)?;
        noted(&mut scene, &mut verdict, &format!("{mode}: "), true);

        for (forwarding, is_noted) in [("1", true), ("0", false)] {
            let third = &scene.site.third;
            third.sysctl("ipv6/conf/all/forwarding", forwarding)?;
            noted(&mut scene, &mut verdict, "forwards packets", is_noted);
        }

        let range = STEADY.v4;
        scene.site.host.ip(&format!(
            "link add link {PARENT} name shim type ipvlan mode {mode}\nlink set shim up\nroute add {range}/32 dev shim\n"
        ))?;
        noted(&mut scene, &mut verdict, "child of its own", true);
        scene
            .site
            .host
            .ip(&format!("route del {range}/32 dev shim\n"))?;
        noted(&mut scene, &mut verdict, "child of its own", false);
        scene.site.host.ip("link del shim\n")?;

        scene.site.unnamed.ip(&UNNAMED.deleted(CHILD))?;
        noted(&mut scene, &mut verdict, "without an address", true);
        scene.site.unnamed.ip(&UNNAMED.added(CHILD))?;
        noted(&mut scene, &mut verdict, "without an address", false);

        without_route(&mut scene, &mut verdict)?;
    }
    verdict.agent(if verdict.is_met() {
        "noted while it is so"
    } else {
        "not noted, or for too long"
    });
    Ok(verdict)
}

fn without_route(scene: &mut Scene, verdict: &mut Verdict) -> Result<()> {
    let mode = scene.site.mode;
    let target: IpAddr = OFF_LINK.parse()?;
    add(&scene.site.third, CHILD, target)?;
    noted(scene, verdict, "no route", false);
    let (v4, v6) = (GATEWAY.v4, GATEWAY.v6);
    let host = &scene.site.host;
    host.ip(&format!(
        "route del default via {v4}\nroute del ::/0 via {v6} dev {PARENT}\n"
    ))?;
    noted(scene, verdict, "no route", true);
    let host = &scene.site.host;
    host.ip(&format!("route add {target}/32 dev {PARENT}\n"))?;
    noted(scene, verdict, "no route", false);
    let reached = scene.site.host.run(|| ping(None, target, PATIENCE))?;
    verdict.expect(reached, || {
        format!("{mode}: with a route the host does not reach {target}")
    });
    Ok(())
}

/// `status` comes to have a note with this text, or none.
fn noted(scene: &mut Scene, verdict: &mut Verdict, text: &str, is_noted: bool) {
    let mode = scene.site.mode;
    let waited = scene.wait_parent(text, |parent| {
        let mut notes = parent["notes"].as_array().into_iter().flatten();
        let found = notes.any(|note| note.as_str().is_some_and(|note| note.contains(text)));
        found == is_noted
    });
    verdict.expect(waited.is_ok(), || {
        format!("{mode}: `{text}` is noted: {}", !is_noted)
    });
}

/// Another link with an address whose prefix ends in that of the third child.
const TUNNEL: &str = "link add wg0 type veth peer name wg1\nlink set wg1 up\nlink set wg0 up\naddr add 172.16.91.101/30 dev wg0\n";

fn overlapping_tunnel(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for mode in Mode::ALL {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        scene.site.host.ip(TUNNEL)?;
        let target = IpAddr::from(THIRD.v4);
        let alone = answered_on_lan(&scene.site, target, SILENCE)?.is_some();
        verdict.alone(format!("{mode}: answered: {alone}"));
        scene.start(&[])?;
        let answered = becomes(&scene.site, target, true, PATIENCE)?;
        verdict.expect(answered, || format!("{mode}: {target} is not answered"));
        let refused = truth::refusals(&scene.agent()?.status()?, &[target]);
        verdict.expect(refused.is_empty(), || format!("{mode}: {refused:?}"));
    }
    verdict.agent(if verdict.is_met() {
        "answered"
    } else {
        "refused"
    });
    Ok(verdict)
}

fn tap_as_parent(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let scene = Scene::build(plan, Mode::L3, "bridge")?;
    let host = &scene.site.host;
    for kind in ["ipvtap", "ipvlan"] {
        host.ip(&format!(
            "link add link {PARENT} name child0 type {kind} mode l3\n"
        ))?;
        let runtime = agent::new_runtime_dir();
        let mut command = agent::run(&plan.ipvlan, &runtime, &["child0"]);
        let text = match host.command(&mut command, "") {
            Ok(text) => text,
            Err(error) => format!("{error:#}"),
        };
        let is_named = text.contains(&format!("is itself an {kind} child of `{PARENT}`"));
        let is_hinted = text.contains(&format!("--iface {PARENT}"));
        verdict.expect(is_named && is_hinted, || format!("{kind}: {text}"));
        host.ip("link del child0\n")?;
    }
    verdict.agent(if verdict.is_met() {
        "refused, with the parent in the hint"
    } else {
        "taken for a parent"
    });
    Ok(verdict)
}
