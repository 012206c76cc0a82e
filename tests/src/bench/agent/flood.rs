//! What a flood of requests for unowned addresses does to the agent.
//!
//! Each request has to be counted, none answered, and the agent need not even wake up.

use std::{net::Ipv4Addr, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use ipvlan_packet::{ARP, Arp, Nd};
use nix::errno::Errno;

use super::{super::Bench, MEGABYTES, as_float, process};
use crate::{
    agent::Agent,
    bench::site::{Kind, LAN, LAN_V4, LAN_V6, PARENT, Site, packets, v4, v6},
    demo::mode::Mode,
    family::Family,
    lab::Lab,
    probe::{
        neighbour::{Question, ask},
        packet::PacketSocket,
    },
};

const FRAMES: u32 = 100_000;
/// Before it: the agent has announced its addresses and gone to sleep.
const SETTLE: Duration = Duration::from_secs(6);
/// After it: what was sent has arrived, and so have answers.
const DRAIN: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);

pub(in crate::bench) fn floods(bench: &Bench, lab: &Lab) -> Result<()> {
    Family::ALL
        .into_iter()
        .try_for_each(|family| flood(bench, lab, family))
}

fn flood(bench: &Bench, lab: &Lab, family: Family) -> Result<()> {
    let what = match family {
        Family::V4 => "100 000 ARP requests for an unowned address",
        Family::V6 => "100 000 solicitations for an unowned address",
    };
    println!("measuring: {what}");
    let site = Site::build(lab, Kind::Ipvlan(Mode::L3), 1)?;
    let agent = Agent::start(&bench.ipvlan, &site.host, &[PARENT], &[])?;
    let mac = site.lan.hardware_address(LAN)?;
    // Nothing answered proves something only of programs that do answer.
    let answer = site.lan.run(|| match family {
        Family::V4 => ask(LAN, &Arp::request(mac, LAN_V4, v4(0)), PATIENCE),
        Family::V6 => ask(LAN, &Nd::multicast(mac, LAN_V6, v6(0)), PATIENCE),
    })?;
    ensure!(answer.is_some(), "the child is not answered for");
    thread::sleep(SETTLE);
    let counted = || agent.counted("ingress", ["not_ours", "arp_answered", "nd_answered"]);
    let [unowned_before, answered_before @ ..] = counted()?;
    let dropped = || packets(&site.lan, LAN, "tx", "dropped");
    let lost_before = dropped()?;
    // The status above was the last question to the agent until the flood is over.
    thread::sleep(DRAIN);
    let resident_before = process::resident_megabytes(agent.pid())?;
    let wakes_before = process::wakes(agent.pid())?;
    let answers = site.lan.run(|| send_all(family, mac))?;
    let wakes = process::wakes(agent.pid())? - wakes_before;
    let growth = process::resident_megabytes(agent.pid())? - resident_before;
    let lost = dropped()? - lost_before;
    let [unowned, answered @ ..] = counted()?;
    agent.stop()?;
    let answered = answered.iter().sum::<u64>() - answered_before.iter().sum::<u64>();
    println!("{what}: the driver lost {lost}");
    let missing = u64::from(FRAMES).abs_diff(unowned - unowned_before + lost);
    let answers = as_float(answers.max(answered))?;
    for (aspect, value, unit, limit) in [
        ("answers", answers, "", 0.0),
        (
            "neither counted nor lost by the driver",
            as_float(missing)?,
            "",
            0.0,
        ),
        ("wake-ups of the agent", as_float(wakes)?, "", 2.0),
        ("growth of the agent", growth, MEGABYTES, 0.2),
    ] {
        bench.report_limited(&format!("{what}: {aspect}"), 1, value, unit, limit)?;
    }
    Ok(())
}

/// Asks for another unowned address each time; returns how many answers came back.
fn send_all(family: Family, mac: [u8; 6]) -> Result<u64> {
    match family {
        Family::V4 => send(|number| {
            let [_, high, middle, low] = number.to_be_bytes();
            let target = Ipv4Addr::new(10, 0x80 | high, middle, low);
            Arp::request(mac, LAN_V4, target)
        }),
        Family::V6 => send(|number| {
            let target = v6(0).to_bits() ^ (u128::from(number) + 1) << 64;
            Nd::multicast(mac, LAN_V6, target.into())
        }),
    }
}

fn send<Q: Question>(question: impl Fn(u32) -> Q) -> Result<u64> {
    let socket = PacketSocket::open(LAN, question(0).ether_type())?;
    let mut buffer = [0; 2048];
    let mut answers = 0;
    for number in 0..FRAMES {
        match socket.send(&question(number).frame()) {
            // The driver drops, and counts it.
            Ok(_) | Err(Errno::ENOBUFS) => {}
            Err(errno) => return Err(errno).context("cannot send"),
        }
    }
    // A packet socket of one type does not receive what this machine sends.
    while let Some(length) = socket.receive(&mut buffer, DRAIN)? {
        let frame = &buffer[..length];
        let is_answer = match question(0).ether_type() {
            ARP => frame.get(20..22) == Some(&[0, 2]),
            _ => Nd::advertisement(frame).is_some_and(|seen| seen.is_solicited()),
        };
        answers += u64::from(is_answer);
    }
    Ok(answers)
}
