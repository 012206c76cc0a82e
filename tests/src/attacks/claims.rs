//! Claims of addresses: of a container on a station's or a gateway's, and of a station on a container's.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use ipvlan_packet::{ARP, Arp, IPV6, Nd, nd};

use super::newcomer::others_answered;
use crate::{
    demo::mode::Mode,
    faults::{
        site::{CHILD, LAN, NEIGHBOUR, PARENT, Pair, STEADY, Site, THIRD, UNNAMED},
        stage::{PATIENCE, Plan},
    },
    probe::{claim, neighbour, packet::PacketSocket},
    rows::{
        row::{
            Kind::{Container, Station},
            Row, Verdict,
        },
        scene::{self, ANSWERED_WITHIN, Scene, becomes},
    },
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "S4",
        Container,
        "takes the address of a station that is there, and of one that is briefly away (l3, l3s)",
        "the station keeps its address: withdrawn when it answers or claims; the station is answered",
        takes_a_stations,
    ),
    Row::new(
        "S4",
        Container,
        "takes a next hop of a route that is not the default route, in any table",
        "never answered: gateway_address; a child that had it before the route keeps it",
        takes_a_next_hop,
    )
    .on_any_kernel(),
    Row::new(
        "S12",
        Station,
        "one false reply per probe with --dad strict, across restarts",
        "the established address stays answered and is defended",
        false_replies,
    )
    .on_any_kernel(),
    Row::new(
        "S15",
        Station,
        "claims of random MACs while a container takes a station's address (--dad strict)",
        "the address is not released: it is never answered by the parent",
        flood_of_claims,
    ),
];

/// Evidence about an address that is taken arrives, and is acted on, within this.
const WITHDRAWN_WITHIN: Duration = Duration::from_secs(6);
/// A probe is answered, or not, within this; RFC 5227 §2.1.1 has up to 1 s, 3 probes 2 s apart, and 2 s.
const PROBED: Duration = Duration::from_secs(10);
/// Another next hop than that of the default route.
const NEXT_HOP: Pair = Pair::new(30);
/// Another, which a child has before there is a route.
const OWN_ROUTER: Pair = Pair::new(31);
const STRICT: [&str; 2] = ["--dad", "strict"];

/// Does the parent's MAC answer for `address`?
fn by_parent(site: &Site, address: IpAddr) -> Result<bool> {
    // Several stations may answer; the station's own answer comes as well.
    becomes(site, address, true, Duration::ZERO)
}

fn takes_a_stations(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for mode in [Mode::L3, Mode::L3s] {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        scene.start(&[])?;
        for (address, away) in NEIGHBOUR
            .both()
            .into_iter()
            .flat_map(|a| [(a, false), (a, true)])
        {
            let site = &scene.site;
            let length = crate::family::Family::of(address).subnet();
            if away {
                site.vm01
                    .ip(&format!("addr del {address}/{length} dev {LAN}\n"))?;
            }
            scene::add(&site.third, CHILD, address)?;
            // Answered meanwhile or not: both are within the promise.
            let _answered_meanwhile = becomes(site, address, true, ANSWERED_WITHIN)?;
            if away {
                // A second later it is back and says so, as kernels and DHCP clients do.
                thread::sleep(Duration::from_secs(1));
                site.vm01.ip(&format!(
                    "addr add {address}/{length} dev {LAN}{}\n",
                    if address.is_ipv6() { " nodad" } else { "" }
                ))?;
                announce(site, address)?;
            }
            let withdrawn = becomes(site, address, false, WITHDRAWN_WITHIN)?;
            verdict.expect(withdrawn, || {
                format!(
                    "{mode}: {address} of a station (away: {away}) stays answered by the parent"
                )
            });
            thread::sleep(Duration::from_secs(3));
            let again = by_parent(site, address)?;
            verdict.expect(!again, || {
                format!("{mode}: {address} is answered by the parent again")
            });
            let answered = is_answered(site, address)?;
            verdict.expect(answered, || {
                format!("{mode}: the station {address} gets no answer for another child")
            });
            scene::delete(&site.third, CHILD, address)?;
        }
        others_answered(&scene, &mut verdict, "afterwards")?;
        scene.clear()?;
    }
    verdict.alone("l3 children are not answered at all");
    verdict.agent(if verdict.is_met() {
        "withdrawn, and stays withdrawn while the station is there"
    } else {
        "the container keeps the station's address"
    });
    Ok(verdict)
}

/// Whether the station is answered when it asks from `address` for a child that has done nothing.
fn is_answered(site: &Site, address: IpAddr) -> Result<bool> {
    let mac = site.vm01.hardware_address(LAN)?;
    let named = site.vm01.run(|| match address {
        IpAddr::V4(spa) => {
            let request = Arp::request(mac, spa, STEADY.v4);
            neighbour::ask(LAN, &request, PATIENCE)
        }
        IpAddr::V6(source) => {
            let question = Nd::multicast(mac, source, STEADY.v6);
            neighbour::ask(LAN, &question, PATIENCE)
        }
    })?;
    Ok(named.is_some())
}

/// Sends what a station sends that has got an address: a gratuitous ARP request, an unsolicited
/// advertisement.
fn announce(site: &Site, address: IpAddr) -> Result<()> {
    let mac = site.vm01.hardware_address(LAN)?;
    site.vm01.run(|| claim::send(LAN, address, mac))
}

fn takes_a_next_hop(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for mode in Mode::ALL {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        scene.start(&[])?;
        let Site { host, third, .. } = &scene.site;
        let Pair { v4, v6 } = NEXT_HOP;
        host.ip(&format!(
            "route add 10.99.0.0/16 via {v4} dev {PARENT} table 77\n\
             route add fd99::/48 via {v6} dev {PARENT} table 77\n"
        ))?;
        thread::sleep(ANSWERED_WITHIN);
        for address in NEXT_HOP.both() {
            scene::add(third, CHILD, address)?;
        }
        thread::sleep(ANSWERED_WITHIN);
        // In l2 the child's own kernel answers, and the agent's programs leave it to that.
        if mode != Mode::L2 {
            for address in NEXT_HOP.both() {
                let answered = by_parent(&scene.site, address)?;
                verdict.expect(!answered, || {
                    format!("{mode}: the next hop {address} is answered")
                });
            }
        }
        let status = scene.agent()?.status()?;
        let refused = crate::faults::truth::refusals(&status, &NEXT_HOP.both());
        for address in NEXT_HOP.both() {
            let named = refused.contains(&(address, "gateway_address".to_owned()));
            verdict.expect(named, || {
                format!("{mode}: {address} is not refused as gateway_address: {refused:?}")
            });
        }
        own_router(&mut scene, &mut verdict)?;
        scene.clear()?;
    }
    verdict.alone("the container answers in l2");
    verdict.agent(if verdict.is_met() {
        "refused as gateway_address; the operator's own router child is answered, after a restart too"
    } else {
        "the container is taken for the next hop"
    });
    Ok(verdict)
}

/// The operator routes through a child: it had the address before the route.
fn own_router(scene: &mut Scene, verdict: &mut Verdict) -> Result<()> {
    let Pair { v4, v6 } = OWN_ROUTER;
    for address in OWN_ROUTER.both() {
        scene::add(&scene.site.steady, CHILD, address)?;
    }
    for address in OWN_ROUTER.both() {
        let answered = becomes(&scene.site, address, true, WITHDRAWN_WITHIN)?;
        verdict.expect(answered, || format!("{address} of a child is not answered"));
    }
    // Until its probe ends, an address is the next hop's rather than the child's.
    thread::sleep(PROBED + PROBED);
    scene.site.host.ip(&format!(
        "route add 10.98.0.0/16 via {v4} dev {PARENT}\nroute add fd98::/48 via {v6} dev {PARENT}\n"
    ))?;
    for when in ["after the route", "after a restart"] {
        thread::sleep(ANSWERED_WITHIN);
        for address in OWN_ROUTER.both() {
            let answered = becomes(&scene.site, address, true, ANSWERED_WITHIN)?;
            verdict.expect(answered, || {
                format!("{when}: {address} of the child that is a router is not answered")
            });
        }
        if when == "after the route" {
            scene.kill()?;
            scene.start_again()?;
        }
    }
    Ok(())
}

/// The station's replies to probes: none of its addresses, and a MAC that is the station's.
fn false_replies(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    scene.start(&STRICT)?;
    for address in STEADY.both() {
        let settled = becomes(&scene.site, address, true, PROBED)?;
        verdict.expect(settled, || {
            format!("{address} is not answered after its probe")
        });
    }
    scene.kill()?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| -> Result<()> {
        let vm01 = &scene.site.vm01;
        let (stop, plan, site) = (&stop, &scene.plan, &scene.site);
        let attacking = scope.spawn(move || vm01.run(|| reply_to_probes(stop)));
        let agent = crate::faults::stage::start_serving(&plan.ipvlan, site, &STRICT);
        let begun = Instant::now();
        let mut answered: Result<bool> = Ok(true);
        while begun.elapsed() < PROBED && matches!(answered, Ok(true)) {
            answered = STEADY
                .both()
                .into_iter()
                .try_fold(true, |all, address| Ok(all && by_parent(site, address)?));
        }
        stop.store(true, Ordering::Relaxed);
        let replies = attacking
            .join()
            .map_err(|_| anyhow!("the attacker panicked"))??;
        let answered = answered?;
        verdict.expect(answered, || {
            format!("an established address is not answered any more after {replies} false replies")
        });
        verdict.agent(format!("stays answered under {replies} false replies"));
        agent?.stop()
    })?;
    verdict.alone("l3 children are not answered at all");
    Ok(verdict)
}

/// Answers every ARP probe and every solicitation from `::` for one of the steady child's addresses.
fn reply_to_probes(stop: &AtomicBool) -> Result<u32> {
    const FALSE_MAC: [u8; 6] = [2, 0xba, 0xd0, 0, 0, 1];
    let (arp, nd) = (
        PacketSocket::open(LAN, ARP)?,
        PacketSocket::open(LAN, IPV6)?,
    );
    let mut buffer = [0; 256];
    let mut replies = 0;
    let wait = Duration::from_millis(2);
    while !stop.load(Ordering::Relaxed) {
        if let Some(length) = arp.receive(&mut buffer, wait)? {
            let frame = &buffer[..length.min(buffer.len())];
            let is_probe = frame.get(28..32) == Some(&[0; 4])
                && frame.get(38..42) == Some(&STEADY.v4.octets());
            if is_probe {
                let mut reply = claim::frame(STEADY.v4.into(), FALSE_MAC).1;
                reply[21] = 2;
                let _dropped = arp.send(&reply);
                replies += 1;
            }
        }
        if let Some(length) = nd.receive(&mut buffer, wait)? {
            let frame = &buffer[..length.min(buffer.len())];
            let is_probe = frame.get(54) == Some(&nd::SOLICITATION)
                && frame.get(22..38) == Some(&[0; 16])
                && frame.get(62..78) == Some(&STEADY.v6.octets());
            if is_probe {
                let _dropped = nd.send(&claim::frame(STEADY.v6.into(), FALSE_MAC).1);
                replies += 1;
            }
        }
    }
    Ok(replies)
}

fn flood_of_claims(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    scene.start(&STRICT)?;
    for address in [THIRD, STEADY, UNNAMED].into_iter().flat_map(Pair::both) {
        becomes(&scene.site, address, true, PROBED)?;
    }
    let stop = AtomicBool::new(false);
    let flooded = thread::scope(|scope| -> Result<u32> {
        let site = &scene.site;
        let flooding = scope.spawn(|| site.vm01.run(|| flood(&stop)));
        let taken = NEIGHBOUR
            .both()
            .into_iter()
            .try_for_each(|address| scene::add(&site.third, CHILD, address));
        let begun = Instant::now();
        let mut released = Vec::new();
        while taken.is_ok() && begun.elapsed() < PROBED {
            for address in NEIGHBOUR.both() {
                if by_parent(site, address)? && !released.contains(&address) {
                    released.push(address);
                }
            }
            thread::sleep(Duration::from_millis(100));
        }
        stop.store(true, Ordering::Relaxed);
        let flooded = flooding
            .join()
            .map_err(|_| anyhow!("the attacker panicked"))??;
        taken?;
        verdict.expect(released.is_empty(), || {
            format!("a station's addresses are answered by the parent: {released:?}")
        });
        Ok(flooded)
    })?;
    // After it, another child's new address is served as ever.
    others_answered(&scene, &mut verdict, "afterwards")?;
    verdict.alone("l3 children are not answered at all");
    verdict.agent(format!("not answered under {flooded} claims"));
    scene.clear()?;
    Ok(verdict)
}

/// Claims addresses of children by random MACs, as fast as a station with a slow link does.
fn flood(stop: &AtomicBool) -> Result<u32> {
    let socket = PacketSocket::open(LAN, ARP)?;
    let mut sent = 0u32;
    while !stop.load(Ordering::Relaxed) {
        for address in [STEADY.v4, THIRD.v4, Ipv4Addr::new(172, 16, 91, 102)] {
            let [a, b, c, d] = sent.to_be_bytes();
            let _dropped = socket.send(&claim::frame(address.into(), [2, 0xbb, a, b, c, d]).1);
            sent += 1;
        }
        thread::sleep(Duration::from_micros(500));
    }
    Ok(sent)
}
