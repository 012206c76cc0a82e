//! More than a share: of the maps, of a start, of announcements, of the processor.

use ipvlan_packet::{ARP, BROADCAST};
use nix::net::if_::if_nametoindex;

use super::newcomer;
use crate::{
    netlink::{AddressChange, Netlink},
    rows::prelude::*,
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "S5",
        Container,
        "200 addresses that --allow refuses, and 200 that it allows, with --max-addresses 64",
        "refused ones take no room; host and others are served; `status` counts what is answered",
        Run::Each(L3, fills_the_maps),
    )
    .on_any_kernel(),
    Row::new(
        "S6",
        Container,
        "thousands of addresses, and one on lo that comes and goes, while the agent starts",
        "three of three starts are ready",
        Run::Each(L3, restless_at_start),
    )
    .on_any_kernel(),
    Row::new(
        "S9",
        Container,
        "addresses given up and taken in turn, as fast as the container can",
        "others are served; ARP broadcasts of the parent within the pace",
        Run::Each(L3, restless_addresses),
    )
    .alone("l3 children announce nothing")
    .on_any_kernel(),
    Row::new(
        "S10",
        User,
        "thousands of veth links in an unprivileged netns, one more coming and going",
        "others are served; the agent within half a processor and 48 MB",
        Run::Each(L3, many_links),
    )
    .on_any_kernel(),
    Row::new(
        "S10",
        Container,
        "tens of thousands of addresses beyond the quota",
        "others are served; the agent within half a processor and 48 MB",
        Run::Each(L3, many_addresses),
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

fn fills_the_maps(scene: &mut Scene) -> Result<()> {
    const OPTIONS: [&str; 6] = [
        "--max-addresses",
        "64",
        "--allow",
        "172.16.0.0/12",
        "--allow",
        "2001:db8:91::/64",
    ];
    let refused: Vec<_> = (1..=200).map(|number| v4([10, 9], number)).collect();
    let allowed: Vec<_> = (1..=200).map(|number| v4([172, 17], number)).collect();
    for (when, addresses) in [("refused only", &refused), ("and allowed", &allowed)] {
        change(&scene.third, CHILD, AddressChange::Add, addresses)?;
        scene.case(when);
        scene.start(&OPTIONS)?;
        served(scene)?;
        scene.clear()?;
        // From nothing: all netns ask for room at the same time.
        scene.case(format!("{when}, fresh maps"));
        scene.start_again()?;
        served(scene)?;
        newcomer::under(scene, 1, |_, _| Ok(()))?;
        shown(scene, &refused, &allowed)?;
        scene.clear()?;
    }
    Ok(())
}

fn served(scene: &Scene) -> Result<()> {
    scene.expect_others_answered()?;
    scene.expect_reached(&scene.steady, HOST.both())?;
    scene.expect_reached(&scene.host, STEADY.both())
}

/// Requires that `status` shows as answered what is answered, and nothing else.
fn shown(scene: &Scene, refused: &[Ipv4Addr], allowed: &[Ipv4Addr]) -> Result<()> {
    let status = scene.agent()?.status()?.to_string();
    let all: Vec<_> = [refused, allowed].concat();
    let all: Vec<_> = all.into_iter().map(IpAddr::V4).collect();
    let shown = scene.refusals(&all)?;
    let is_shown = |&address: &Ipv4Addr| shown.iter().any(|(shown, _)| *shown == address);
    let hidden = refused.iter().filter(|address| !is_shown(address));
    scene.expect_none("refused, but not so in `status`", hidden);
    // A sample: the first and the last of those that may be answered.
    for address in allowed.iter().take(3).chain(allowed.iter().rev().take(3)) {
        let answered = answered_on_lan(&scene.site, IpAddr::V4(*address))?.is_some();
        let is_held = status.contains(&address.to_string());
        scene.expect(!is_held || is_shown(address) != answered, || {
            format!("`status` has {address} as refused, and it is answered: {answered}")
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

fn restless_at_start(scene: &mut Scene) -> Result<()> {
    let many: Vec<_> = (0..scene.play.plan.either(3_000, 20_000))
        .map(|number| v4([10, 20], number))
        .collect();
    let site = &scene.site;
    site.third
        .ip("link add many type dummy\nlink set many up\n")?;
    change(&site.third, "many", AddressChange::Add, &many)?;
    let mut ready = 0;
    for round in 0..3 {
        let begun = Instant::now();
        let attack = |stop: &AtomicBool| flap(&site.third, "lo", Ipv4Addr::new(10, 21, 0, 1), stop);
        let started = beside(attack, || {
            let agent = scene.spawn(&[])?;
            let served = becomes(site, STEADY.v4.into(), true, PATIENCE);
            agent.kill()?;
            served
        });
        scene.case(format!("start {round}"));
        match started {
            Ok((_, served)) => {
                scene.expect(served, || "others are not answered".to_owned());
                ready += 1;
            }
            Err(error) => scene.expect(false, || format!("{error:#}")),
        }
        println!("start {round} took {:?}", begun.elapsed());
        if round == 1 {
            scene.cleanup()?;
        }
    }
    scene.with_agent(format!("{ready} of 3 starts ready"));
    Ok(())
}

fn restless_addresses(scene: &mut Scene) -> Result<()> {
    let plan = scene.play.plan.clone();
    let many: Vec<_> = (0..plan.either(300, 1_200))
        .map(|number| v4([10, 5], number))
        .collect();
    change(&scene.third, CHILD, AddressChange::Add, &many)?;
    scene.start(&[])?;
    let socket = scene.listen(ARP)?;
    let begun = Instant::now();
    newcomer::under(scene, plan.either(4, 20), |site, stop| {
        give_up_in_turn(&site.third, &many, stop)
    })?;
    let took = begun.elapsed();
    let frames = socket.frames(Duration::ZERO)?;
    let is_broadcast = |frame: &[u8]| frame.starts_with(&[BROADCAST, MAC].concat());
    let broadcasts = frames.iter().filter(|(_, frame)| is_broadcast(frame));
    let broadcasts = broadcasts.count() as u64;
    let most = PACE * (took.as_secs() + 1) + BURST;
    scene.with_agent(format!(
        "{broadcasts} ARP broadcasts in {:.0} s",
        took.as_secs_f32()
    ));
    scene.expect_most("ARP broadcasts", broadcasts, most);
    scene.expect_others_answered()
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

fn many_links(scene: &mut Scene) -> Result<()> {
    let plan = scene.play.plan.clone();
    let user = Netns::of_user("user")?;
    let line = |number| format!("link add v{number} type veth peer name w{number}\n");
    let lines: Vec<_> = (0..plan.either(400, 4_000)).map(line).collect();
    for lines in lines.chunks(200) {
        user.ip(&lines.concat())?;
    }
    scene.start(&[])?;
    newcomer::under(scene, plan.either(4, 20), |_, stop| {
        while !stop.load(Ordering::Relaxed) {
            user.ip("link add come type dummy\nlink del come\n")?;
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    })?;
    scene.expect_others_answered()
}

fn many_addresses(scene: &mut Scene) -> Result<()> {
    let plan = scene.play.plan.clone();
    let site = &scene.site;
    let count = plan.either(6_000, 60_000);
    let many: Vec<_> = (0..count).map(|number| v4([10, 30], number)).collect();
    // The kernel's own time grows with the addresses of a device.
    for (number, slice) in many.chunks(2_000).enumerate() {
        let device = format!("many{number}");
        site::add_child(&site.host, &site.third, &device, Mode::L3, "bridge")?;
        change(&site.third, &device, AddressChange::Add, slice)?;
    }
    scene.start(&[])?;
    newcomer::under(scene, plan.either(4, 20), |site, stop| {
        flap(&site.third, CHILD, Ipv4Addr::new(10, 40, 0, 1), stop).map(drop)
    })?;
    scene.expect_others_answered()
}
