//! The service that a well-behaved child gets while an attack goes on: how soon a new address of it is
//! answered and announced, and what the agent costs meanwhile.

use std::{
    fs,
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use ipvlan_packet::{Arp, Nd};

use crate::{
    bench::agent::{milliseconds, percentile, process},
    faults::site::{CHILD, LAN, MAC, Pair, Site, VM01},
    netlink::Netlink,
    probe::{neighbour::Question, packet::PacketSocket},
    rows::{
        row::Verdict,
        scene::{self, Scene},
    },
};

/// A new address is answered within this, p99.
const ANSWERED: Duration = Duration::from_millis(250);
/// A new address is announced within this.
const ANNOUNCED: Duration = Duration::from_secs(2);
/// The share of a processor that the agent may take under attack, in percent.
const SHARE: u128 = 50;
/// The resident memory of the agent under attack, in megabytes.
const RESIDENT: f64 = 48.0;
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(1);
const GIVE_UP: Duration = Duration::from_secs(6);
/// Between two new addresses: within the default pace of announcements of one netns.
const PAUSE: Duration = Duration::from_millis(1500);
/// The last byte of the first new address.
const FIRST: u8 = 160;
/// Units of `/proc/PID/stat`: `USER_HZ` is 100 on every architecture that Debian has.
const TICK: Duration = Duration::from_millis(10);

/// Measurements under attack.
#[derive(Debug)]
pub(super) struct Measured {
    answered: Vec<Duration>,
    announced: Vec<Option<Duration>>,
    /// Of a processor, in percent.
    share: u128,
    resident: f64,
    same_process: bool,
}

/// Adds `samples` new addresses of each family to a well-behaved child while `attack` runs in a thread of
/// its own; it ends when its flag is set.
pub(super) fn under(
    scene: &mut Scene,
    samples: u8,
    attack: impl Fn(&Site, &AtomicBool) -> Result<()> + Sync,
) -> Result<Measured> {
    let pid = scene.agent()?.pid();
    reset_peak(pid)?;
    let site = &scene.site;
    let stop = AtomicBool::new(false);
    let (begun, before) = (Instant::now(), busy(pid)?);
    let (mut answered, mut announced) = (Vec::new(), Vec::new());
    let attacked = thread::scope(|scope| -> Result<()> {
        let attacking = scope.spawn(|| attack(site, &stop));
        let measured = (0..samples).try_for_each(|number| {
            thread::sleep(PAUSE);
            for address in Pair::new(FIRST + number).both() {
                let served = newcomer(site, address)?;
                answered.push(served.answered);
                announced.push(served.announced);
            }
            Ok::<_, anyhow::Error>(())
        });
        stop.store(true, Ordering::Relaxed);
        let attacked = attacking
            .join()
            .map_err(|_| anyhow!("the attacker panicked"))?;
        measured.and(attacked)
    });
    attacked?;
    let used = busy(pid).map(|after| after.saturating_sub(before));
    let share = used.unwrap_or_default().as_micros() * 100 / begun.elapsed().as_micros().max(1);
    let resident = peak_megabytes(pid).or_else(|_| process::resident_megabytes(pid));
    Ok(Measured {
        answered,
        announced,
        share,
        resident: resident.unwrap_or_default(),
        same_process: !scene.agent_mut()?.has_ended(),
    })
}

impl Measured {
    /// Records what exceeds its limit, and the measurements.
    pub(super) fn judge(&self, verdict: &mut Verdict) {
        let Self {
            answered,
            announced,
            share,
            resident,
            same_process,
        } = self;
        let slowest = percentile(answered, 99);
        verdict.expect(slowest < ANSWERED, || {
            format!("a new address is answered after {slowest:?}, p99")
        });
        let unannounced = announced.iter().filter(|at| at.is_none()).count();
        let latest = announced
            .iter()
            .flatten()
            .max()
            .copied()
            .unwrap_or_default();
        verdict.expect(unannounced == 0 && latest < ANNOUNCED, || {
            format!("new addresses: {unannounced} not announced, the latest after {latest:?}")
        });
        verdict.expect(*share <= SHARE, || {
            format!("the agent took {share} % of a processor")
        });
        verdict.expect(*resident <= RESIDENT, || {
            format!("the agent took {resident:.1} MB of memory")
        });
        verdict.expect(*same_process, || "the agent ended".to_owned());
        verdict.agent(format!(
            "another child's new address answered after {:.0} ms (p99), announced within {:.0} ms; \
             agent: {share} % of a processor, {resident:.0} MB",
            milliseconds(slowest),
            milliseconds(latest),
        ));
    }
}

/// How a new address was served.
struct Served {
    answered: Duration,
    announced: Option<Duration>,
}

/// Adds `address` to a well-behaved child, asks for it and waits for its announcement; removes it.
fn newcomer(site: &Site, address: IpAddr) -> Result<Served> {
    let mac = site.vm01.hardware_address(LAN)?;
    let served = match address {
        IpAddr::V4(tpa) => {
            let question = Arp::request(mac, VM01.v4, tpa);
            let is_announcement = |frame: &[u8]| {
                frame.get(28..32) == Some(&tpa.octets()) && frame.get(38..42) == Some(&tpa.octets())
            };
            watch(site, address, &question, is_announcement)
        }
        IpAddr::V6(target) => {
            let question = Nd::multicast(mac, VM01.v6, target);
            let is_announcement = |frame: &[u8]| {
                Nd::advertisement(frame)
                    .is_some_and(|seen| seen.target == target && !seen.is_solicited())
            };
            watch(site, address, &question, is_announcement)
        }
    };
    let served = served.with_context(|| format!("new address {address}"));
    scene::delete(&site.steady, CHILD, address)?;
    served
}

fn watch<Q: Question>(
    site: &Site,
    address: IpAddr,
    question: &Q,
    is_announcement: impl Fn(&[u8]) -> bool,
) -> Result<Served> {
    let socket = site.vm01.run(|| PacketSocket::open(LAN, Q::ETHER_TYPE))?;
    let frame = question.frame();
    let mut buffer = [0; 256];
    let begun = Instant::now();
    match address {
        // `ip` takes longer to start than an answer takes.
        IpAddr::V4(v4) => site
            .steady
            .run(|| Netlink::open()?.add_host_address(CHILD, v4))?,
        IpAddr::V6(_) => scene::add(&site.steady, CHILD, address)?,
    }
    let begun = match address {
        IpAddr::V4(_) => begun,
        IpAddr::V6(_) => Instant::now(),
    };
    let (mut answered, mut announced) = (None, None);
    while begun.elapsed() < GIVE_UP && (answered.is_none() || announced.is_none()) {
        if answered.is_none() {
            let _dropped = socket.send(&frame);
        }
        let next = Instant::now() + BETWEEN_QUESTIONS;
        while let Some(left) = next.checked_duration_since(Instant::now()) {
            let Some(length) = socket.receive(&mut buffer, left)? else {
                continue;
            };
            let frame = &buffer[..length.min(buffer.len())];
            if question.answer(frame) == Some(MAC) {
                answered.get_or_insert_with(|| begun.elapsed());
            } else if frame.get(6..12) == Some(&MAC) && is_announcement(frame) {
                announced.get_or_insert_with(|| begun.elapsed());
            }
        }
    }
    ensure!(answered.is_some(), "not answered within {GIVE_UP:?}");
    Ok(Served {
        answered: answered.unwrap_or(GIVE_UP),
        announced,
    })
}

/// Returns the processor time that `pid` has taken so far.
fn busy(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let shown = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name is in parentheses and may contain anything.
    let (_, rest) = shown.rsplit_once(") ").context("no name in the status")?;
    let ticks: u32 = rest
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u32>().ok())
        .sum();
    Ok(TICK * ticks)
}

/// Makes the kernel measure the peak of resident memory from now on (`clear_refs`, proc(5)).
fn reset_peak(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").with_context(|| format!("cannot write {path}"))
}

/// Returns the peak of resident memory since [`reset_peak`], in megabytes.
fn peak_megabytes(pid: u32) -> Result<f64> {
    process::peak_megabytes(pid)
}

/// Returns whether every address of the children that no attack is about is answered, and records it.
pub(super) fn others_answered(scene: &Scene, verdict: &mut Verdict, when: &str) -> Result<()> {
    let answered = scene.steady_answered()?;
    verdict.expect(answered == scene::STEADY_ADDRESSES, || {
        format!(
            "{when}: {answered} of {} addresses of others are answered",
            scene::STEADY_ADDRESSES
        )
    });
    Ok(())
}
