//! Routes of the host that concern its children.

use std::{fs, net::IpAddr, path::PathBuf, thread, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    demo::mode::Mode,
    faults::{
        site::{CHILD, GATEWAY, HOST, PARENT, STEADY},
        stage::{PATIENCE, Plan},
        truth,
    },
    netns::Netns,
    probe::ping::ping,
    rows::{
        row::{Kind, Row, Verdict},
        scene::{Scene, add, becomes},
    },
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B09",
        Kind::Regression,
        "a child becomes the next hop of a default route of a table that no rule uses",
        "answered on the LAN; host and child reach each other; conflict next_hop; the same after a restart",
        next_hop,
    ).on_any_kernel(),
    Row::new(
        "B09",
        Kind::Regression,
        "the route and the child were there before the first start of the agent",
        "refused and named gateway_address; with `next-hop = true` in a rule as without the agent, and more",
        route_first,
    ).on_any_kernel(),
    Row::new(
        "B12",
        Kind::Silent,
        "routes without a gateway beside the host's route to an allowed off-link child, each family alone",
        "the longest prefix decides: the host reaches the child",
        without_gateway,
    ),
];

/// A new address is probed for until then.
const PROBED: Duration = Duration::from_secs(8);
/// A ping that is answered at all is answered within this.
const ANSWERED: Duration = Duration::from_millis(1500);
/// One that is not answered is over after this.
const UNANSWERED: Duration = Duration::from_millis(400);
/// A change of routes is followed within this.
const FOLLOWED: Duration = Duration::from_millis(500);

fn add_route(scene: &Scene) -> Result<()> {
    scene.site.host.ip(&format!(
        "route add default via {} dev {PARENT} table 100\nroute add ::/0 via {} dev {PARENT} table 100\n",
        STEADY.v4, STEADY.v6
    ))
}

fn next_hop(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for mode in Mode::ALL {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        scene.start(&[])?;
        // An address that is still probed for is the next hop's.
        thread::sleep(PROBED);
        add_route(&scene)?;
        reached(&scene, &mut verdict, "after the route")?;
        named(&mut scene, &mut verdict, "next_hop");
        scene.stop()?;
        scene.start_again()?;
        reached(&scene, &mut verdict, "after a restart")?;
        named(&mut scene, &mut verdict, "next_hop");
        scene.kill()?;
        scene.start_again()?;
        reached(&scene, &mut verdict, "after SIGKILL")?;
    }
    verdict.agent(if verdict.is_met() {
        "answered, reached by the host, named next_hop"
    } else {
        "refused"
    });
    Ok(verdict)
}

fn route_first(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let rules = Rules::write()?;
    for mode in Mode::ALL {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        add_route(&scene)?;
        scene.start(&[])?;
        named(&mut scene, &mut verdict, "gateway_address");
        for address in STEADY.both() {
            let refused = truth::refusals(&scene.agent()?.status()?, &[address]);
            let is_named = refused.contains(&(address, "gateway_address".to_owned()));
            verdict.expect(is_named, || format!("{mode}: {address}: {refused:?}"));
        }
        scene.clear()?;
        let file = rules.0.to_str().context("the path is not UTF-8")?;
        scene.start(&["--config", file])?;
        reached(&scene, &mut verdict, "with a rule")?;
    }
    verdict.agent(if verdict.is_met() {
        "refused and named; answered with a rule"
    } else {
        "not as the rule says"
    });
    Ok(verdict)
}

/// The LAN and the host reach the child, and the child reaches both; both families.
fn reached(scene: &Scene, verdict: &mut Verdict, when: &str) -> Result<()> {
    let site = &scene.site;
    let mode = site.mode;
    for (child, host) in STEADY.both().into_iter().zip(HOST.both()) {
        // It may wait for its probe.
        let answered = becomes(site, child, true, PATIENCE)?;
        verdict.expect(answered, || {
            format!("{mode}, {when}: {child} is not answered")
        });
        for netns in [&site.host, &site.steady, &site.vm01] {
            netns.ip("neigh flush all\n")?;
        }
        let asks: [(&str, &Netns, IpAddr); 3] = [
            ("LAN", &site.vm01, child),
            ("child", &site.steady, host),
            ("host", &site.host, child),
        ];
        for (from, netns, target) in asks {
            let reached = netns.run(|| ping(None, target, ANSWERED))?;
            verdict.expect(reached, || {
                format!("{mode}, {when}: {from} does not reach {target}")
            });
        }
    }
    Ok(())
}

/// `status` has a conflict of this kind for both addresses.
fn named(scene: &mut Scene, verdict: &mut Verdict, kind: &str) {
    let mode = scene.site.mode;
    let waited = scene.wait_parent(kind, |parent| {
        let conflicts = parent["conflicts"].as_array().into_iter().flatten();
        let named: Vec<_> = conflicts.filter(|it| it["kind"] == kind).collect();
        STEADY
            .both()
            .iter()
            .all(|address| named.iter().any(|it| it["address"] == address.to_string()))
    });
    verdict.expect(waited.is_ok(), || format!("{mode}: no conflict {kind}"));
}

/// An off-link address of one family, and what the host has beside its default route.
struct OffLink {
    address: &'static str,
    allow: [&'static str; 2],
    /// Routes; `{gateway}` is the host's.
    cases: [&'static [&'static str]; 4],
    gateway: IpAddr,
}

fn without_gateway(plan: &Plan) -> Result<Verdict> {
    let families = [
        OffLink {
            address: "10.1.0.5",
            allow: ["10.0.0.0/8", "2001:db8:91::/64"],
            cases: [
                &["default dev wwan0 metric 700"],
                &["default dev wwan0 table 100"],
                &["10.0.0.0/8 dev wwan0", "10.1.0.0/24 via {gateway}"],
                &["10.0.0.0/8 dev ens34", "10.1.0.0/24 via {gateway}"],
            ],
            gateway: GATEWAY.v4.into(),
        },
        OffLink {
            address: "2001:db8:7::5",
            allow: ["2001:db8::/32", "172.16.0.0/12"],
            cases: [
                &["::/0 dev wwan0 metric 7000"],
                &["::/0 dev wwan0 table 100"],
                &["2001:db8:7::/48 dev wwan0", "2001:db8:7::/64 via {gateway}"],
                &["2001:db8:7::/48 dev ens34", "2001:db8:7::/64 via {gateway}"],
            ],
            gateway: GATEWAY.v6.into(),
        },
    ];
    let mut verdict = Verdict::default();
    for (mode, family) in [Mode::L2, Mode::L3]
        .into_iter()
        .flat_map(|mode| families.iter().map(move |family| (mode, family)))
    {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        scene.site.host.ip(
            "link add wwan0 type veth peer name wwan1\nlink set wwan1 up\nlink set wwan0 up\n",
        )?;
        let target: IpAddr = family.address.parse()?;
        add(&scene.site.third, CHILD, target)?;
        let host = || scene.site.host.run(|| ping(None, target, UNANSWERED));
        verdict.expect(!host()?, || {
            format!("{mode}: without the agent the host reaches {target}")
        });
        let [own, other] = family.allow;
        scene.start(&["--allow", own, "--allow", other])?;
        for routes in [&[][..]].into_iter().chain(family.cases) {
            let batch = |verb: &str| -> String {
                let lines = routes.iter().map(|route| {
                    let route = route.replace("{gateway}", &family.gateway.to_string());
                    format!("route {verb} {route}\n")
                });
                lines.collect()
            };
            scene.site.host.ip(&batch("add"))?;
            thread::sleep(FOLLOWED);
            let reached = scene.site.host.run(|| ping(None, target, ANSWERED))?;
            verdict.expect(reached, || {
                format!("{mode}: the host does not reach {target} with {routes:?}")
            });
            scene.site.host.ip(&batch("del"))?;
        }
    }
    verdict.alone("the host does not reach it");
    verdict.agent(if verdict.is_met() {
        "reached"
    } else {
        "not reached"
    });
    Ok(verdict)
}

/// A configuration file with a rule for the netns of the child; gone when dropped.
struct Rules(PathBuf);

impl Rules {
    fn write() -> Result<Self> {
        let path = PathBuf::from(format!("/run/ipvlan-nodes-{}.toml", std::process::id()));
        let text = "[[rule]]\nnetns = [\"*steady*\"]\nnext-hop = true\n";
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}
