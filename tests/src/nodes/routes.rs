//! Routes of the host that concern its children.

use crate::rows::prelude::*;

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B09",
        Kind::Regression,
        "a child becomes the next hop of a default route of a table that no rule uses",
        "answered on the LAN; host and child reach each other; conflict next_hop; the same after a restart",
        Run::Started(&Mode::ALL, next_hop),
    )
    .on_any_kernel(),
    Row::new(
        "B09",
        Kind::Regression,
        "the route and the child were there before the first start of the agent",
        "refused and named gateway_address; with `next-hop = true` in a rule as without the agent, and more",
        Run::Each(&Mode::ALL, route_first),
    )
    .on_any_kernel(),
    Row::new(
        "B12",
        Kind::Silent,
        "routes without a gateway beside the host's route to an allowed off-link child, each family alone",
        "the longest prefix decides: the host reaches the child",
        Run::Each(L2_L3, without_gateway),
    )
    .alone("the host does not reach it")
    .on_any_kernel(),
];

/// A new address is probed for until then.
const PROBED: Duration = Duration::from_secs(8);
/// A ping that is answered at all is answered within this.
const ANSWERED: Duration = Duration::from_millis(1500);
/// One that is not answered is over after this.
const UNANSWERED: Duration = Duration::from_millis(400);
/// A change of routes is followed within this.
const FOLLOWED: Duration = Duration::from_millis(500);

/// A configuration file with a rule for the netns of the child.
const RULES: &str = "/run/ipvlan-nodes.toml";

fn add_route(scene: &Scene) -> Result<()> {
    let Pair { v4, v6 } = STEADY;
    scene.host.ip(&format!(
        "route add default via {v4} dev {PARENT} table 100\nroute add ::/0 via {v6} dev {PARENT} table 100\n"
    ))
}

fn next_hop(scene: &mut Scene) -> Result<()> {
    // An address that is still probed for is the next hop's.
    thread::sleep(PROBED);
    add_route(scene)?;
    reached(scene, "after the route")?;
    named(scene, "next_hop");
    scene.stop()?;
    scene.start_again()?;
    reached(scene, "after a restart")?;
    named(scene, "next_hop");
    scene.kill()?;
    scene.start_again()?;
    reached(scene, "after SIGKILL")
}

fn route_first(scene: &mut Scene) -> Result<()> {
    add_route(scene)?;
    scene.start(&[])?;
    named(scene, "gateway_address");
    scene.expect_refused(STEADY.both(), "gateway_address")?;
    scene.clear()?;
    fs::write(RULES, "[[rule]]\nnetns = [\"*steady*\"]\nnext-hop = true\n")?;
    scene.start(&["--config", RULES])?;
    reached(scene, "with a rule")
}

/// The LAN and the host reach the child, and the child reaches both; both families.
fn reached(scene: &Scene, case: &str) -> Result<()> {
    scene.case(case);
    let site = &scene.site;
    for (child, host) in STEADY.both().into_iter().zip(HOST.both()) {
        // It may wait for its probe.
        scene.expect_answered([child])?;
        for netns in [&site.host, &site.steady, &site.vm01] {
            netns.ip("neigh flush all\n")?;
        }
        scene.expect_reached_within(&site.vm01, [child], ANSWERED)?;
        scene.expect_reached_within(&site.steady, [host], ANSWERED)?;
        scene.expect_reached_within(&site.host, [child], ANSWERED)?;
    }
    Ok(())
}

/// Requires that `status` comes to have a conflict of this kind for both addresses.
fn named(scene: &mut Scene, kind: &str) {
    let waited = scene.wait_parent(kind, |parent| {
        let mut addresses = STEADY.both().into_iter();
        addresses.all(|address| parent.conflicts(kind, address))
    });
    scene.expect(waited.is_ok(), || format!("no conflict {kind}"));
}

/// An off-link address of one family, and what the host has beside its default route.
struct OffLink {
    address: &'static str,
    allow: [&'static str; 4],
    /// Routes; `{gateway}` is the host's.
    cases: [&'static [&'static str]; 5],
}

const OFF_LINK: [OffLink; 2] = [
    OffLink {
        address: "10.1.0.5",
        allow: ["--allow", "10.0.0.0/8", "--allow", "2001:db8:91::/64"],
        cases: [
            &[],
            &["default dev wwan0 metric 700"],
            &["default dev wwan0 table 100"],
            &["10.0.0.0/8 dev wwan0", "10.1.0.0/24 via {gateway}"],
            &["10.0.0.0/8 dev ens34", "10.1.0.0/24 via {gateway}"],
        ],
    },
    OffLink {
        address: "2001:db8:7::5",
        allow: ["--allow", "2001:db8::/32", "--allow", "172.16.0.0/12"],
        cases: [
            &[],
            &["::/0 dev wwan0 metric 7000"],
            &["::/0 dev wwan0 table 100"],
            &["2001:db8:7::/48 dev wwan0", "2001:db8:7::/64 via {gateway}"],
            &["2001:db8:7::/48 dev ens34", "2001:db8:7::/64 via {gateway}"],
        ],
    },
];

fn without_gateway(scene: &mut Scene) -> Result<()> {
    scene
        .host
        .ip("link add wwan0 type veth peer name wwan1\nlink set wwan1 up\nlink set wwan0 up\n")?;
    for family in OFF_LINK {
        let target: IpAddr = family.address.parse()?;
        let gateway = GATEWAY.like(target).to_string();
        scene.take([target])?;
        let ask = || ping(None, target, UNANSWERED);
        ensure!(
            !scene.host.run(ask)?,
            "without the agent the host reaches {target}"
        );
        scene.start(&family.allow)?;
        for routes in family.cases {
            let batch = |verb: &str| -> String {
                let line = |route: &&str| {
                    format!("route {verb} {}\n", route.replace("{gateway}", &gateway))
                };
                routes.iter().map(line).collect()
            };
            scene.case(format!("{routes:?}"));
            scene.host.ip(&batch("add"))?;
            thread::sleep(FOLLOWED);
            scene.expect_reached_within(&scene.host, [target], ANSWERED)?;
            scene.host.ip(&batch("del"))?;
        }
        scene.clear()?;
    }
    Ok(())
}
