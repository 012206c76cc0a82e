//! Claims of addresses: of a container on a station's or a gateway's, and of a station on a container's.

use ipvlan_packet::{
    ARP, Arp, Mac, Nd,
    arp::{OPER, REPLY},
    nd::SOLICITATION,
    patched,
};

use crate::{probe::responder::respond, rows::prelude::*};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "S4",
        Container,
        "takes the address of a station that is there, and of one that is briefly away (l3, l3s)",
        "the station keeps its address: withdrawn when it answers or claims; the station is answered",
        Run::Started(L3_L3S, takes_a_stations),
    )
    .alone("l3 children are not answered at all")
    .on_any_kernel(),
    Row::new(
        "S4",
        Container,
        "takes a next hop of a route that is not the default route, in any table",
        "never answered: gateway_address",
        Run::Started(&Mode::ALL, takes_a_next_hop),
    )
    .alone("the container answers in l2")
    .on_any_kernel(),
    Row::new(
        "S12",
        Station,
        "one false reply per probe with --dad strict, across restarts",
        "the established address stays answered and is defended",
        Run::Each(L3, false_replies),
    )
    .alone("l3 children are not answered at all")
    .on_any_kernel(),
    Row::new(
        "S15",
        Station,
        "claims of random MACs while a container takes a station's address (--dad strict)",
        "the address is not released: it is never answered by the parent",
        Run::Each(L3, flood_of_claims),
    )
    .alone("l3 children are not answered at all")
    .on_any_kernel(),
];

/// Evidence about an address that is taken arrives, and is acted on, within this.
const WITHDRAWN_WITHIN: Duration = Duration::from_secs(6);
/// A probe is answered, or not, within this; RFC 5227 §2.1.1 has up to 1 s, 3 probes 2 s apart, and 2 s.
const PROBED: Duration = Duration::from_secs(10);
/// Another next hop than that of the default route.
const NEXT_HOP: Pair = Pair::new(30);
const STRICT: [&str; 2] = ["--dad", "strict"];

/// Returns whether the parent's MAC answers for `address`. Several stations may answer; the station's own answer comes
/// as well.
fn by_parent(site: &Site, address: IpAddr) -> Result<bool> {
    becomes(site, address, true, Duration::ZERO)
}

fn takes_a_stations(scene: &mut Scene) -> Result<()> {
    let site = &scene.site;
    for (address, away) in NEIGHBOUR
        .both()
        .into_iter()
        .flat_map(|address| [(address, false), (address, true)])
    {
        scene.case(format!("{address} of a station, away: {away}"));
        let length = Family::of(address).subnet();
        if away {
            site.vm01
                .ip(&format!("addr del {address}/{length} dev {LAN}\n"))?;
        }
        scene.take([address])?;
        // Answered meanwhile or not: both are within the promise.
        let _answered_meanwhile = becomes(site, address, true, ANSWERED_WITHIN)?;
        if away {
            // A second later it is back and announces it, as kernels and DHCP clients do.
            thread::sleep(Duration::from_secs(1));
            let nodad = if address.is_ipv6() { " nodad" } else { "" };
            site.vm01
                .ip(&format!("addr add {address}/{length} dev {LAN}{nodad}\n"))?;
            let mac = site.vm01.hardware_address(LAN)?;
            site.vm01.run(|| claim::send(LAN, address, mac))?;
        }
        scene.expect_answers_within([address], false, WITHDRAWN_WITHIN)?;
        thread::sleep(Duration::from_secs(3));
        let again = by_parent(site, address)?;
        scene.expect(!again, || "answered by the parent again".to_owned());
        // The station asks for a child that has done nothing.
        let child = STEADY.like(address);
        let answer = neighbour::who_has(&site.vm01, LAN, address, child, PATIENCE)?;
        scene.expect(answer.is_some(), || "gets no answer for a child".to_owned());
        site::delete(&site.third, CHILD, address)?;
    }
    scene.expect_others_answered()
}

fn takes_a_next_hop(scene: &mut Scene) -> Result<()> {
    let Pair { v4, v6 } = NEXT_HOP;
    scene.host.ip(&format!(
        "route add 10.99.0.0/16 via {v4} dev {PARENT} table 77\n\
         route add fd99::/48 via {v6} dev {PARENT} table 77\n"
    ))?;
    thread::sleep(ANSWERED_WITHIN);
    scene.take(NEXT_HOP.both())?;
    thread::sleep(ANSWERED_WITHIN);
    // In l2 the child's own kernel answers, and the agent's programs leave it to that.
    if scene.mode != Mode::L2 {
        for address in NEXT_HOP.both() {
            let answered = by_parent(&scene.site, address)?;
            scene.expect(!answered, || format!("the next hop {address} is answered"));
        }
    }
    scene.expect_refused(NEXT_HOP.both(), "gateway_address")
}

/// The station's replies to probes: none of its addresses, and a MAC that is the station's.
fn false_replies(scene: &mut Scene) -> Result<()> {
    scene.start(&STRICT)?;
    scene.case("after its probe");
    scene.expect_answers_within(STEADY.both(), true, PROBED)?;
    scene.kill()?;
    let site = &scene.site;
    let attack = |stop: &AtomicBool| {
        let station = || respond(LAN, EVERY_TYPE, stop, false_reply);
        site.vm01.run(station)
    };
    let (replies, answered) = beside(attack, || {
        let agent = scene.spawn(&STRICT)?;
        let begun = Instant::now();
        let mut answered = true;
        while begun.elapsed() < PROBED && answered {
            for address in STEADY.both() {
                answered &= by_parent(site, address)?;
            }
        }
        agent.stop()?;
        Ok(answered)
    })?;
    scene.expect_eq("established addresses stay answered", answered, true);
    scene.with_agent(format!("stays answered under {replies} false replies"));
    Ok(())
}

/// Returns the false reply to an ARP probe, or a solicitation from `::`, for one of the steady child's addresses.
fn false_reply(frame: &[u8]) -> Option<Vec<u8>> {
    const FALSE_MAC: Mac = [2, 0xba, 0xd0, 0, 0, 1];
    if let Some(asked) = Arp::parse(frame) {
        let is_probe = asked.spa == Ipv4Addr::UNSPECIFIED && asked.tpa == STEADY.v4;
        let (_, request) = claim::frame(STEADY.v4.into(), FALSE_MAC);
        return is_probe.then(|| patched(request, OPER, &REPLY.to_be_bytes()));
    }
    let asked = Nd::parse(frame)?;
    let is_probe = asked.kind == SOLICITATION
        && asked.src == Ipv6Addr::UNSPECIFIED
        && asked.target == STEADY.v6;
    is_probe.then(|| claim::frame(STEADY.v6.into(), FALSE_MAC).1)
}

fn flood_of_claims(scene: &mut Scene) -> Result<()> {
    scene.start(&STRICT)?;
    for address in [THIRD, STEADY, UNNAMED].into_iter().flat_map(Pair::both) {
        becomes(&scene.site, address, true, PROBED)?;
    }
    let site = &scene.site;
    let attack = |stop: &AtomicBool| site.vm01.run(|| flood(stop));
    let (flooded, released) = beside(attack, || {
        scene.take(NEIGHBOUR.both())?;
        let begun = Instant::now();
        let mut released = Vec::new();
        while begun.elapsed() < PROBED {
            for address in NEIGHBOUR.both() {
                if by_parent(site, address)? && !released.contains(&address) {
                    released.push(address);
                }
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(released)
    })?;
    scene.expect_none("a station's, answered by the parent", released);
    scene.with_agent(format!("not answered under {flooded} claims"));
    // After it, the children are served as ever.
    scene.expect_others_answered()
}

/// Claims addresses of children by random MACs, as fast as a station with a slow link does.
fn flood(stop: &AtomicBool) -> Result<u32> {
    let socket = PacketSocket::open(LAN, ARP)?;
    let mut sent = 0u32;
    while !stop.load(Ordering::Relaxed) {
        for address in [STEADY, THIRD, UNNAMED] {
            let [a, b, c, d] = sent.to_be_bytes();
            let mac = [2, 0xbb, a, b, c, d];
            let _dropped = socket.send(&claim::frame(address.v4.into(), mac).1);
            sent += 1;
        }
        thread::sleep(Duration::from_micros(500));
    }
    Ok(sent)
}
