//! How long after `ip addr add` in a child's netns is the first ARP request answered?
//!
//! Another machine asks for the address all the time. The clock starts when the kernel has
//! acknowledged the address and stops when the first reply arrives.

use std::{
    net::Ipv4Addr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};

use super::{PARENT, Site};
use crate::{
    agent::Agent,
    lab::Lab,
    netlink::Netlink,
    netns::Netns,
    probe::{
        arp::{BROADCAST, ETHER_TYPE, Request},
        neighbour::Question as _,
        packet::PacketSocket,
    },
};

/// Addresses per child.
const ROUNDS: u8 = 4;
const FIRST: u8 = 100;
const BETWEEN_REQUESTS: Duration = Duration::from_millis(1);
/// The agent has gone back to sleep by then, and the asker is asking.
const BETWEEN_SAMPLES: Duration = Duration::from_millis(150);
const DEADLINE: Duration = Duration::from_secs(5);

pub(super) fn measure(ipvlan: &Path) -> Result<Vec<Duration>> {
    let site = Site::build(&Lab::new()?)?;
    let mut batch = Vec::new();
    for child in &site.children {
        let netns = child.reference();
        batch.push(format!(
            "link add link {PARENT} name ipvlan1 netns {netns} type ipvlan mode l3\n"
        ));
    }
    site.host.ip(&batch.concat())?;
    for child in &site.children {
        child.ip("link set ipvlan1 up\n")?;
    }
    let agent = Agent::start(ipvlan, &site.host, &[PARENT], &[])?;
    let sha = site.vm01.hardware_address("eth0")?;
    let mut times = Vec::new();
    let mut last = FIRST;
    for _ in 0..ROUNDS {
        for child in &site.children {
            let tpa = Ipv4Addr::new(172, 16, 91, last);
            let spa = Ipv4Addr::new(172, 16, 91, 10);
            let request = Request {
                to: BROADCAST,
                sha,
                spa,
                tpa,
            };
            let time = sample(&site.vm01, child, &request)
                .with_context(|| format!("{tpa} in {}", child.label()))?;
            times.push(time);
            last += 1;
        }
    }
    agent.stop()?;
    Ok(times)
}

fn sample(asker: &Netns, child: &Netns, request: &Request) -> Result<Duration> {
    thread::scope(|scope| {
        let asking = scope.spawn(|| asker.run(|| first_reply(request)));
        thread::sleep(BETWEEN_SAMPLES);
        let started = Instant::now();
        child.run(|| Netlink::open()?.add_address("ipvlan1", request.tpa))?;
        let added = Instant::now();
        let replied = asking.join().map_err(|_| anyhow!("the asker panicked"))??;
        ensure!(replied > started, "answered before it was added");
        // Answered while the kernel was still telling us is answered at once.
        Ok(replied.saturating_duration_since(added))
    })
}

fn first_reply(request: &Request) -> Result<Instant> {
    let socket = PacketSocket::open("eth0", ETHER_TYPE)?;
    let frame = request.frame();
    let mut buffer = [0; 256];
    let deadline = Instant::now() + BETWEEN_SAMPLES + DEADLINE;
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
