//! Children that are silent by their own settings, as the real servers of a load balancer are.

use std::{net::IpAddr, os::fd::AsRawFd as _, thread, time::Duration};

use anyhow::Result;
use ipvlan_packet::{ARP, Arp};
use nix::sys::socket::{MsgFlags, recv};

use crate::{
    demo::mode::Mode,
    faults::{
        site::{CHILD, LAN, MAC, NOBODY, THIRD},
        stage::{PATIENCE, Plan},
        truth,
    },
    netns::colons,
    probe::packet::PacketSocket,
    rows::{
        row::{Kind, Row, Verdict},
        scene::{self, SILENCE, STEADY_ADDRESSES, Scene, answered_on_lan, becomes},
    },
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B21",
        Kind::Regression,
        "a child has an address of the router with arp_ignore=8; the router claims the address",
        "silent: not answered, announced, probed or defended; answered as soon as the setting is 0",
        ignores_requests,
    )
    .on_any_kernel(),
    Row::new(
        "B21",
        Kind::Regression,
        "an l2 child with `arp off`; children with arp_ignore 1, 2 and 3",
        "what the child's kernel would answer is answered",
        other_settings,
    )
    .on_any_kernel(),
];

/// Three announcements and three probes are over by then.
const ANNOUNCED: Duration = Duration::from_secs(3);
/// A setting that changes without an event is found by an audit.
const AUDIT: [&str; 2] = ["--audit", "1"];

fn ignores_requests(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for mode in Mode::ALL {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        ignore(&scene, 8)?;
        let alone = answered_on_lan(&scene.site, THIRD.v4.into(), SILENCE)?;
        verdict.expect(alone.is_none(), || format!("{mode}: the kernel answers"));
        let heard = scene
            .site
            .vm01
            .run(|| PacketSocket::open(LAN, ARP))?
            .into_inner();
        scene.start(&AUDIT)?;
        let others = scene.steady_answered()?;
        verdict.expect(others == STEADY_ADDRESSES, || {
            format!("{mode}: {others} addresses of other children are answered")
        });
        check(&scene, &mut verdict, "at the start")?;
        claim(&scene)?;
        thread::sleep(ANNOUNCED);
        let said = said(heard.as_raw_fd());
        verdict.expect(said == 0, || {
            format!("{mode}: {said} ARP messages by the parent about the silent address")
        });
        let parent = scene.parent()?;
        let mac = colons(scene.site.vm01.hardware_address(LAN)?);
        let events = parent["events"].as_array().into_iter().flatten();
        let of_router: Vec<_> = events.filter(|event| event["mac"] == mac).collect();
        verdict.expect(of_router.is_empty(), || {
            format!("{mode}: the router's claim is an event: {of_router:?}")
        });

        ignore(&scene, 0)?;
        let answered = becomes(&scene.site, THIRD.v4.into(), true, PATIENCE)?;
        verdict.expect(answered, || {
            format!("{mode}: with arp_ignore=0 it is not answered")
        });
        ignore(&scene, 8)?;
        check(&scene, &mut verdict, "after a change")?;
    }
    verdict.alone("not answered");
    verdict.agent(if verdict.is_met() {
        "silent, as the kernel alone; IPv6 and other children are answered"
    } else {
        "answered, or told of"
    });
    Ok(verdict)
}

/// The IPv4 address of the child is silent, its IPv6 address is answered.
fn check(scene: &Scene, verdict: &mut Verdict, when: &str) -> Result<()> {
    let mode = scene.site.mode;
    for (address, answered) in THIRD.both().into_iter().zip([false, true]) {
        let settled = becomes(&scene.site, address, answered, PATIENCE)?;
        verdict.expect(settled, || {
            format!("{mode}, {when}: {address} is answered: {}", !answered)
        });
    }
    expect_silent(scene, verdict, THIRD.v4.into(), when)
}

fn expect_silent(scene: &Scene, verdict: &mut Verdict, address: IpAddr, when: &str) -> Result<()> {
    let mode = scene.site.mode;
    let refused = truth::refusals(&scene.agent()?.status()?, &[address]);
    verdict.expect(refused.contains(&(address, "silent".to_owned())), || {
        format!("{mode}, {when}: {address} in status: {refused:?}")
    });
    Ok(())
}

fn ignore(scene: &Scene, arp_ignore: u8) -> Result<()> {
    let key = format!("ipv4/conf/{CHILD}/arp_ignore");
    scene.site.third.sysctl(&key, &arp_ignore.to_string())
}

/// The router announces the address that it shares with the child.
fn claim(scene: &Scene) -> Result<()> {
    let vm01 = &scene.site.vm01;
    let request = Arp::request(vm01.hardware_address(LAN)?, THIRD.v4, THIRD.v4);
    vm01.run(|| {
        PacketSocket::open(LAN, ARP)?.send(&request.frame())?;
        Ok(())
    })
}

/// Counts ARP messages that the parent has sent with the silent address as sender, or to ask for it.
fn said(socket: i32) -> usize {
    let mut buffer = [0; 128];
    let mut count = 0;
    while let Ok(length) = recv(socket, &mut buffer, MsgFlags::MSG_DONTWAIT) {
        let frame = &buffer[..length.min(buffer.len())];
        let about = [frame.get(28..32), frame.get(38..42)];
        let is_about = about.contains(&Some(&THIRD.v4.octets()[..]));
        count += usize::from(is_about && frame.get(6..12) == Some(&MAC[..]));
    }
    count
}

fn other_settings(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    // Of scope `host` beside the others.
    let of_host = IpAddr::from(NOBODY.v4);
    for mode in [Mode::L2, Mode::L3] {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        let third = &scene.site.third;
        third.ip(&format!("addr add {of_host}/32 dev {CHILD} scope host\n"))?;
        let cases = [(1, true, true), (2, true, true), (3, true, false)];
        if mode == Mode::L2 {
            for (arp_ignore, global, host) in cases {
                ignore(&scene, arp_ignore)?;
                for (address, answered) in [(THIRD.v4.into(), global), (of_host, host)] {
                    let alone = answered_on_lan(&scene.site, address, SILENCE)?.is_some();
                    verdict.expect(alone == answered, || {
                        format!("arp_ignore={arp_ignore}: the kernel answers {address}: {alone}")
                    });
                }
            }
        }
        scene.start(&AUDIT)?;
        for (arp_ignore, global, host) in cases {
            ignore(&scene, arp_ignore)?;
            for (address, answered) in [(of_host, host), (THIRD.v4.into(), global)] {
                let settled = becomes(&scene.site, address, answered, PATIENCE)?;
                verdict.expect(settled, || {
                    format!(
                        "{mode}, arp_ignore={arp_ignore}: {address} is answered: {}",
                        !answered
                    )
                });
            }
        }
        expect_silent(&scene, &mut verdict, of_host, "arp_ignore=3")?;
        scene::delete(&scene.site.third, CHILD, of_host)?;
        ignore(&scene, 0)?;
        if mode == Mode::L2 {
            without_arp(&mut scene, &mut verdict)?;
        }
    }
    verdict.alone("answered in l2 but for scope host with arp_ignore=3, and `arp off`");
    verdict.agent(if verdict.is_met() {
        "the same in l2; alike in l3"
    } else {
        "not what the kernel would answer"
    });
    Ok(verdict)
}

/// `arp off`, which has an event: the audit is far away.
fn without_arp(scene: &mut Scene, verdict: &mut Verdict) -> Result<()> {
    scene.clear()?;
    let switch = |scene: &Scene, arp: &str| {
        scene
            .site
            .third
            .ip(&format!("link set {CHILD} arp {arp}\n"))
    };
    switch(scene, "off")?;
    for address in THIRD.both() {
        let alone = answered_on_lan(&scene.site, address, SILENCE)?.is_some();
        verdict.expect(!alone, || format!("arp off: the kernel answers {address}"));
    }
    switch(scene, "on")?;
    scene.start(&[])?;
    for (arp, answered) in [("on", true), ("off", false), ("on", true), ("off", false)] {
        switch(scene, arp)?;
        for address in THIRD.both() {
            let settled = becomes(&scene.site, address, answered, PATIENCE)?;
            verdict.expect(settled, || {
                format!("arp {arp}: {address} is answered: {}", !answered)
            });
        }
    }
    for address in THIRD.both() {
        expect_silent(scene, verdict, address, "arp off")?;
    }
    Ok(())
}
