//! The service that a well-behaved child gets while an attack goes on: how soon a new address of it is
//! answered and announced, and what the agent costs meanwhile.

use crate::{
    bench::agent::{milliseconds, percentile, process},
    netlink::Netlink,
    rows::prelude::*,
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

/// Adds `samples` new addresses of each family to a well-behaved child while `attack` runs in a thread of
/// its own until its flag is set. Records what exceeds its limit, and the measurements.
pub(super) fn under(
    scene: &mut Scene,
    samples: u8,
    attack: impl Fn(&Site, &AtomicBool) -> Result<()> + Sync,
) -> Result<()> {
    let pid = scene.agent()?.pid();
    reset_peak(pid)?;
    let site = &scene.site;
    let (begun, before) = (Instant::now(), busy(pid)?);
    let newcomers = || {
        let mut served = Vec::new();
        for number in 0..samples {
            thread::sleep(PAUSE);
            for address in Pair::new(FIRST + number).both() {
                served.push(newcomer(site, address)?);
            }
        }
        Ok(served)
    };
    let ((), served) = beside(|stop| attack(site, stop), newcomers)?;
    let (answered, announced): (Vec<_>, Vec<_>) = served.into_iter().unzip();
    let used = busy(pid).unwrap_or_default().saturating_sub(before);
    let share = used.as_micros() * 100 / begun.elapsed().as_micros().max(1);
    let resident = process::peak_megabytes(pid).or_else(|_| process::resident_megabytes(pid));
    let resident = resident.unwrap_or_default();
    let has_ended = scene.agent_mut()?.has_ended();

    let slowest = percentile(&answered, 99);
    let unannounced = announced.iter().filter(|at| at.is_none()).count();
    let latest = announced.into_iter().flatten().max().unwrap_or_default();
    scene.expect_most("a new address is answered after, p99", slowest, ANSWERED);
    scene.expect_eq("new addresses that are not announced", unannounced, 0);
    scene.expect_most("the latest is announced after", latest, ANNOUNCED);
    scene.expect_most("percent of a processor that the agent took", share, SHARE);
    scene.expect_most("megabytes of memory of the agent", resident, RESIDENT);
    scene.expect_eq("the agent ended", has_ended, false);
    scene.with_agent(format!(
        "another child's new address answered after {:.0} ms (p99), announced within {:.0} ms; \
         agent: {share} % of a processor, {resident:.0} MB",
        milliseconds(slowest),
        milliseconds(latest),
    ));
    Ok(())
}

/// Adds `address` to a well-behaved child, asks for it and waits for its announcement; removes it. Returns when it was
/// answered and when announced, if it was.
fn newcomer(site: &Site, address: IpAddr) -> Result<(Duration, Option<Duration>)> {
    let mac = site.vm01.hardware_address(LAN)?;
    let question = neighbour::question(mac, VM01.like(address), address, None)?;
    let socket = site
        .vm01
        .run(|| PacketSocket::open(LAN, question.ether_type()))?;
    let mut begun = Instant::now();
    match address {
        // `ip` takes longer to start than an answer takes.
        IpAddr::V4(v4) => site
            .steady
            .run(|| Netlink::open()?.add_address(CHILD, v4, 32))?,
        IpAddr::V6(_) => {
            site::add(&site.steady, CHILD, [address])?;
            begun = Instant::now();
        }
    }
    let (mut answered, mut announced) = (None, None);
    while begun.elapsed() < GIVE_UP && (answered.is_none() || announced.is_none()) {
        if answered.is_none() {
            let _dropped = socket.send(&question.frame());
        }
        let next = Instant::now() + BETWEEN_QUESTIONS;
        while let Some(left) = next.checked_duration_since(Instant::now()) {
            let Some(frame) = socket.frame(left)? else {
                continue;
            };
            if question.answer(&frame) == Some(MAC) {
                answered.get_or_insert_with(|| begun.elapsed());
            } else if frame[6..12] == MAC && claim::claimed(&frame) == Some(address) {
                announced.get_or_insert_with(|| begun.elapsed());
            }
        }
    }
    let answered =
        answered.with_context(|| format!("{address} is not answered within {GIVE_UP:?}"))?;
    site::delete(&site.steady, CHILD, address)?;
    Ok((answered, announced))
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
