//! `ipvlan explain`: children in every state that an agent refuses, and what a station on the LAN really gets.

use serde::Deserialize;

use super::symptoms::{SYMPTOMS, Tool};
use crate::rows::prelude::*;

pub(super) const ROWS: &[Row] = &[Row::new(
    "explain",
    Kind::Gap,
    "a child that is down, denied, off-link, silent or withheld, the host's address, a gateway, a broadcast address, a child of another parent, a link that is no child, a full map, no agent",
    "`explain` names owner and reason, and says that it is answered where a station gets an answer",
    Run::Each(L2_L3, explained),
)
.on_any_kernel()];

const OFF_LINK: &str = "10.1.0.5";
const DENIED: &str = "172.16.91.120";
const ELSEWHERE: &str = "172.16.91.121";
const NO_CHILD: &str = "172.16.91.122";
const BROADCAST: &str = "172.16.91.255";
const LINK_LOCAL: &str = "169.254.7.7";
/// A route of the host leads through it.
const NEXT_HOP: &str = "172.16.91.123";
/// The MAC of the station that frames of a test run come from.
const TESTED_BY: &str = "02:00:00:00:ee:01";

/// What `explain` prints, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct Explained {
    explanations: Vec<Explanation>,
}

#[derive(Debug, Deserialize)]
struct Explanation {
    answered: String,
    owners: Vec<Owner>,
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
struct Owner {
    kind: String,
    netns: Option<OwnerNetns>,
}

#[derive(Debug, Deserialize)]
struct OwnerNetns {
    names: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    reason: String,
    mend: Option<String>,
}

/// What `explain` is to name.
struct Expected<'a> {
    address: &'a str,
    /// A rule that applies to it; none if there is none.
    reason: Option<&'a str>,
    /// A part of what changes it.
    mend: &'a str,
    /// A word of the first owner; empty if there is none.
    owner: &'a str,
}

const fn row<'a>(address: &'a str, reason: &'a str, mend: &'a str, owner: &'a str) -> Expected<'a> {
    Expected {
        address,
        reason: Some(reason),
        mend,
        owner,
    }
}

fn explained(scene: &mut Scene) -> Result<()> {
    prepare(scene)?;
    scene.start(&["--deny", DENIED])?;
    scene.expect_answered(STEADY.both())?;
    let duplicate = IpAddr::from(NEIGHBOUR.v4);
    let withheld = scene.wait_parent("withheld", |parent| {
        parent
            .refusals(&[duplicate])
            .contains(&(duplicate, "duplicate".to_owned()))
    });
    scene.expect(withheld.is_ok(), || {
        "the duplicate is not withheld".to_owned()
    });

    let texts =
        [STEADY, DOWN, UNNAMED, HOST, NEIGHBOUR, UNOWNED, GATEWAY].map(|pair| pair.v4.to_string());
    let [steady, down, silent, host, neighbour, unowned, gateway] = &texts;
    let (steady6, down6) = (STEADY.v6.to_string(), DOWN.v6.to_string());
    let none = |address| Expected {
        address,
        reason: None,
        mend: "",
        owner: "child",
    };
    // Requests for addresses without an owner are not cloned to l2 children.
    let nothing = if scene.mode == Mode::L2 {
        "foreign_dropped"
    } else {
        "not_ours"
    };
    let rows = [
        none(&**steady),
        none(&*steady6),
        row(down, "child_down", "link set ipvlan1 up", "child"),
        row(&down6, "child_down", "link set ipvlan1 up", "child"),
        row(silent, "silent", "arp_ignore", "child"),
        row(host, "host_address", "", "child"),
        row(DENIED, "denied", "`deny`", "child"),
        row(OFF_LINK, "off_link", "--allow 10.1.0.5", "child"),
        row(neighbour, "duplicate", "--dad off", "child"),
        row(BROADCAST, "target_broadcast", "", "child"),
        row(
            LINK_LOCAL,
            "target_link_local",
            "--answer-link-local",
            "child",
        ),
        row(NEXT_HOP, "gateway_address", "next-hop", "child"),
        row(gateway, "gateway_address", "", "gateway"),
        row(ELSEWHERE, "not_served", "ipvlan run --iface ens35", "child"),
        row(NO_CHILD, nothing, "", ""),
        row(unowned, "", "addr add", ""),
    ];
    for expected in &rows {
        scene.case(expected.address);
        check(scene, expected)?;
    }
    in_netns(scene, steady, "steady")?;
    in_netns(scene, ELSEWHERE, "elsewhere")?;
    let events = scene.parent()?.events;
    let taken = events
        .iter()
        .filter(|event| event.mac.as_deref() == Some(TESTED_BY));
    scene.expect_none("frames of test runs that were taken for claims", taken);

    scene.case("parent down");
    scene.host.ip(&format!("link set {PARENT} down\n"))?;
    scene.wait_parent("down", |parent| {
        !parent.refusals(&[STEADY.v4.into()]).is_empty()
    })?;
    check(
        scene,
        &row(steady, "parent_down", "link set ens34 up", "child"),
    )?;
    scene.host.ip(&format!("link set {PARENT} up\n"))?;
    scene.route()?;
    scene.clear()?;

    full_map(scene)?;
    let of_explain = SYMPTOMS.iter().filter(|of| of.tool == Tool::Explain);
    scene.expect_named(of_explain.map(|of| match of.answer {
        "not_ours" => nothing,
        answer => answer,
    }));
    scene.case("no agent");
    scene.kill()?;
    let (code, _, shown) = ask(scene, steady)?;
    scene.expect_eq("exit code", code, Some(3));
    scene.expect_none("explained without an agent", shown);
    scene.cleanup()
}

/// Gives the children their states.
fn prepare(scene: &mut Scene) -> Result<()> {
    let addresses = [OFF_LINK, DENIED, BROADCAST, LINK_LOCAL, NEXT_HOP];
    let addresses: Vec<IpAddr> = addresses
        .into_iter()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    scene.host.ip(&format!(
        "route add 10.77.0.0/16 via {NEXT_HOP} dev {PARENT}\n"
    ))?;
    scene.take(addresses)?;
    scene.take([HOST.v4.into(), NEIGHBOUR.v4.into()])?;
    scene
        .unnamed
        .sysctl(&format!("ipv4/conf/{CHILD}/arp_ignore"), "8")?;

    // A child of a parent that the agent does not serve.
    let place = scene.add_netns("elsewhere")?;
    let of_mode = scene.mode;
    scene.plug(&scene.host, "ens35", "p-ens35")?;
    let elsewhere = &scene.others[place];
    elsewhere.add_ipvlan(&scene.host, "ens35", CHILD, &format!("{of_mode} bridge"))?;
    elsewhere.ip(&format!(
        "link set {CHILD} up\naddr add {ELSEWHERE}/24 dev {CHILD}\n"
    ))?;
    // A link that is no ipvlan link.
    let place = scene.add_netns("dummy")?;
    let other = &scene.others[place];
    other.ip(&format!(
        "link add dummy0 type dummy\nlink set dummy0 up\naddr add {NO_CHILD}/24 dev dummy0\n"
    ))
}

/// Runs `ipvlan explain`. Returns its exit code, what it printed, and the explanation if there is one.
fn ask(scene: &Scene, address: &str) -> Result<(Option<i32>, String, Option<Explanation>)> {
    let mut command = scene.runtime_command("explain");
    command.args([address, "-o", "json"]);
    let output = scene.host.run(|| Ok(command.output()?))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let explained: Option<Explained> = serde_json::from_str(&text).ok();
    let first = explained.and_then(|of| of.explanations.into_iter().next());
    Ok((output.status.code(), text, first))
}

/// Requires that `explain` names the rule and the owner, and is right about who is answered.
fn check(scene: &Scene, expected: &Expected<'_>) -> Result<()> {
    let address: IpAddr = expected.address.parse()?;
    let (code, text, shown) = ask(scene, expected.address)?;
    let Some(shown) = shown else {
        scene.expect(false, || {
            format!("no explanation, exit code {code:?}: {text}")
        });
        return Ok(());
    };
    let named: Vec<&str> = shown.rules.iter().map(|rule| &*rule.reason).collect();
    match expected.reason {
        None => scene.expect_none("rules", &named),
        Some(reason) => {
            let rule = shown
                .rules
                .iter()
                .find(|rule| rule.reason == reason || reason.is_empty());
            scene.expect(rule.is_some(), || format!("no rule {reason}: {named:?}"));
            if let Some(rule) = rule {
                scene.name(&rule.reason);
            }
            let mend = rule
                .and_then(|rule| rule.mend.as_deref())
                .unwrap_or_default();
            scene.expect_has("what mends it", mend, expected.mend);
        }
    }
    let owner = shown.owners.first().map_or("", |owner| &owner.kind);
    scene.expect(owner == expected.owner, || {
        format!("its owner is {owner:?}")
    });
    let says = shown.answered != "none";
    scene.expect_eq("exit code", code, Some(i32::from(!says)));
    // A parent that is down receives nothing.
    if named.contains(&"parent_down") {
        scene.expect_eq("it is answered", says, false);
        return Ok(());
    }
    let answered = answered_on_lan(&scene.site, address)? == Some(MAC);
    scene.expect_eq("it is answered", says, answered);
    Ok(())
}

/// Requires that `explain` names the netns of the child that has the address.
fn in_netns(scene: &Scene, address: &str, netns: &str) -> Result<()> {
    let (_, text, shown) = ask(scene, address)?;
    let owner = shown.and_then(|shown| shown.owners.into_iter().next());
    let names = owner.and_then(|owner| owner.netns).map(|of| of.names);
    let is_named = names.is_some_and(|names| names.iter().any(|name| name.ends_with(netns)));
    scene.expect(is_named, || {
        format!("the netns {netns} is not named: {text}")
    });
    if is_named {
        scene.name("netns");
    }
    Ok(())
}

/// An address map of which one child fills the rest.
fn full_map(scene: &mut Scene) -> Result<()> {
    scene.case("full map");
    let more = (130..150).map(|last| Ipv4Addr::new(172, 16, 91, last));
    scene.take(more.clone().map(IpAddr::from))?;
    scene.start(&["--max-addresses", "16"])?;
    let mut left_out = 0;
    for address in more {
        let (_, text, shown) = ask(scene, &address.to_string())?;
        let Some(shown) = shown else {
            scene.expect(false, || format!("no explanation: {text}"));
            continue;
        };
        if let Some(rule) = shown.rules.iter().find(|rule| rule.reason == "map_full") {
            left_out += 1;
            scene.name(&rule.reason);
            let mend = rule.mend.clone().unwrap_or_default();
            scene.expect_has("what mends it", &mend, "--max-addresses");
        }
    }
    scene.expect_least("addresses without room", left_out, 1);
    Ok(())
}
