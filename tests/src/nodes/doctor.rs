//! `ipvlan doctor` on real ipvlan devices: each fault is made and mended, and its line is there meanwhile.

use std::process::Stdio;

use serde_json::Value;

use crate::{
    bpf::{Attached, Hook, Program},
    init::exit_code,
    rows::{prelude::*, tagged},
};

use super::symptoms::{SYMPTOMS, Tool};

pub(super) const ROWS: &[Row] = &[Row::new(
    "DOCTOR",
    Kind::Gap,
    "masquerade, rules that drop, rp_filter, a second NIC, parent or child down, no route, no IPv6, a VLAN tag, a \
     foreign program, no agent; `ipvlan doctor` for each",
    "a line of its id names each fault while it is there, and none when it is gone",
    Run::Each(L3, doctor),
)
.on_any_kernel()];

/// The host's other device on the LAN.
const SECOND: &str = "m0";

/// Runs `ipvlan doctor` on the host; returns its lines.
fn examine(scene: &Scene) -> Result<Vec<Value>> {
    let mut command = scene.runtime_command("doctor");
    command.arg("--json").arg("--pin-dir").arg(pin_dir(PARENT));
    command.stdin(Stdio::null());
    let ended = scene.host.run(|| Ok(command.output()?))?;
    let report: Value = serde_json::from_slice(&ended.stdout).with_context(|| {
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        format!("`doctor` printed no JSON: {said}")
    })?;
    let worst = report["worst"].as_str().unwrap_or_default().to_owned();
    let code = exit_code(ended.status);
    let required = i32::from(worst == "warn" || worst == "fail");
    scene.expect_eq("the exit code of `doctor`", code, required);
    Ok(report["checks"].as_array().cloned().unwrap_or_default())
}

fn is_bad(line: &Value) -> bool {
    line["status"] == "warn" || line["status"] == "fail"
}

fn shown(lines: &[&Value]) -> String {
    let shown = lines.iter().map(|line| {
        format!(
            "{} {} {} {}",
            line["status"], line["id"], line["subject"], line["found"]
        )
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// Requires that no line is bad.
fn well(scene: &Scene, case: &str) -> Result<()> {
    scene.case(case);
    let lines = examine(scene)?;
    let bad: Vec<_> = lines.iter().filter(|line| is_bad(line)).collect();
    scene.expect(bad.is_empty(), || shown(&bad));
    for id in [
        "matrix.host-child",
        "matrix.child-host",
        "matrix.lan-child",
        "matrix.child-child",
    ] {
        let tried = lines.iter().filter(|line| line["id"] == id);
        let replies = tried.filter(|line| has(&line["found"], "tried: a reply"));
        scene.expect_least(&format!("replies of {id}"), replies.count(), 2);
    }
    Ok(())
}

fn has(value: &Value, text: &str) -> bool {
    value.as_str().is_some_and(|found| found.contains(text))
}

/// Requires a line with this id and status, about what has `text` in it, with a reason and a command.
fn named(scene: &Scene, id: &str, status: &str, text: &str) -> Result<Value> {
    scene.case(format!("{id} {text}"));
    let lines = examine(scene)?;
    let mut of_id = lines.iter().filter(|line| line["id"] == id);
    let found = of_id.find(|line| has(&line["found"], text) || has(&line["subject"], text));
    let is_right = found.is_some_and(|line| {
        line["status"] == status && (status == "ok" || (line["why"].is_string() && has_mend(line)))
    });
    scene.expect(is_right, || {
        let all: Vec<_> = lines
            .iter()
            .filter(|line| is_bad(line) || line["id"] == id)
            .collect();
        format!("no line with status {status}: {}", shown(&all))
    });
    if is_right {
        scene.name(id);
    }
    scene.with_agent(format!("{id}: {status}"));
    Ok(found.cloned().unwrap_or_default())
}

/// Returns whether a line has a command. No single one mends a parent that is degraded.
fn has_mend(line: &Value) -> bool {
    line["mend"].is_string() || line["id"] == "agent.parent"
}

/// Loads rules into a table, and returns the command that deletes it.
fn rules(scene: &Scene, chain: &str) -> Result<Command> {
    let table = format!("table inet lab {{\nchain one {{\n{chain}\n}}\n}}\n");
    scene
        .host
        .command(Command::new("nft").args(["-f", "-"]), &table)?;
    let mut delete = Command::new("nft");
    delete.args(["delete", "table", "inet", "lab"]);
    Ok(delete)
}

/// Requires that a chain is named, and that its command mends it.
fn rule(scene: &Scene, id: &str, chain: &str, text: &str) -> Result<()> {
    let mut delete = rules(scene, chain)?;
    let line = named(scene, id, "fail", text)?;
    // The exception of one family leaves the other one.
    let mend = line["mend"].as_str().unwrap_or_default().to_owned();
    run_as_printed(scene, &mend)?;
    let lines = examine(scene)?;
    let same = lines
        .iter()
        .find(|other| other["id"] == id && other["mend"] == mend);
    scene.expect(same.is_none(), || {
        format!("`{mend}` mends nothing: {same:?}")
    });
    scene.host.command(&mut delete, "").map(drop)
}

/// Runs a command as `doctor` printed it. The machine has no shell; quotes are all that a shell would take away.
fn run_as_printed(scene: &Scene, command: &str) -> Result<()> {
    let quoted = command.split('\'').enumerate();
    let words = quoted.flat_map(|(index, part)| {
        if index % 2 == 1 {
            vec![part]
        } else {
            part.split_whitespace().collect()
        }
    });
    let words: Vec<&str> = words.collect();
    let (program, arguments) = words.split_first().context("an empty command")?;
    let mut command = Command::new(program);
    scene.host.command(command.args(arguments), "").map(drop)
}

fn has_tcx(scene: &Scene) -> bool {
    let probe = || Program::tc_next(Hook::Tc)?.attach(PARENT);
    scene.host.run(probe).is_ok()
}

fn doctor(scene: &mut Scene) -> Result<()> {
    named(scene, "agent.running", "warn", "no agent")?;
    named(scene, "matrix.lan-child", "fail", &STEADY.v4.to_string())?;
    named(scene, "matrix.host-child", "fail", &STEADY.v4.to_string())?;
    let has_tcx = has_tcx(scene);
    if !has_tcx {
        // No filter runs before pref 1, and not one of another kind in it.
        scene.tc("qdisc add", "clsact")?;
        scene.tc(
            "filter add",
            "ingress prio 1 protocol all matchall action ok",
        )?;
    }
    scene.start(&[])?;
    named(scene, "child.up", "fail", "down/")?;
    scene.down.ip(&format!("link del {CHILD}\n"))?;
    if !has_tcx {
        named(scene, "hooks.order", "fail", "matchall of pref 1")?;
        scene.tc("filter del", "ingress prio 1")?;
        scene.parent()?;
    }
    scene.expect_reached(&scene.host, STEADY.both())?;
    well(scene, "l3")?;
    of_links(scene)?;
    of_children(scene)?;
    of_l3(scene)?;
    for (mode, play) in [
        (Mode::L3s, of_l3s as fn(&Scene) -> Result<()>),
        (Mode::L2, of_l2),
    ] {
        for netns in [&scene.steady, &scene.unnamed, &scene.third] {
            netns.ip(&format!("link del {CHILD}\n"))?;
        }
        scene.site.mode = mode;
        for (netns, pair) in [
            (&scene.steady, STEADY),
            (&scene.unnamed, UNNAMED),
            (&scene.third, THIRD),
        ] {
            scene.add_child(netns, pair)?;
        }
        scene.expect_answered(STEADY.both())?;
        scene.expect_reached(&scene.host, STEADY.both())?;
        play(scene)?;
    }
    if has_tcx {
        insisting(scene)?;
    }
    private(scene)?;
    scene.kill()?;
    named(scene, "agent.pinned", "warn", "until it is stale")?;
    scene.cleanup()?;
    let of_doctor = SYMPTOMS.iter().filter(|of| of.tool == Tool::Doctor);
    scene.expect_named(of_doctor.map(|of| of.answer));
    Ok(())
}

/// Links of the host.
fn of_links(scene: &Scene) -> Result<()> {
    let (host, lan) = (&scene.host, &scene.lan);
    tagged::add_vlan(&scene.site)?;
    tagged::answered(&scene.site)?;
    named(scene, "link.vlan", "warn", "VLAN-tagged")?;
    host.ip(&format!(
        "link add link {PARENT} name {PARENT}.100 type vlan id 100\n"
    ))?;
    // It stays: the counter does, too.
    named(scene, "link.vlan", "ok", "VLAN-tagged")?;

    lan.ip(&format!("link set {PORT} down\n"))?;
    named(scene, "link.carrier", "fail", "without carrier")?;
    lan.ip(&format!("link set {PORT} up\n"))?;
    host.ip(&format!("link set {PARENT} down\n"))?;
    named(scene, "link.up", "fail", "down")?;
    named(scene, "matrix.lan-child", "fail", &STEADY.v4.to_string())?;
    host.ip(&format!("link set {PARENT} up\n"))?;
    scene.route()?;
    scene.expect_reached(host, STEADY.both())?;

    scene.plug(host, SECOND, "p-m0")?;
    host.ip(&format!("addr add 172.16.91.15/24 dev {SECOND}\n"))?;
    named(scene, "link.second", "warn", SECOND)?;
    host.ip(&format!("link del {SECOND}\n"))
}

/// Faults of children.
fn of_children(scene: &Scene) -> Result<()> {
    let third = &scene.third;
    third.ip(&format!("route del default dev {CHILD}\n"))?;
    let line = named(scene, "child.route", "warn", "third/")?;
    let mend = line["mend"].as_str().unwrap_or_default();
    let mended = run_as_printed(scene, mend);
    scene.expect(mended.is_ok(), || format!("`{mend}`: {mended:?}"));
    third.ip(&THIRD.deleted(CHILD))?;
    named(scene, "child.address", "warn", "third/")?;
    third.ip(&THIRD.added(CHILD))?;
    third.ip(&default_routes(CHILD, None))?;
    // Its address is one that the operator denies: as the host's.
    scene.take([HOST.v4.into()])?;
    wait_for("the host's address is refused", || {
        Ok(scene.parent()?.conflicts("host_address", HOST.v4.into()))
    })?;
    named(scene, "child.refused", "warn", "host_address")?;
    site::delete(third, CHILD, HOST.v4.into())
}

/// Rules and settings of mode l3.
fn of_l3(scene: &Scene) -> Result<()> {
    let host = &scene.host;
    rule(
        scene,
        "netfilter.masquerade",
        &format!("type nat hook postrouting priority 100;\noifname \"{PARENT}\" masquerade"),
        "masquerade",
    )?;
    rule(
        scene,
        "netfilter.invalid",
        "type filter hook output priority 0;\nct state invalid drop",
        "ct state invalid",
    )?;
    let key = format!("ipv6/conf/{PARENT}/disable_ipv6");
    host.sysctl(&key, "1")?;
    named(scene, "sysctl.disable_ipv6", "fail", "= 1")?;
    host.sysctl(&key, "0")?;
    let Pair { v6, .. } = HOST;
    host.ip(&format!("addr replace {v6}/64 dev {PARENT} nodad\n"))?;
    scene.route()?;
    scene.expect_reached(host, STEADY.both())
}

/// Rules of mode l3s.
fn of_l3s(scene: &Scene) -> Result<()> {
    well(scene, "l3s")?;
    rule(
        scene,
        "netfilter.input",
        "type filter hook input priority 0; policy drop;\niifname \"lo\" accept\nct state established,related accept",
        "policy drop",
    )
}

/// Settings of mode l2.
fn of_l2(scene: &Scene) -> Result<()> {
    well(scene, "l2")?;
    let host = &scene.host;
    // A masquerade that hurts l3 children does not concern these.
    let chain = format!("type nat hook postrouting priority 100;\noifname \"{PARENT}\" masquerade");
    let mut delete = rules(scene, &chain)?;
    well(scene, "masquerade in l2")?;
    host.command(&mut delete, "")?;
    host.sysctl(&format!("ipv4/conf/{PARENT}/rp_filter"), "1")?;
    let route = format!("{}/32 dev lo\n", STEADY.v4);
    host.ip(&format!("route add {route}"))?;
    let line = named(scene, "sysctl.rp_filter", "fail", &STEADY.v4.to_string())?;
    scene.expect_has(
        "the command",
        line["mend"].as_str().unwrap_or_default(),
        "rp_filter=2",
    );
    host.ip(&format!("route del {route}"))?;
    named(scene, "sysctl.rp_filter", "ok", "rp_filter = 1")?;
    host.sysctl(&format!("ipv4/conf/{PARENT}/arp_ignore"), "8")?;
    named(scene, "sysctl.arp_ignore", "fail", "= 8")?;
    host.sysctl(&format!("ipv4/conf/{PARENT}/arp_ignore"), "0")
        .map(drop)
}

/// A port that is set to `private`, which its children share.
fn private(scene: &Scene) -> Result<()> {
    let flag = |flag: &str| {
        let mode = scene.mode;
        scene.steady.ip(&format!(
            "link set {CHILD} type ipvlan mode {mode} {flag}\n"
        ))
    };
    flag("private")?;
    named(scene, "matrix.child-child", "ok", "the port is private")?;
    flag("bridge")
}

/// A foreign program that is first again whenever ours is.
fn insisting(scene: &mut Scene) -> Result<()> {
    let mut insists: Vec<Attached> = Vec::new();
    for _ in 0..8 {
        let attach = || Program::tc_end(Hook::Tc)?.attach_first(PARENT);
        insists.push(scene.host.run(attach)?);
        scene.parent()?;
    }
    named(scene, "hooks.order", "warn", "TCX program")?;
    named(scene, "agent.parent", "warn", "degraded")?;
    drop(insists);
    Ok(())
}
