//! What is the host's own: addresses on other links than the parent, and MACs of other links.

use std::net::IpAddr;

use anyhow::Result;
use ipvlan_packet::{Arp, Nd};

use crate::{
    demo::mode::Mode,
    faults::{
        site::{CHILD, GATEWAY, HOST, LAN, MAC, NOBODY, PARENT, Pair, STEADY, UNNAMED},
        stage::{PATIENCE, Plan},
    },
    lab::connect,
    netns::{Netns, colons},
    probe::{neighbour, ping::ping},
    rows::{
        row::{Kind, Row, Verdict},
        scene::{SILENCE, Scene, becomes},
    },
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B01",
        Kind::Regression,
        "the host's addresses are on a second NIC on the same LAN; rp_filter 0, 1, 2; an l2 child asks first",
        "all pings in l2, and in l3 and l3s those that the kernel can route: IPv6; no conflict",
        second_nic,
    ),
    Row::new(
        "B01",
        Kind::Regression,
        "the host asks for an l3 child by a second NIC, with the parent's address as sender",
        "answered; no conflict",
        asked_by_second_nic,
    ),
    Row::new(
        "B16",
        Kind::Regression,
        "a virtual address is on a dummy of the host and on a station; arp_ignore 0 and 1",
        "l2 children are answered as by the kernel; no conflict; the station is answered",
        virtual_address,
    ),
    Row::new(
        "B28",
        Kind::Gap,
        "host and l2 child have single addresses and a gateway that returns nothing; the children are allowed",
        "host and child reach each other",
        single_addresses,
    ),
];

/// The host's other device on the LAN.
const SECOND: &str = "m0";

fn plug_second(scene: &Scene) -> Result<()> {
    let site = &scene.site;
    connect(&site.host, SECOND, &site.lan, "p-m0")?;
    site.lan
        .ip("link set p-m0 master br0\nlink set p-m0 type bridge_slave learning off\n")
}

fn set_rp_filter(scene: &Scene, value: &str) -> Result<()> {
    for device in ["all", PARENT, SECOND] {
        let key = format!("ipv4/conf/{device}/rp_filter");
        scene.site.host.sysctl(&key, value)?;
    }
    Ok(())
}

/// Forgets every neighbour, so that each has to be asked for.
fn forget(netnses: &[&Netns]) -> Result<()> {
    netnses
        .iter()
        .try_for_each(|netns| netns.ip("neigh flush all\n"))
}

fn second_nic(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for (mode, filters) in [
        (Mode::L2, &["1", "2", "0"][..]),
        (Mode::L3, &["1"]),
        (Mode::L3s, &["2"]),
    ] {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        plug_second(&scene)?;
        let (v4, v6) = (GATEWAY.v4, GATEWAY.v6);
        scene.site.host.ip(&format!(
            "{}{}route replace default via {v4} dev {SECOND}\nroute replace ::/0 via {v6} dev {SECOND}\n",
            HOST.deleted(PARENT),
            HOST.added(SECOND),
        ))?;
        // What the kernel cannot route, whoever answers: see `unroutable`.
        let lost = if mode == Mode::L2 {
            Vec::new()
        } else {
            unroutable(&scene, &mut verdict)?
        };
        for filter in filters {
            set_rp_filter(&scene, filter)?;
            let alone = both_ways(&scene)?;
            scene.start(&[])?;
            for address in STEADY.both() {
                verdict.expect(becomes(&scene.site, address, true, PATIENCE)?, || {
                    format!("{mode}: {address} is not answered on the LAN")
                });
            }
            let with_agent = both_ways(&scene)?;
            verdict.alone(format!("{mode} rp_filter {filter}: {}", shown(&alone)));
            verdict.agent(format!("{mode} rp_filter {filter}: {}", shown(&with_agent)));
            verdict.expect(with_agent == lost, || {
                format!("{mode} rp_filter {filter}: {}", shown(&with_agent))
            });
            for address in STEADY.both() {
                let source = match address {
                    IpAddr::V4(_) => IpAddr::V4(HOST.v4),
                    IpAddr::V6(_) => IpAddr::V6(HOST.v6),
                };
                let mac = asked(&scene.site.host, SECOND, source, address)?;
                verdict.expect(mac == Some(MAC), || {
                    format!("{mode}: {address} is not answered to the host's second device")
                });
                no_conflict(&scene, source, &mut verdict)?;
            }
            verdict.expect(mode != Mode::L2 || alone.is_empty(), || {
                "the setting is broken without the agent".to_owned()
            });
            scene.clear()?;
        }
    }
    Ok(verdict)
}

/// Returns the pings that cannot succeed in l3 and l3s, after proving it: without an agent, and with every
/// neighbour entry made by hand, they fail, and those of IPv6 succeed.
///
/// The driver looks an IPv4 route up with the parent as output interface (`ipvlan_process_v4_outbound`). The host's
/// address on another interface is not local to that lookup (`fib_table_lookup`), so the packet leaves the parent,
/// and no interface of a host answers the host's own request (`ip_route_input_slow`: martian source).
fn unroutable(scene: &Scene, verdict: &mut Verdict) -> Result<Vec<String>> {
    let host = &scene.site.host;
    for address in STEADY.both() {
        host.ip(&format!(
            "neigh replace {address} lladdr {} dev {SECOND} nud permanent\n",
            colons(MAC)
        ))?;
        let reached = host.run(|| ping(None, address, PATIENCE / 5))?;
        verdict.expect(reached == address.is_ipv6(), || {
            format!("with entries made by hand: {address} reached: {reached}")
        });
        host.ip(&format!("neigh del {address} dev {SECOND}\n"))?;
    }
    Ok(vec![
        format!("child to host {}", HOST.v4),
        format!("host to child {}", STEADY.v4),
    ])
}

/// Pings from the child to the host, then from the host to the child; returns those that failed.
fn both_ways(scene: &Scene) -> Result<Vec<String>> {
    let site = &scene.site;
    // The driver gives a child what it asks its parent's stack for; l3 children ask nobody.
    let patience = if site.mode == Mode::L2 {
        PATIENCE
    } else {
        PATIENCE / 5
    };
    let mut failed = Vec::new();
    for (from, to, what) in [
        (&site.steady, HOST, "child to host"),
        (&site.host, STEADY, "host to child"),
    ] {
        forget(&[&site.steady, &site.host])?;
        for address in to.both() {
            if !from.run(|| ping(None, address, patience))? {
                failed.push(format!("{what} {address}"));
            }
        }
    }
    Ok(failed)
}

fn shown(failed: &[String]) -> String {
    if failed.is_empty() {
        "all pings".to_owned()
    } else {
        format!("no answer from {}", failed.join(", "))
    }
}

fn asked_by_second_nic(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for mode in [Mode::L3, Mode::L3s] {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        plug_second(&scene)?;
        let Scene { site, .. } = &scene;
        site.host.ip(&format!(
            "{}route add {}/32 dev {SECOND} src {}\n",
            SECOND_ADDRESS.added(SECOND),
            STEADY.v4,
            HOST.v4
        ))?;
        set_rp_filter(&scene, "0")?;
        scene.start(&[])?;
        forget(&[&scene.site.host])?;
        let target = IpAddr::V4(STEADY.v4);
        let answered = scene.site.host.run(|| ping(None, target, PATIENCE))?;
        verdict.expect(answered, || {
            format!("{mode}: the host does not reach {target}")
        });
        no_conflict(&scene, HOST.v4.into(), &mut verdict)?;
        scene.clear()?;
    }
    verdict.agent("answered");
    Ok(verdict)
}

/// The host's address on its second device.
const SECOND_ADDRESS: Pair = Pair::new(15);

/// Checks that no conflict about `address` was counted or reported.
fn no_conflict(scene: &Scene, address: IpAddr, verdict: &mut Verdict) -> Result<()> {
    let parent = scene.parent()?;
    let counted = parent["counters"]["ingress"]["sender_conflict"]
        .as_u64()
        .unwrap_or_default();
    verdict.expect(counted == 0, || format!("{counted} conflicts were counted"));
    let text = address.to_string();
    let mut events = parent["events"].as_array().into_iter().flatten();
    let reported = events.any(|event| event["address"] == text.as_str());
    verdict.expect(!reported, || {
        format!("a conflict about {address} was reported")
    });
    Ok(())
}

/// Who answers `asker`'s question for `target`, from `source` on `device`.
fn asked(asker: &Netns, device: &str, source: IpAddr, target: IpAddr) -> Result<Option<[u8; 6]>> {
    let mac = asker.hardware_address(device)?;
    asker.run(|| match (source, target) {
        (IpAddr::V4(spa), IpAddr::V4(tpa)) => {
            let request = Arp::request(mac, spa, tpa);
            neighbour::ask(device, &request, SILENCE)
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            let question = Nd::multicast(mac, source, target);
            neighbour::ask(device, &question, SILENCE)
        }
        _ => anyhow::bail!("{source} and {target} are of two families"),
    })
}

fn virtual_address(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for mode in [Mode::L2, Mode::L3] {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        let site = &scene.site;
        let (v4, v6) = (NOBODY.v4, NOBODY.v6);
        site.host.ip(&format!(
            "link add kube-ipvs0 type dummy\nlink set kube-ipvs0 up\n\
             addr add {v4}/32 dev kube-ipvs0\naddr add {v6}/128 dev kube-ipvs0 nodad\n"
        ))?;
        site.vm01.ip(&format!(
            "addr add {v4}/32 dev {LAN}\naddr add {v6}/128 dev {LAN} nodad\n"
        ))?;
        let station = site.vm01.hardware_address(LAN)?;
        for (ignore, answered_v4) in [("1", station), ("0", MAC)] {
            scene.site.host.sysctl("ipv4/conf/all/arp_ignore", ignore)?;
            scene.start(&[])?;
            for address in STEADY.both() {
                verdict.expect(becomes(&scene.site, address, true, PATIENCE)?, || {
                    format!("{mode}: {address} is not answered on the LAN")
                });
            }
            let site = &scene.site;
            if mode == Mode::L2 {
                for (source, target, expected) in [
                    (IpAddr::V4(STEADY.v4), IpAddr::V4(v4), answered_v4),
                    (IpAddr::V6(STEADY.v6), IpAddr::V6(v6), station),
                    (IpAddr::V4(STEADY.v4), IpAddr::V4(HOST.v4), MAC),
                    (IpAddr::V6(STEADY.v6), IpAddr::V6(HOST.v6), MAC),
                ] {
                    let mac = asked(&site.steady, CHILD, source, target)?;
                    verdict.expect(mac == Some(expected), || {
                        format!(
                            "arp_ignore {ignore}: {target} is answered to a child by {:?}, not by {}",
                            mac.map(colons),
                            colons(expected)
                        )
                    });
                }
            }
            // The station uses the address as it uses any of its own.
            for (source, target) in [
                (IpAddr::V4(v4), IpAddr::V4(UNNAMED.v4)),
                (IpAddr::V6(v6), IpAddr::V6(UNNAMED.v6)),
            ] {
                let mac = asked(&site.vm01, LAN, source, target)?;
                verdict.expect(mac == Some(MAC), || {
                    format!("{mode}: {target} is not answered to {source}")
                });
            }
            for address in [IpAddr::V4(v4), IpAddr::V6(v6)] {
                no_conflict(&scene, address, &mut verdict)?;
            }
            scene.clear()?;
        }
    }
    verdict.agent("answered as by the kernel");
    Ok(verdict)
}

fn single_addresses(plan: &Plan) -> Result<Verdict> {
    const ALLOW: [&str; 4] = ["--allow", "172.16.91.0/24", "--allow", "2001:db8:91::/64"];
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L2, "bridge")?;
    for (netns, device, pair) in [
        (&scene.site.host, PARENT, HOST),
        (&scene.site.steady, CHILD, STEADY),
    ] {
        let (v4, v6) = (GATEWAY.v4, GATEWAY.v6);
        netns.ip(&format!(
            "addr flush dev {device} scope global\n\
             addr add {}/32 dev {device}\naddr add {}/128 dev {device} nodad\n\
             route replace default via {v4} dev {device} onlink\n\
             route replace {v6}/128 dev {device}\nroute replace ::/0 via {v6} dev {device}\n",
            pair.v4, pair.v6
        ))?;
    }
    verdict.alone(shown(&both_ways(&scene)?));
    scene.start(&ALLOW)?;
    for address in STEADY.both() {
        verdict.expect(becomes(&scene.site, address, true, PATIENCE)?, || {
            format!("{address} is not answered on the LAN")
        });
    }
    let failed = both_ways(&scene)?;
    verdict.agent(shown(&failed));
    verdict.expect(failed.is_empty(), || shown(&failed));
    scene.clear()?;
    Ok(verdict)
}
