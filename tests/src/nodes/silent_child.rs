//! Children that are silent by their own settings, as the real servers of a load balancer are.

use ipvlan_packet::{ARP, Arp};

use crate::rows::prelude::*;

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B21",
        Kind::Regression,
        "a child has an address of the router with arp_ignore=8; the router claims the address",
        "silent: not answered, announced, probed or defended; answered as soon as the setting is 0",
        Run::Each(&Mode::ALL, ignores_requests),
    )
    .alone("not answered")
    .on_any_kernel(),
    Row::new(
        "B21",
        Kind::Regression,
        "an l2 child with `arp off`; children with arp_ignore 1, 2 and 3",
        "what the child's kernel would answer is answered",
        Run::Each(L2_L3, other_settings),
    )
    .alone("answered in l2 but for scope host with arp_ignore=3, and `arp off`")
    .on_any_kernel(),
];

/// Three announcements and three probes are over by then.
const ANNOUNCED: Duration = Duration::from_secs(3);
/// A setting that changes without an event is found by an audit.
const AUDIT: [&str; 2] = ["--audit", "1"];

fn ignores_requests(scene: &mut Scene) -> Result<()> {
    ignore(scene, 8)?;
    let silent = THIRD.v4.into();
    expect_kernel(scene, silent, false)?;
    let socket = scene.listen(ARP)?;
    scene.start(&AUDIT)?;
    scene.expect_others_answered()?;
    scene.case("at the start");
    check(scene)?;
    // The router announces the address that it shares with the child.
    let vm01 = &scene.vm01;
    let router = vm01.hardware_address(LAN)?;
    vm01.run(|| claim::send(LAN, silent, router))?;
    thread::sleep(ANNOUNCED);
    // Messages with the silent address as sender, and requests for it.
    let about = |frame: &[u8]| {
        let seen = Arp::parse(frame).filter(|seen| seen.eth_src == MAC);
        seen.is_some_and(|seen| [seen.spa, seen.tpa].contains(&THIRD.v4))
    };
    let frames = socket.frames(Duration::ZERO)?;
    let sent = frames.iter().filter(|(_, frame)| about(frame));
    scene.expect_none("ARP messages by the parent about the silent address", sent);
    let router = Some(colons(router));
    let events = scene.parent()?.events.into_iter();
    let claims = events.filter(|event| event.mac == router);
    scene.expect_none("events of the router's claim", claims);

    scene.case("arp_ignore=0");
    ignore(scene, 0)?;
    scene.expect_answered([silent])?;
    scene.case("after a change");
    ignore(scene, 8)?;
    check(scene)
}

/// The IPv4 address of the child is silent, its IPv6 address is answered.
fn check(scene: &Scene) -> Result<()> {
    scene.expect_answers([THIRD.v4.into()], false)?;
    scene.expect_answers([THIRD.v6.into()], true)?;
    scene.expect_refused([THIRD.v4.into()], "silent")
}

/// Requires that the kernel alone answers `address`, or does not.
fn expect_kernel(scene: &Scene, address: IpAddr, answered: bool) -> Result<()> {
    let alone = answered_on_lan(&scene.site, address)?.is_some();
    scene.expect_eq(&format!("the kernel answers {address}"), alone, answered);
    Ok(())
}

fn ignore(scene: &Scene, arp_ignore: u8) -> Result<()> {
    let key = format!("ipv4/conf/{CHILD}/arp_ignore");
    scene.third.sysctl(&key, &arp_ignore.to_string())
}

fn other_settings(scene: &mut Scene) -> Result<()> {
    let is_l2 = scene.mode == Mode::L2;
    // Of scope `host` beside the others.
    let (global, of_host) = (IpAddr::from(THIRD.v4), IpAddr::from(UNOWNED.v4));
    let third = &scene.third;
    third.ip(&format!("addr add {of_host}/32 dev {CHILD} scope host\n"))?;
    // Whether the address of scope `host` is answered; the other one is.
    let cases = [(1, true), (2, true), (3, false)];
    for (arp_ignore, answered) in cases.into_iter().filter(|_| is_l2) {
        scene.case(format!("arp_ignore={arp_ignore}"));
        ignore(scene, arp_ignore)?;
        expect_kernel(scene, global, true)?;
        expect_kernel(scene, of_host, answered)?;
    }
    scene.start(&AUDIT)?;
    for (arp_ignore, answered) in cases {
        scene.case(format!("arp_ignore={arp_ignore}"));
        ignore(scene, arp_ignore)?;
        scene.expect_answers([of_host], answered)?;
        scene.expect_answers([global], true)?;
    }
    scene.expect_refused([of_host], "silent")?;
    site::delete(&scene.third, CHILD, of_host)?;
    ignore(scene, 0)?;
    if is_l2 {
        without_arp(scene)?;
    }
    Ok(())
}

/// `arp off`, which has an event: the audit is far away.
fn without_arp(scene: &mut Scene) -> Result<()> {
    scene.clear()?;
    let switch = |scene: &Scene, arp: &str| {
        scene.case(format!("arp {arp}"));
        let line = format!("link set {CHILD} arp {arp}\n");
        scene.third.ip(&line)
    };
    switch(scene, "off")?;
    for address in THIRD.both() {
        expect_kernel(scene, address, false)?;
    }
    switch(scene, "on")?;
    scene.start(&[])?;
    for (arp, answered) in [("on", true), ("off", false), ("on", true), ("off", false)] {
        switch(scene, arp)?;
        scene.expect_answers(THIRD.both(), answered)?;
    }
    scene.expect_refused(THIRD.both(), "silent")
}
