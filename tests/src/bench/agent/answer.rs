//! The time from `ip addr add` in a child's netns to the first ARP reply.
//!
//! A station on the LAN asks for the address all the time. The clock starts when the kernel has acknowledged the
//! address and stops when the first reply arrives.

use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use ipvlan_packet::{ARP, Arp};

use super::crowd::Crowd;
use crate::{
    bench::site::{LAN, LAN_MAC, LAN_V4, PARENT},
    netlink::Netlink,
    netns::Netns,
    probe::{neighbour::Question as _, packet::PacketSocket},
};

/// What is measured is too long by up to this.
const BETWEEN_REQUESTS: Duration = Duration::from_micros(200);
/// An agent that has nothing else to do has gone back to sleep by then.
pub(super) const ASLEEP: Duration = Duration::from_millis(150);
/// One that has is found now here, now there in its work.
pub(super) const AT_WORK: Duration = Duration::from_millis(70);
/// And the asker is asking.
const ASKED_BEFORE: Duration = Duration::from_millis(10);
const FLOOR_SAMPLES: u8 = 40;
/// Longer than the longest rest of a netns that has used up its share of the agent's time, which is 5 s, and than
/// reading what changed in it meanwhile.
const DEADLINE: Duration = Duration::from_secs(15);

/// Adds an address to `device` of these netns, one after the other; its last number is this one. Waits before each.
pub(super) fn measure(
    crowd: &Crowd,
    netnses: impl IntoIterator<Item = usize>,
    device: &str,
    last: u8,
    wait: Duration,
) -> Result<Vec<Duration>> {
    netnses
        .into_iter()
        .map(|number| {
            let child = crowd.child(number)?;
            let tpa = Ipv4Addr::new(172, 17, u8::try_from(number)?, last);
            thread::sleep(wait);
            sample(&crowd.site.lan, child, device, tpa)
                .with_context(|| format!("{tpa} in {}", child.label()))
        })
        .collect()
}

/// The same for some addresses of the host's own, which the kernel answers at once: what asking itself takes. There
/// must be no agent.
pub(super) fn floor(crowd: &Crowd) -> Result<Vec<Duration>> {
    (0..FLOOR_SAMPLES)
        .map(|number| {
            let tpa = Ipv4Addr::new(172, 19, number, 1);
            thread::sleep(ASLEEP);
            sample(&crowd.site.lan, &crowd.site.host, PARENT, tpa)
                .with_context(|| format!("{tpa} of the host"))
        })
        .collect()
}

fn sample(asker: &Netns, child: &Netns, device: &str, tpa: Ipv4Addr) -> Result<Duration> {
    let request = &Arp::request(LAN_MAC, LAN_V4, tpa);
    thread::scope(|scope| {
        let asking = scope.spawn(|| asker.run(|| first_reply(request)));
        thread::sleep(ASKED_BEFORE);
        let started = Instant::now();
        child.run(|| Netlink::open()?.add_address(device, request.tpa, 24))?;
        let added = Instant::now();
        let replied = asking.join().map_err(|_| anyhow!("the asker panicked"))??;
        ensure!(replied > started, "answered before it was added");
        // Answered before the kernel's acknowledgement is answered at once.
        Ok(replied.saturating_duration_since(added))
    })
}

fn first_reply(request: &Arp) -> Result<Instant> {
    let socket = PacketSocket::open(LAN, ARP)?;
    let frame = request.frame();
    let mut buffer = [0; 256];
    let deadline = Instant::now() + ASKED_BEFORE + DEADLINE;
    while Instant::now() < deadline {
        socket.send(&frame).context("cannot send ARP")?;
        let next = Instant::now() + BETWEEN_REQUESTS;
        while let Some(left) = next.checked_duration_since(Instant::now()) {
            let Some(length) = socket.receive(&mut buffer, left)? else {
                continue;
            };
            if request.answer(&buffer[..length]).is_some() {
                return Ok(Instant::now());
            }
        }
    }
    Err(anyhow!("not answered within {DEADLINE:?}"))
}
