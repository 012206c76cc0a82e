//! What does a flood of questions for addresses that nobody here holds do to the agent?
//!
//! Every one of them has to be counted, none answered, and the agent need not even wake up.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ipvlan_packet::{ARP, Arp, Nd};
use nix::errno::Errno;
use serde_json::Value;

use super::{PARENT, Site, as_float, process};
use crate::{
    agent::Agent,
    family::Family,
    lab::Lab,
    netns::Netns,
    probe::{
        neighbour::{Question, ask},
        packet::PacketSocket,
    },
};

const FRAMES: u32 = 100_000;
/// Before it: the agent has announced its addresses and gone to sleep.
const SETTLE: Duration = Duration::from_secs(6);
/// After it: what was sent has arrived, and whoever would have answered has.
const DRAIN: Duration = Duration::from_secs(1);
const ASKER: Ipv4Addr = Ipv4Addr::new(172, 16, 91, 10);
const ASKER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x91, 0, 0, 0, 0, 0x10);
const CHILD: Ipv4Addr = Ipv4Addr::new(172, 16, 91, 101);
const CHILD_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x91, 0, 0, 0, 0, 0x101);
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of the flood.
pub(super) struct Flood {
    /// Answers that were heard, or counted.
    pub(super) answers: f64,
    /// Frames that the driver says it lost.
    pub(super) lost: u64,
    /// Frames of which nobody tells what became of them.
    pub(super) missing: f64,
    /// Of the agent, meanwhile.
    pub(super) wakes: f64,
    /// Of the agent's memory.
    pub(super) growth_megabytes: f64,
}

pub(super) fn measure(ipvlan: &Path, family: Family) -> Result<Flood> {
    let site = Site::build(&Lab::new()?, 1)?;
    let child = site.children.first().context("a site without children")?;
    site.host.ip(&format!(
        "link add link {PARENT} name ipvlan1 netns {} type ipvlan mode l3\n",
        child.reference()
    ))?;
    child.ip(&format!(
        "link set ipvlan1 up\naddr add {CHILD}/24 dev ipvlan1\naddr add {CHILD_V6}/64 dev ipvlan1\n"
    ))?;
    let agent = Agent::start(ipvlan, &site.host, &[PARENT], &[])?;
    let mac = site.vm01.hardware_address("eth0")?;
    // Nothing answered proves something only of programs that do answer.
    site.vm01.run(|| answered(family, mac))?;
    thread::sleep(SETTLE);
    let counted_before = Counted::read(&agent)?;
    let lost_before = lost(&site.vm01)?;
    // The status above was the last question to the agent until the flood is over.
    thread::sleep(DRAIN);
    let resident_before = process::resident_megabytes(agent.pid())?;
    let wakes_before = process::wakes(agent.pid())?;
    let answers = site.vm01.run(|| flood(family, mac))?;
    let wakes = process::wakes(agent.pid())? - wakes_before;
    let growth_megabytes = process::resident_megabytes(agent.pid())? - resident_before;
    let lost = lost(&site.vm01)? - lost_before;
    let counted = Counted::read(&agent)?;
    agent.stop()?;
    let looked_at = counted.strangers - counted_before.strangers;
    let answered = counted.answered - counted_before.answered;
    Ok(Flood {
        answers: as_float(answers.max(answered))?,
        lost,
        missing: as_float(u64::from(FRAMES).abs_diff(looked_at + lost))?,
        wakes: as_float(wakes)?,
        growth_megabytes,
    })
}

/// Is the child answered for?
fn answered(family: Family, mac: [u8; 6]) -> Result<()> {
    let answer = match family {
        Family::V4 => ask("eth0", &request(mac, CHILD), PATIENCE)?,
        Family::V6 => ask("eth0", &solicitation(mac, CHILD_V6), PATIENCE)?,
    };
    ensure!(answer.is_some(), "the child is not answered for");
    Ok(())
}

fn request(sha: [u8; 6], tpa: Ipv4Addr) -> Arp {
    Arp::request(sha, ASKER, tpa)
}

fn solicitation(mac: [u8; 6], target: Ipv6Addr) -> Nd {
    Nd::multicast(mac, ASKER_V6, target)
}

/// Asks for an address of nobody each time; how many answers came back?
fn flood(family: Family, mac: [u8; 6]) -> Result<u64> {
    match family {
        Family::V4 => send(|number| {
            let [_, high, middle, low] = number.to_be_bytes();
            request(mac, Ipv4Addr::new(10, 0x80 | high, middle, low))
        }),
        Family::V6 => send(|number| {
            let target = CHILD_V6.to_bits() ^ (u128::from(number) + 1) << 64;
            solicitation(mac, target.into())
        }),
    }
}

fn send<Q: Question>(question: impl Fn(u32) -> Q) -> Result<u64> {
    let socket = PacketSocket::open("eth0", Q::ETHER_TYPE)?;
    let mut buffer = [0; 2048];
    let mut answers = 0;
    for number in 0..FRAMES {
        match socket.send(&question(number).frame()) {
            // The driver drops, and counts it.
            Ok(_) | Err(Errno::ENOBUFS) => {}
            Err(errno) => return Err(errno).context("cannot send"),
        }
    }
    // What is heard here was sent by others: a packet socket of one type is not given what goes out.
    while let Some(length) = socket.receive(&mut buffer, DRAIN)? {
        let frame = &buffer[..length];
        let is_answer = match Q::ETHER_TYPE {
            ARP => frame.get(20..22) == Some(&[0, 2]),
            _ => Nd::advertisement(frame).is_some_and(|seen| seen.is_solicited()),
        };
        answers += u64::from(is_answer);
    }
    Ok(answers)
}

/// Frames that the driver lost between vm01 and the host.
fn lost(vm01: &Netns) -> Result<u64> {
    let mut command = Command::new("ip");
    command.args(["-s", "-j", "link", "show", "dev", "eth0"]);
    let shown: Value = serde_json::from_str(&vm01.command(&mut command, "")?)?;
    shown[0]["stats64"]["tx"]["dropped"]
        .as_u64()
        .context("`ip -s -j link` tells no dropped frames")
}

/// Counters of the parent's ingress.
struct Counted {
    strangers: u64,
    answered: u64,
}

impl Counted {
    fn read(agent: &Agent) -> Result<Self> {
        let status = agent.status()?;
        let counters = &status["parents"][0]["counters"]["ingress"];
        ensure!(counters.is_object(), "no counters of ingress in {status}");
        let count = |reason: &str| counters[reason].as_u64().unwrap_or_default();
        Ok(Self {
            strangers: count("not_ours"),
            answered: count("arp_answered") + count("nd_answered"),
        })
    }
}
