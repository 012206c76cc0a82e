//! Settings that the agent cannot mend and notes in `status` (docs/limits.md).

use crate::{agent, rows::prelude::*};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B02, B04, B05, B06b, B13, B19",
        Kind::Gap,
        "a child that forwards, a shim with routes, a child without an address, an allowed off-link child without a route",
        "noted in `status` while it is so; with a route the off-link child is reached",
        Run::Each(&Mode::ALL, notes),
    )
    .on_any_kernel(),
    Row::new(
        "-",
        Kind::Regression,
        "a tunnel of the host has a /30 that overlaps the LAN, with the child's address as its broadcast address",
        "answered: directed broadcasts of the parent's prefixes alone refuse",
        Run::Each(&Mode::ALL, overlapping_tunnel),
    )
    .on_any_kernel(),
    Row::new(
        "-",
        Kind::Gap,
        "`ipvlan run --iface` with an ipvtap child",
        "refused, with the parent in the hint",
        Run::Each(L3, tap_as_parent),
    )
    .on_any_kernel(),
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

fn notes(scene: &mut Scene) -> Result<()> {
    scene.start(&ALLOW)?;
    let mode = scene.mode;
    noted(scene, &format!("{mode}: "), true);

    for (forwarding, is_noted) in [("1", true), ("0", false)] {
        scene.third.sysctl("ipv6/conf/all/forwarding", forwarding)?;
        noted(scene, "forwards packets", is_noted);
    }

    let route = format!("{}/32 dev shim\n", STEADY.v4);
    scene.host.ip(&format!(
        "link add link {PARENT} name shim type ipvlan mode {mode}\nlink set shim up\nroute add {route}"
    ))?;
    noted(scene, "child of its own", true);
    scene.host.ip(&format!("route del {route}"))?;
    noted(scene, "child of its own", false);
    scene.host.ip("link del shim\n")?;

    scene.unnamed.ip(&UNNAMED.deleted(CHILD))?;
    noted(scene, "without an address", true);
    scene.unnamed.ip(&UNNAMED.added(CHILD))?;
    noted(scene, "without an address", false);

    let target: IpAddr = OFF_LINK.parse()?;
    scene.take([target])?;
    noted(scene, "no route", false);
    let (v4, v6) = (GATEWAY.v4, GATEWAY.v6);
    scene.host.ip(&format!(
        "route del default via {v4}\nroute del ::/0 via {v6} dev {PARENT}\n"
    ))?;
    noted(scene, "no route", true);
    scene
        .host
        .ip(&format!("route add {target}/32 dev {PARENT}\n"))?;
    noted(scene, "no route", false);
    scene.expect_reached(&scene.host, [target])
}

/// Requires that `status` comes to have a note with this text, or none.
fn noted(scene: &mut Scene, text: &str, is_noted: bool) {
    let waited = scene.wait_parent(text, |parent| parent.notes(text) == is_noted);
    let was_noted = waited.is_ok() == is_noted;
    scene.expect_eq(&format!("`{text}` is noted"), was_noted, is_noted);
}

/// Another link with an address whose prefix ends in that of the third child.
const TUNNEL: &str = "link add wg0 type veth peer name wg1\nlink set wg1 up\nlink set wg0 up\naddr add 172.16.91.101/30 dev wg0\n";

fn overlapping_tunnel(scene: &mut Scene) -> Result<()> {
    scene.host.ip(TUNNEL)?;
    let target = IpAddr::from(THIRD.v4);
    let alone = answered_on_lan(&scene.site, target)?.is_some();
    scene.alone(format!("{}: answered: {alone}", scene.mode));
    scene.start(&[])?;
    scene.expect_answered([target])?;
    scene.expect_none("refused", scene.refusals(&[target])?);
    Ok(())
}

fn tap_as_parent(scene: &mut Scene) -> Result<()> {
    let host = &scene.host;
    for kind in ["ipvtap", "ipvlan"] {
        host.ip(&format!(
            "link add link {PARENT} name child0 type {kind} mode l3\n"
        ))?;
        let runtime = agent::new_runtime_dir();
        let mut command = agent::run(&scene.play.plan.ipvlan, &runtime, &["child0"]);
        let ended = host.command(&mut command, "");
        let text = ended.unwrap_or_else(|error| format!("{error:#}"));
        let is_named = text.contains(&format!("is itself an {kind} child of `{PARENT}`"));
        let is_hinted = text.contains(&format!("--iface {PARENT}"));
        scene.expect(is_named && is_hinted, || format!("{kind}: {text}"));
        host.ip("link del child0\n")?;
    }
    Ok(())
}
