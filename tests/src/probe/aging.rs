//! Does a neighbour stay reachable while its entry ages out again and again?
//!
//! The asker's neighbour timers are shortened, so that every few hundred milliseconds of traffic
//! the kernel sends unicast ARP requests or solicitations for the entry (NUD). `ip monitor neigh` shows each
//! round: PROBE, then REACHABLE when it was answered, FAILED when it was not.

use std::{
    io::{BufRead, BufReader},
    net::IpAddr,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::ping::ping;
use crate::{family::Family, netns::Netns};

/// Milliseconds an entry counts as reachable (the kernel takes 0.5 to 1.5 times that), and seconds
/// before a stale one is probed. Probes are repeated as ever: three, a second apart, which the stalls of an
/// emulated machine are shorter than.
const TIMERS: [(&str, &str); 2] = [
    ("base_reachable_time_ms", "200"),
    ("delay_first_probe_time", "0"),
];
const BETWEEN_PINGS: Duration = Duration::from_millis(60);
/// As long as the kernel waits for an answer to the last probe.
const LOST_AFTER: Duration = Duration::from_secs(3);
const DEADLINE: Duration = Duration::from_secs(20);

/// Makes the entries of `device` and `family` age fast from now on.
pub fn hasten(netns: &Netns, device: &str, family: Family) -> Result<()> {
    for (timer, value) in TIMERS {
        netns.sysctl(
            &format!("{}/neigh/{device}/{timer}", family.sysctl()),
            value,
        )?;
    }
    Ok(())
}

/// Can `target` be pinged from `asker` without a gap while its entry on `device` (already
/// [hastened](hasten)) ages out `cycles` times and is confirmed each time?
pub fn survives(
    asker: &Netns,
    device: &str,
    target: IpAddr,
    cycles: usize,
    patience: Duration,
) -> Result<bool> {
    let failed = |how: &str| {
        eprintln!("{target} from {device}, aging: {how}");
        Ok(false)
    };
    if !asker.run(|| ping(None, target, patience))? {
        return failed("no reply to begin with");
    }
    let monitor = Monitor::start(asker, device)?;
    let mut rounds = Rounds::default();
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        if !asker.run(|| ping(None, target, LOST_AFTER))? {
            return failed("a gap");
        }
        for line in monitor.lines.try_iter() {
            rounds.see(&line, target);
        }
        if rounds.failed {
            return failed("three probes without an answer");
        }
        if rounds.confirmed >= cycles {
            return Ok(true);
        }
        thread::sleep(BETWEEN_PINGS);
    }
    failed("not probed often enough")
}

#[derive(Debug, Default)]
struct Rounds {
    probing: bool,
    failed: bool,
    confirmed: usize,
}

impl Rounds {
    fn see(&mut self, line: &str, target: IpAddr) {
        let mut words = line.split_whitespace();
        if words.next().and_then(|word| word.parse().ok()) != Some(target) {
            return;
        }
        match words.last() {
            Some("PROBE") => self.probing = true,
            Some("FAILED") => self.failed = true,
            Some("REACHABLE") if self.probing => {
                self.probing = false;
                self.confirmed += 1;
            }
            _ => {}
        }
    }
}

struct Monitor {
    child: Child,
    lines: Receiver<String>,
}

impl Monitor {
    fn start(netns: &Netns, device: &str) -> Result<Self> {
        let mut child = netns.run(|| {
            Command::new("ip")
                .args(["monitor", "neigh", "dev", device])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .context("cannot start `ip monitor neigh`")
        })?;
        let (sender, lines) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self { child, lines })
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // Already gone is just as well.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 16, 91, 102));

    fn rounds(lines: &[&str]) -> Rounds {
        let mut rounds = Rounds::default();
        for line in lines {
            rounds.see(line, TARGET);
        }
        rounds
    }

    #[test]
    fn counts_answered_probes_only() {
        let rounds = rounds(&[
            "172.16.91.102 dev eth0 lladdr 02:00:00:00:00:01 REACHABLE",
            "172.16.91.102 dev eth0 lladdr 02:00:00:00:00:01 STALE",
            "172.16.91.102 dev eth0 lladdr 02:00:00:00:00:01 PROBE",
            "172.16.91.101 dev eth0 lladdr 02:00:00:00:00:01 REACHABLE",
            "172.16.91.102 dev eth0 lladdr 02:00:00:00:00:01 REACHABLE",
            "172.16.91.102 dev eth0 lladdr 02:00:00:00:00:01 PROBE",
        ]);
        assert_eq!(rounds.confirmed, 1);
        assert!(!rounds.failed);
    }

    #[test]
    fn sees_an_unanswered_probe() {
        assert!(rounds(&["172.16.91.102 dev eth0  FAILED"]).failed);
        assert!(!rounds(&["172.16.91.103 dev eth0  FAILED"]).failed);
    }
}
