//! More than a share: of the maps, of a start, of announcements, of the processor.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use ipvlan_packet::ARP;
use nix::net::if_::if_nametoindex;

use super::newcomer::{self, others_answered};
use crate::{
    demo::mode::Mode,
    faults::{
        site::{CHILD, HOST, LAN, MAC, PARENT, STEADY},
        stage::{PATIENCE, Plan, ask},
        truth,
    },
    netlink::{AddressChange, Netlink},
    netns::Netns,
    probe::{packet::PacketSocket, ping::ping},
    rows::{
        row::{
            Kind::{Container, User},
            Row, Verdict,
        },
        scene::{Scene, becomes},
    },
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "S5",
        Container,
        "200 addresses that --allow refuses, and 200 that it allows, with --max-addresses 64",
        "refused ones take no room; host and others are served; `status` counts what is answered",
        fills_the_maps,
    )
    .on_any_kernel(),
    Row::new(
        "S6",
        Container,
        "thousands of addresses, and one on lo that comes and goes, while the agent starts",
        "three of three starts are ready",
        restless_at_start,
    )
    .on_any_kernel(),
    Row::new(
        "S9",
        Container,
        "addresses given up and taken in turn, as fast as the container can",
        "others are served; ARP broadcasts of the parent within the pace",
        restless_addresses,
    )
    .on_any_kernel(),
    Row::new(
        "S10",
        User,
        "thousands of veth links in an unprivileged netns, one more coming and going",
        "others are served; the agent within half a processor and 48 MB",
        many_links,
    )
    .on_any_kernel(),
    Row::new(
        "S10",
        Container,
        "tens of thousands of addresses beyond the quota",
        "others are served; the agent within half a processor and 48 MB",
        many_addresses,
    )
    .on_any_kernel(),
];

/// `--announce-rate` is 10 a second; a second's worth may be saved.
const PACE: u64 = 10;
const BURST: u64 = 10;

fn v4(base: [u8; 2], number: u32) -> Ipv4Addr {
    let [_, _, high, low] = number.to_be_bytes();
    Ipv4Addr::new(base[0], base[1], high, low)
}

/// Adds or deletes addresses on `device` of `netns`.
fn change(
    netns: &Netns,
    device: &str,
    change: AddressChange,
    addresses: &[Ipv4Addr],
) -> Result<()> {
    netns.run(|| {
        let index = if_nametoindex(device).with_context(|| format!("no device {device}"))?;
        Netlink::open()?.change_addresses(change, index, addresses)
    })
}

fn fills_the_maps(plan: &Plan) -> Result<Verdict> {
    const OPTIONS: [&str; 6] = [
        "--max-addresses",
        "64",
        "--allow",
        "172.16.0.0/12",
        "--allow",
        "2001:db8:91::/64",
    ];
    let mut verdict = Verdict::default();
    verdict.alone("no maps");
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    let refused: Vec<_> = (1..=200).map(|number| v4([10, 9], number)).collect();
    let allowed: Vec<_> = (1..=200).map(|number| v4([172, 17], number)).collect();
    change(&scene.site.third, CHILD, AddressChange::Add, &refused)?;
    for (when, fresh) in [("refused only", false), ("and allowed", true)] {
        if fresh {
            change(&scene.site.third, CHILD, AddressChange::Add, &allowed)?;
        }
        scene.start(&OPTIONS)?;
        served(&scene, when, &mut verdict)?;
        scene.clear()?;
        // From nothing: everybody asks for room at the same time.
        scene.start_again()?;
        served(&scene, &format!("{when}, fresh maps"), &mut verdict)?;
        let measured = newcomer::under(&mut scene, 1, |_, _| Ok(()));
        match measured {
            Ok(measured) => measured.judge(&mut verdict),
            Err(error) => verdict.problems.push(format!("{when}: {error:#}")),
        }
        told(&scene, &refused, &allowed, &mut verdict)?;
        scene.clear()?;
    }
    Ok(verdict)
}

fn served(scene: &Scene, when: &str, verdict: &mut Verdict) -> Result<()> {
    others_answered(scene, verdict, when)?;
    for address in HOST.both() {
        let reached = scene.site.steady.run(|| ping(None, address, PATIENCE))?;
        verdict.expect(reached, || {
            format!("{when}: a child does not reach the host's {address}")
        });
    }
    for address in STEADY.both() {
        let reached = scene.site.host.run(|| ping(None, address, PATIENCE))?;
        verdict.expect(reached, || {
            format!("{when}: the host does not reach {address}")
        });
    }
    Ok(())
}

/// Does `status` show as answered what is answered, and nothing else?
fn told(
    scene: &Scene,
    refused: &[Ipv4Addr],
    allowed: &[Ipv4Addr],
    verdict: &mut Verdict,
) -> Result<()> {
    let status = scene.agent()?.status()?;
    let all: Vec<IpAddr> = refused
        .iter()
        .chain(allowed)
        .copied()
        .map(IpAddr::V4)
        .collect();
    let shown = truth::refusals(&status, &all);
    let hidden = refused
        .iter()
        .filter(|address| {
            !shown
                .iter()
                .any(|(shown, _)| *shown == IpAddr::V4(**address))
        })
        .count();
    verdict.expect(hidden == 0, || {
        format!("`status` does not show {hidden} refused addresses as refused")
    });
    // A sample: the first and the last of those that may be answered.
    for address in allowed.iter().take(3).chain(allowed.iter().rev().take(3)) {
        let answered = ask(&scene.site.vm01, LAN, *address, Duration::from_millis(200))?;
        let told = !shown
            .iter()
            .any(|(shown, _)| *shown == IpAddr::V4(*address));
        let held = status.to_string().contains(&address.to_string());
        verdict.expect(!held || told == answered.is_some(), || {
            format!(
                "`status` says of {address} that it is answered: {told}; it is: {}",
                answered.is_some()
            )
        });
    }
    Ok(())
}

/// Adds and deletes an address until `stop`.
fn flap(netns: &Netns, device: &str, address: Ipv4Addr, stop: &AtomicBool) -> Result<u64> {
    let index = netns.run(|| if_nametoindex(device).context("no device"))?;
    let netlink = netns.run(Netlink::open)?;
    let mut changes = 0;
    while !stop.load(Ordering::Relaxed) {
        netlink.change_addresses(AddressChange::Add, index, &[address])?;
        netlink.change_addresses(AddressChange::Delete, index, &[address])?;
        changes += 2;
        // A container has a share of the processor, too.
        thread::sleep(Duration::from_millis(1));
    }
    Ok(changes)
}

fn restless_at_start(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    verdict.alone("no agent");
    let scene = Scene::build(plan, Mode::L3, "bridge")?;
    let many: Vec<_> = (0..plan.either(3_000, 20_000))
        .map(|number| v4([10, 20], number))
        .collect();
    scene
        .site
        .third
        .ip("link add many type dummy\nlink set many up\n")?;
    change(&scene.site.third, "many", AddressChange::Add, &many)?;
    let stop = AtomicBool::new(false);
    let mut ready = 0;
    let plan = scene.plan.clone();
    for round in 0..3 {
        stop.store(false, Ordering::Relaxed);
        let begun = Instant::now();
        let started = thread::scope(|scope| {
            let site = &scene.site;
            let flapping =
                scope.spawn(|| flap(&site.third, "lo", Ipv4Addr::new(10, 21, 0, 1), &stop));
            let agent = crate::faults::stage::start_serving(&plan.ipvlan, site, &[]);
            let served = agent.and_then(|agent| {
                let served = becomes(site, STEADY.v4.into(), true, PATIENCE);
                agent.kill()?;
                served
            });
            stop.store(true, Ordering::Relaxed);
            flapping
                .join()
                .map_err(|_| anyhow!("the attacker panicked"))??;
            served
        });
        match started {
            Ok(served) => {
                verdict.expect(served, || format!("start {round}: others are not answered"));
                ready += 1;
            }
            Err(error) => verdict.problems.push(format!("start {round}: {error:#}")),
        }
        println!("start {round} took {:?}", begun.elapsed());
        if round == 1 {
            scene.cleanup()?;
        }
    }
    verdict.agent(format!("{ready} of 3 starts ready"));
    Ok(verdict)
}

fn restless_addresses(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    verdict.alone("l3 children announce nothing");
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    let many: Vec<_> = (0..plan.either(300, 1_200))
        .map(|number| v4([10, 5], number))
        .collect();
    change(&scene.site.third, CHILD, AddressChange::Add, &many)?;
    scene.start(&[])?;
    let socket = scene.site.vm01.run(|| PacketSocket::open(LAN, ARP))?;
    let begun = Instant::now();
    let measured = newcomer::under(&mut scene, plan.either(4, 20), |site, stop| {
        give_up_in_turn(&site.third, &many, stop)
    });
    let took = begun.elapsed();
    let mut broadcasts = 0;
    let mut buffer = [0; 256];
    while let Some(length) = socket.receive(&mut buffer, Duration::ZERO)? {
        let frame = &buffer[..length.min(buffer.len())];
        let by_parent = frame.get(6..12) == Some(&MAC);
        broadcasts += u64::from(by_parent && frame.first() == Some(&0xff));
    }
    match measured {
        Ok(measured) => measured.judge(&mut verdict),
        Err(error) => verdict.problems.push(format!("{error:#}")),
    }
    let most = PACE * (took.as_secs() + 1) + BURST;
    verdict.agent(format!(
        "{broadcasts} ARP broadcasts in {:.0} s",
        took.as_secs_f32()
    ));
    verdict.expect(broadcasts <= most, || {
        format!("{broadcasts} ARP broadcasts in {took:?}, more than {most}")
    });
    others_answered(&scene, &mut verdict, "afterwards")?;
    scene.clear()?;
    Ok(verdict)
}

/// Every 0.6 s another slice of the addresses goes and comes back.
fn give_up_in_turn(netns: &Netns, many: &[Ipv4Addr], stop: &AtomicBool) -> Result<()> {
    for slice in many.chunks(50).cycle() {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        change(netns, CHILD, AddressChange::Delete, slice)?;
        change(netns, CHILD, AddressChange::Add, slice)?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn many_links(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    verdict.alone("no agent");
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    let user = Netns::of_user("user")?;
    let pairs = plan.either(400, 4_000);
    let lines = |numbers: std::ops::Range<u32>| -> String {
        numbers
            .map(|number| format!("link add v{number} type veth peer name w{number}\n"))
            .collect::<Vec<_>>()
            .concat()
    };
    for begin in (0..pairs).step_by(200) {
        user.ip(&lines(begin..pairs.min(begin + 200)))?;
    }
    scene.start(&[])?;
    let measured = newcomer::under(&mut scene, plan.either(4, 20), |_, stop| {
        while !stop.load(Ordering::Relaxed) {
            user.ip("link add come type dummy\nlink del come\n")?;
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    });
    match measured {
        Ok(measured) => measured.judge(&mut verdict),
        Err(error) => verdict.problems.push(format!("{error:#}")),
    }
    others_answered(&scene, &mut verdict, "afterwards")?;
    scene.clear()?;
    Ok(verdict)
}

fn many_addresses(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    verdict.alone("no agent");
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    let count = plan.either(6_000, 60_000);
    let many: Vec<_> = (0..count).map(|number| v4([10, 30], number)).collect();
    // The kernel's own time grows with the addresses of a device.
    for (number, slice) in many.chunks(2_000).enumerate() {
        let device = format!("many{number}");
        let lines = format!(
            "link add link {PARENT} name {device} netns {} type ipvlan mode l3\n",
            scene.site.third.reference()
        );
        scene.site.host.ip(&lines)?;
        scene.site.third.ip(&format!("link set {device} up\n"))?;
        change(&scene.site.third, &device, AddressChange::Add, slice)?;
    }
    scene.start(&[])?;
    let measured = newcomer::under(&mut scene, plan.either(4, 20), |site, stop| {
        flap(&site.third, CHILD, Ipv4Addr::new(10, 40, 0, 1), stop).map(drop)
    });
    match measured {
        Ok(measured) => measured.judge(&mut verdict),
        Err(error) => verdict.problems.push(format!("{error:#}")),
    }
    others_answered(&scene, &mut verdict, "afterwards")?;
    scene.clear()?;
    Ok(verdict)
}
